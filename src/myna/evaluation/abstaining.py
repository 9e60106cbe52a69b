"""Answers that are given only where they are sure enough: thresholds by the precision that is asked for.

The threshold of a precision is the lowest probability at which, of the validation texts' answers that are as probable
or more, the share that is right has a one-sided 95 % bound (Clopper and Pearson 1934) that reaches it. So it is not
enough that the share itself does: by chance it would be too low half of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from myna.errors import InputError
from myna.evaluation.calibration import Sureness, fit_temperature
from myna.evaluation.metrics import Floats
from myna.evaluation.significance import share
from myna.tasks.task import Sure

if TYPE_CHECKING:
    from myna.tasks.examples import Example
    from myna.tasks.task import Task

# The precisions that a model keeps a threshold for; one between two is answered by the higher.
PRECISIONS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995)
# Those that the report looks at on the test texts.
SHOWN = (0.9, 0.95, 0.99)
# How often the bound may be wrong.
_ERROR = 0.05


@dataclass(frozen=True)
class Threshold:
    """The probability from which answers have a precision, and the share of answers that reach it."""

    precision: float
    threshold: float
    coverage: float


def thresholds(sureness: Sureness, precisions: Sequence[float] = PRECISIONS) -> list[Threshold]:
    """A threshold for each precision that is reached on these answers."""
    probabilities, right = sureness.decisions()
    order = np.argsort(-probabilities, kind="stable")
    probabilities, right = probabilities[order], right[order]
    # A threshold takes all answers of one probability or none.
    last = np.flatnonzero(np.append(probabilities[1:] != probabilities[:-1], True)) if len(right) else order
    bounds = lower_bound(np.cumsum(right, dtype=np.int64)[last], last + 1)
    found = []
    for precision in precisions:
        reached = last[bounds >= precision]
        if len(reached):
            place = int(reached[-1])
            found.append(Threshold(precision, float(probabilities[place]), (place + 1) / len(right)))
    return found


def lower_bound(right: NDArray[np.integer], count: NDArray[np.integer]) -> Floats:
    """Clopper's and Pearson's one-sided 95 % bound for shares of right answers; 0 of none."""
    from scipy.special import betaincinv

    some = np.maximum(right, 1)
    return np.where(right > 0, betaincinv(some, np.maximum(count, some) - some + 1, _ERROR), 0.0)


def calibrate(task: Task, examples: Sequence[Example], said: Sequence[Any]) -> dict[str, Any]:
    """Fits the temperature of a task to what it said of validation examples, and gives it to the task.

    Gives what ``myna.json`` has of it: ``calibration`` with the figures before and after, and ``thresholds``. Nothing
    where the task's answers have no probabilities.
    """
    before = sureness_of(task, examples, said)
    if before is None or not isinstance(task, Sure):
        return {}
    task.temperature = fit_temperature(before)
    after = before.at(task.temperature)
    figures = {name: each.to_dict() for name, each in (("before", before), ("after", after))}
    for each in figures.values():
        del each["bins"]  # The plot is one of the test texts.
    return {
        "calibration": {"answers": len(before.truth), "temperature": task.temperature, **figures},
        "thresholds": [asdict(each) for each in thresholds(after)],
    }


def sureness_of(task: Task, examples: Sequence[Example], said: Sequence[Any]) -> Sureness | None:
    """The probabilities of answers beside what is right; None where there are none.

    A task of somebody's own may take Myna's answers and give others.
    """
    if not isinstance(task, Sure) or not all(hasattr(each, "probabilities") for each in said):
        return None
    return task.sureness(examples, said)


def threshold_for(facts: Mapping[str, Any], precision: float, where: Path) -> float:
    """The threshold that a model's ``myna.json`` has for a precision, else for the next higher one.

    Raises an :class:`InputError` for a precision that is none, one that the model does not reach, and a model that
    keeps no thresholds.
    """
    if not 0 < precision < 1:
        raise InputError(f"{precision:g} is no precision", where="--precision", remedy="give one between 0 and 1")
    if not isinstance(facts.get("thresholds"), list):
        what = "this model keeps no thresholds, which fine-tuning finds for answers with a label or tags of words"
        raise InputError(what, where=where, remedy="fine-tune it anew, or leave --precision out")
    rows = sorted(_kept(facts).items())
    found = next((threshold for reached, threshold in rows if reached >= precision), None)
    if found is None:
        most = f"the highest that is kept is {rows[-1][0]:g}" if rows else "none is"
        what = f"a precision of {precision:g} was not reached on this model's validation texts; {most}"
        raise InputError(what, where="--precision", remedy="ask for less, or fine-tune on more text")
    return found


def _kept(facts: Mapping[str, Any]) -> dict[float, float]:
    """The thresholds of a ``myna.json`` by their precision; what is none there is passed over."""
    rows = facts.get("thresholds")
    pairs = [
        (row.get("precision"), row.get("threshold"))
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, Mapping)
    ]
    return {one: float(other) for one, other in pairs if isinstance(one, float) and isinstance(other, (int, float))}


def reached(facts: Mapping[str, Any], sureness: Sureness) -> list[dict[str, Any]]:
    """What became of the thresholds on other texts: for each of ``SHOWN`` the ``coverage`` and the ``precision``.

    Both have their intervals; a precision without a threshold has neither.
    """
    kept = _kept(facts)
    probabilities, right = sureness.decisions()
    rows: list[dict[str, Any]] = []
    for precision in SHOWN:
        row: dict[str, Any] = {"asked": precision, "threshold": kept.get(precision)}
        if precision in kept:
            given = probabilities >= kept[precision]
            row["coverage"] = share(int(given.sum()), len(given)).to_dict()
            row["precision"] = share(int(right[given].sum()), int(given.sum())).to_dict()
            row["answers"] = int(given.sum())
        rows.append(row)
    return rows
