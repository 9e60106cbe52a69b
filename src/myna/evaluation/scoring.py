"""A score as ``scores.json`` has it: a figure with its interval, and the simple methods' beside it.

Every system is given as statistics of the same examples, so that all are resampled on the same draws, and what the
difference to each simple method is can be told with an interval of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna.evaluation import metrics
from myna.evaluation.significance import Metric, bootstrap, bootstrap_cells, difference, share

Statistics = NDArray[np.number]

# The model among the simple methods.
_OURS = ""
# Confusion matrices of each example for the paired difference of macro F1; beyond this many classes they take more
# memory than the answer is worth.
_MOST_PAIRED_CLASSES = 10


@dataclass
class Scores:
    """What is found out about a model: ``metrics`` is for ``scores.json``, ``differences`` for ``details.json``.

    ``differences`` has, by metric and simple method, how much higher the model's figure is, with its interval.
    """

    seed: int
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    differences: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    def add(self, name: str, metric: Metric, ours: Statistics, baselines: Mapping[str, Statistics]) -> None:
        """A metric of statistics ``(examples, …)`` of the model and of the simple methods."""
        self._put(
            name,
            bootstrap(ours, metric, self.seed).to_dict() | {"examples": len(ours)},
            {key: bootstrap(other, metric, self.seed).to_dict() for key, other in baselines.items()},
        )
        self.differences[name] = {
            key: difference(ours, other, metric, self.seed).to_dict() for key, other in baselines.items()
        }

    def add_labels(
        self, expected: list[str], ours: list[str], baselines: Mapping[str, list[str]], labels: list[str]
    ) -> None:
        """``accuracy`` and ``macro_f1`` of labels."""
        everyone = {_OURS: ours, **baselines}
        cells = {key: metrics.confusion(expected, said, labels) for key, said in everyone.items()}
        accuracies = {key: share(int(each.trace()), int(each.sum())).to_dict() for key, each in cells.items()}
        macros = {key: bootstrap_cells(each, metrics.macro_f1, self.seed).to_dict() for key, each in cells.items()}
        for name, found in (("accuracy", accuracies), ("macro_f1", macros)):
            first = found.pop(_OURS)
            self._put(name, first | {"examples": len(expected)}, found)
        right = {key: _right(expected, said) for key, said in everyone.items()}
        self._compare("accuracy", _mean, right)
        if len(labels) <= _MOST_PAIRED_CLASSES:
            self._compare("macro_f1", metrics.macro_f1, {k: _cells(expected, s, labels) for k, s in everyone.items()})

    def _put(self, name: str, ours: dict[str, Any], baselines: dict[str, dict[str, float]]) -> None:
        self.metrics[name] = {**ours, "baselines": baselines}

    def _compare(self, name: str, metric: Metric, everyone: Mapping[str, Statistics]) -> None:
        self.differences[name] = {
            key: difference(everyone[_OURS], other, metric, self.seed).to_dict()
            for key, other in everyone.items()
            if key != _OURS
        }


def _right(expected: list[str], said: list[str]) -> Statistics:
    return np.array([[a == b, 1] for a, b in zip(expected, said, strict=True)], np.float64).reshape(-1, 2)


def _mean(sums: NDArray[np.float64]) -> metrics.Floats:
    return metrics.bits_per_character(sums)


def _cells(expected: list[str], said: list[str], labels: list[str]) -> Statistics:
    """A confusion matrix of each example, ``(examples, labels, labels)``."""
    number = {label: i for i, label in enumerate(labels)}
    cells = np.zeros((len(expected), len(labels), len(labels)), np.float32)
    cells[np.arange(len(expected)), [number[a] for a in expected], [number[b] for b in said]] = 1
    return cells
