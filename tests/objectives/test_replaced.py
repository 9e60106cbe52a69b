"""Replaced-token detection: by a plain loop as the paper has it, and what the two models share."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from myna import randomness
from myna.files import read_object
from myna.huggingface.folder import read_model_folder
from myna.model.flat import flatten
from myna.objectives.replaced import ReplacedBatch, ReplacedTokens, sample

from ..stores import random_store
from .conftest import River
from .test_all import VOCABULARY, made


def test_the_loss_is_that_of_a_plain_loop() -> None:
    objective, model = made("replaced")
    assert isinstance(objective, ReplacedTokens)
    store = random_store([12, 20, 20, 28])
    items = objective.items([store], 32)
    batch = objective.batch([items[i] for i in range(4)], np.arange(4), None)
    assert isinstance(batch, ReplacedBatch)
    with torch.no_grad():
        found = {term.name: term for term in objective.loss(model, batch).terms}
        generator = objective.generator.whole().double()
        filled = told = 0.0
        row = target = 0
        for text in store.texts:
            line = [VOCABULARY.start, *text, VOCABULARY.end]
            masked = [n for n in range(len(line)) if row + n in batch.positions.tolist()]
            assert 1 not in [line[n] for n in masked]
            read = [VOCABULARY.mask if n in masked else piece for n, piece in enumerate(line)]
            assert batch.tokens.ids[row : row + len(line)].tolist() == read
            shares = generator(flatten([np.array(read)])).softmax(1).tolist()
            drawn = list(line)
            for n in masked:
                filled -= math.log(shares[n][line[n]])
                reached, draw = 0.0, float(batch.draws[target])
                for piece, share in enumerate(shares[n]):
                    reached += share
                    if reached > draw:
                        drawn[n] = piece
                        break
                target += 1
            chances = model(flatten([np.array(drawn)]))[:, 0].sigmoid().tolist()
            for chance, now, before in zip(chances, drawn, line, strict=True):
                told -= math.log(chance if now != before else 1 - chance)
            row += len(line)
    assert found["generator"].sum.item() == pytest.approx(filled, rel=1e-12)
    assert found["replaced"].sum.item() == pytest.approx(told, rel=1e-12)
    assert found["replaced"].count == row
    assert found["replaced"].weight == 50


def test_replacements_are_drawn_from_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0], dtype=torch.float64)
    draws = torch.from_numpy(randomness.uniform(randomness.key(1), np.arange(20_000)))
    drawn = sample(torch.ones(20_000, 1, dtype=torch.float64), logits[:, None], None, draws)
    expected = logits.softmax(0) * 20_000
    # 16.3 is passed once in a thousand times by three degrees of freedom.
    assert ((drawn.bincount(minlength=4) - expected) ** 2 / expected).sum() < 16.3


def test_both_learn_the_same_embeddings_and_nothing_flows_back_through_the_draw() -> None:
    objective, model = made("replaced")
    assert isinstance(objective, ReplacedTokens)
    items = objective.items([random_store([20, 20, 20])], 32)
    batch = objective.batch([items[i] for i in range(3)], np.arange(3), 5)
    generator, replaced = objective.loss(model, batch).terms
    own = list(objective.generator.parameters())
    words = model.trunk.embeddings.words.weight
    assert all(parameter is not words for parameter in own)
    told = torch.autograd.grad(replaced.sum, [words, *own], retain_graph=True, allow_unused=True)
    assert told[0].abs().sum() > 0
    assert all(gradient is None for gradient in told[1:])
    filled = torch.autograd.grad(generator.sum, [words, *own, *model.trunk.blocks.parameters()], allow_unused=True)
    assert filled[0].abs().sum() > 0
    assert all(gradient is not None for gradient in filled[1 : 1 + len(own)])
    assert all(gradient is None for gradient in filled[1 + len(own) :])
    assert (model.config.heads, model.config.hidden_size) == (3, 24)
    assert (objective.generator.config.heads, objective.generator.config.hidden_size) == (2, 16)  # of half the width


def test_the_model_and_its_generator_are_kept_in_the_layout_of_electra(river: River, tmp_path: Path) -> None:
    found = river.train(tmp_path / "detector", "wordpiece", "bert-micro", objective="replaced")
    generator, _ = read_model_folder(found.folder / "generator")
    for place, named in (("model", "ElectraForPreTraining"), ("generator", "ElectraForMaskedLM")):
        assert read_object(found.folder / place / "config.json")["architectures"] == [named]
    words = generator.trunk.embeddings.words.weight
    assert torch.equal(words, found.loaded.model.trunk.embeddings.words.weight)
    assert generator.config.hidden_size < found.loaded.model.config.hidden_size
