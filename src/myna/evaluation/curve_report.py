"""What labels and pre-training are worth (:mod:`myna.curves`), for the report's page and for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from myna.evaluation.charts import Chart, Estimated, interval_chart
from myna.evaluation.findings import MAIN, PERCENT, Manner, manner
from myna.evaluation.phrases import Phrase, named


@dataclass(frozen=True)
class CurveRow:
    """A line of the table: cells are a figure and, in small, its interval and what else is known; both may be empty."""

    examples: str
    scratch: tuple[str, str]
    pretrained: tuple[str, str]
    difference: tuple[str, str]
    over_runs: tuple[str, str]
    simple: tuple[str, str]


@dataclass(frozen=True)
class CurvePage:
    """The picture and the table of a curve; ``seeds`` says how many trainings each figure is the mean of."""

    chart: Chart
    rows: Sequence[CurveRow]
    metric: str
    seeds: int


def curve_page(scores: Mapping[str, Mapping[str, Any]], say: Phrase) -> CurvePage | None:
    """The curve of the score that speaks for a model; None where there is no curve."""
    metric, points = _main(scores)
    if not points:
        return None
    read, name = manner(metric), named(say, "metric", metric)
    series: list[tuple[str, list[Estimated]]] = [
        (kind, [_estimated(point["training_examples"], point[side]) for point in points])
        for kind, side in (("line", "scratch"), ("dots", "pretrained"))
    ]
    simple = [(point["training_examples"], point["simple"]["value"], None) for point in points if "simple" in point]
    chart = interval_chart(
        name, say("curve.across"), [("raw", simple), *series] if simple else series, read.unit == "percent"
    )
    rows = [_row(point, read, say) for point in points]
    return CurvePage(chart, rows, name, len(points[0]["pretrained"].get("runs", (0,))))


def curve_rows(scores: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Lines of a table for a terminal, the first its head; none where there is no curve."""
    from myna.evaluation.compared_text import difference_cells, value_cell

    metric, points = _main(scores)
    read = manner(metric)
    rows = [["labels", "from scratch", "pre-trained", "pre-trained - from scratch", ""]] if points else []
    for point in points:
        both = [value_cell(read, _over_texts(point[side])) for side in ("scratch", "pretrained")]
        rows.append([f"{point['training_examples']:,}", *both, *difference_cells(read, point["difference"])])
    return rows


def _main(scores: Mapping[str, Mapping[str, Any]]) -> tuple[str, Sequence[Mapping[str, Any]]]:
    """The metric whose curve is shown, and its points."""
    there = [name for name in (*MAIN, *scores) if scores.get(name, {}).get("curve")]
    return (there[0], scores[there[0]]["curve"]) if there else ("", ())


def _over_texts(side: Mapping[str, Any]) -> Mapping[str, Any]:
    """The figure of a side with its interval over the texts, where there are several trainings too."""
    found: Mapping[str, Any] = side.get("over_texts", side)
    return found


def _estimated(examples: int, side: Mapping[str, Any]) -> Estimated:
    found = _over_texts(side)
    return examples, found["value"], (found["low"], found["high"]) if "low" in found else None


def _row(point: Mapping[str, Any], read: Manner, say: Phrase) -> CurveRow:
    simple = point.get("simple")
    return CurveRow(
        examples=f"{point['training_examples']:,}",
        scratch=_value(read, _over_texts(point["scratch"])),
        pretrained=_value(read, _over_texts(point["pretrained"])),
        difference=_difference(read, point["difference"]),
        over_runs=_difference(read, point.get("over_runs")),
        simple=("", "") if simple is None else (read.text(simple["value"]), named(say, "baseline", simple["method"])),
    )


def _value(read: Manner, entry: Mapping[str, Any]) -> tuple[str, str]:
    interval = [read.text(entry[end]).removesuffix(PERCENT) for end in ("low", "high") if end in entry]
    return read.text(entry["value"]), " – ".join(interval)


def _difference(read: Manner, entry: Mapping[str, Any] | None) -> tuple[str, str]:
    if entry is None:
        return "", ""
    scale, digits = (100, 1) if read.unit in ("percent", "hundred") else (1, 3)
    value, *ends = (f"{scale * entry[key]:+.{digits}f}" for key in ("value", "low", "high") if key in entry)
    chance = [] if "p" not in entry else ["p < 0.001" if entry["p"] < 0.001 else f"p = {entry['p']:.3f}"]
    return value, ", ".join([*([" … ".join(ends)] if ends else []), *chance])
