"""What holds for every objective: a step's gradient for any cut, batches as pure functions, and a run end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from myna import randomness
from myna.huggingface.families import with_head
from myna.model.config import ModelConfig
from myna.model.heads import LANGUAGE_KINDS, Model, build
from myna.objectives import OBJECTIVES, find_objective
from myna.objectives.language import LanguageObjective, Vocabulary
from myna.objectives.mixture import MixedBatch
from myna.objectives.protocol import Batch
from myna.objectives.settings import ObjectiveTables
from myna.training.loop import backward, make_batches

from ..model.test_transformer import SMALL
from ..stores import random_store
from .conftest import River

VOCABULARY = Vocabulary(
    size=60, start=2, end=3, mask=4, special=(0, 1, 2, 3, 4, *range(50, 60)), sentinels=tuple(range(59, 49, -1))
)
WIDE = {**SMALL, "vocabulary_size": 60, "dropout": 0.1}
BERT = ModelConfig(**WIDE, segments=2)
GPT = ModelConfig(**WIDE, attention="causal", norm_place="pre")
BART = ModelConfig(**WIDE, decoder_layers=1)
T5 = ModelConfig(**WIDE, decoder_layers=1, positions="relative", norm="rms_norm", norm_place="pre")
PREFIX = GPT.model_copy(update={"attention": "prefix"})

# Each objective with a model, and the table of a recipe.
CASES: dict[str, tuple[ModelConfig, dict[str, Any]]] = {
    "masked": (BERT, {"masked": {"unit": "span", "label_smoothing": 0.1, "z_loss": 0.01}}),
    "next_sentence": (BERT, {}),
    "replaced": (BERT, {"replaced": {"generator": 0.5}}),
    "causal": (GPT, {}),
    "prefix": (PREFIX, {}),
    "hybrid": (PREFIX, {"hybrid": {"causal_share": 0.4, "ratio": 0.3}}),
    "span_corruption": (T5, {"span_corruption": {"sentinels": 10}}),
    "infilling": (BART, {"infilling": {"permute_sentences": True}}),
    "mixture": (PREFIX, {"mixture": {"causal": 1, "hybrid": 2, "prefix": 1}}),
}
# What a recipe trains: a tokenizer, a preset, changes to it; and what the model's scores are called.
RECIPES: dict[str, tuple[str, str, dict[str, Any], set[str]]] = {
    "masked": ("wordpiece", "bert-micro", {}, {"perplexity"}),
    "next_sentence": ("wordpiece", "bert-micro", {}, {"perplexity"}),
    "replaced": (
        "wordpiece",
        "electra-small",
        {"embedding_size": 8},
        {"replaced_f1", "replaced_accuracy", "generator_perplexity"},
    ),
    "causal": ("byte_bpe", "gpt-micro", {}, {"bits_per_character", "perplexity"}),
    "prefix": ("byte_bpe", "gpt-micro", {"attention": "prefix"}, {"perplexity"}),
    "hybrid": (
        "byte_bpe",
        "bert-micro",
        {"attention": "prefix"},
        {"bits_per_character", "perplexity", "masked_perplexity"},
    ),
    "span_corruption": ("byte_bpe", "t5-small", {"decoder_layers": 1, "head_size": 8}, {"perplexity"}),
    "infilling": ("wordpiece", "bart-tiny", {"decoder_layers": 1}, {"perplexity"}),
    "mixture": (
        "byte_bpe",
        "gpt-micro",
        {"attention": "prefix"},
        {"bits_per_character", "perplexity", "masked_perplexity", "prefix_perplexity"},
    ),
}


# How many tokens an item of these takes is drawn with the batch.
DRAWN = ("hybrid", "mixture", "infilling")


def made(name: str, seed: int = 3) -> tuple[LanguageObjective, Model]:
    """An objective with its model, both in double precision."""
    config, table = CASES[name]
    objective = find_objective(name)(VOCABULARY, ObjectiveTables(objective=name, **table).objective_settings())
    if objective.head not in LANGUAGE_KINDS:
        config = with_head(config, "masked", objective.head)
    model = build(config, objective.head, seed=seed)
    objective.equip(model, seed)
    for module in (model, *objective.modules().values()):
        module.double()
    return objective, model


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """All that is drawn for a batch, by name; of a mixture, that of each objective."""
    if isinstance(batch, MixedBatch):
        parts = {member.name: tensors(part) for member, part in batch.parts}
        return {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in part.items()}
    found = {"targets": batch.targets, "ids": batch.tokens.ids, "keys": batch.tokens.keys}
    return found if batch.target is None else found | {"target": batch.target.ids, "target keys": batch.target.keys}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_every_objective_is_tried_here() -> None:
    assert CASES.keys() == RECIPES.keys() == OBJECTIVES.keys()


@pytest.mark.parametrize("name", CASES)
def test_gradients_do_not_depend_on_how_a_step_is_cut(name: str) -> None:
    """24 documents at once, each alone, and in ragged parts, with dropout on: the same to 1e-12."""
    objective, model = made(name)
    store = random_store(np.random.default_rng(0).integers(1, 28, 24).tolist(), word=2)
    items = objective.items([store], 32)
    key = randomness.key(7, "step", 11)
    parameters = dict(model.named_parameters())
    for module_name, module in objective.modules().items():
        parameters |= {f"{module_name}:{n}": p for n, p in module.named_parameters()}
    assert len({id(p) for p in parameters.values()}) == len(parameters)

    def gradients(most: int) -> tuple[float, dict[str, torch.Tensor]]:
        for parameter in parameters.values():
            parameter.grad = None
        batches = make_batches(objective, items, range(len(items)), most, key)
        loss = backward(objective, model, batches)
        return loss, {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}

    expected_loss, expected = gradients(10**9)
    assert expected
    for most in (90, 1):
        loss, found = gradients(most)
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        for n, gradient in expected.items():
            assert (found[n] - gradient).abs().max() <= 1e-12 * max(gradient.abs().max().item(), 1e-3), n
    other = backward(objective, model, make_batches(objective, items, range(len(items)), 10**9, key + 1))
    assert other != expected_loss


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_a_function_of_its_arguments_and_an_item_fares_alike_in_any_company(name: str) -> None:
    objective, _ = made(name)
    items = objective.items([random_store([9, 20, 21, 22, 23, 24], word=2)], 32)
    numbers = np.arange(4) + 5
    together = objective.batch([items[i] for i in range(4)], numbers, 99)
    again = made(name)[0].batch([items[i] for i in range(4)], numbers, 99)
    assert same(tensors(together), tensors(again))
    alone = [objective.batch([items[i]], numbers[i : i + 1], 99) for i in range(4)]
    each = [tensors(batch) for batch in alone]
    names = {name for found in each for name in found}
    assert same(tensors(together), {n: torch.cat([found[n] for found in each if n in found]) for n in names})
    assert together.counts == {n: sum(b.counts.get(n, 0) for b in alone) for n in together.counts}
    other = objective.batch([items[i] for i in range(4)], numbers, 98)
    assert not same(tensors(together), tensors(other))


@pytest.mark.parametrize("name", CASES)
def test_items_take_the_tokens_that_they_say_and_hold_each_token_once(name: str) -> None:
    objective, _ = made(name)
    store = random_store([1, 2, 3, 40, 65, 31], word=2)
    items = objective.items([store], 32)
    assert int(np.asarray(items.tokens).sum()) == store.tokens
    for i in range(len(items)):
        batch = objective.batch([items[i]], np.array([i]), None)
        assert max(len(batch.tokens.ids), 0 if batch.target is None else len(batch.target.ids)) <= 32
        assert batch.size == items.lengths[i] or (name in DRAWN and batch.size <= items.lengths[i])
        assert batch.owners is not None
        assert len(batch.owners) == len(batch.targets) >= 1


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_a_model_that_is_saved_and_judged(name: str, river: River, tmp_path: Path) -> None:
    kind, preset, model, scores = RECIPES[name]
    found = river.train(tmp_path / name, kind, preset, model, objective=name, **CASES[name][1])
    assert set(found.scores) == scores
    for entry in found.scores.values():
        assert entry["low"] <= entry["value"] <= entry["high"]
    assert found.loaded.facts["objective"] == name
