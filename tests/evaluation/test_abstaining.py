"""A model that may abstain is right as often as was asked for, and says in a line where it cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from myna.errors import InputError
from myna.evaluation.abstaining import lower_bound, reached, threshold_for, thresholds
from myna.evaluation.calibration import Sureness
from myna.tasks.multilabel import Labelled
from myna.tasks.words import TaggedWords


def answers(seed: int, count: int) -> Sureness:
    """Answers between two labels, each as often right as its probability says."""
    generator = np.random.default_rng(seed)
    sure = 0.5 + generator.beta(4, 1.2, count) / 2
    given = generator.integers(0, 2, count)
    said = np.where(given[:, None] == (0, 1), sure[:, None], 1 - sure[:, None])
    return Sureness(said, np.where(generator.random(count) < sure, given, 1 - given), given)


def test_the_precision_that_is_asked_for_is_there_in_95_of_100_cases() -> None:
    large = answers(0, 200_000)
    probabilities, right = large.decisions()
    kept = []
    for seed in range(300):
        found = {row.precision: row for row in thresholds(answers(seed + 1, 600), (0.9,))}
        if 0.9 in found:
            kept.append(right[probabilities >= found[0.9].threshold].mean() >= 0.9)
    assert len(kept) > 250
    assert np.mean(kept) >= 0.93


def test_the_threshold_is_the_lowest_that_serves() -> None:
    # Of a hundred answers the thirty least sure are wrong every second time.
    sure = np.linspace(0.99, 0.6, 100)
    right = np.array([True] * 70 + [True, False] * 15)
    mine = Sureness(np.stack([sure, 1 - sure], 1), np.where(right, 0, 1), np.zeros(100, np.int64))
    (row,) = thresholds(mine, (0.9,))
    count = round(row.coverage * 100)
    assert row.threshold == pytest.approx(sure[count - 1])
    bounds = [
        stats.binomtest(int(right[:n].sum()), n, alternative="greater").proportion_ci(0.95).low for n in range(1, 101)
    ]
    assert count == max(n for n, bound in enumerate(bounds, 1) if bound >= 0.9)
    assert lower_bound(np.cumsum(right), np.arange(1, 101)) == pytest.approx(bounds)
    assert thresholds(mine, (0.99,)) == []


def test_answers_of_one_probability_are_given_together() -> None:
    said = np.array([[0.9, 0.1]] * 100 + [[0.8, 0.2]] * 50)
    truth = np.array([0] * 100 + [0] * 10 + [1] * 40)  # As they stand, some of the second kind seem to serve.
    (row,) = thresholds(Sureness(said, truth, np.zeros(150, np.int64)), (0.95,))
    assert (row.threshold, row.coverage) == (0.9, pytest.approx(2 / 3))


def test_what_became_of_it_is_counted_on_other_texts() -> None:
    facts = {"thresholds": [{"precision": 0.9, "threshold": 0.8, "coverage": 0.7}]}
    mine = answers(3, 1000)
    first, second, third = reached(facts, mine)
    probabilities, right = mine.decisions()
    given = probabilities >= 0.8
    assert (first["asked"], first["answers"]) == (0.9, given.sum())
    assert first["coverage"]["value"] == given.mean()
    assert first["precision"]["value"] == right[given].mean()
    assert first["precision"]["low"] < right[given].mean() < first["precision"]["high"]
    assert second["threshold"] is None is third["threshold"]


def test_a_precision_between_two_is_answered_by_the_higher() -> None:
    facts = {"thresholds": [{"precision": p, "threshold": p - 0.1} for p in (0.95, 0.9)]}
    assert threshold_for(facts, 0.91, Path("m")) == pytest.approx(0.85)
    assert threshold_for(facts, 0.9, Path("m")) == pytest.approx(0.8)
    for known, precision, said in (
        (
            facts,
            0.99,
            "a precision of 0.99 was not reached on this model's validation texts; the highest that is kept is",
        ),
        ({"thresholds": []}, 0.9, "none is"),
        ({"thresholds": [1, {"precision": "high"}, {}]}, 0.9, "none is"),
        (facts, 1.0, "1 is no precision"),
        ({}, 0.9, "this model keeps no thresholds"),
    ):
        with pytest.raises(InputError, match=said):
            threshold_for(known, precision, Path("m"))


def test_what_is_not_sure_is_answered_by_none() -> None:
    several = Labelled(("a", "b"), ("a", "b", "c"), np.array([0.9, 0.6, 0.1]))
    assert [several.answer(least)["labels"] for least in (0.5, 0.7, 0.95)] == [["a", "b"], ["a"], None]
    assert Labelled((), ("a",), np.array([0.1])).answer(0.9)["labels"] == []
    words = TaggedWords("A b", ((0, 1), (2, 3)), ("X", "Y"), None, np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]))
    assert words.answer(0.7)["tags"] == ["X", None]
    assert words.answer()["tags"] == ["X", "Y"]
