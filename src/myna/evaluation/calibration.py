"""Whether a probability means what it says, and the one number that mends it.

Of answers that a model gives with 80 %, 80 of 100 should be right. How far it is from that is measured by the expected
calibration error over bins of equally many answers, and by Brier's score; a temperature (Guo et al. 2017,
arXiv:1706.04599), fitted on texts that were not trained on, divides the logits. Which answer is the most probable stays
as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna.evaluation.metrics import Floats

# Enough to see the form of a curve; fewer where each would hold less than ten answers.
BINS = 15
_LEAST_IN_A_BIN = 10
# No temperature leaves these bounds: beyond, every probability would be all or nothing, or all alike.
COLDEST, HOTTEST = 0.05, 20.0
# What a probability of 0 is taken for, where its logarithm is asked for.
_LEAST = 1e-300


@dataclass(frozen=True)
class Bin:
    """Answers of about the same probability: its mean, the share of them that is right, and how many there are."""

    probability: float
    right: float
    answers: int


@dataclass(frozen=True)
class Sureness:
    """Probabilities beside what is right: ``said`` is ``(answers, outcomes)``, ``truth`` the number of the outcome that
    came and ``given`` of the one that was answered, ``(answers,)`` both, -1 where nothing was. Of several labels each
    label of each text is an answer with two outcomes, and only those that a text was given are answered.
    """

    said: Floats
    truth: NDArray[np.int64]
    given: NDArray[np.int64]

    @property
    def highest(self) -> Floats:
        """The probability of the likeliest outcome, ``(answers,)``."""
        highest: Floats = self.said.max(1)
        return highest

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the likeliest outcome came, ``(answers,)``."""
        right: NDArray[np.bool_] = self.said.argmax(1) == self.truth
        return right

    def at(self, temperature: float) -> Sureness:
        """The same at a temperature."""
        return Sureness(tempered(self.said, temperature), self.truth, self.given)

    def decisions(self) -> tuple[Floats, NDArray[np.bool_]]:
        """The probability of each answer that was given, and whether it is right, ``(given,)`` both."""
        there = np.flatnonzero(self.given >= 0)
        given = self.given[there]
        return self.said[there, given], given == self.truth[there]

    def to_dict(self) -> dict[str, Any]:
        """The form of ``details.json``: ``ece``, ``brier``, ``nll`` in nats, and the ``bins`` of the plot."""
        bins = bins_of(self.highest, self.right)
        return {
            "ece": calibration_error(bins),
            "brier": brier(self.said, self.truth),
            "nll": float(-np.log(np.maximum(self.said[np.arange(len(self.truth)), self.truth], _LEAST)).mean()),
            "bins": [asdict(each) for each in bins],
        }


def bins_of(probabilities: Floats, right: NDArray[np.bool_], count: int = BINS) -> list[Bin]:
    """Answers in the order of their probability, ``count`` bins of equally many (but for one more or less)."""
    count = max(1, min(count, len(probabilities) // _LEAST_IN_A_BIN))
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, count) if len(part)]
    return [Bin(float(probabilities[part].mean()), float(right[part].mean()), len(part)) for part in parts]


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: how far share and probability are apart, on average over the answers."""
    total = sum(each.answers for each in bins)
    return sum(each.answers * abs(each.right - each.probability) for each in bins) / max(total, 1)


def brier(said: Floats, truth: NDArray[np.int64]) -> float:
    """Brier's score, from 0 (all right and sure) to 1: half the squared distance to what came, on average."""
    if not len(said):
        return 0.0
    came = np.zeros_like(said)
    came[np.arange(len(said)), truth] = 1
    return float(np.square(said - came).sum(1).mean() / 2)


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """Probabilities ``(…, outcomes)`` as their logits divided by ``temperature`` would give them; at 1 untouched."""
    if temperature == 1.0:
        return probabilities
    logits = np.log(np.maximum(probabilities, _LEAST)) / temperature
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    result: Floats = shares / shares.sum(-1, keepdims=True)
    return result


def temperature_of(facts: Mapping[str, Any]) -> float:
    """The temperature that a model remembers, 1 where it has none."""
    kept = facts.get("temperature")
    return float(kept) if isinstance(kept, (int, float)) and COLDEST <= kept <= HOTTEST else 1.0


def fit_temperature(sureness: Sureness) -> float:
    """The temperature at which what came is the most probable: the least mean negative log-likelihood.

    1 where there is no such: where every answer is right (the colder the better), or none is there. The likelihood is
    convex in the inverse of the temperature, whose slope is followed to where it is 0, by halves.
    """
    if not len(sureness.truth) or bool(sureness.right.all()):
        return 1.0
    logs, truth = np.log(np.maximum(sureness.said, _LEAST)), sureness.truth

    def slope(inverse: float) -> float:
        shares = np.exp(inverse * logs - (inverse * logs).max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        return float(((shares * logs).sum(1) - logs[np.arange(len(logs)), truth]).mean())

    return 1 / _root(slope, 1 / HOTTEST, 1 / COLDEST)


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function is 0, or the bound that is nearest to it."""
    if rising(low) >= 0:
        return low
    if rising(high) <= 0:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2
