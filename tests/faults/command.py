"""The command itself, as a user gives it, in a process of its own: begun, broken off, and gone on with."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import material

ROOT = Path(__file__).parent.parent.parent

# A run that takes this many times as long as the one that nothing came to hangs.
_HANGS = 30


@dataclass(frozen=True)
class Ground:
    """What the trials of a part share: a place with the recipe, and how many processes do a run.

    Then, of the run that nothing came to: its folder, all that is compared, and how long it took.
    """

    folder: Path
    recipe: Path
    processes: int = 1
    changes: tuple[str, ...] = ()
    uncut: Path = Path()
    expected: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def lay_ground(folder: Path, processes: int = 1, changes: tuple[str, ...] = ()) -> Ground:
    """Writes the recipe and its texts into a new folder, and runs it twice: once to compare with, once for its time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ground = Ground(folder, material.write_material(folder), processes, changes, folder / "uncut")
    for name, checkpoint_seconds in (("uncut", 0.0), ("timed", 60.0)):
        began = time.monotonic()
        done = finish(start(ground, folder / name, checkpoint_seconds))
        seconds = time.monotonic() - began
        if done.code:
            raise SystemExit(f"the run that nothing came to ended with {done.code}: {done.said[-1:]}")
    ground = replace(ground, expected=material.outcome(ground.uncut), seconds=seconds)
    differ = material.differences(folder / "timed", ground.expected)
    if differ:
        raise SystemExit(f"two runs that nothing came to are not the same: {differ}")
    return ground


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
    """A command that runs, in one process or several, and the files that these speak to."""

    processes: list[subprocess.Popen[bytes]]
    logs: list[Path]
    meet: Path

    @property
    def runs(self) -> bool:
        """Whether any of it does."""
        return any(process.poll() is None for process in self.processes)

    @property
    def met(self) -> bool:
        """Whether its several processes have found each other; before that, one would wait long for another."""
        return not self.meet.exists() and any(self.meet.parent.glob(f"{self.meet.name}.*"))


def start(
    ground: Ground,
    folder: Path,
    checkpoint_seconds: float = 60.0,
    *,
    harm: Sequence[str] = (),
    log: Path | None = None,
) -> Started:
    """Begins or goes on with the run in ``folder``; what it says goes to ``log``, by default beside the folder.

    With a ``harm``, the arguments of ``tests/faults/child.py``, it is done by that.
    """
    log = log or folder.with_name(f"{folder.name}.log")
    often = [f"{stage.replace('/', '.')}.checkpoint_seconds={checkpoint_seconds}" for stage in material.TRAININGS]
    options = [part for change in (*ground.changes, *often) for part in ("--set", change)]
    begin = ["tests.faults.child", *harm] if harm else ["myna"]
    command = [sys.executable, "-m", *begin, "run", str(ground.recipe), "--to", str(folder), *options]
    meet = log.with_name(f"{folder.name}-{time.monotonic_ns()}.meet")
    logs = [log.with_name(f"{log.name}-{rank}") for rank in range(ground.processes)]
    processes = []
    for rank, path in enumerate(logs):
        with open(path, "wb") as stream:
            environment = _environment(rank, ground.processes, meet)
            processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stream))
    return Started(processes, logs, meet)


def _environment(rank: int, count: int, meet: Path) -> dict[str, str]:
    paths = [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    if count == 1:
        return environment
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MYNA_MEET": meet}
    return environment | {name: str(value) for name, value in names.items()}


def ends_within(started: Started, seconds: float) -> bool:
    """Waits so long at most; whether the command ended in that time."""
    until = time.monotonic() + seconds
    try:
        for process in started.processes:
            process.wait(timeout=max(0.0, until - time.monotonic()))
        return True
    except subprocess.TimeoutExpired:
        return False


def finish(started: Started, seconds: float = 1200.0) -> Ended:
    """Waits until the command ends; one that hangs is killed and has the code of that."""
    if not ends_within(started, seconds):
        kill(started)
    codes = [process.returncode for process in started.processes]
    said = [line for log in started.logs for line in log.read_text(errors="replace").splitlines()]
    return Ended(next((code for code in codes if code), 0), said)


def kill(started: Started) -> None:
    """``kill -9``, and waits for the end."""
    for process in started.processes:
        process.kill()
        process.wait()


def go_on_to_the_end(ground: Ground, folder: Path) -> str:
    """Goes on with a run until it is done; says how it is not as the one that nothing came to, or nothing."""
    done = finish(start(ground, folder), max(300.0, _HANGS * ground.seconds))
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
