"""Causal language modelling: every token and every end is predicted once, and scored alike however long the text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.model.flat import flatten
from myna.model.heads import build
from myna.objectives.causal import CausalLM, document_nats

from ..stores import VOCABULARY, random_store
from .test_losses import GPT


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(4, 32))
def test_every_token_is_a_target_once_behind_the_right_one(lengths: list[int], window: int) -> None:
    store = random_store(lengths)
    objective = CausalLM(VOCABULARY)
    items = objective.items([store], window)
    pairs = []
    for i in range(len(items)):
        batch = objective.batch([items[i]], np.array([i]), None)
        assert len(batch.tokens.ids) == len(batch.targets) == items.lengths[i] <= window
        pairs += list(zip(batch.tokens.ids.tolist(), batch.targets.tolist(), strict=True))
    expected = []
    for text in store.texts:
        line = [VOCABULARY.start, *text, VOCABULARY.end]
        expected += list(zip(line, line[1:], strict=False))
    assert pairs == expected


def test_a_document_costs_what_the_formula_says() -> None:
    model = build(GPT, "causal", seed=2).double()
    texts = [np.array(t) for t in random_store([5, 12, 30]).texts]
    expected = []
    for text in texts:
        line = np.concatenate([[2], text, [3]])
        logits = model(flatten([line[:-1]]))
        expected.append(F.cross_entropy(logits, torch.from_numpy(line[1:]), reduction="sum").item())
    assert document_nats(model, texts, 2, 3) == pytest.approx(expected, rel=1e-12)
    assert document_nats(model, texts[:1], 2, 3, batch_tokens=1) == pytest.approx(expected[:1], rel=1e-12)


def test_a_long_document_is_scored_whole_with_half_a_window_of_context() -> None:
    model = build(GPT, "causal", seed=2).double()
    [text] = [np.array(t) for t in random_store([100]).texts]
    line = np.concatenate([[2], text, [3]])
    nats = []
    for place in range(1, len(line)):
        # The first window that holds the target and begins at a multiple of half a window.
        begin = max(0, -(-(place - 32) // 16) * 16)
        logits = model(flatten([line[begin:place]]))[-1]
        nats.append(F.cross_entropy(logits, torch.tensor(line[place])).item())
    assert document_nats(model, [text], 2, 3)[0] == pytest.approx(sum(nats), rel=1e-10)
