"""Line charts as plain figures for the report's template.

The picture is an SVG that stretches to any width (its lines keep theirs), and all letters are HTML beside it, so that
they are as large on a phone as on a desk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Points = Sequence[tuple[float, float]]
# A point with its interval, if it has one.
Estimated = tuple[float, float, tuple[float, float] | None]

# The picture's own units; they mean nothing outside.
WIDTH, HEIGHT = 1000, 400
# More than a line of this many points no screen shows.
_MOST_POINTS = 240
# What is left free at both ends of an axis of a few counts.
_EDGE = 0.06


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in per cent of its length, and what is written there."""

    place: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line of a chart: ``kind`` is its class in the style sheet, ``path`` an SVG path."""

    kind: str
    path: str


@dataclass(frozen=True)
class Chart:
    """A chart with the ticks of its axes; ``name`` and ``across`` are what stands up and along."""

    name: str
    across: str
    lines: tuple[Line, ...]
    down: tuple[Tick, ...]
    along: tuple[Tick, ...]


def line_chart(
    name: str, across: str, series: Sequence[tuple[str, Points]], level: float | None = None, percent: bool = False
) -> Chart | None:
    """A chart of ``(kind, points)``, with a level line where one is given; None where there are no points.

    A kind ``dots`` is drawn as dots on a line, any other as a line alone.
    """
    there = [(kind, _thinned(points)) for kind, points in series if points]
    if not there:
        return None
    xs = [x for _, points in there for x, _ in points]
    ys = [y for _, points in there for _, y in points] + ([] if level is None else [level])
    low, high, down = _axis_of_shares(ys) if percent else _axis(min(ys), max(ys), 4)
    right = max(xs) if max(xs) > 1e-9 else 1.0  # tokens, steps or seconds
    _, _, along = _axis(0.0, right, 3)

    def place(x: float, y: float) -> str:
        return f"{WIDTH * x / right:.1f} {HEIGHT * (high - y) / (high - low):.1f}"

    lines = []
    if level is not None:
        lines.append(Line("level", f"M{place(0, level)}L{place(right, level)}"))
    for kind, points in there:
        lines.append(Line(kind, "M" + "L".join(place(x, y) for x, y in points)))
        if kind == "dots":
            lines.append(Line("dot", "".join(f"M{place(x, y)}h0" for x, y in points)))
    step = down[1] - down[0]
    return Chart(
        name,
        across,
        tuple(lines),
        tuple(Tick(100 * (high - y) / (high - low), _level(y, step, percent)) for y in down),
        tuple(Tick(100 * x / right, short_number(x)) for x in along if x <= right),
    )


def interval_chart(
    name: str, across: str, series: Sequence[tuple[str, Sequence[Estimated]]], percent: bool = False
) -> Chart:
    """A chart of ``(kind, points)`` with an upright line for each interval that there is; what is along grows in equal
    ratios, as counts that are 10, 100 and 1,000.

    Kinds are those of :func:`line_chart`. Some points there must be; all are above 0.
    """
    points = [point for _, some in series for point in some]
    ys = [y for _, value, interval in points for y in (value, *(interval or ()))]
    low, high, down = _axis_of_shares(ys) if percent else _axis(min(ys), max(ys), 4)
    counts = sorted({x for x, _, _ in points})
    wide = math.log(counts[-1] / counts[0])

    def along(x: float) -> float:
        return _EDGE + (1 - 2 * _EDGE) * (math.log(x / counts[0]) / wide if wide else 0.5)

    def height(y: float) -> str:
        return f"{HEIGHT * (high - y) / (high - low):.1f}"

    lines = []
    for number, (kind, some) in enumerate(series):
        # A little apart, so that no interval hides another.
        places = [(f"{WIDTH * along(x) + 8 * number:.1f}", value, interval) for x, value, interval in some]
        tall = [f"M{x} {height(ends[1])}V{height(ends[0])}" for x, _, ends in places if ends is not None]
        lines += [Line(f"{kind} interval", "".join(tall))] if tall else []
        drawn = [f"{x} {height(value)}" for x, value, _ in places]
        lines += [Line(kind, "M" + "L".join(drawn)), Line(f"{kind} dot", "".join(f"M{place}h0" for place in drawn))]
    step = down[1] - down[0]
    return Chart(
        name,
        across,
        tuple(lines),
        tuple(Tick(100 * (high - y) / (high - low), _level(y, step, percent)) for y in down),
        tuple(Tick(100 * along(x), f"{x:,.0f}") for x in counts),
    )


def smoothed(points: Points, share: float = 0.04) -> list[tuple[float, float]]:
    """Means over neighbours: each window holds ``share`` of the points, five at least; it is narrower at the ends."""
    half = max(2, int(len(points) * share / 2))
    ys = np.array([y for _, y in points], np.float64)
    sums = np.concatenate([[0.0], np.cumsum(ys)])
    places = np.arange(len(points))
    reach = np.minimum(half, np.minimum(places, len(points) - 1 - places))
    means = (sums[places + reach + 1] - sums[places - reach]) / (2 * reach + 1)
    return [(x, float(mean)) for (x, _), mean in zip(points, means, strict=True)]


def short_number(value: float) -> str:
    """1,200,000 as ``1.2M``, 45,000 as ``45k``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _thinned(points: Points) -> Points:
    """Means of neighbours where there are more points than can be seen; the first and the last stay."""
    if len(points) <= _MOST_POINTS:
        return points
    inner = [part.mean(0) for part in np.array_split(np.array(points[1:-1]), _MOST_POINTS - 2)]
    return [points[0], *((float(x), float(y)) for x, y in inner), points[-1]]


def _axis(low: float, high: float, count: int) -> tuple[float, float, list[float]]:
    """Round bounds around ``low`` … ``high``, and about ``count`` round steps between them."""
    if not (high - low) / count > 1e-300:  # one value, or two nearer than numbers can be divided
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return first * step, last * step, [n * step for n in range(first, last + 1)]


def _axis_of_shares(shares: Sequence[float]) -> tuple[float, float, list[float]]:
    """The same for shares, which have ends that an axis does not pass."""
    low, high, down = _axis(min(shares), max(shares), 4)
    low, high = max(0.0, low), min(1.0, high)
    return low, high, [y for y in down if low - 1e-9 <= y <= high + 1e-9]


def _level(value: float, step: float, percent: bool) -> str:
    if percent:
        return f"{100 * value:.0f}%" if step >= 0.0099 else f"{100 * value:.1f}%"
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{digits + (round(step * 10**digits, 6) % 1 > 0)}f}"
