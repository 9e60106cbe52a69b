"""Next sentence: half of the pairs are real, no token is lost, and the loss is that of a plain loop."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.errors import InputError
from myna.model.flat import Flat, runs_of
from myna.model.heads import build
from myna.objectives.sentences import NextSentenceLM, PairBatch, Pairs

from ..stores import MemoryStore, random_store
from .conftest import River
from .test_all import BERT, VOCABULARY, made


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=20), st.integers(8, 40))
def test_every_token_is_in_one_pair_and_a_pair_that_is_not_real_is_of_two_documents(
    lengths: list[int], window: int
) -> None:
    base = np.cumsum([0, *lengths])
    store = MemoryStore([list(range(base[n], base[n + 1])) for n in range(len(lengths))])
    pairs = Pairs([store], window)
    seen: list[int] = []
    for i in range(len(pairs)):
        pair = pairs[i]
        first, second = pair.piece.ids[: pair.cut], pair.piece.ids[pair.cut :]
        seen += pair.piece.ids.tolist()
        assert len(pair.piece.ids) == pairs.tokens[i] <= window
        assert len(first)
        if pair.real is None:
            assert len(second) == 0
            continue
        places = np.searchsorted(base, [first[-1], second[0]], side="right")
        assert (second[0] == first[-1] + 1 and places[0] == places[1]) if pair.real else places[0] != places[1]
    assert sorted(seen) == list(range(base[-1]))


def test_half_of_the_pairs_are_real() -> None:
    pairs = Pairs([random_store([30] * 2000)], 40)
    real = sum(bool(pairs[i].real) for i in range(len(pairs)))
    assert real == pytest.approx(1000, abs=100)
    # One document that is most of the text: as many as others can change places with it do.
    mostly = Pairs([random_store([3000, *[30] * 20])], 40)
    assert sum(not mostly[i].real for i in range(len(mostly))) == pytest.approx(20, abs=9)


def test_the_loss_is_that_of_a_plain_loop() -> None:
    objective, model = made("next_sentence")
    assert isinstance(objective, NextSentenceLM)
    items = objective.items([random_store([30, 8, 25, 1, 12, 20, 9, 18])], 32)
    batch = objective.batch([items[i] for i in range(len(items))], np.arange(len(items)), None)
    assert isinstance(batch, PairBatch)
    filled = told = 0.0
    row, paired, kinds = 0, 0, set()
    head = objective.next_sentence
    targets = dict(zip(batch.positions.tolist(), batch.targets.tolist(), strict=True))
    with torch.no_grad():
        for i in range(len(items)):
            pair = items[i]
            first, second = pair.piece.ids[: pair.cut].tolist(), pair.piece.ids[pair.cut :].tolist()
            line = [VOCABULARY.start, *first, VOCABULARY.end, *second, *([VOCABULARY.end] if second else [])]
            segments = [0] * (len(first) + 2) + [1] * (len(line) - len(first) - 2)
            ids = batch.tokens.ids[row : row + len(line)]
            for n, piece in enumerate(line):
                assert targets.get(row + n, ids[n].item()) == piece
            flat = Flat(ids, torch.arange(len(line)), runs_of([len(line)]), segments=torch.tensor(segments))
            hidden = model.trunk(flat)
            for n, shares in enumerate(model.head(hidden, flat).log_softmax(1).tolist()):
                if row + n in targets:
                    filled -= shares[line[n]]
            pooled = torch.tanh(head.transform.dense(hidden[0]))
            one, two = head.output(pooled).tolist()
            if pair.real is not None:
                told += math.log(math.exp(one) + math.exp(two)) - (one if pair.real else two)
                paired += 1
            kinds.add(pair.real)
            row += len(line)
        found = {term.name: term for term in objective.loss(model, batch).terms}
    assert kinds == {True, False, None}
    assert found["masked"].sum.item() == pytest.approx(filled, rel=1e-12)
    assert found["next_sentence"].sum.item() == pytest.approx(told, rel=1e-12)
    assert (found["next_sentence"].count, found["masked"].count) == (paired, len(targets))


def test_what_is_not_kept_of_it_is_said(river: River, tmp_path: Path) -> None:
    found = river.train(tmp_path / "next", "wordpiece", "bert-micro", objective="next_sentence")
    assert found.loaded.facts["trained_beside_and_not_kept"] == "next_sentence"
    notes = found.ledger["notes"]
    assert notes["parameters of next_sentence, trained beside the model and not kept"] == 16 * 17 + 2 * 17
    assert "next_sentence" in (found.folder / "model" / "README.md").read_text()
    assert '"BertForMaskedLM"' in (found.folder / "model" / "config.json").read_text()
    with pytest.raises(InputError, match="1 segments"):
        NextSentenceLM(VOCABULARY).equip(build(BERT.model_copy(update={"segments": 1}), "masked"), 1)
