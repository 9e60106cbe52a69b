"""Presets have the sizes of the published models, and open in transformers where a family can say them."""

from __future__ import annotations

import pytest
import torch
import transformers

from myna.huggingface.families import family_of, with_head
from myna.model.heads import Model
from myna.presets import PRESETS, model_config

# The vocabulary, the number of parameters (published, or of the reference's code) and the family.
PUBLISHED = {
    "bert-base": (30_522, 109_514_298, "bert"),
    "bert-large": (30_522, 335_174_458, "bert"),
    "roberta-base": (50_265, 124_697_433, "roberta"),
    "albert-base": (30_000, 11_221_680, "albert"),
    "electra-small": (30_522, 13_549_057, "electra"),
    "convbert-base": (30_522, 106_303_170, "convbert"),
    "modernbert-base": (50_368, 149_655_232, "modernbert"),
    "gpt-base": (40_478, 116_534_784, "openai-gpt"),
    "gpt2": (50_257, 124_439_808, "gpt2"),
    "gpt2-medium": (50_257, 354_823_168, "gpt2"),
    "llama-1b": (128_256, 1_235_814_400, "llama"),
    "qwen3-0.6b": (151_936, 596_049_920, "qwen3"),
    "bart-base": (50_265, 139_420_416 + 50_265, "bart"),  # theirs has the bias of the output layer as a buffer
    "t5-small": (32_128, 76_961_152, "t5"),
}


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_its_parameters_to_the_last(name: str) -> None:
    size, expected, model_type = PUBLISHED[name]
    config = model_config(name, size)
    kind = "sequence_to_sequence" if config.decoder_layers else "masked" if config.attention != "causal" else "causal"
    if name == "electra-small":
        config, kind = with_head(config, "masked", "replaced"), "replaced"
    with torch.device("meta"):
        assert parameters(Model(config, kind)) == expected
    family = family_of(config, kind)
    assert family.model_type == model_type
    theirs = transformers.AutoConfig.for_model(**family.settings(config, kind))
    with torch.device("meta"):
        model = getattr(transformers, family.heads[kind].architecture)(theirs)
    buffers = sum(buffer.numel() for at, buffer in model.named_buffers() if at == "final_logits_bias")
    # transformers 5 ties the output layer of a T5 that it builds anew, and reads one of its own.
    untied = 0 if config.tied else size * config.hidden_size
    assert parameters(model) + buffers + untied == expected


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_built_and_saved_in_a_layout(name: str) -> None:
    config = model_config(name, 1000)
    kind = "sequence_to_sequence" if config.decoder_layers else "masked" if config.attention != "causal" else "causal"
    with torch.device("meta"):
        model = Model(config, kind)
    ours = name.startswith(("convgpt", "cnn"))
    family = family_of(config, kind)
    assert (family.model_type == "myna") == ours
    named = {part for row, _ in family.placed(model) for part in row.theirs}
    assert len(named) >= len(list(model.named_parameters()))
