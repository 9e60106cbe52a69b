"""Probabilities mean what they say: figures are scikit-learn's, the temperature is SciPy's optimum, no answer moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss

from myna.evaluation.calibration import (
    COLDEST,
    HOTTEST,
    Sureness,
    bins_of,
    brier,
    calibration_error,
    fit_temperature,
    temperature_of,
    tempered,
)


def sureness(seed: int, answers: int, outcomes: int, sharpness: float = 1.0) -> Sureness:
    """Answers whose probabilities are right at the temperature ``sharpness``."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (answers, outcomes))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.array([generator.choice(outcomes, p=row) for row in true])
    said = np.exp(logits * sharpness)
    said /= said.sum(1, keepdims=True)
    return Sureness(said, truth, said.argmax(1))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(10, 80), st.integers(2, 5), st.floats(0.3, 3))
def test_the_temperature_is_scipys_optimum(seed: int, answers: int, outcomes: int, sharpness: float) -> None:
    mine = sureness(seed, answers, outcomes, sharpness)
    if mine.right.all():
        assert fit_temperature(mine) == 1
        return

    def nats(inverse: float) -> float:
        return float(-np.log(tempered(mine.said, 1 / inverse)[np.arange(answers), mine.truth]).mean())

    best = minimize_scalar(nats, bounds=(1 / HOTTEST, 1 / COLDEST), method="bounded", options={"xatol": 1e-9})
    found = fit_temperature(mine)
    assert nats(1 / found) <= best.fun + 1e-9
    assert 1 / found == pytest.approx(best.x, abs=1e-4)


def test_a_model_that_is_too_sure_is_cooled_down_to_what_is_so() -> None:
    mine = sureness(1, 4000, 3, sharpness=2.0)
    temperature = fit_temperature(mine)
    assert temperature == pytest.approx(2, rel=0.1)
    before, after = mine.to_dict(), mine.at(temperature).to_dict()
    assert before["ece"] > 0.08
    assert after["ece"] < 0.03  # Chance alone makes as much of bins of 267.
    assert after["brier"] < before["brier"]
    assert after["nll"] < before["nll"]


@given(st.integers(0, 500), st.floats(COLDEST, HOTTEST))
def test_no_temperature_changes_what_is_most_probable(seed: int, temperature: float) -> None:
    said = sureness(seed, 20, 4).said
    warm = tempered(said, temperature)
    assert warm.sum(1) == pytest.approx(np.ones(20))
    assert np.take_along_axis(warm, said.argmax(1)[:, None], 1)[:, 0] == pytest.approx(warm.max(1), rel=1e-12)
    assert tempered(said, 1.0) is said


def test_where_every_answer_is_right_nothing_is_learned_of_being_wrong() -> None:
    said = np.array([[0.6, 0.4], [0.9, 0.1]])
    assert fit_temperature(Sureness(said, np.array([0, 0]), np.array([0, 0]))) == 1
    assert fit_temperature(Sureness(np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0, np.int64))) == 1


@given(st.integers(0, 500), st.integers(2, 5))
def test_briers_score_is_scikit_learns(seed: int, outcomes: int) -> None:
    mine = sureness(seed, 30, outcomes)
    expected = brier_score_loss(mine.truth, mine.said, scale_by_half=True, labels=list(range(outcomes)))
    assert brier(mine.said, mine.truth) == pytest.approx(expected, rel=1e-12)


def test_the_bins_are_of_equal_size_and_their_distance_is_the_error() -> None:
    mine = sureness(2, 157, 3, sharpness=1.5)
    bins = bins_of(mine.highest, mine.right)
    assert sum(each.answers for each in bins) == 157
    assert {each.answers for each in bins} == {10, 11}
    order = sorted(range(157), key=lambda n: mine.highest[n])
    expected, place = 0.0, 0
    for each in bins:
        chosen = order[place : place + each.answers]
        place += each.answers
        right, sure = (np.mean([values[n] for n in chosen]) for values in (mine.right, mine.highest))
        expected += each.answers / 157 * abs(right - sure)
    assert calibration_error(bins) == pytest.approx(expected)
    assert [each.probability for each in bins] == sorted(each.probability for each in bins)


@pytest.mark.parametrize("kept", [None, "hot", 0, -1.0, 1e9])
def test_a_temperature_that_is_none_is_one(kept: object) -> None:
    assert temperature_of({"temperature": kept}) == 1.0
    assert temperature_of({"temperature": 1.5}) == 1.5
