"""What the report shows of how far a model can be relied on: its probabilities, its abstaining, its scores on parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from myna.evaluation.charts import Chart, line_chart
from myna.evaluation.findings import PERCENT, manner
from myna.evaluation.phrases import Phrase, named


@dataclass(frozen=True)
class AbstainingRow:
    """What a precision that is asked for gave on the test texts; ``coverage`` is empty where it was not reached."""

    asked: str
    threshold: str
    coverage: str
    coverage_interval: str
    precision: str
    precision_interval: str


@dataclass(frozen=True)
class SliceRow:
    """The score on a part of the test texts."""

    by: str
    part: str
    examples: str
    value: str
    interval: str


@dataclass(frozen=True)
class Reliance:
    """All of it, each part empty where there is none; ``said`` puts the calibration in words."""

    chart: Chart | None
    said: str
    abstaining: tuple[AbstainingRow, ...]
    slices: tuple[SliceRow, ...]
    metric: str


def reliance(details: Mapping[str, Any], say: Phrase) -> Reliance:
    """What ``details.json`` has of it, in words."""
    calibration = details.get("calibration")
    parts = details.get("slices", [])
    return Reliance(
        chart=None if calibration is None else _chart(calibration, say),
        said="" if calibration is None else _said(calibration, say),
        abstaining=tuple(_abstaining(row) for row in details.get("abstaining", [])),
        slices=tuple(_slice(row, say) for row in parts),
        metric=named(say, "metric", parts[0]["metric"]) if parts else "",
    )


def _chart(calibration: Mapping[str, Any], say: Phrase) -> Chart | None:
    """The share that is right by how probable answers were called: as it is, and fine before the temperature."""

    def points(when: str) -> list[tuple[float, float]]:
        return [(each["probability"], each["right"]) for each in calibration[when]["bins"]]

    series: Sequence[tuple[str, list[tuple[float, float]]]] = [("dots", points("after"))]
    if calibration["temperature"] != 1:
        series = [("raw", points("before")), *series]
    if not points("after"):
        return None
    diagonal = [(0.0, 0.0), (1.0, 1.0)]
    return line_chart(say("share_right"), say("probability_said"), [("line", diagonal), *series], percent=True)


def _said(calibration: Mapping[str, Any], say: Phrase) -> str:
    figures = {}
    for when in ("before", "after"):
        for name in ("ece", "brier"):
            value = calibration[when][name]
            figures[f"{name}_{when}"] = f"{100 * value:.1f}{PERCENT}" if name == "ece" else f"{value:.3f}"
    temperature = calibration["temperature"]
    parts = ["calibration_plot", "calibration", *(["tempered"] if temperature != 1 else [])]
    return " ".join(say(part, temperature=f"{temperature:.2f}", **figures) for part in parts)


def _abstaining(row: Mapping[str, Any]) -> AbstainingRow:
    asked = f"{100 * row['asked']:g}{PERCENT}"
    if row["threshold"] is None:
        return AbstainingRow(asked, "", "", "", "", "")
    coverage, precision = row["coverage"], row["precision"]
    read = manner("accuracy")
    return AbstainingRow(
        asked,
        f"{row['threshold']:.3f}",
        read.text(coverage["value"]),
        _interval(coverage, "accuracy"),
        read.text(precision["value"]) if row["answers"] else "–",
        _interval(precision, "accuracy") if row["answers"] else "",
    )


def _slice(row: Mapping[str, Any], say: Phrase) -> SliceRow:
    return SliceRow(
        named(say, "slice", row["by"]),
        row["part"],
        f"{row['examples']:,}",
        manner(row["metric"]).text(row["value"]),
        _interval(row, row["metric"]),
    )


def _interval(estimate: Mapping[str, Any], metric: str) -> str:
    read = manner(metric)
    return f"{read.text(estimate['low']).removesuffix(PERCENT)} – {read.text(estimate['high'])}"
