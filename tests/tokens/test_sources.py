"""Sources drawn from by weight: each gives exactly its share, and every token of it once an epoch."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myna import randomness
from myna.errors import InputError
from myna.tokens.pieces import Pieces
from myna.tokens.sampler import Line
from myna.tokens.sources import Sources, SourceSampler

from ..stores import random_store

DOCUMENTS = st.lists(st.integers(1, 30), min_size=1, max_size=10)
WEIGHTS = st.dictionaries(st.sampled_from("abc"), st.floats(0, 3), min_size=1).filter(lambda w: sum(w.values()) > 1e-3)


@settings(max_examples=50, deadline=None)
@given(st.tuples(DOCUMENTS, DOCUMENTS, DOCUMENTS), WEIGHTS, WEIGHTS, st.integers(0, 40), st.integers(0, 9))
def test_every_source_gives_its_share_and_every_token_of_it_once_an_epoch(
    documents: tuple[list[int], ...], weights: dict[str, float], last: dict[str, float], stable: int, seed: int
) -> None:
    parts = {name: Pieces([random_store(lengths)], 10) for name, lengths in zip("abc", documents, strict=True)}
    sources = Sources(parts, weights, last)
    walked, jumped = (SourceSampler(sources, 32, seed, stable) for _ in range(2))
    steps = [walked.step(step) for step in range(60)]
    assert all(len(step) for step in steps)
    assert all(jumped.step(step).tolist() == steps[step].tolist() for step in reversed(range(60)))
    drawn = np.concatenate(steps)
    for name, part in parts.items():
        first = sources.first(name)
        mine = drawn[(drawn >= first) & (drawn < first + len(part))] - first
        # What came of a source is the line of its epochs from the beginning on, without a hole.
        line = Line(part.lengths, randomness.key(seed, "source", name)).between(0, walked.given(name, 60))
        assert mine.tolist() == line.tolist()
        whole = len(mine) // len(part) * len(part)
        assert (np.bincount(mine[:whole], minlength=len(part)) == whole // len(part)).all()
        assert sorted(walked.reached(60)[sources.names.index(name)].chunks) == sorted(set(mine))
        shares = [Fraction(w.get(name, 0)) / sum(map(Fraction, w.values())) for w in (weights, last)]
        for step in (0, 1, stable, stable + 1, 60):
            exact = 32 * (shares[0] * min(step, stable) + shares[1] * max(0, step - stable))
            assert 0 <= exact - walked.given(name, step) < 1
    assert sum(walked.given(name, 60) for name in "abc") == pytest.approx(60 * 32, abs=3)


def test_a_source_is_read_in_the_same_order_in_any_company() -> None:
    parts = {name: Pieces([random_store([9] * 40, seed=n)], 10) for n, name in enumerate(["news", "books", "more"])}
    alone = SourceSampler(Sources({"books": parts["books"]}, {"books": 1}), 100, 1, 0)
    among = SourceSampler(Sources(parts, {"books": 2, "news": 1, "more": 1}), 200, 1, 0)
    first = among.sources.first("books")
    for step in range(9):
        drawn = among.step(step)
        mine = drawn[(drawn >= first) & (drawn < first + 40)] - first
        assert mine.tolist() == alone.step(step).tolist()


def test_items_and_their_figures_are_those_of_their_source() -> None:
    parts = {"a": Pieces([random_store([5, 0, 17])], 10), "b": Pieces([random_store([3, 12], seed=1)], 10)}
    sources = Sources(parts, {"a": 1, "b": 1})
    assert [len(sources), sources.lengths.sum(), sources.lengths.max()] == [6, 37, 10]
    assert np.asarray(sources.lengths).tolist() == [5, 10, 7, 3, 10, 2]
    assert sources.documents[[0, 2, 3, 5]].tolist() == [0, 2, 3, 4]
    assert sources[5].ids.tolist() == parts["b"][2].ids.tolist()


def test_a_step_that_might_be_empty_and_a_source_without_text_are_refused() -> None:
    parts = {name: Pieces([random_store([10, 10])], 10) for name in "ab"}
    with pytest.raises(InputError, match=r"batch_tokens = 19 is smaller than the longest pieces of all corpora .* 20"):
        SourceSampler(Sources(parts, {"a": 1}), 19, 1, 0)
    with pytest.raises(InputError, match="the corpus c has no text to train on"):
        Sources({**parts, "c": Pieces([random_store([0])], 10)}, {"a": 1})
