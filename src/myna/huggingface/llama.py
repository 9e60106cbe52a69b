"""Llama (Touvron et al. 2023, arXiv:2302.13971), from its first version to 3.3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myna.errors import InputError
from myna.huggingface.gpt2 import NO_DENSE
from myna.huggingface.layout import ACTIVATIONS, Family, Field, Head, Row, Settings, rows_of
from myna.model.config import ModelConfig

_LAYER = "model.layers.*"
_BLOCK = "trunk.blocks.*"

# What Llama shares with Qwen2 and Qwen3.
FIELDS = [
    Field("vocabulary_size", "vocab_size"),
    Field("hidden_size", "hidden_size"),
    Field("layers", "num_hidden_layers"),
    Field("heads", "num_attention_heads"),
    Field("feed_forward_size", "intermediate_size"),
    Field("norm_epsilon", "rms_norm_eps", 1e-6),
    Field("activation", "hidden_act", "silu", ACTIVATIONS),
    Field("attention_dropout", "attention_dropout", 0.0),
    Field("head.dropout", "classifier_dropout", 0.1),
    Field("tied", "tie_word_embeddings", False),
    Field("initializer_range", "initializer_range", 0.02),
]
ROWS = [
    Row("trunk.embeddings.words.weight", ("model.embed_tokens.weight",)),
    *rows_of(f"{_BLOCK}.mixer_residual.before", f"{_LAYER}.input_layernorm"),
    *rows_of(f"{_BLOCK}.mixer.projection", *(f"{_LAYER}.self_attn.{part}_proj" for part in "qkv")),
    *rows_of(f"{_BLOCK}.mixer.output", f"{_LAYER}.self_attn.o_proj"),
    *rows_of(f"{_BLOCK}.feed_forward_residual.before", f"{_LAYER}.post_attention_layernorm"),
    *rows_of(f"{_BLOCK}.feed_forward.inner", f"{_LAYER}.mlp.gate_proj", f"{_LAYER}.mlp.up_proj"),
    *rows_of(f"{_BLOCK}.feed_forward.output", f"{_LAYER}.mlp.down_proj"),
    *rows_of("trunk.last_norm", "model.norm"),
]
PARTS: dict[str, Any] = {
    "attention": "causal",
    "positions": "rotary",
    "norm": "rms_norm",
    "norm_place": "pre",
    "gated": True,
    "dropout": 0.0,
}
# A copy of the embeddings where they are the output layer, and what is computed from the settings.
UNUSED, IGNORED = ("lm_head.",), (".rotary_emb.inv_freq",)


def heads_of(name: str) -> dict[str, Head]:
    """The heads, whose classes begin with a name. Question answering, whose trunk is called otherwise, is none."""
    return {
        "causal": Head(f"{name}ForCausalLM", [Row("head.output", ("lm_head.weight",))], NO_DENSE),
        "sequence": Head(f"{name}ForSequenceClassification", rows_of("head.output", "score"), NO_DENSE),
        "token": Head(f"{name}ForTokenClassification", rows_of("head.output", "score"), {"dense": False}),
    }


def _read_rotary(settings: Settings) -> dict[str, Any]:
    """The base and the scaling of rotary positions, spelled as since transformers 5 or as before."""
    base = settings.take("rope_theta", 10000.0)
    given = settings.take("rope_parameters", {})
    given = settings.take("rope_scaling", {}) or given
    if not isinstance(given, Mapping):
        raise InputError(f"config.json: rope_parameters = {given!r} is not a table")
    rotary = Settings(given)
    for place in (settings, rotary):
        place.must(partial_rotary_factor=1.0)
    kinds = {"default": None, "linear": "linear", "llama3": "llama3"}
    kind = rotary.one_of("rope_type", kinds, rotary.take("type", "default"))
    scaling = None if kind is None else {"kind": kind, "factor": rotary.take("factor")}
    if scaling is not None and kind == "llama3":
        scaling["low_frequency_factor"] = rotary.take("low_freq_factor")
        scaling["high_frequency_factor"] = rotary.take("high_freq_factor")
        length = settings.take("max_position_embeddings")
        scaling["original_length"] = rotary.take("original_max_position_embeddings", length)
    parts = {"rotary_base": rotary.take("rope_theta", base), "rotary_scaling": scaling}
    rotary.end()
    return parts


def _write_rotary(config: ModelConfig) -> dict[str, Any]:
    rotary: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rotary_base}
    scaling = config.rotary_scaling
    if scaling is not None:
        rotary |= {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling is not None and scaling.kind == "llama3":
        rotary["low_freq_factor"] = scaling.low_frequency_factor
        rotary["high_freq_factor"] = scaling.high_frequency_factor
        rotary["original_max_position_embeddings"] = scaling.original_length
    return {"rope_parameters": rotary}


def read(settings: Settings, head_size: int | None = None) -> dict[str, Any]:
    """Counts and sizes of heads, left to their defaults where they are as those, and rotary positions.

    ``head_size`` is that of a folder that says none; None: the width shared out among the heads.
    """
    width, heads = settings.take("hidden_size"), settings.take("num_attention_heads")
    shared, size = settings.take("num_key_value_heads", heads), settings.take("head_dim", head_size or width // heads)
    parts = {
        "key_value_heads": None if shared == heads else shared,
        "head_size": None if size * heads == width else size,
    }
    return parts | _read_rotary(settings)


def read_biased(settings: Settings, head_size: int | None = None) -> dict[str, Any]:
    """The same, and one setting for the biases of all of attention."""
    biased = settings.take("attention_bias", False)
    return {"projection_bias": biased, "output_bias": biased} | read(settings, head_size)


def write(config: ModelConfig) -> dict[str, Any]:
    """What ``read`` reads."""
    return {"num_key_value_heads": config.kv_heads, "head_dim": config.head_channels} | _write_rotary(config)


def write_biased(config: ModelConfig) -> dict[str, Any]:
    """What ``read_biased`` reads."""
    return {"attention_bias": config.projection_bias} | write(config)


FAMILIES = {
    "llama": Family(
        "llama",
        "model.",
        [
            *FIELDS,
            Field("maximum_length", "max_position_embeddings", 2048),
            Field("feed_forward_bias", "mlp_bias", False),
        ],
        ROWS,
        heads_of("Llama"),
        parts=PARTS,
        read=read_biased,
        write=write_biased,
        unused=UNUSED,
        ignored=IGNORED,
        # How many parts Llama's products were computed in.
        harmless=("pretraining_tp",),
    )
}
