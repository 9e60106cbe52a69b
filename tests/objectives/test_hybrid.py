"""One model, read as an encoder, as a decoder, or as both with a prefix; and mixtures of objectives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from myna import randomness
from myna.finetuning import FinetuneConfig
from myna.learner import with_new_head
from myna.model.flat import Flat, flatten
from myna.model.heads import Model, build
from myna.objectives.hybrid import HybridLM
from myna.objectives.mixture import MixedBatch
from myna.objectives.prefix import PrefixLM
from myna.objectives.settings import ObjectiveTables

from ..stores import random_store
from .test_all import PREFIX, VOCABULARY, made


def seeing(model: Model, line: list[int], first: int) -> torch.Tensor:
    """The logits at each position, each computed from what it sees alone: the prefix of ``first`` and what is before.

    A position that sees n tokens reads them in a pass of its own, with all of the prefix at its place.
    """
    rows = []
    for place in range(len(line)):
        ids = torch.tensor(line[: max(first, place + 1)])
        prefixes = torch.tensor([first])
        rows.append(model(Flat(ids, torch.arange(len(ids)), flatten([ids.numpy()]).runs, prefixes=prefixes))[place])
    return torch.stack(rows)


def test_a_prefix_is_seen_whole_and_only_what_follows_it_is_a_target() -> None:
    objective, model = made("prefix")
    store = random_store([7, 20, 12])
    items = objective.items([store], 32)
    batch = objective.batch([items[i] for i in range(3)], np.arange(3), None)
    with torch.no_grad():
        found = objective.loss(model, batch).terms[0]
        total, count = 0.0, 0
        for text, prefix in zip(store.texts, batch.tokens.prefixes.tolist(), strict=True):
            line, following = [VOCABULARY.start, *text], [*text, VOCABULARY.end]
            nats = F.cross_entropy(seeing(model, line, prefix), torch.tensor(following), reduction="none")
            total += nats[prefix - 1 :].sum().item()
            count += len(line) - prefix + 1
    assert found.sum.item() == pytest.approx(total, rel=1e-12)
    assert found.count == count


def test_prefixes_are_as_often_of_every_length() -> None:
    objective = PrefixLM(VOCABULARY)
    items = objective.items([random_store([9] * 4000)], 32)
    batch = objective.batch([items[i] for i in range(4000)], np.arange(4000), randomness.key(3))
    counts = batch.tokens.prefixes.bincount(minlength=11)
    assert counts[0] == 0
    # 27.9 is passed once in a thousand times by nine degrees of freedom.
    assert ((counts[1:] - 400) ** 2 / 400).sum() < 27.9


def test_the_hybrid_predicts_what_is_masked_one_place_before_and_reads_the_rest_as_a_decoder() -> None:
    objective, model = made("hybrid")
    assert isinstance(objective, HybridLM)
    store = random_store([7, 20, 12, 25, 3, 18])
    items = objective.items([store], 32)
    batch = objective.batch([items[i] for i in range(6)], np.arange(6), None)
    assert isinstance(batch, MixedBatch)
    parts = {member.name: part for member, part in batch.parts}
    assert parts.keys() == {"causal", "masked"}
    with torch.no_grad():
        found = {term.name: term for term in objective.loss(model, batch).terms}
        sums = {"causal": 0.0, "masked": 0.0}
        lines = [[VOCABULARY.start, *text] for text in store.texts]
        causal = [ids.tolist() for ids in torch.split(parts["causal"].tokens.ids, sizes(parts["causal"]))]
        for line in causal:
            following = torch.tensor([*line[1:], VOCABULARY.end])
            assert line in lines
            sums["causal"] += F.cross_entropy(seeing(model, line, 0), following, reduction="sum").item()
        both = build(PREFIX.model_copy(update={"attention": "bidirectional"}), "causal").double()
        both.load_state_dict(model.state_dict())
        masked, row = parts["masked"], 0
        targets = dict(zip(masked.positions.tolist(), masked.targets.tolist(), strict=True))
        for line in [line for line in lines if line not in causal]:
            read = masked.tokens.ids[row : row + len(line)]
            shares = both(flatten([read.numpy()])).log_softmax(1)
            for place in range(len(line) - 1):
                if row + place in targets:
                    assert line[place + 1] == targets.pop(row + place)
                    sums["masked"] -= shares[place, line[place + 1]].item()
            row += len(line)
    assert not targets
    for name, expected in sums.items():
        assert found[name].sum.item() == pytest.approx(expected, rel=1e-12)
    assert (found["causal"].weight, found["masked"].weight) == (0.4, 0.6)


def sizes(batch) -> list[int]:
    return [run.length for run in batch.tokens.runs for _ in range(run.documents)]


def test_items_are_drawn_by_weight() -> None:
    objective, _ = made("mixture")
    items = objective.items([random_store([5] * 4000)], 32)
    batch = objective.batch([items[i] for i in range(4000)], np.arange(4000), randomness.key(4))
    assert isinstance(batch, MixedBatch)
    counts = {member.name: part.tokens.ids.numel() for member, part in batch.parts if member.name != "hybrid"}
    for count in counts.values():
        assert count / 6 == pytest.approx(1000, abs=100)
    assert set(batch.counts) == {"causal", "prefix", "hybrid.causal", "hybrid.masked"}


def test_a_task_starts_from_a_hybrid_that_then_sees_both_ways() -> None:
    origin = build(PREFIX, "causal", seed=1)
    config = FinetuneConfig(task="classification", corpus="x", start_from="y")
    model = with_new_head(origin, "sequence", ("a", "b"), config, 1, Path("y"))
    assert model.config.attention == "bidirectional"
    assert torch.equal(model.trunk.embeddings.words.weight, origin.trunk.embeddings.words.weight)


@pytest.mark.parametrize(
    "table, expected",
    [
        ({}, "two objectives or more"),
        ({"mixture": {"causal": 1}}, "two objectives or more"),
        ({"mixture": {"causal": 1, "prefix": 0}}, "a weight above 0"),
        ({"mixture": {"causal": 1, "prefxi": 1}}, "did you mean 'prefix'"),
        ({"mixture": {"causal": 1, "masked": 1}}, "need different models"),
        ({"mixture": {"causal": 1, "prefix": 1}, "masked": {}}, 'the table "masked" does not belong'),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(table: dict, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        ObjectiveTables(objective="mixture", **table)
