"""Faults: nobody loses data, and a run that is gone on with ends to the bit as if nothing had come to it.

    python -m tests.faults [--quick | --brief] [--part NAME]... [--trials N] [--seed N] [--jobs N] [--folder DIR]
        [--json]

Everything is done to a real run, the command in a process of its own. Trials that were made of the same code and seed
are not made again: what was broken off goes on. Results are written to ``benchmarks/faults/full.json`` or
``quick.json``; ``docs/faults.md`` says what is tried. The last line says how many of how many held, and the exit code
is 1 if anything did not.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from myna import files

from . import flips, full_disk, kills, not_numbers, several
from .command import ROOT, Ground, lay_ground
from .trials import Part, do_part

PARTS = {part.name: part for module in (kills, several, full_disk, flips, not_numbers) for part in module.PARTS}
RESULTS = ROOT / "benchmarks" / "faults"
PAGE = ROOT / "docs" / "faults.md"
# The ground that parts share is laid once.
_LAYING = threading.Lock()


def main() -> None:
    """Makes all parts, or those that were asked for."""
    asked = _arguments()
    with contextlib.redirect_stdout(sys.stderr) if asked.json else contextlib.nullcontext():
        done = _do_all(asked)
    results = _write_results(asked, done)
    tried = [part for part in done.values() if "faults" in part]
    faults, held = (sum(part[key] for part in tried) for key in ("faults", "held"))
    if asked.json:
        print(json.dumps(results, ensure_ascii=False))
    for name, part in done.items():
        for wrong in part.get("wrong", ()):
            print(f"{name}: {wrong}", file=sys.stderr)
    print(f"{held} of {faults} held", file=sys.stderr if asked.json else sys.stdout)
    sys.exit(held != faults)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", const="quick", dest="size", help="a few trials of each part")
    size.add_argument("--brief", action="store_const", const="brief", dest="size", help="one, where one process trains")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part (can be given again)")
    parser.add_argument("--trials", type=int, help="at most so many of each part")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at a time (the processors)")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "faults", help="where runs and logs lie")
    parser.add_argument("--json", action="store_true", help="the results on standard output")
    parser.set_defaults(size="full")
    return parser.parse_args()


def _do_all(asked: argparse.Namespace) -> dict[str, Any]:
    """What came of each part. All begin at once and share so many trials at a time."""
    counts = {name: min(_count(PARTS[name], asked.size), asked.trials or sys.maxsize) for name in asked.part or PARTS}
    with ThreadPoolExecutor(asked.jobs) as trials, ThreadPoolExecutor(len(PARTS)) as parts:
        begun = {name: parts.submit(_do, name, count, asked, trials) for name, count in counts.items() if count}
        done: dict[str, Any] = {}
        for name, part in begun.items():
            done[name] = part.result()
            _write_results(asked, done)
        return done


def _count(part: Part, size: str) -> int:
    return {"full": part.trials, "quick": part.quick, "brief": part.brief}[size]


def _do(name: str, count: int, asked: argparse.Namespace, pool: Executor) -> dict[str, Any]:
    folder = (asked.folder / asked.size).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    part = PARTS[name]

    def ground() -> Ground:
        with _LAYING:
            return _ground(part.processes, part.changes, folder)

    done = do_part(part, ground, folder, asked.seed, count, pool, _source())
    when = {"commit": _commit(), "seed": asked.seed, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    return {**done, "jobs": asked.jobs, **when}


@functools.cache
def _ground(processes: int, changes: tuple[str, ...], folder: Path) -> Ground:
    return lay_ground(
        folder / "-".join(["ground", str(processes), *{change.partition("=")[2] for change in changes}]),
        processes,
        changes,
    )


@functools.cache
def _source() -> str:
    """A hash of the code that is tried, and of what tries it."""
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "src").rglob("*.py"), *Path(__file__).parent.glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _commit() -> str:
    """The commit, and whether what is tried is another; results that were written do not make it so."""
    commands = ["git", "rev-parse", "--short=12", "HEAD"], ["git", "status", "--porcelain", "src", "tests"]
    commit, changed = (
        subprocess.run(each, cwd=ROOT, check=False, capture_output=True, text=True).stdout.strip() for each in commands
    )
    return f"{commit or 'unknown'}{'-dirty' if changed else ''}"


def _write_results(asked: argparse.Namespace, done: dict[str, Any]) -> dict[str, Any]:
    """Puts the parts that were made now into the file of results, beside those that were made before."""
    path = RESULTS / f"{asked.size}.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    parts = {**before.get("parts", {}), **done}
    results = {
        "command": f"python -m tests.faults{'' if asked.size == 'full' else f' --{asked.size}'}",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, {_torch()}",
        "parts": {name: parts[name] for name in PARTS if name in parts},
    }
    if asked.size == "brief":
        return results
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, results)
    if asked.size == "full":
        text = PAGE.read_text(encoding="utf-8")
        before, after = text.partition("<!-- FAULTS -->\n")[0], text.partition("<!-- /FAULTS -->")[2]
        PAGE.write_text(f"{before}<!-- FAULTS -->\n{table(results)}\n<!-- /FAULTS -->{after}", encoding="utf-8")
    return results


def table(results: dict[str, Any]) -> str:
    """What came of the parts, in Markdown."""
    lines = ["| part | held | of them | commit, seed, date |", "|---|---|---|---|"]
    for name, part in results["parts"].items():
        when = f"{part['commit']}, {part['seed']}, {part['date']}"
        if "faults" not in part:
            lines.append(f"| `{name}` | not tried: {part['not_tried']} | | {when} |")
            continue
        counts = ", ".join(f"{what.replace('|', '/')}: {count}" for what, count in part["figures"].items())
        rounds = "" if part["trials"] == part["of"] else f" ({part['trials']} of {part['of']} rounds)"
        lines.append(f"| `{name}` | {part['held']} of {part['faults']}{rounds} | {counts} | {when} |")
    return "\n".join([f"{results['machine']}.", "", *lines])


def _torch() -> str:
    import torch

    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"


if __name__ == "__main__":
    main()
