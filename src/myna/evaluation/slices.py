"""The main score of a model on parts of the test texts: by length, and by source and group where there are few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from myna.evaluation.scoring import Measure
from myna.tasks.examples import Example

# A part of fewer examples says little: its interval is as wide as the scale.
_LEAST = 10
# More values than these are no slices that somebody reads.
_MOST_VALUES = 8
_QUARTERS = 4


def slices(examples: Sequence[Example], measure: Measure) -> list[dict[str, Any]]:
    """The score on each part: ``by`` (``length``, ``source``, ``group``), ``part``, ``examples`` and the estimate."""
    found = _parts("length", _lengths(examples), measure)
    for name in ("source", "group"):
        values = [getattr(example, name) for example in examples]
        if 2 <= len(set(values)) <= _MOST_VALUES:
            places = {value: [n for n, each in enumerate(values) if each == value] for value in sorted(set(values))}
            found += _parts(name, places, measure)
    return found


def _lengths(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Places by quarters of the lengths; texts of one length stay together. A part is named by its bounds."""
    lengths = np.array([len(example.whole) for example in examples])
    if not len(lengths):
        return {}
    edges = np.unique(np.quantile(lengths, np.arange(1, _QUARTERS) / _QUARTERS, method="higher"))
    quarter = np.searchsorted(edges, lengths, side="left")
    found = {}
    for number in np.unique(quarter):
        places = np.flatnonzero(quarter == number)
        low, high = int(lengths[places].min()), int(lengths[places].max())
        found[f"{low}–{high}" if low < high else f"{low}"] = places.tolist()
    return found


def _parts(by: str, places: dict[str, list[int]], measure: Measure) -> list[dict[str, Any]]:
    enough = {part: chosen for part, chosen in places.items() if len(chosen) >= _LEAST}
    if len(enough) < 2:
        return []
    return [
        {
            "by": by,
            "part": part,
            "metric": measure.name,
            "examples": len(chosen),
            **measure.estimate(measure.statistics[chosen]).to_dict(),
        }
        for part, chosen in enough.items()
    ]
