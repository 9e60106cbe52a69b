"""Objectives by name: those of the package, a user's own, and each trained end to end through the stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from myna.errors import InputError
from myna.objectives import OBJECTIVES, find_objective
from myna.objectives.settings import ObjectiveTables
from myna.tokens.tokenizer import Tokenizer

from .conftest import River

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_every_objective_has_a_class_a_table_of_settings_and_a_declaration() -> None:
    for name in OBJECTIVES:
        mixture = {"causal": 1.0, "prefix": 1.0} if name == "mixture" else None
        tables = ObjectiveTables(objective=name, mixture=mixture)
        declared = tables.objective_settings().declaration()
        assert isinstance(tables.objective_settings(), find_objective(name).settings_class)
        assert declared.head
        assert declared.attention


def test_an_objective_of_ones_own_is_trained_and_judged_like_the_others(
    river: River, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    own = {"objective": "own_objective:Correction", "settings": {"ratio": 0.3}}
    found = river.train(tmp_path / "own", "wordpiece", "bert-micro", **own)
    assert found.loaded.facts["settings"] == {"ratio": 0.3}
    assert 1 < found.scores["perplexity"]["value"] < 2 * found.loaded.model.config.vocabulary_size
    assert found.scores["perplexity"]["low"] < found.scores["perplexity"]["high"]
    with pytest.raises(InputError, match="settings of own_objective:Correction are wrong: ratio"):
        river.train(tmp_path / "wrong", "wordpiece", "bert-micro", **{**own, "settings": {"ratio": 3}})
    with pytest.raises(InputError, match="has no objective 'Corection'"):
        river.train(tmp_path / "other", "wordpiece", "bert-micro", objective="own_objective:Corection")


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe"])
def test_words_are_masked_under_any_tokenizer_which_gets_a_mask_where_it_lacks_one(
    kind: str, river: River, tmp_path: Path
) -> None:
    found = river.train(tmp_path / kind, kind, "bert-micro", objective="masked", masked={"unit": "span"})
    before, after = Tokenizer.open(river.place / kind), found.loaded.tokenizer
    assert after.mask is not None
    assert after.vocabulary_size == before.vocabulary_size + (kind == "byte_bpe")
    assert found.loaded.facts["masked"]["unit"] == "span"
    assert found.scores["perplexity"]["value"] > 1
    text = "今天北京天气很好。"
    assert after.backend.encode(text).ids == before.backend.encode(text).ids
