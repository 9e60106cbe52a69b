"""Decoding of tags: the best path that BIO allows, as found by trying every path."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from myna.corpus.document import Span
from myna.tasks.viterbi import best_paths, spans_of, transitions

TAGS = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def allowed(tags: tuple[str, ...]) -> bool:
    """BIO by its definition: an inside tag follows a begin or inside tag of the same label."""
    return all(
        tag[0] != "I" or before in (f"B{tag[1:]}", f"I{tag[1:]}")
        for before, tag in zip(("O", *tags), tags, strict=False)
    )


# Few different numbers, so that paths of equal sums occur too.
rows = st.lists(st.lists(st.integers(-3, 3), min_size=5, max_size=5), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, max_size=4))
def test_the_best_path_is_the_one_that_trying_all_finds(batch: list[list[list[int]]]) -> None:
    scores = [np.array(each, np.float64) for each in batch]
    found = best_paths(scores, *transitions(TAGS))
    assert len(found) == len(scores)
    for lines, path in zip(scores, found, strict=True):
        sums = {
            tags: sum(row[TAGS.index(tag)] for row, tag in zip(lines, tags, strict=True))
            for tags in itertools.product(TAGS, repeat=len(lines))
            if allowed(tags)
        }
        chosen = tuple(TAGS[number] for number in path)
        assert allowed(chosen)
        assert sums[chosen] == max(sums.values())


def test_a_sequence_fares_alike_in_any_company() -> None:
    draw = np.random.default_rng(1)
    scores = [draw.normal(size=(length, 5)) for length in (7, 1, 12, 3, 7, 30)]
    together = best_paths(scores, *transitions(TAGS))
    for lines, path in zip(scores, together, strict=True):
        (alone,) = best_paths([lines], *transitions(TAGS))
        assert alone.tolist() == path.tolist()


@given(st.lists(st.sampled_from(TAGS), max_size=12))
def test_spans_are_those_of_seqeval(tags: list[str]) -> None:
    bounds = [(3 * n, 3 * n + 2) for n in range(len(tags))]
    expected = [Span(3 * first, 3 * last + 2, label) for label, first, last in get_entities(tags)]
    assert spans_of(tags, bounds) == expected


def test_tags_without_a_begin_may_begin_anywhere() -> None:
    tags = ("LOC", "O", "PER")
    (path,) = best_paths([np.eye(3)[[0, 0, 2, 1, 2]]], *transitions(tags))
    assert spans_of([tags[number] for number in path], [(n, n + 1) for n in range(5)]) == [
        Span(0, 2, "LOC"),
        Span(2, 3, "PER"),
        Span(4, 5, "PER"),
    ]
