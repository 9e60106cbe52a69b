"""Corpora drawn from by weight: any objective learns from them, and the books say what came from where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from myna import randomness
from myna.pretraining import PretrainConfig, pretrain
from myna.tokens.sources import Sources, SourceSampler
from myna.tokens.store import TokenStore
from myna.training.loop import make_batches

from ..stores import random_store
from .conftest import SIZES, River
from .test_all import CASES, made

TABLE: dict[str, Any] = {
    "corpus": ["news", "more"],
    "tokenizer": "byte_bpe",
    "preset": "gpt-micro",
    "model": {**SIZES, "attention": "prefix"},
    "objective": "mixture",
    "mixture": {"causal": 1, "prefix": 2},
    "batch_tokens": 200,
    "threads": 1,
    "log_steps": 1,
    "schedule": "wsd",
    "warmup_steps": 1,
    "weights": {"news": 3, "more": 1},
    "cooldown_weights": {"more": 1},
    "cooldown": 0.5,
}


def trained(river: River, folder: Path, **changes: Any) -> dict[str, Any]:
    """The ledger of a training on two corpora, which are the same text."""
    config = PretrainConfig.model_validate(TABLE | changes)
    store = river.place / "store-byte_bpe"
    ledger = pretrain(config, river.place / "byte_bpe", [store, store], folder, seed=1)
    ledger.check()
    return ledger.to_dict()


@pytest.mark.parametrize("name", CASES)
def test_a_step_of_any_objective_has_items_of_every_source(name: str) -> None:
    objective, _ = made(name)
    stores = {"a": random_store([40, 20, 9] * 6), "b": random_store([31, 12] * 6, seed=1)}
    sources = Sources({key: objective.items([store], 32) for key, store in stores.items()}, {"a": 1, "b": 1})
    chosen = SourceSampler(sources, 200, 1, 0).step(3)
    assert 0 < (chosen < sources.first("b")).sum() < len(chosen)
    batches = make_batches(objective, sources, chosen.tolist(), 90, randomness.key(1, "step", 3))
    assert sum(batch.size for batch in batches) <= sources.lengths[chosen].sum()
    held = [int(np.asarray(part.tokens).sum()) for part in sources.parts]
    assert held == [store.tokens for store in stores.values()]


def test_the_books_say_what_came_from_where(river: River, tmp_path: Path) -> None:
    ledger = trained(river, tmp_path / "model", steps=4)
    notes = ledger["notes"]
    # Two steps of three quarters and one, two of the other alone.
    assert (notes["tokens drawn from news"], notes["tokens drawn from more"]) == (300, 500)
    assert notes["epochs of more"] == pytest.approx(notes["epochs of news"] * 5 / 3, abs=0.002)
    assert "epochs" not in notes
    assert ledger["in"]["tokens"] == 2 * TokenStore.open(river.place / "store-byte_bpe", "train").tokens
    assert 0 < ledger["kept"]["documents"] < ledger["in"]["documents"]


def test_a_longer_run_with_other_weights_in_its_cool_down_goes_on(river: River, tmp_path: Path) -> None:
    straight, changed = tmp_path / "straight" / "model", tmp_path / "changed" / "model"
    expected = trained(river, straight, steps=8)
    trained(river, changed, steps=4)
    assert trained(river, changed, steps=8) == expected
    names = ["model.safetensors", "myna.json"]
    assert all((straight / "model" / n).read_bytes() == (changed / "model" / n).read_bytes() for n in names)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"weights": {"news": 1, "mroe": 1}}, '"mroe" is none of the corpora of this table; there are news, more'),
        ({"weights": {"news": -1, "more": 1}}, "greater than or equal to 0"),
        ({"weights": {"news": 0, "more": 0}}, "every weight is 0"),
        ({"cooldown_weights": {"more": 0}}, "every weight is 0"),
        ({"cooldown_weights": None, "weights": {"news": 1}}, 'the corpus "more" has no weight'),
        ({"weights": None}, "cooldown_weights go with weights"),
        ({"corpus": ["news", "news", "more"]}, "a corpus stands twice"),
    ],
)
def test_weights_that_make_no_sense_are_told(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        PretrainConfig.model_validate(TABLE | {"steps": 4} | changes)
