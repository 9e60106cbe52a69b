"""Metrics of several labels and of numbers are those of scikit-learn and SciPy, for any labels and numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.evaluation import metrics

LABELS = ("a", "b", "c", "d")
SETS = st.lists(st.tuples(st.sets(st.sampled_from(LABELS)), st.sets(st.sampled_from(LABELS))), min_size=1, max_size=12)
WHOLE = st.integers(-5, 5).map(float)
NUMBERS = st.lists(st.tuples(WHOLE, st.floats(-1e6, 1e6, width=32)), min_size=2, max_size=20)


@given(SETS)
@settings(deadline=None, max_examples=60)
def test_several_labels_are_judged_as_by_scikit_learn(pairs: list[tuple[set[str], set[str]]]) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    right, said = zip(*pairs, strict=True)
    sums = metrics.label_counts(right, said, LABELS).sum(0)
    one, two = ([[label in line for label in LABELS] for line in lines] for lines in (right, said))
    assert metrics.micro_f1_of_labels(sums) == pytest.approx(f1_score(one, two, average="micro", zero_division=0))
    there = [n for n in range(4) if any(line[n] for line in one) or any(line[n] for line in two)]
    if there:
        macro = f1_score(one, two, average="macro", labels=there, zero_division=0)
        assert metrics.macro_f1_of_labels(sums) == pytest.approx(macro)
    assert metrics.exact_match(sums) == pytest.approx(accuracy_score(np.array(one), np.array(two)))


@given(NUMBERS)
@settings(deadline=None, max_examples=100)
def test_numbers_are_judged_as_by_scikit_learn_and_scipy(pairs: list[tuple[float, float]]) -> None:
    from scipy.stats import pearsonr, rankdata, spearmanr
    from sklearn.metrics import mean_absolute_error, r2_score

    right, said = np.array(pairs).T
    sums = metrics.moments(right, said).sum(0)
    assert metrics.mean_absolute_error(sums) == pytest.approx(mean_absolute_error(right, said))
    np.testing.assert_array_equal(metrics.ranks(said), rankdata(said))
    if len(set(right)) > 1:
        assert metrics.r_squared(sums) == pytest.approx(r2_score(right, said), rel=1e-6, abs=1e-9)
    # A spread that is lost beside its mean in float64 is nobody's correlation.
    if len(set(right)) > 1 and said.std() > 1e-4 * np.abs(said).max():
        assert metrics.pearson(sums) == pytest.approx(pearsonr(right, said).statistic, abs=1e-6)
        ranked = metrics.moments(metrics.ranks(right), metrics.ranks(said)).sum(0)
        assert metrics.pearson(ranked) == pytest.approx(spearmanr(right, said).statistic, abs=1e-9)


def test_what_never_changes_has_no_correlation_and_no_variance_to_tell() -> None:
    still, moving = np.full(4, 1e9), np.arange(4.0)
    assert metrics.r_squared(metrics.moments(still, moving).sum(0)) == 0
    assert metrics.pearson(metrics.moments(still, moving).sum(0)) == 0
    assert metrics.pearson(metrics.moments(moving, still).sum(0)) == 0


def test_a_figure_far_from_zero_loses_nothing() -> None:
    right = 1e9 + np.arange(10.0)
    assert metrics.r_squared(metrics.moments(right, right + 0.5).sum(0)) == pytest.approx(1 - 0.25 / right.var())


@given(st.integers(0, 1000), st.integers(2, 4))
@settings(deadline=None, max_examples=60)
def test_correlation_and_area_are_those_of_scikit_learn(seed: int, count: int) -> None:
    from sklearn.metrics import matthews_corrcoef, roc_auc_score

    generator = np.random.default_rng(seed)
    right = np.concatenate([np.arange(count), generator.integers(0, count, 30)])
    sure = generator.dirichlet(np.ones(count), len(right)).round(1) + 0.01  # Some are equal.
    sure /= sure.sum(1, keepdims=True)
    said = sure.argmax(1)
    one, two = ([LABELS[n] for n in side] for side in (right, said))
    expected = matthews_corrcoef(right, said)
    assert metrics.matthews(metrics.confusion(one, two, LABELS)) == pytest.approx(expected)
    counted = metrics.label_counts([[label] for label in one], [[label] for label in two], LABELS).sum(0)
    assert metrics.matthews_of_labels(counted) == pytest.approx(expected)
    area = metrics.area_under_curve(metrics.placements(np.eye(count, dtype=bool)[right], sure).sum(0))
    assert area == pytest.approx(roc_auc_score(right, sure[:, 1] if count == 2 else sure, multi_class="ovr"))


def test_the_interval_of_the_area_holds_the_truth_and_a_label_that_never_comes_counts_nothing() -> None:
    from scipy.stats import norm

    from myna.evaluation.significance import bootstrap

    generator = np.random.default_rng(1)
    truth, held = norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(200):
        has = generator.random(120) < 0.4
        score = generator.normal(has, 1.0)
        both = np.stack([has, np.zeros(120, bool)], 1)
        sums = metrics.placements(both, np.stack([score, score], 1))
        estimate = bootstrap(sums, metrics.area_under_curve, seed, resamples=300)
        held += estimate.low <= truth <= estimate.high
    assert held / 200 >= 0.9
    assert metrics.area_under_curve(np.zeros((3, 4))) == 0
    assert metrics.matthews(np.array([[5, 0], [3, 0]])) == 0
