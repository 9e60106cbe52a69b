"""How a run says how far it is: a bar on a terminal, plain lines elsewhere. All of it goes to standard error."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import TextIO

from myna.evaluation.quantities import duration
from myna.inspection import plain
from myna.stages import Observer, Stage

# A log that is read later needs no more lines than this.
_SECONDS_BETWEEN_LINES = 10.0


def observer(stream: TextIO | None = None) -> Observer:
    """A bar where ``stream`` (default: standard error) is a terminal, else lines."""
    stream = stream or sys.stderr
    return Bars(stream) if stream.isatty() and os.environ.get("TERM") != "dumb" else Lines(stream)


class Lines(Observer):
    """A line when a stage begins and ends, one every ten seconds between, and all that a training says at its start."""

    def __init__(self, stream: TextIO, seconds: float = _SECONDS_BETWEEN_LINES) -> None:
        self._stream, self._seconds = stream, seconds
        self._said, self._last = 0.0, ""

    def begin(self, stage: Stage, number: int, count: int) -> None:
        # What a training that goes on says first is where it goes on from: that is not kept for later.
        self._said = -math.inf if stage.state == "interrupted" else time.monotonic()
        self._say(f"[{number}/{count}] {stage.key}: {stage.why or 'anew'}")

    def report(self, stage: Stage, what: str, share: float) -> None:
        if is_remark(stage, share):
            if what != self._last:
                self._say(f"      {stage.key}: {what}")
            self._last = what
        elif time.monotonic() - self._said >= self._seconds:
            self._said = time.monotonic()
            self._say(f"      {stage.key}: {what} ({share:.0%})")

    def end(self, stage: Stage, seconds: float) -> None:
        self._say(f"      {stage.key}: done in {plain(duration(seconds))}")

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class Bars(Observer):
    """A bar for the stage that runs, and a line for each that is done."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(file=stream, highlight=False, markup=False)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[what]}", style="dim", markup=False),
            console=self._console,
            transient=True,
            refresh_per_second=4,
        )

    def begin(self, stage: Stage, number: int, count: int) -> None:
        self._task = self._bar.add_task(f"[{number}/{count}] {stage.key}", total=1.0, what=stage.why)
        self._bar.start()

    def report(self, stage: Stage, what: str, share: float) -> None:
        if is_remark(stage, share):
            self._console.print(f"  {what}", style="yellow")
        else:
            self._bar.update(self._task, completed=share, what=what)

    def end(self, stage: Stage, seconds: float) -> None:
        self._bar.remove_task(self._task)
        self._console.print(f"✓ {stage.key}  {plain(duration(seconds))}")

    def close(self) -> None:
        self._bar.stop()


def is_remark(stage: Stage, share: float) -> bool:
    """What a training says before its first step is no progress but a remark, and is never left out."""
    return stage.kind.resumes and share == 0.0
