"""ALBERT, ELECTRA, ConvBERT and ModernBERT: what is refused, older files, and heads put on a trunk of the family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from myna.errors import InputError
from myna.huggingface.families import empty_model, family_of, find_family, with_head


def settings(family: str, **changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = transformers.AutoConfig.for_model(family).to_dict()
    return content | {"architectures": None, **changes}


@pytest.mark.parametrize(
    "family, changes, message",
    [
        ("albert", {"inner_group_num": 2}, "inner_group_num = 2 is not supported, only 1"),
        ("albert", {"num_hidden_groups": 0}, "num_hidden_groups = 0 is not supported"),
        ("albert", {"num_hidden_groups": 5}, "layer_groups = 5 must divide layers"),
        ("albert", {"tie_word_embeddings": False}, "tie_word_embeddings = False is not supported"),
        ("electra", {"is_decoder": True}, "is_decoder = True is not supported"),
        ("electra", {"position_embedding_type": "relative_key"}, "position_embedding_type = 'relative_key'"),
        ("convbert", {"num_groups": 2}, "num_groups = 2 is not supported, only 1"),
        ("convbert", {"head_ratio": 5}, "convolution_ratio = 5 must divide heads = 12"),
        ("modernbert", {"attention_dropout": 0.1}, "attention_dropout = 0.1 is not supported"),
        ("modernbert", {"layer_types": ["sliding_attention"] * 21 + ["full_attention"]}, "layer_types = "),
        ("modernbert", {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "full_attention = .*yarn"),
        ("modernbert", {"rope_parameters": {"rope_type": "linear", "factor": 2.0}}, "rope_parameters = .*linear"),
        ("modernbert", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling = "),
    ],
)
def test_what_changes_the_arithmetic_and_is_not_supported_is_named(
    family: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        find_family(family).config(settings(family, **changes), "masked")


def test_a_modernbert_from_before_its_rotary_settings_moved_is_the_same_model() -> None:
    content = settings("modernbert")
    new = find_family("modernbert").config(content, "masked")
    del content["rope_parameters"], content["layer_types"]
    content |= {"global_rope_theta": 160_000.0, "local_rope_theta": 10_000.0, "global_attn_every_n_layers": 3}
    assert find_family("modernbert").config(content, "masked") == new
    content["global_rope_theta"] = 80_000.0
    assert find_family("modernbert").config(content, "masked").rotary_base == 80_000.0


@pytest.mark.parametrize(
    "family, architecture",
    [
        ("albert", "AlbertForMaskedLM"),
        ("electra", "ElectraForPreTraining"),
        ("convbert", "ConvBertForMaskedLM"),
        ("modernbert", "ModernBertForMaskedLM"),
    ],
)
def test_the_default_size_has_as_many_parameters_as_theirs(family: str, architecture: str) -> None:
    ours, _, _ = empty_model(settings(family, architectures=[architecture]))
    with torch.device("meta"):
        theirs = getattr(transformers, architecture)(transformers.AutoConfig.for_model(family))
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize("family", ["albert", "electra", "convbert", "modernbert"])
@pytest.mark.parametrize("kind", ["sequence", "token", "span"])
def test_another_head_is_the_familys_and_saved_as_such(family: str, kind: str) -> None:
    table = find_family(family)
    content = settings(family, classifier_dropout=0.3) if family != "albert" else settings(family)
    described = with_head(table.config(content, "masked"), "masked", kind)
    assert described == table.config(content, kind)
    assert with_head(described, kind, "masked").head.dropout == described.head.dropout
    first = described.head.dropout if kind == "sequence" and family in ("electra", "convbert") else 0.0
    assert described.head.first_dropout == first
    assert family_of(described, kind).model_type == family


def test_the_discriminator_drops_nothing_in_front_of_its_answer() -> None:
    from myna.model.flat import flatten
    from myna.model.heads import build

    config = find_family("electra").config(
        settings(
            "electra",
            num_hidden_layers=1,
            vocab_size=30,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            classifier_dropout=0.5,
        ),
        "replaced",
    )
    model = build(config, "replaced")
    texts = [torch.arange(9).numpy()]
    trained = model(flatten(texts, torch.tensor([0]).numpy(), key=1))
    assert torch.equal(trained, model(flatten(texts)))
