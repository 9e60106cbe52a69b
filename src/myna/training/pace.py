"""The length of a training that is given a time instead of a number of steps.

It begins with so many steps as its speed promised. On the way it looks at the speed that it has, and sets another
end: from there on the learning rate falls in a line from where it is to 0. Each new end is written to ``length.json``
before it takes effect, and so a run that is cut off goes on with the same ends at the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from myna import files
from myna.training.schedules import Schedule

FILE = "length.json"
# The end is set anew after a tenth of the way, then after each half of what is left, until that is little.
_FIRST, _NEXT, _LITTLE = 0.1, 0.5, 0.03


@dataclass(frozen=True)
class Revision:
    """From ``step`` on, which was reached after ``seconds`` of training, the run has ``steps``."""

    step: int
    seconds: float
    steps: int


class Pace:
    """The schedule of the training in ``folder`` at each of its steps; without ``seconds`` it is always the first."""

    def __init__(self, folder: Path, first: Schedule, seconds: float | None) -> None:
        self._folder, self._first, self._seconds = folder, first, seconds
        self._revisions = [] if seconds is None else revisions(folder)

    def schedule(self, step: int) -> Schedule:
        """That which holds when ``step`` steps are done: a function of the step and of what is written down."""
        schedule = self._first
        for revision in self._revisions:
            if revision.step <= step:
                schedule = _ending(schedule, revision.step, revision.steps)
        return schedule

    def due(self, planned: Iterable[int], step: int) -> set[int]:
        """Where steps of the first plan lie when ``step`` steps are done: a function of the same.

        With each new end those behind it move, and are as far along what is left as they were.
        """
        places, steps = set(planned), self._first.steps
        for revision in self._revisions:
            if revision.step <= step:
                now, scale = revision.step, (revision.steps - revision.step) / max(steps - revision.step, 1)
                places = {n if n <= now else now + max(1, round((n - now) * scale)) for n in places}
                steps = revision.steps
        return places

    @property
    def planned_steps(self) -> int:
        """How many steps the training began with."""
        return self._first.steps

    def look(self, step: int, seconds: float) -> None:
        """Is told after each step how long the training took so far, and sets a new end where one is due."""
        last = self._revisions[-1] if self._revisions else Revision(0, 0.0, self._first.steps)
        if self._seconds is None or step <= last.step or step >= last.steps:
            return
        share = _NEXT if self._revisions else _FIRST
        # By the clock or by the steps, whichever comes first: it may have become slower, or faster.
        in_time = (seconds - last.seconds) / max(self._seconds - last.seconds, 1e-9)
        in_steps = (step - last.step) / (last.steps - last.step)
        if max(in_time, in_steps) < share or self._seconds - last.seconds < _LITTLE * self._seconds:
            return
        pace = max(seconds - last.seconds, 1e-9) / (step - last.step)
        left = max(1, math.floor((self._seconds - seconds) / pace))
        new = Revision(step, seconds, step + left)
        files.write_json(self._folder / FILE, {"revisions": [asdict(r) for r in [*self._revisions, new]]})
        self._revisions.append(new)


def revisions(folder: Path) -> list[Revision]:
    """The ends that were set so far, in their order."""
    path = folder / FILE
    return [Revision(**entry) for entry in files.read_object(path)["revisions"]] if path.exists() else []


def _ending(schedule: Schedule, step: int, steps: int) -> Schedule:
    """The schedule with another end: from ``step`` on in a line from its rate there to 0.

    A warm-up is ended first, but is at most a fifth of all steps then.
    """
    if step <= schedule.warmup:
        return replace(schedule, steps=steps, warmup=min(schedule.warmup, max(step, steps / 5)))
    return replace(schedule, steps=steps, highest=schedule.rate(step), warmup=float(step))
