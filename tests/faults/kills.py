"""``kill -9`` and SIGTERM: at any instant of a run, and in the middle of a checkpoint."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .command import Ground, Started, checkpoint_seconds, ends_within, finish, go_on_to_the_end, kill, start, went_well
from .material import TRAININGS, check_artefacts, logged_step, saved_step, stage_at
from .trials import Outcome, Part

KILLS, KILLS_IN_WRITING, SIGNALS = 5, 2, 5
# The longest that a process may take to end when it is asked to.
_SECONDS_TO_END = 10.0
# What a shell says of a process that ended by SIGTERM, and what Python says of one that the system ended.
_TERMINATED = {143: "exit code 143", -signal.SIGTERM: "ended by the system"}


def killed_at_random(ground: Ground, place: Path, number: int, draw: random.Random) -> Outcome:
    """Kills one run after the other until there were enough kills; every run goes on to its end and is compared."""
    folder, figures, kills = place / "run", Counter[str](), 0
    seconds = checkpoint_seconds(draw)
    while kills < KILLS:
        started = start(ground, folder, seconds)
        if ends_within(started, draw.uniform(0, ground.seconds)):
            wrong = _whole(ground, folder, started, figures)
            if wrong:
                return Outcome(KILLS, wrong, figures)
            shutil.rmtree(folder)
        else:
            kill(started)
            kills += 1
            _note(folder, figures)
            check_artefacts(folder)
    return Outcome(KILLS, _compared(ground, folder, figures), figures)


def killed_in_writing(ground: Ground, place: Path, number: int, draw: random.Random) -> Outcome:
    """Kills a run that makes a checkpoint at every step while one is being written, and left half."""
    folder, figures, kills = place / "run", Counter[str](), 0
    while kills < KILLS_IN_WRITING:
        started = start(ground, folder, 0.0)
        _wait_for_writing(started, folder, draw.randint(1, 30))
        time.sleep(draw.uniform(0, 0.02))
        if not started.runs:
            wrong = _whole(ground, folder, started, figures)
            if wrong:
                return Outcome(KILLS_IN_WRITING, wrong, figures)
            shutil.rmtree(folder)
            continue
        kill(started)
        check_artefacts(folder)
        half = [path for stage in TRAININGS for path in (folder / stage / "checkpoints").glob(".step-*.new")]
        if half:
            kills += 1
            figures[f"left with {len(list(half[0].iterdir()))} of its files"] += 1
        else:
            figures["killed beside"] += 1
    return Outcome(KILLS_IN_WRITING, _compared(ground, folder, figures), figures)


def _wait_for_writing(started: Started, folder: Path, count: int) -> None:
    """Waits until the ``count``-th folder of a checkpoint that is being written is seen, or the command has ended."""
    seen: set[tuple[str, float]] = set()
    while len(seen) < count and started.runs:
        seen.update(_writing(folder))
        time.sleep(0.0005)


def _writing(folder: Path) -> Iterator[tuple[str, float]]:
    for stage in TRAININGS:
        for path in (folder / stage / "checkpoints").glob(".step-*.new"):
            with contextlib.suppress(FileNotFoundError):
                yield f"{stage}/{path.name}", path.stat().st_ino


def terminated(ground: Ground, place: Path, number: int, draw: random.Random) -> Outcome:
    """Sends SIGTERM, every second time within a training; it ends soon, and no step is lost."""
    folder, figures, sent = place / "run", Counter[str](), 0
    while sent < SIGNALS:
        started = start(ground, folder)
        if sent % 2:
            _wait_for_steps(started, folder, draw.randint(1, 25))
            time.sleep(draw.uniform(0, 0.05))
        else:
            ends_within(started, draw.uniform(0, ground.seconds))
        stage = stage_at(folder)
        if not started.runs:
            wrong = _whole(ground, folder, started, figures)
            if wrong:
                return Outcome(SIGNALS, wrong, figures)
            shutil.rmtree(folder)
            continue
        began = time.monotonic()
        started.processes[0].terminate()
        ended = finish(started, _SECONDS_TO_END)
        seconds = time.monotonic() - began
        if ended.code == 0:
            continue  # It was at its end already; it is compared when it is begun again.
        sent += 1
        wrong = _badly_ended(folder, ended.code, seconds)
        if wrong:
            return Outcome(SIGNALS, f"SIGTERM in {stage}: {wrong}", figures)
        figures[f"in {stage}"] += 1
        figures[_TERMINATED[ended.code]] += 1
    return Outcome(SIGNALS, _compared(ground, folder, figures), figures)


def _wait_for_steps(started: Started, folder: Path, count: int) -> None:
    """Waits until the run has trained ``count`` steps more, or has ended."""
    first = sum(logged_step(folder, stage) for stage in TRAININGS)
    while started.runs and sum(logged_step(folder, stage) for stage in TRAININGS) < first + count:
        time.sleep(0.002)


def _badly_ended(folder: Path, code: int, seconds: float) -> str:
    if code not in _TERMINATED:
        return f"it ended with {code}, or not within {_SECONDS_TO_END:.0f} s"
    if seconds > _SECONDS_TO_END:
        return f"it took {seconds:.1f} s to end"
    check_artefacts(folder)
    for stage in TRAININGS:
        saved, logged = saved_step(folder, stage), logged_step(folder, stage)
        if logged > saved:
            return f"step {logged} was made, and the checkpoint is of step {saved}"
    return ""


def _note(folder: Path, figures: Counter[str]) -> None:
    figures[f"in {stage_at(folder)}"] += 1
    if any(folder.rglob(".*.new")):
        figures["left something half-written"] += 1


def _whole(ground: Ground, folder: Path, started: Started, figures: Counter[str]) -> str:
    """Of a run that was at its end before the next fault came."""
    figures["completions"] += 1
    return went_well(ground, folder, started)


def _compared(ground: Ground, folder: Path, figures: Counter[str]) -> str:
    figures["completions"] += 1
    return go_on_to_the_end(ground, folder)


PARTS = (
    Part("kill", "kill -9 at random instants of a run, gone on with to its end", 40, 5, killed_at_random),
    Part("writing", "kill -9 while a checkpoint is written", 20, 4, killed_in_writing),
    Part("terminate", "SIGTERM at random instants: ends soon, with a checkpoint of the last step", 10, 2, terminated),
)
