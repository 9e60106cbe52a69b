"""Intervals hold the truth as often as they say, and differences are told from noise."""

import numpy as np
import pytest

from myna.evaluation import metrics
from myna.evaluation.significance import bootstrap, bootstrap_cells, difference, share


@pytest.mark.parametrize("truth", [0.5, 0.85, 0.98])
@pytest.mark.parametrize("count", [30, 400])
def test_the_interval_of_a_share_holds_the_truth_about_95_times_of_100(truth: float, count: int) -> None:
    generator = np.random.default_rng(1)
    found = [share(int(right), count) for right in generator.binomial(count, truth, 1000)]
    covered = np.mean([estimate.low <= truth <= estimate.high for estimate in found])
    assert 0.92 <= covered <= 0.99


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
    estimates = [bootstrap(sentences(200), metrics.micro_f1, seed, resamples=400) for seed in range(300)]
    assert 0.91 <= np.mean([e.low <= truth <= e.high for e in estimates]) <= 0.98


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
