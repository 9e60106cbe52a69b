"""A score as ``scores.json`` has it: a figure with its interval, and the simple methods' beside it.

Every system is given as statistics of the same examples, so that all are resampled on the same draws, and what the
difference to each simple method is can be told with an interval of its own, and whether chance can have made it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myna.evaluation import metrics
from myna.evaluation.significance import (
    Estimate,
    Metric,
    Statistics,
    bootstrap,
    bootstrap_cells,
    difference,
    mcnemar,
    permutation,
    share,
)

# The model among the simple methods.
_OURS = ""
# Statistics of each example and label for the paired difference of macro F1; beyond this many classes they take more
# time than the answer is worth.
_MOST_PAIRED_CLASSES = 50


@dataclass(frozen=True)
class Measure:
    """A score that can be taken anew of any examples: its ``name``, the model's statistics ``(examples, …)``, and what
    gives a score with its interval of those of some examples.
    """

    name: str
    statistics: Statistics
    metric: Metric
    estimate: Callable[[Statistics], Estimate]


@dataclass
class Scores:
    """What is found out about a model: ``metrics`` is for ``scores.json``, ``differences`` for ``details.json``.

    ``differences`` has, by metric and simple method, how much higher the model's figure is, with its interval and the
    p-value ``p`` of the paired permutation test. ``main`` is the score that was added first.
    """

    seed: int
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    differences: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    main: Measure | None = None

    def add(self, name: str, metric: Metric, ours: Statistics, baselines: Mapping[str, Statistics]) -> None:
        """A metric of statistics ``(examples, …)`` of the model and of the simple methods."""
        self._measures(Measure(name, ours, metric, lambda some: bootstrap(some, metric, self.seed)))
        self._put(
            name,
            bootstrap(ours, metric, self.seed).to_dict() | {"examples": len(ours)},
            {key: bootstrap(other, metric, self.seed).to_dict() for key, other in baselines.items()},
        )
        self._compare(name, metric, {_OURS: ours, **baselines})

    def add_labels(
        self, expected: list[str], ours: list[str], baselines: Mapping[str, list[str]], labels: list[str]
    ) -> None:
        """``accuracy``, ``macro_f1`` and ``mcc`` of labels."""
        everyone = {_OURS: ours, **baselines}
        cells = {key: metrics.confusion(expected, said, labels) for key, said in everyone.items()}
        found = {"accuracy": {key: share(int(each.trace()), int(each.sum())).to_dict() for key, each in cells.items()}}
        for name, metric in (("macro_f1", metrics.macro_f1), ("mcc", metrics.matthews)):
            found[name] = {key: bootstrap_cells(each, metric, self.seed).to_dict() for key, each in cells.items()}
        for name, each in found.items():
            first = each.pop(_OURS)
            self._put(name, first | {"examples": len(expected)}, each)
        right = {key: right_answers(expected, said) for key, said in everyone.items()}
        self._measures(Measure("accuracy", right[_OURS], metrics.rate, share_of))
        self._compare("accuracy", metrics.rate, right)
        if len(labels) <= _MOST_PAIRED_CLASSES:
            counted = {key: single_label_counts(expected, said, labels) for key, said in everyone.items()}
            self._compare("macro_f1", metrics.macro_f1_of_labels, counted)
            self._compare("mcc", metrics.matthews_of_labels, counted)

    def say_learned_from(self, counts: Mapping[str, int]) -> None:
        """Puts beside the scores of some simple methods from how many examples these have learned."""
        for entry in self.metrics.values():
            for name, count in counts.items():
                if name in entry["baselines"]:
                    entry["baselines"][name]["learned_from"] = count

    def _measures(self, measure: Measure) -> None:
        self.main = self.main or measure

    def _put(self, name: str, ours: dict[str, Any], baselines: dict[str, dict[str, float]]) -> None:
        self.metrics[name] = {**ours, "baselines": baselines}

    def _compare(self, name: str, metric: Metric, everyone: Mapping[str, Statistics]) -> None:
        self.differences[name] = {
            key: paired(everyone[_OURS], other, metric, self.seed) for key, other in everyone.items() if key != _OURS
        }


def paired(first: Statistics, second: Statistics, metric: Metric, seed: int) -> dict[str, float]:
    """How much higher the first's score is on the same examples, with its interval, and the ``p`` of the difference.

    Of shares of right answers p is McNemar's, else it is that of the permutation test.
    """
    if metric is metrics.rate and (first[:, 1] == 1).all():
        more = first[:, 0] - second[:, 0]
        chance = mcnemar(int((more > 0).sum()), int((more < 0).sum()))
    else:
        chance = permutation(first, second, metric, seed)
    return {**difference(first, second, metric, seed).to_dict(), "p": chance}


def share_of(statistics: Statistics) -> Estimate:
    """The share of right answers, of statistics as in :func:`right_answers`."""
    return share(int(statistics[:, 0].sum()), len(statistics))


def right_answers(expected: list[str], said: list[str]) -> Statistics:
    """Of each example whether it is right, and one: ``(examples, 2)``."""
    return np.array([[a == b, 1] for a, b in zip(expected, said, strict=True)], np.float64).reshape(-1, 2)


def single_label_counts(expected: list[str], said: list[str], labels: list[str]) -> Statistics:
    """:func:`~myna.evaluation.metrics.label_counts` of examples with one label each."""
    return metrics.label_counts([(label,) for label in expected], [(label,) for label in said], labels)
