"""Intervals hold the truth as often as they say, and differences are told from noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from myna.evaluation import metrics
from myna.evaluation.significance import (
    between_runs,
    bootstrap,
    bootstrap_cells,
    difference,
    mcnemar,
    over_runs,
    permutation,
    share,
)


@pytest.mark.parametrize("truth", [0.5, 0.85, 0.98])
@pytest.mark.parametrize("count", [30, 400])
def test_the_interval_of_a_share_holds_the_truth_about_95_times_of_100(truth: float, count: int) -> None:
    generator = np.random.default_rng(1)
    found = [share(int(right), count) for right in generator.binomial(count, truth, 1000)]
    covered = np.mean([estimate.low <= truth <= estimate.high for estimate in found])
    assert 0.92 <= covered <= 0.99


def test_of_200_examples_the_interval_of_a_share_holds_the_truth_in_93_of_100_at_least() -> None:
    counts = np.arange(201)
    bounds = np.array([(share(right, 200).low, share(right, 200).high) for right in counts.tolist()])
    generator = np.random.default_rng(7)
    for truth in (0.3, 0.5, 0.7, 0.85, 0.95):
        held = (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
        assert held @ stats.binom.pmf(counts, 200, truth) >= 0.94  # Every outcome, by how often it comes.
        assert held[generator.binomial(200, truth, 1000)].mean() >= 0.93


def test_a_perfect_share_of_few_is_not_certain() -> None:
    estimate = share(20, 20)
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx(0.8389, abs=1e-4)  # 1 / (1 + 1.96² / 20)
    assert share(0, 0).low == 0.0
    assert share(0, 0).high == 1.0


def test_the_interval_of_bits_per_character_holds_the_truth_about_95_times_of_100() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for seed in range(300):
        characters = generator.integers(20, 400, 150)
        # Documents differ in how hard they are: 5 bits a character on average over characters.
        bits = characters * generator.gamma(25, 5 / 25, 150)
        estimate = bootstrap(np.stack([bits, characters], 1), metrics.bits_per_character, seed, resamples=400)
        covered += estimate.low <= 5 <= estimate.high
    assert 0.91 <= covered / 300 <= 0.98


def test_the_interval_of_entity_f1_holds_the_truth_about_95_times_of_100() -> None:
    generator = np.random.default_rng(3)

    def sentences(count: int) -> np.ndarray:
        expected = generator.poisson(2, count)
        right = generator.binomial(expected, 0.7)
        return np.stack([right, right + generator.poisson(0.4, count), expected], 1)

    truth = 2 * 1.4 / (1.4 + 0.4 + 2)
    estimates = [bootstrap(sentences(200), metrics.micro_f1, seed, resamples=400) for seed in range(1000)]
    assert 0.93 <= np.mean([e.low <= truth <= e.high for e in estimates]) <= 0.97


def test_drawing_cells_gives_the_interval_of_drawing_examples() -> None:
    cells = np.array([[60, 15, 2], [9, 40, 1], [3, 5, 20]])
    examples = np.repeat(np.eye(9), cells.ravel(), axis=0).reshape(-1, 3, 3)
    whole = bootstrap(examples, metrics.macro_f1, seed=1, resamples=4000)
    quick = bootstrap_cells(cells, metrics.macro_f1, seed=2, resamples=4000)
    assert whole.value == quick.value == pytest.approx(float(metrics.macro_f1(cells)))
    assert (quick.low, quick.high) == pytest.approx((whole.low, whole.high), abs=0.006)


def test_the_same_seed_gives_the_same_interval() -> None:
    statistics = np.random.default_rng(0).random((50, 2))
    first, again, other = (bootstrap(statistics, metrics.bits_per_character, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first.low < first.value < first.high


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    generator = np.random.default_rng(4)
    characters = np.full(60, 100.0)
    bits = characters * generator.uniform(3, 8, 60)  # documents differ much, the systems little
    better = np.stack([bits * 0.98, characters], 1)
    worse = np.stack([bits, characters], 1)
    alone = [bootstrap(system, metrics.bits_per_character, 1) for system in (better, worse)]
    assert alone[0].high > alone[1].low
    paired = difference(better, worse, metrics.bits_per_character, 1)
    assert paired.high < 0
    assert difference(worse, worse, metrics.bits_per_character, 1).to_dict() == {"value": 0.0, "low": 0.0, "high": 0.0}
    with pytest.raises(ValueError, match="not the same examples"):
        difference(better, worse[:-1], metrics.bits_per_character, 1)


def test_nothing_at_all_gives_zero_and_no_warning() -> None:
    assert bootstrap(np.zeros((0, 2)), metrics.bits_per_character, 1).value == 0
    assert bootstrap_cells(np.zeros((2, 2), np.int64), metrics.accuracy, 1).value == 0


def test_draws_are_the_same_however_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = np.random.default_rng(0).random((50, 2))
    whole = bootstrap(statistics, metrics.bits_per_character, 1)
    monkeypatch.setattr("myna.evaluation.significance._DRAWS", 700)
    cut = bootstrap(statistics, metrics.bits_per_character, 1)
    assert list(cut.to_dict().values()) == pytest.approx(list(whole.to_dict().values()), rel=1e-12)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_test(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_the_permutation_test_is_mcnemars_where_all_is_right_or_wrong() -> None:
    right = np.random.default_rng(0).random((80, 2)) < (0.85, 0.7)
    systems = [np.stack([right[:, n], np.ones(80)], 1) for n in (0, 1)]
    exact = mcnemar(int((right[:, 0] & ~right[:, 1]).sum()), int((right[:, 1] & ~right[:, 0]).sum()))
    assert 0.01 < exact < 0.2
    assert permutation(systems[0], systems[1], metrics.rate, 1, 20_000) == pytest.approx(exact, abs=0.01)


def test_the_permutation_test_is_scipys_for_a_mean_of_lengths() -> None:
    generator = np.random.default_rng(3)
    lengths = np.full(30, 10.0)  # Of one length, so that the ratio is a plain mean.
    bits = generator.gamma(5, 1, (30, 2)) + np.array([0.0, 0.9])
    systems = [np.stack([bits[:, n], lengths], 1) for n in (0, 1)]
    expected = stats.permutation_test(
        (bits[:, 0], bits[:, 1]),
        lambda one, other, axis: one.mean(axis) - other.mean(axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=np.random.default_rng(1),
    ).pvalue
    assert 0.01 < expected < 0.5
    found = permutation(systems[0], systems[1], metrics.bits_per_character, 1, 20_000)
    assert found == pytest.approx(expected, abs=0.015)


def test_systems_that_are_alike_have_a_p_value_below_5_of_100_as_often() -> None:
    generator = np.random.default_rng(5)
    values = []
    for seed in range(400):
        expected = generator.poisson(2, 60)
        said = [
            np.stack([right := generator.binomial(expected, 0.7), right + generator.poisson(0.4, 60), expected], 1)
            for _ in range(2)
        ]
        values.append(permutation(said[0], said[1], metrics.micro_f1, seed, 200))
    assert 0.02 <= np.mean(np.array(values) < 0.05) <= 0.08


def test_the_same_answers_can_always_be_chance() -> None:
    alike = np.random.default_rng(0).random((20, 2))
    assert permutation(alike, alike, metrics.bits_per_character, 1) == 1.0
    with pytest.raises(ValueError, match="not the same examples"):
        permutation(alike, alike[1:], metrics.bits_per_character, 1)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_runs_are_summarised_as_student_and_welch_do(first: list[float], second: list[float]) -> None:
    if min(np.std(first), np.std(second)) < 1e-6:
        return
    estimate = over_runs(first)
    low, high = stats.t.interval(0.95, len(first) - 1, np.mean(first), stats.sem(first))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((np.mean(first), low, high), abs=1e-9)
    welch = stats.ttest_ind(first, second, equal_var=False)
    apart, p = between_runs(first, second)
    ends = welch.confidence_interval(0.95)
    assert (apart.low, apart.high, p) == pytest.approx((ends.low, ends.high, welch.pvalue), abs=1e-9)


def test_runs_that_are_all_the_same_are_no_difference() -> None:
    estimate, p = between_runs([0.8, 0.8], [0.8, 0.8, 0.8])
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0, 0, 0), abs=1e-12)
    assert p == 1.0
    assert between_runs([0.8, 0.8], [0.7, 0.7])[1] == 0.0
