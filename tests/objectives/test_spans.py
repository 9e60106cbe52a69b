"""Span corruption and infilling: by what T5's and BART's programs make, in plain loops, and by their distributions."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from myna import randomness
from myna.model.flat import flatten
from myna.objectives.infilling import InfillingLM
from myna.objectives.language import Vocabulary
from myna.objectives.settings import Infilling, SpanCorruption
from myna.objectives.spans import SpanCorruptionLM, stretches

from ..stores import random_store
from .test_all import VOCABULARY, made


def put_back(source: list[int], target: list[int]) -> list[int]:
    """The text of a source and of what T5's decoder should write for it."""
    spans: dict[int, list[int]] = {}
    for piece in target[:-1]:
        if piece in VOCABULARY.sentinels:
            spans[piece] = []
        else:
            spans[next(reversed(spans))].append(piece)
    return [piece for mark in source[:-1] for piece in spans.get(mark, [mark])]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(0, 1000))
def test_source_and_target_of_t5_make_the_text(length: int, key: int) -> None:
    objective = SpanCorruptionLM(VOCABULARY, SpanCorruption(sentinels=10))
    store = random_store([length])
    items = objective.items([store], 300)
    batch = objective.batch([items[0]], np.array([3]), key)
    source, target = batch.tokens.ids.tolist(), batch.targets.tolist()
    assert put_back(source, target) == store.texts[0]
    assert batch.target.ids.tolist() == [VOCABULARY.start, *target[:-1]]
    marks = [piece for piece in source if piece in VOCABULARY.sentinels]
    assert marks == list(VOCABULARY.sentinels[: len(marks)]) == [p for p in target if p in VOCABULARY.sentinels]
    noise = max(1, min(round(length * 0.15), length - 1))
    assert len(target) - len(marks) - 1 == noise
    assert len(marks) == min(max(1, round(noise / 3)), 10)
    # No two spans stand side by side, and none is empty.
    assert all(
        a not in VOCABULARY.sentinels or b not in VOCABULARY.sentinels for a, b in zip(source, source[1:], strict=False)
    )
    assert source[-1] == target[-1] == VOCABULARY.end


def test_spans_are_cut_as_in_t5s_program() -> None:
    """All ways to cut 6 tokens into 3 stretches are alike; the program shuffles where a stretch begins."""
    ways = Counter(tuple(stretches(6, 3, randomness.key(1, n)).tolist()) for n in range(4000))
    draw, slow = random.Random(2), Counter()
    for _ in range(4000):
        begins = [1, 1, 0, 0, 0]
        draw.shuffle(begins)
        number = np.cumsum([0, *begins])
        slow[tuple(np.bincount(number).tolist())] += 1
    assert ways.keys() == slow.keys()
    # 27.9 is passed once in a thousand times by nine degrees of freedom.
    assert len(ways) == 10
    assert sum((ways[way] - 400) ** 2 / 400 for way in ways) < 27.9


@pytest.mark.parametrize("name", ["span_corruption", "infilling"])
def test_the_loss_is_that_of_each_text_alone(name: str) -> None:
    objective, model = made(name)
    items = objective.items([random_store([5, 12, 25, 1])], 32)
    batch = objective.batch([items[i] for i in range(4)], np.arange(4), None)
    total = 0.0
    with torch.no_grad():
        for i in range(4):
            alone = objective.batch([items[i]], np.array([i]), None)
            target = alone.targets.tolist()
            read = np.array([VOCABULARY.start, *target[:-1]])
            logits = model(flatten([alone.tokens.ids.numpy()]), flatten([read]))
            for row, piece in zip(logits.log_softmax(1).tolist(), target, strict=True):
                total -= row[piece]
        found = objective.loss(model, batch).terms[0]
    assert found.sum.item() == pytest.approx(total, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 120), st.integers(0, 1000), st.sampled_from([0.1, 0.3, 0.9]))
def test_a_text_with_masks_has_what_is_kept_in_its_order_and_the_target_is_the_text(
    length: int, key: int, ratio: float
) -> None:
    objective = InfillingLM(VOCABULARY, Infilling(ratio=ratio))
    store = random_store([length])
    items = objective.items([store], 300)
    batch = objective.batch([items[0]], np.array([3]), key)
    text, source = store.texts[0], batch.tokens.ids.tolist()[1:-1]
    assert batch.targets.tolist() == [*text, VOCABULARY.end]
    assert len(source) <= length
    kept = [piece for piece in source if piece != VOCABULARY.mask]
    assert len(kept) == length - max(1, round(ratio * length))
    rest = iter(text)
    assert all(piece in rest for piece in kept)
    if ratio < 0.5 and length > 20:
        pairs = zip(source, source[1:], strict=False)
        assert (VOCABULARY.mask, VOCABULARY.mask) not in set(pairs)


def test_spans_are_poisson_as_in_barts_program() -> None:
    objective = InfillingLM(VOCABULARY)
    lengths = np.concatenate([objective.span_lengths(3000, randomness.key(5, n))[:-1] for n in range(8)])
    shares = np.array([math.exp(-3) * 3**n / math.factorial(n) for n in range(9)])
    counts = np.bincount(np.minimum(lengths, 9), minlength=10)
    expected = np.append(shares, 1 - shares.sum()) * len(lengths)
    assert ((counts - expected) ** 2 / expected).sum() < 27.9
    assert objective.span_lengths(7, 1).sum() == 7


def test_sentences_are_put_into_another_order_whole() -> None:
    vocabulary = Vocabulary(50, 2, 3, 4, (0, 1, 2, 3, 4), stops=(9,))
    objective = InfillingLM(vocabulary, Infilling(permute_sentences=True))
    text = np.array([10, 11, 9, 12, 9, 13, 14, 15, 9, 16])
    sentences = {(10, 11, 9), (12, 9), (13, 14, 15, 9), (16,)}
    orders = set()
    for n in range(60):
        found = objective._in_another_order(text, randomness.key(n))
        parts = [tuple(part.tolist()) for part in np.split(found, np.flatnonzero(np.isin(found, [9, 16])) + 1)]
        assert set(parts) - {()} == sentences
        orders.add(tuple(found.tolist()))
    assert len(orders) > 15
