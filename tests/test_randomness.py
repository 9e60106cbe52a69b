"""Randomness is a function: of its arguments, of all of them, and even."""

from __future__ import annotations

import numpy as np

from myna import randomness


def test_the_same_arguments_give_the_same_numbers_anywhere() -> None:
    # SplitMix64 of state 0 begins so (reference implementation by Vigna).
    assert randomness._mix(0) == 0xE220A8397B1DCDAF
    key = randomness.key(1, 5, "masks")
    index = np.arange(100)
    assert np.array_equal(randomness.numbers(key, index)[40:60], randomness.numbers(key, index[40:60]))


def test_every_part_of_a_place_matters() -> None:
    places = [(1, 2, "a"), (2, 1, "a"), (1, 2, "b"), (1, 2), (1, "a", 2), (3, 2, "a"), (-1, 2, "a")]
    assert len({randomness.key(*place) for place in places}) == len(places)


def test_numbers_are_even_and_unrelated() -> None:
    draws = randomness.uniform(randomness.key(7), np.arange(200_000))
    counts = np.histogram(draws, 50, (0, 1))[0]
    assert ((counts - 4000) ** 2 / 4000).sum() < 100
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.01
    other = randomness.uniform(randomness.key(8), np.arange(200_000))
    assert abs(np.corrcoef(draws, other)[0, 1]) < 0.01


def test_a_permutation_holds_every_number_once() -> None:
    order = randomness.permutation(3, 1000)
    assert sorted(order) == list(range(1000))
    assert not np.array_equal(order, randomness.permutation(4, 1000))
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.15
