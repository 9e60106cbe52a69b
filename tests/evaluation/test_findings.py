"""What is said of a model is what the figures say, also where a simple method wins."""

from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from myna.evaluation.findings import Finding, finding, score
from myna.evaluation.gathering import ModelFacts, StageFacts
from myna.evaluation.phrases import PHRASES, listed, phrases
from myna.evaluation.quantities import duration, size

SAY = phrases("en")


def found(metric: str, ours: tuple[float, float], other: tuple[float, float], **details: Any) -> Finding:
    def estimate(figures: tuple[float, float]) -> dict[str, float]:
        return {"value": figures[0], "low": figures[0] - figures[1], "high": figures[0] + figures[1]}

    stage = StageFacts("finetune", "mine", Path("mine"), {}, 0)
    scores = {metric: {**estimate(ours), "examples": 100, "baselines": {"majority": estimate(other)}}}
    model = ModelFacts(stage, 10, ("bad", "good"), {}, [], [], scores, {"kind": "classification", **details})
    said = finding(model, SAY)
    assert said is not None
    return said


@pytest.mark.parametrize(
    ("metric", "ours", "other", "verdict"),
    [
        ("accuracy", (0.9, 0.02), (0.8, 0.02), "wins"),
        ("accuracy", (0.8, 0.02), (0.9, 0.02), "loses"),
        ("accuracy", (0.85, 0.02), (0.84, 0.02), "open"),
        ("bits_per_character", (5.0, 0.1), (6.0, 0.1), "wins"),
        ("bits_per_character", (6.0, 0.1), (5.0, 0.1), "loses"),
    ],
)
def test_the_verdict_is_that_of_the_intervals(
    metric: str, ours: tuple[float, float], other: tuple[float, float], verdict: str
) -> None:
    assert found(metric, ours, other).verdict == verdict


def test_the_paired_difference_decides_where_the_intervals_overlap() -> None:
    paired = {"accuracy": {"majority": {"value": -0.031, "low": -0.048, "high": -0.013}}}
    said = found("accuracy", (0.812, 0.019), (0.843, 0.017), differences=paired)
    assert said.verdict == "loses"
    assert "by 3.1 points (95\u202f%: 1.3 to 4.8)" in said.comparison
    assert (said.value, said.baseline_value) == ("81.2\u202f%", "84.3\u202f%")


def test_a_model_without_baselines_or_scores_is_not_praised() -> None:
    stage = StageFacts("finetune", "mine", Path("mine"), {}, 0)
    entry = {"value": 0.5, "low": 0.4, "high": 0.6, "examples": 10}
    alone = finding(ModelFacts(stage, None, (), {}, [], [], {"accuracy": entry}, {}), SAY)
    assert alone is not None
    assert alone.verdict == "alone"
    assert finding(ModelFacts(stage, None, (), {}, [], []), SAY) is None


def test_rows_are_the_best_first_and_every_mark_is_on_the_track() -> None:
    entry = {
        "value": 61.0,
        "low": 58.0,
        "high": 64.0,
        "examples": 9,
        "baselines": {"unigram": {"value": 811.0, "low": 770.0, "high": 856.0}},
    }
    table = score("perplexity", entry, SAY)
    assert [row.ours for row in table.rows] == [True, False]
    assert all(0 <= row.left <= row.dot <= row.left + row.width <= 100 for row in table.rows)
    higher = score("accuracy", {**entry, "value": 0.9, "low": 0.8, "high": 0.95, "baselines": {}}, SAY)
    assert 0 < higher.rows[0].dot < 100


def test_every_phrase_has_the_same_places_in_both_languages() -> None:
    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    for name, (english, chinese) in PHRASES.items():
        # What a model does is said without its labels in no language, but the metric's name is.
        assert places(english) == places(chinese), name


def test_durations_and_sizes_are_readable() -> None:
    plain = [text.replace("\u00a0", " ") for text in map(duration, (0.42, 12.4, 185, 3840))]
    assert plain == ["0.4 s", "12 s", "3 min 05 s", "1 h 04 min"]
    plain = [text.replace("\u00a0", " ") for text in map(size, (12, 4_200, 123_400_000, 2.5e12))]
    assert plain == ["12 B", "4.2 kB", "123 MB", "2.5 TB"]
    assert listed(SAY, ["a", "b", "c"]) == "a, b and c"
    assert listed(SAY, []) == ""
