"""How sure a figure is: 95 % intervals, and whether one system is better than another.

Figures of sums are resampled by the bootstrap (Efron 1979): examples (sentences, documents: whatever is drawn
independently of its neighbours) are drawn again with replacement, and the middle 95 % of the figures so found is the
interval. A plain share, as accuracy, has Wilson's interval (1927), which also tells the truth of 20 right out of 20:
the bootstrap would call that certain.

Whether a difference can be chance is told by the paired permutation test (Fisher 1935): were both systems alike, which
answer is whose would be a coin's throw for every example. Several runs of one recipe, which differ by their seed, have
Student's interval, and two sets of them Welch's (1947).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from myna.evaluation.metrics import Floats

# What is counted of each example, ``(examples, …)``, to be summed.
Statistics = NDArray[np.number]
Metric = Callable[[NDArray[np.float64]], Floats]

# Enough that the ends of an interval are steady to a twentieth of its width.
RESAMPLES = 2000
# The 97.5 % point of the normal distribution.
_NORMAL = 1.959963984540054
# Draws held at once: 4 million take 32 MB.
_DRAWS = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A figure with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """The form of ``scores.json``."""
        return asdict(self)


def share(right: int, count: int) -> Estimate:
    """A share of independent examples with Wilson's interval; of none, everything is possible."""
    if count == 0:
        return Estimate(0.0, 0.0, 1.0)
    value, square = right / count, _NORMAL**2
    middle = (value + square / (2 * count)) / (1 + square / count)
    half = _NORMAL / (1 + square / count) * np.sqrt(value * (1 - value) / count + square / (4 * count**2))
    return Estimate(value, float(max(0.0, min(value, middle - half))), float(min(1.0, max(value, middle + half))))


def bootstrap(statistics: Statistics, metric: Metric, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """The metric of the sums of ``statistics``, ``(examples, …)``, with its percentile interval.

    ``metric`` takes sums ``(resamples, …)`` and gives ``(resamples,)``. The same seed and number of examples draw the
    same examples.
    """
    return _estimate(metric(_total(statistics)), metric(_resampled(statistics, seed, resamples)))


def bootstrap_cells(cells: NDArray[np.integer], metric: Metric, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """The same for a metric of a confusion matrix ``(labels, labels)``.

    Examples in one cell are alike, so that cells are drawn instead of examples: the same distribution, at the price
    of the cells alone.
    """
    count = int(cells.sum())
    value = metric(cells[None].astype(np.float64))
    if count == 0:
        return _estimate(value, value)
    drawn = np.random.default_rng(seed).multinomial(count, cells.ravel() / count, resamples)
    return _estimate(value, metric(drawn.reshape(-1, *cells.shape).astype(np.float64)))


def difference(
    first: Statistics, second: Statistics, metric: Metric, seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """How much higher the first's metric is than the second's, both resampled on the same draws of examples.

    ``first`` and ``second`` are statistics ``(examples, …)`` of two systems on the same examples, so that what is
    hard for both counts for neither. An interval without 0 is a difference that 95 % of draws agree on.
    """
    _check_same(first, second)
    drawn = metric(_resampled(first, seed, resamples)) - metric(_resampled(second, seed, resamples))
    return _estimate(metric(_total(first)) - metric(_total(second)), drawn)


def permutation(
    first: Statistics, second: Statistics, metric: Metric, seed: int, permutations: int = RESAMPLES
) -> float:
    """How often a difference as large, either way, comes where for each example a coin says whose answer is whose.

    ``first`` and ``second`` are as in :func:`difference`. This is the p-value of the paired permutation test; the
    difference itself counts as one of the draws, so that it is never 0.
    """
    _check_same(first, second)
    sums = _total(first), _total(second)
    apart = (second.astype(np.float64) - first).reshape(len(first), sums[0].size)
    apart = apart[apart.any(1)]  # Where both answer alike, nothing changes hands.
    seen = float(abs(metric(sums[0]) - metric(sums[1]))[0])
    generator, as_large = np.random.default_rng(seed), 0
    rows = max(1, _DRAWS // max(1, len(apart)))
    for begin in range(0, permutations, rows):
        count = min(rows, permutations - begin)
        swapped = generator.integers(0, 2, (count, len(apart)), np.int8).astype(np.float64)
        moved = (swapped @ apart).reshape(count, *first.shape[1:])
        drawn = np.abs(metric(sums[0] + moved) - metric(sums[1] - moved))
        as_large += int((drawn >= seen - 1e-12).sum())
    return (as_large + 1) / (permutations + 1)


def mcnemar(first_alone: int, second_alone: int) -> float:
    """The same for shares of right answers, with every permutation counted: McNemar's exact test (1947).

    Only the examples matter that one system alone has right; of each, a coin says which.
    """
    count, less = first_alone + second_alone, min(first_alone, second_alone)
    ways = tail = 1
    for chosen in range(less):
        ways = ways * (count - chosen) // (chosen + 1)
        tail += ways
    return min(1.0, float(2 * tail / 2**count))


def over_runs(values: Sequence[float]) -> Estimate:
    """The mean of a score over two runs or more, with Student's interval for it."""
    error = float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return _student(float(np.mean(values)), error, len(values) - 1)


def between_runs(first: Sequence[float], second: Sequence[float]) -> tuple[Estimate, float]:
    """How much higher the mean of the first runs is than that of the second, with Welch's interval and p-value.

    Of each there are two at least.
    """
    from scipy.special import stdtr

    errors = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    apart = float(np.mean(first) - np.mean(second))
    if sum(errors) < 1e-24:  # All runs of a side are the same, but for the rounding of a mean.
        return Estimate(apart, apart, apart), float(abs(apart) < 1e-12)
    parts = sum(error**2 / (len(values) - 1) for error, values in zip(errors, (first, second), strict=True))
    error, freedom = float(np.sqrt(sum(errors))), sum(errors) ** 2 / parts
    return _student(apart, error, freedom), float(2 * stdtr(freedom, -abs(apart) / error))


def _student(value: float, error: float, freedom: float) -> Estimate:
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, 0.975)) * error
    return Estimate(value, value - half, value + half)


def _check_same(first: Statistics, second: Statistics) -> None:
    if len(first) != len(second):
        raise ValueError(f"not the same examples: {len(first)} and {len(second)}")


def _total(statistics: Statistics) -> NDArray[np.float64]:
    result: NDArray[np.float64] = statistics.sum(0, keepdims=True, dtype=np.float64)
    return result


def _resampled(statistics: Statistics, seed: int, resamples: int) -> NDArray[np.float64]:
    """The sums, ``(resamples, …)``, of as many examples as there are, drawn with replacement."""
    examples = len(statistics)
    flat = statistics.reshape(examples, int(np.prod(statistics.shape[1:], dtype=np.int64))).astype(np.float64)
    sums = np.zeros((resamples, flat.shape[1]))
    if examples:
        generator = np.random.default_rng(seed)
        rows = max(1, _DRAWS // examples)
        for begin in range(0, resamples, rows):
            count = min(rows, resamples - begin)
            drawn = generator.integers(0, examples, (count, examples)) + np.arange(count)[:, None] * examples
            times = np.bincount(drawn.ravel(), minlength=count * examples).reshape(count, examples)
            sums[begin : begin + count] = times @ flat
    return sums.reshape(resamples, *statistics.shape[1:])


def _estimate(value: Floats, drawn: Floats) -> Estimate:
    # A skewed figure of few examples can lie outside its own percentiles; the interval is never without it.
    point = float(value[0])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(point, min(point, float(low)), max(point, float(high)))
