"""Scores of parts of the test texts are those of the parts alone."""

from __future__ import annotations

import numpy as np

from myna.evaluation import metrics
from myna.evaluation.scoring import Measure, Scores, right_answers, share_of
from myna.evaluation.slices import slices
from myna.tasks.examples import Example


def measure(right: list[bool]) -> Measure:
    statistics = right_answers(["a"] * len(right), ["a" if each else "b" for each in right])
    return Measure("accuracy", statistics, metrics.rate, share_of)


def test_quarters_of_the_lengths_hold_every_text_once_and_equal_lengths_stay_together() -> None:
    texts = ["字" * length for length in (*range(1, 81), *[90] * 20)]
    rows = slices([Example(text, str(n)) for n, text in enumerate(texts)], measure([n < 80 for n in range(100)]))
    assert [row["by"] for row in rows] == ["length"] * 4
    assert [row["part"] for row in rows] == ["1–26", "27–51", "52–76", "77–90"]
    assert sum(row["examples"] for row in rows) == 100
    assert [row["value"] for row in rows] == [1, 1, 1, 4 / 24]
    assert rows[0]["low"] < 1  # Twenty-six of twenty-six are not certain.


def test_sources_and_groups_are_parts_where_there_are_few() -> None:
    examples = [Example("text", str(n), source=f"{n % 2}.csv", group=str(n)) for n in range(60)]
    rows = slices(examples, measure([n % 2 == 0 for n in range(60)]))
    assert [(row["by"], row["part"], row["value"]) for row in rows] == [
        ("source", "0.csv", 1.0),
        ("source", "1.csv", 0.0),
    ]
    assert slices(examples[:12], measure([True] * 12)) == []
    assert slices([], measure([])) == []


def test_the_main_score_of_a_judged_model_can_be_taken_of_a_part() -> None:
    scores = Scores(1)
    counts = np.array([[1, 1, 1], [0, 1, 1]] * 40)
    scores.add("entity_f1", metrics.micro_f1, counts, {})
    scores.add("other", metrics.micro_f1, counts, {})
    assert scores.main is not None
    assert scores.main.name == "entity_f1"
    assert scores.main.estimate(counts[:1]).value == 1.0
