"""A disk that is full, at many sizes of it, while a run prepares, trains its tokenizer, pre-trains and fine-tunes.

The disk is a real one, a file system in memory (tmpfs) of so many bytes, so that whatever writes meets its end: Python,
Arrow, the libraries in Rust. It is mounted in a name space of its own, which needs ``unshare``, and a superuser or a
kernel that lets users do so; the mount ends with the process. Where that cannot be, it is not tried.

A trial is a process: ``unshare … python -m tests.faults.full_disk GROUND PLACE STAGE SIZE…``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from . import material
from .command import ROOT, Ground, finish, go_on_to_the_end, kill, start
from .trials import Outcome, Part

STAGES = ("corpus/texts", "tokenizer/characters", "pretrain/encoder", "finetune/moods")
SIZES, SIZES_OF_A_TRIAL = 20, 5
_ENOUGH = 64 << 20
_PAGE = os.sysconf("SC_PAGESIZE")


def full_disk(ground: Ground, place: Path, number: int, draw: random.Random) -> Outcome:
    """Fills the disk in one of the stages at five of its sizes."""
    stage, first = STAGES[number % len(STAGES)], number // len(STAGES)
    sizes = [str(size) for size in range(first, SIZES, SIZES // SIZES_OF_A_TRIAL)]
    command = [*_apart(), sys.executable, "-m", "tests.faults.full_disk", str(ground.folder), str(place), stage, *sizes]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return Outcome(SIZES_OF_A_TRIAL, f"{stage}: {done.stderr.strip().splitlines()[-1:]}")
    return Outcome(**json.loads(done.stdout))


def refused() -> str:
    """Says why no disk can be mounted here, or nothing."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return "a file system of a given size is mounted with Linux's unshare"
    done = subprocess.run([*_apart(), "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True)
    return f"a file system cannot be mounted ({done.stderr.strip()})" if done.returncode else ""


def _apart() -> list[str]:
    """Begins a command that can mount what no other process sees."""
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]


# ------------------------------------------------------------------------------------------- in the name space


def main() -> None:
    """Makes the trial, and prints what came of it."""
    folder, place, stage = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    uncut = folder / "uncut"
    ground = Ground(folder, folder / "recipe.toml", uncut=uncut, expected=material.outcome(uncut))
    disk, figures, wrong = place / "disk", Counter[str](), ""
    disk.mkdir()
    _mount(disk)
    most = _most_in_use(ground, disk, stage)
    for number in map(int, sys.argv[4:]):
        wrong = wrong or _filled(ground, disk, stage, int(most * number / SIZES), figures)
    subprocess.run(["umount", str(disk)], check=True)
    print(json.dumps(Outcome(SIZES_OF_A_TRIAL, f"{stage}: {wrong}" if wrong else "", figures).to_dict()))


def _mount(disk: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ENOUGH}", "tmpfs", str(disk)], check=True)


def _resize(disk: Path, size: int) -> None:
    # None would mean that there is no limit.
    size = max(_PAGE, -(-size // _PAGE) * _PAGE)
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def _in_use(disk: Path) -> int:
    usage = shutil.disk_usage(disk)
    return usage.total - usage.free


def _lay(ground: Ground, disk: Path, stage: str) -> Path:
    """A run on the empty disk that has done all that comes before a stage."""
    folder = disk / "run"
    shutil.rmtree(folder, ignore_errors=True)
    if stage == material.STAGES[0]:
        return folder
    shutil.copytree(ground.uncut, folder)
    material.take_back(folder, stage)
    return folder


def _most_in_use(ground: Ground, disk: Path, stage: str) -> int:
    """The most bytes that a stage has on the disk while it runs, beside what was there: no fewer can do."""
    folder = _lay(ground, disk, stage)
    before, most = _in_use(disk), 0
    started = start(ground, folder, 0.0)
    while started.runs and not (folder / stage / "stage.json").exists():
        most = max(most, _in_use(disk) - before)
        time.sleep(0.001)
    if started.runs:
        kill(started)
    if not (folder / stage / "stage.json").exists():
        raise SystemExit(f"with all the room there is, it ended with {started.logs[0].read_text()[-300:]}")
    return most


def _filled(ground: Ground, disk: Path, stage: str, room: int, figures: Counter[str]) -> str:
    folder = _lay(ground, disk, stage)
    _resize(disk, _in_use(disk) + room)
    # What it says would have no room on the disk.
    ended = finish(start(ground, folder, 0.0, log=disk.parent / "log"))
    at = material.stage_at(folder)
    material.check_artefacts(folder)
    left = [path.name for path in folder.rglob(".*.new")] if folder.exists() else []
    _resize(disk, _ENOUGH)
    if (
        ended.code != 1
        or len(ended.errors) != 1
        or " disk " not in ended.errors[0]
        or ended.errors[0] != ended.said[-1]
    ):
        return f"with {room} bytes free it ended with {ended.code}: {ended.said[-3:]}"
    if left:
        return f"with {room} bytes free it left {left}"
    if at not in ("start", stage):
        # On a busy machine what was seen of the stage's use can be of the one behind it too: it had enough.
        return _filled(ground, disk, stage, int(0.9 * room), figures)
    figures[f"full in {stage}"] += 1
    return go_on_to_the_end(ground, folder)


PARTS = (
    Part(
        "disk",
        "a full disk in prepare, tokenizer, pretrain, finetune: one line, exit 1, and on when there is room",
        len(STAGES) * SIZES // SIZES_OF_A_TRIAL,
        len(STAGES),
        full_disk,
        refused,
    ),
)

if __name__ == "__main__":
    main()
