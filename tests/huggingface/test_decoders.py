"""Settings of decoders and encoder-decoders: what is spelled in two ways, and what is refused by its name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from myna.errors import InputError
from myna.huggingface.families import family_of, find_family, tensors_of
from myna.model.config import ModelConfig
from myna.model.heads import build
from myna.presets import PRESETS, model_config

LLAMA = {"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA |= {"intermediate_size": 30, "max_position_embeddings": 64}
T5 = {"vocab_size": 50, "d_model": 24, "d_kv": 5, "d_ff": 30, "num_layers": 2, "num_heads": 4}
BART = {"vocab_size": 50, "d_model": 24, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4}
BART |= {"decoder_attention_heads": 4, "encoder_ffn_dim": 30, "decoder_ffn_dim": 30}
GPT = {"vocab_size": 50, "n_embd": 24, "n_layer": 2, "n_head": 4}
SMALL = {"llama": LLAMA, "qwen2": LLAMA, "qwen3": LLAMA, "bart": BART, "t5": T5, "gpt2": GPT, "openai-gpt": GPT}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}


def read(family: str, **settings: Any) -> ModelConfig:
    """The description that a small model's ``config.json`` gives."""
    table = find_family(family)
    return table.config({**SMALL[family], **settings}, next(iter(table.heads)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"rope_theta": 500.0}, {"rope_type": "default", "rope_theta": 500.0}),
        (
            {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.0}},
            {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0},
        ),
        (
            {"rope_theta": 500.0, "rope_scaling": {"rope_type": "llama3", **LLAMA3}},
            {"rope_type": "llama3", "rope_theta": 500.0, **LLAMA3},
        ),
    ],
)
def test_rotary_settings_are_read_in_the_older_spelling_and_in_the_newer(old: dict, new: dict) -> None:
    assert read("llama", **old) == read("llama", rope_parameters=new)
    assert read("llama", **old) != read("llama")


def test_heads_of_a_qwen3_that_says_no_size_are_128_wide_as_in_transformers() -> None:
    assert read("qwen3").head_channels == transformers.Qwen3Config(**SMALL["qwen3"]).head_dim == 128
    assert read("qwen2").head_channels == 6


def test_the_two_versions_of_t5_are_told_apart_in_both_spellings() -> None:
    first, second = read("t5"), read("t5", tie_word_embeddings=False, feed_forward_proj="gated-gelu")
    assert (first.tied, first.output_scale, first.gated, first.activation) == (True, 24**-0.5, False, "relu")
    assert (second.tied, second.output_scale, second.gated, second.activation) == (False, 1.0, True, "gelu_tanh")
    again = {"feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu_new", "is_gated_act": True}
    assert second == read("t5", tie_word_embeddings=True, scale_decoder_outputs=False, **again)


@pytest.mark.parametrize(
    ("family", "name", "settings"),
    [
        ("llama", "rope_type", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}),
        ("llama", "beta_fast", {"rope_scaling": {"type": "linear", "factor": 2.0, "beta_fast": 32}}),
        ("llama", "partial_rotary_factor", {"partial_rotary_factor": 0.5}),
        ("llama", "partial_rotary_factor", {"rope_parameters": {"partial_rotary_factor": 0.5}}),
        ("llama", "factor", {"rope_scaling": {"type": "linear"}}),
        ("llama", "sliding_window", {"sliding_window": 8}),
        ("qwen2", "use_sliding_window", {"use_sliding_window": True}),
        ("qwen3", "layer_types", {"layer_types": ["full_attention", "sliding_attention"]}),
        ("bart", "decoder_attention_heads", {"decoder_attention_heads": 2}),
        ("bart", "decoder_ffn_dim", {"decoder_ffn_dim": 20}),
        ("bart", "normalize_before", {"normalize_before": True}),
        ("bart", "tie_word_embeddings", {"tie_word_embeddings": False}),
        ("t5", "dense_act_fn", {"feed_forward_proj": "gated-mish"}),
        ("t5", "is_decoder", {"is_decoder": True}),
        ("gpt2", "scale_attn_by_inverse_layer_idx", {"scale_attn_by_inverse_layer_idx": True}),
        ("gpt2", "add_cross_attention", {"add_cross_attention": True}),
        ("openai-gpt", "afn", {"afn": "tanh"}),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(family: str, name: str, settings: dict[str, Any]) -> None:
    read(family)
    with pytest.raises(InputError, match=name):
        read(family, **settings)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name.startswith("gpt") and name != "gpt-base"])
def test_our_presets_of_gpt_are_saved_as_gpt2(preset: str) -> None:
    assert family_of(model_config(preset, 50), "causal").model_type == "gpt2"


@pytest.mark.parametrize("family", ["bart", "t5"])
def test_the_stacks_of_an_encoder_decoder_that_was_read_share_their_words(family: str) -> None:
    table = find_family(family)
    config = read(family)
    built = build(config, "sequence_to_sequence", seed=1)
    with torch.device("meta"):
        model = type(built)(config, "sequence_to_sequence")
    table.load(model, tensors_of(built), bare=False)
    assert model.trunk.decoder.embeddings.words.weight is model.trunk.encoder.embeddings.words.weight
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), built.parameters(), strict=True))
