"""The sampler: a pure function of the step that loses nothing and repeats nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.errors import InputError
from myna.tokens.pieces import Pieces
from myna.tokens.sampler import Sampler, micro_batches

from ..stores import random_store


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=5, max_size=60), st.integers(20, 50), st.integers(0, 9))
def test_an_epoch_holds_every_item_once(lengths: list[int], budget: int, seed: int) -> None:
    counts = np.array(lengths)
    if counts.sum() < budget:
        budget = max(int(counts.sum()), 20)
        counts = np.append(counts, [20] * 3)
    sampler = Sampler(counts, budget, seed)
    steps = 3 * sampler.epoch_tokens // budget + 1
    line = np.concatenate([sampler.step(step) for step in range(steps)])
    assert all(len(sampler.step(step)) for step in range(steps))
    for epoch in range(3):
        items = line[epoch * len(counts) : (epoch + 1) * len(counts)]
        assert len(items) < len(counts) or sorted(items) == list(range(len(counts)))
    assert abs(counts[line].sum() - steps * budget) <= 40
    for count in (1, 2, steps):
        held = np.concatenate([sampler.step(step) for step in range(count)])
        assert set(sampler.reached(count)) == set(held)
        assert len(sampler.reached(count)) == len(set(held))


def test_a_step_is_the_same_whenever_it_is_asked_for() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 1000)
    walked, jumped = Sampler(lengths, 300, 1), Sampler(lengths, 300, 1)
    steps = {step: walked.step(step).tolist() for step in range(200)}
    for step in (150, 3, 199, 0, 86):
        assert jumped.step(step).tolist() == steps[step]
    assert Sampler(lengths, 300, 2).step(0).tolist() != steps[0]
    assert jumped.step(10**9).size


def test_a_corpus_shorter_than_one_batch_is_refused() -> None:
    with pytest.raises(InputError, match=r"there are 30 tokens .* fewer than one batch of 31"):
        Sampler(np.array([10, 20]), 31, 0)
    with pytest.raises(InputError, match="smaller than the longest piece"):
        Sampler(np.array([10, 20]), 15, 0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 60))
def test_micro_batches_hold_every_item_in_the_order_of_length(lengths: list[int], most: int) -> None:
    counts = np.array(lengths)
    pieces = micro_batches(counts, most)
    assert sorted(np.concatenate(pieces)) == list(range(len(counts)))
    assert all(counts[p].sum() <= most or len(p) == 1 for p in pieces)
    assert (np.diff(counts[np.concatenate(pieces)]) >= 0).all()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(1, 20), st.integers(0, 3))
def test_pieces_hold_every_token_of_every_document_once(lengths: list[int], window: int, extra: int) -> None:
    stores = [random_store(lengths), random_store(lengths[::-1], seed=1)]
    pieces = Pieces(stores, window, extra=extra, extra_last=1)
    texts: dict[int, list[int]] = {}
    for i in range(len(pieces)):
        piece = pieces[i]
        mine = texts.setdefault(piece.document, [])
        assert (piece.before is None) == (mine == [])
        assert piece.before is None or piece.before == mine[-1]
        mine += piece.ids.tolist()
        assert pieces.lengths[i] == len(piece.ids) + extra + (piece.after is None)
        assert len(piece.ids) <= window
    expected = [text for store in stores for text in store.texts]
    assert texts == {number: text for number, text in enumerate(expected) if text}
