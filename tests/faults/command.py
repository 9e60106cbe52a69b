"""The command itself, as a user gives it, in a process of its own: begun, broken off, and gone on with."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import material

ROOT = Path(__file__).parent.parent.parent

# A run that takes this many times as long as the one that nothing came to hangs.
_HANGS = 30


@dataclass(frozen=True)
class Ground:
    """What the trials of a part share: the recipe, the run that nothing came to, how long it took, and a place."""

    folder: Path
    recipe: Path
    uncut: Path
    expected: dict[str, Any]
    seconds: float


def lay_ground(folder: Path) -> Ground:
    """Writes the recipe and its texts into a new folder, and runs it twice: once to compare with, once for its time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    recipe = material.write_material(folder)
    for name in ("uncut", "timed"):
        began = time.monotonic()
        done = finish(start(recipe, folder / name))
        seconds = time.monotonic() - began
        if done.code:
            raise SystemExit(f"the run that nothing came to ended with {done.code}: {done.said[-1:]}")
    expected = material.outcome(folder / "uncut")
    differ = material.differences(folder / "timed", expected)
    if differ:
        raise SystemExit(f"two runs that nothing came to are not the same: {differ}")
    return Ground(folder, recipe, folder / "uncut", expected, seconds)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal) and the lines that it said."""

    code: int
    said: list[str]

    @property
    def errors(self) -> list[str]:
        """Its lines of errors: one where it failed on purpose."""
        return [line for line in self.said if line.startswith(("myna: ", "Traceback"))]


@dataclass(frozen=True)
class Started:
    """A command that runs, and the file that it speaks to."""

    process: subprocess.Popen[bytes]
    log: Path


def start(
    recipe: Path,
    folder: Path,
    checkpoint_seconds: float = 60.0,
    *,
    harm: Sequence[str] = (),
    log: Path | None = None,
) -> Started:
    """Begins or goes on with the run in ``folder``; what it says goes to ``log``, by default beside the folder.

    With a ``harm``, the arguments of ``tests/faults/child.py``, it is done by that.
    """
    changes = [f"{stage.replace('/', '.')}.checkpoint_seconds={checkpoint_seconds}" for stage in material.TRAININGS]
    options = [part for change in changes for part in ("--set", change)]
    begin = ["tests.faults.child", *harm] if harm else ["myna"]
    command = [sys.executable, "-m", *begin, "run", str(recipe), "--to", str(folder), *options]
    paths = [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    log = log or folder.with_name(f"{folder.name}.log")
    with open(log, "wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stream)
    return Started(process, log)


def ends_within(started: Started, seconds: float) -> bool:
    """Waits so long at most; whether the command ended in that time."""
    try:
        started.process.wait(timeout=seconds)
        return True
    except subprocess.TimeoutExpired:
        return False


def finish(started: Started, seconds: float = 600.0) -> Ended:
    """Waits until the command ends; one that hangs is killed and has the code of that."""
    if not ends_within(started, seconds):
        kill(started)
    return Ended(started.process.returncode, started.log.read_text(errors="replace").splitlines())


def kill(started: Started, number: int = signal.SIGKILL) -> None:
    """Sends a signal; of ``kill -9`` it waits for the end."""
    started.process.send_signal(number)
    if number == signal.SIGKILL:
        started.process.wait()


def go_on_to_the_end(ground: Ground, folder: Path) -> str:
    """Goes on with a run until it is done; says how it is not as the one that nothing came to, or nothing."""
    done = finish(start(ground.recipe, folder), max(120.0, _HANGS * ground.seconds))
    if done.code:
        return f"going on ended with {done.code}: {done.said[-1] if done.said else ''}"
    return material.differences(folder, ground.expected)


def went_well(ground: Ground, folder: Path, started: Started) -> str:
    """Of a run that ended by itself: says what is wrong with it, or nothing."""
    ended = finish(started)
    if ended.code:
        return f"it ended with {ended.code}: {ended.said[-1] if ended.said else ''}"
    return material.differences(folder, ground.expected)


def checkpoint_seconds(draw: random.Random) -> float:
    """How often a run makes checkpoints: at every step, now and then, or only where it must."""
    return draw.choice([0.0, 0.2, 60.0])
