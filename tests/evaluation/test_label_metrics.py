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
