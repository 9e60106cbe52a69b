"""The sampler: a pure function of the step that loses nothing and repeats nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myna import randomness
from myna.errors import InputError
from myna.tokens import chunks as chunks_module
from myna.tokens import sampler as sampler_module
from myna.tokens.chunks import chunks_of
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
        (reached,) = sampler.reached(count)
        assert sorted(reached.chunks) == sorted(set(held))
        assert len(reached.items) == 0


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


def test_the_order_of_a_corpus_of_usual_size_is_a_permutation_of_its_pieces() -> None:
    pieces = Pieces([random_store([9, 0, 31, 4] * 20), random_store([17, 2] * 9)], 10)
    sampler = Sampler(pieces.lengths, 100, seed=5)
    lengths = np.asarray(pieces.lengths)
    for epoch in (0, 3):
        order = randomness.permutation(randomness.key(5, "order", epoch), len(lengths))
        starts = epoch * lengths.sum() + np.cumsum(lengths[order]) - lengths[order]
        for step in range(-(-epoch * lengths.sum() // 100), (epoch + 1) * lengths.sum() // 100):
            expected = order[(starts >= step * 100) & (starts < (step + 1) * 100)]
            assert sampler.step(int(step)).tolist() == expected.tolist()


DOCUMENTS = st.lists(st.one_of(st.integers(0, 9), st.integers(0, 90)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, DOCUMENTS, st.integers(1, 20), st.integers(0, 3), st.integers(1, 12), st.integers(1, 4))
def test_pieces_hold_every_token_of_every_document_once(
    one: list[int], other: list[int], window: int, extra: int, most_chunks: int, group: int
) -> None:
    stores = [random_store(one), random_store(other, seed=1)]
    with few_chunks(most_chunks, group):
        pieces = Pieces(stores, window, lambda sizes: sizes.tokens + extra + sizes.last)
    texts: dict[int, list[int]] = {}
    lengths = np.asarray(pieces.lengths)
    for i in range(len(pieces)):
        piece = pieces[i]
        mine = texts.setdefault(piece.document, [])
        assert (piece.before is None) == (mine == [])
        assert piece.before is None or piece.before == mine[-1]
        mine += piece.ids.tolist()
        assert pieces.lengths[i] == lengths[i] == len(piece.ids) + extra + (piece.after is None)
        assert pieces.documents[i] == piece.document
        assert len(piece.ids) <= window
    expected = [text for store in stores for text in store.texts]
    assert texts == {number: text for number, text in enumerate(expected) if text}
    assert pieces.filled == len(texts)
    assert (pieces.lengths.sum(), len(pieces)) == (lengths.sum(), len(lengths))
    assert pieces.lengths.max() == lengths.max(initial=0)
    chunks = chunks_of(pieces.lengths)
    assert chunks.tokens.tolist() == [lengths[a:b].sum() for a, b in itertools.pairwise(chunks.firsts)]
    assert len(chunks.tokens) <= 2 * most_chunks
    counts = [len(one) // 2, len(other)]
    wanted = [*range(counts[0]), *range(len(one), len(one) + len(other))]
    assert pieces.first(counts).tolist() == np.flatnonzero(np.isin(np.asarray(pieces.documents), wanted)).tolist()


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, DOCUMENTS, st.integers(1, 12), st.integers(1, 4), st.integers(0, 9))
def test_an_epoch_of_chunks_holds_every_piece_once_and_any_step_is_found(
    one: list[int], other: list[int], most_chunks: int, group: int, seed: int
) -> None:
    stores = [random_store([20, *one]), random_store(other, seed=1)]
    with few_chunks(most_chunks, group):
        pieces = Pieces(stores, 13)
        walked, jumped = Sampler(pieces.lengths, 20, seed), Sampler(pieces.lengths, 20, seed)
    count = 2 * walked.epoch_tokens // 20 + 3
    steps = [walked.step(step).tolist() for step in range(count)]
    assert all(steps)
    line = np.concatenate(steps)
    for epoch in range(2):
        assert sorted(line[epoch * len(pieces) : (epoch + 1) * len(pieces)]) == list(range(len(pieces)))
    starts = np.cumsum(pieces.lengths[line]) - pieces.lengths[line]
    assert (starts // 20).tolist() == [step for step, held in enumerate(steps) for _ in held]
    assert all(jumped.step(step).tolist() == steps[step] for step in reversed(range(count)))
    for some in (1, count // 4, count // 2, count):
        held = sorted({n for step in steps[:some] for n in step})
        (reached,) = jumped.reached(some)
        items = np.concatenate([chunks_of(pieces.lengths).items(reached.chunks), reached.items])
        assert sorted(items) == held
        places = pieces.places(np.array(held))
        expected = {"documents": len(set(places.documents)), "tokens": places.tokens.sum()}
        assert pieces.held(reached) == expected


def test_pieces_of_neighbouring_documents_are_far_apart_in_an_order_of_chunks() -> None:
    with few_chunks(4096, 512):
        pieces = Pieces([random_store([10] * 20_000)], 10)
        sampler = Sampler(pieces.lengths, 1000, 1)
    apart = [np.diff(np.sort(sampler.step(step))) for step in range(20)]
    # A hundred of 20,000 drawn by chance are 198 apart in the mean, and one in 200 next to another.
    assert np.mean([np.mean(gaps) for gaps in apart]) == pytest.approx(198, rel=0.05)
    assert np.mean([np.mean(gaps == 1) for gaps in apart]) < 0.03


@contextmanager
def few_chunks(most: int, group: int) -> Iterator[None]:
    """Chunks of many pieces for a few of them, groups of a few chunks, and bounds that are read a few at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks_module, "MOST_CHUNKS", most)
        patch.setattr(chunks_module, "BLOCK", 3 if most < 100 else 1000)
        patch.setattr(sampler_module, "GROUP_CHUNKS", group)
        patch.setattr(sampler_module, "GROUP_ITEMS", 1)
        yield
