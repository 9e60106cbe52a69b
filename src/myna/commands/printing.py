"""What the verbs print: results, the stages of a run, the scores and what to try next."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from myna.stages import Observer, Stage


def program() -> str:
    """The command as it was given, so that a line that is shown can be pasted."""
    given = Path(sys.argv[0])
    if given.name != "myna":
        return f"{shlex.quote(sys.executable)} -m myna"
    found = shutil.which("myna")
    return "myna" if found and Path(found).resolve() == given.resolve() else shlex.quote(str(given))


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False), flush=True)


def print_plan(folder: Path, planned: Sequence[Stage], due: Sequence[Stage], as_json: bool) -> None:
    from myna.inspection import columns

    if as_json:
        rows = [{"stage": s.key, "state": s.state, "runs": s in due, "why": s.why} for s in planned]
        print_json({"run": str(folder), "stages": rows})
        return
    print(
        "\n".join(
            columns([[s.key, "would run" if s in due else "done", s.why or "anew" * (s in due)] for s in planned])
        )
    )
    print(f"{len(due)} of {len(planned)} stages would run, in {folder}" if due else f"All is up to date in {folder}")


def print_outcome(folder: Path, planned: Sequence[Stage], due: Sequence[Stage], as_json: bool) -> None:
    from myna.inspection import next_commands, score_lines, scores_of

    scores, commands = scores_of(folder), next_commands(folder, program())
    if as_json:
        report = {"run": str(folder), "report": str(folder / "report.html"), "ran": [s.key for s in due]}
        print_json({**report, "scores": scores, "next": commands})
        return
    print(f"{len(due)} of {len(planned)} stages were done." if due else "All is up to date.")
    if scores:
        print("\n".join(["", "Scores with 95 % intervals, and the best simple method:", *score_lines(scores)]))
    print("\n".join(["", f"The report: {folder / 'report.html'}", "", "What to try next:"]))
    print("\n".join(f"  {command}" for command in commands))


def observer() -> Observer:
    from myna import progress

    return progress.observer()
