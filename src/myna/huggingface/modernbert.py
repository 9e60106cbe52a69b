"""ModernBERT (Warner et al. 2024, arXiv:2412.13663): pre-norm, rotary, gated; most layers see a window only."""

from __future__ import annotations

from typing import Any

from myna.errors import InputError
from myna.huggingface.layout import ACTIVATIONS, Family, Field, Head, Row, Settings, quoted, rows_of
from myna.model.config import ModelConfig

_FULL, _SLIDING = "full_attention", "sliding_attention"
_LAYER = "model.layers.*"
_TRANSFORM = [*rows_of("head.transform.dense", "head.dense"), *rows_of("head.transform.norm", "head.norm")]
_CLASSIFIER = [*_TRANSFORM, *rows_of("head.output", "classifier")]
# The bias that may be left out is that of the masked language model.
_BIAS = {"output_bias": True}
# Left out, they would be those of the published vocabulary, beyond the end of a smaller one.
_SPECIAL = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")


def _types(layers: int, every: int) -> list[str]:
    return [_FULL if every and n % every == 0 else _SLIDING for n in range(layers)]


def _read(settings: Settings) -> dict[str, Any]:
    layers, every = settings.take("num_hidden_layers"), settings.take("global_attn_every_n_layers", 3)
    types = settings.take("layer_types", _types(layers, every))
    every = next((n for n in (every, *range(layers + 1)) if _types(layers, n) == types), None)
    if every is None:
        raise InputError(f"config.json: layer_types = {types} is not supported, only every so manieth {_FULL}")
    window = settings.take("local_attention", 128) // 2
    rotary = settings.take("rope_parameters", {})
    if not set(rotary) <= {_FULL, _SLIDING}:
        raise InputError(
            f"config.json: rope_parameters = {quoted(rotary)} is not supported, only a table for each type"
        )
    base = _theta(rotary, _FULL, settings.take("global_rope_theta", 160_000.0))
    local = _theta(rotary, _SLIDING, settings.take("local_rope_theta", 10_000.0))
    if every == 1:  # every layer sees all
        return {"rotary_base": base}
    other = None if local == base else local
    return {"rotary_base": base, "rotary_local_base": other, "window": window, "global_every": every}


def _theta(rotary: dict[str, Any], layers: str, default: float) -> float:
    """The base of the wavelengths in layers of a type: files before transformers 5 have it outside."""
    given = dict(rotary.get(layers) or {})
    theta: float = given.pop("rope_theta", default)
    if given not in ({}, {"rope_type": "default"}):
        raise InputError(f"config.json: rope_parameters: {layers} = {given} is not supported")
    return theta


def _write(config: ModelConfig) -> dict[str, Any]:
    every = 1 if config.window is None else config.global_every
    bases = {_FULL: config.rotary_base, _SLIDING: config.rotary_local_base or config.rotary_base}
    return {
        **dict.fromkeys(_SPECIAL),
        "global_attn_every_n_layers": every,
        "layer_types": _types(config.layers, every),
        "rope_parameters": {name: {"rope_type": "default", "rope_theta": base} for name, base in bases.items()},
        "initializer_cutoff_factor": 2.0,
    } | ({} if config.window is None else {"local_attention": 2 * config.window})


FAMILIES = {
    "modernbert": Family(
        "modernbert",
        "model.",
        [
            Field("vocabulary_size", "vocab_size"),
            Field("hidden_size", "hidden_size"),
            Field("layers", "num_hidden_layers"),
            Field("heads", "num_attention_heads"),
            Field("feed_forward_size", "intermediate_size"),
            Field("maximum_length", "max_position_embeddings", 8192),
            Field("tied", "tie_word_embeddings", True),
            Field("norm_epsilon", "norm_eps", 1e-5),
            Field("activation", "hidden_activation", "gelu", ACTIVATIONS),
            Field("projection_bias", "attention_bias", False),
            Field("output_bias", "attention_bias", False),
            Field("feed_forward_bias", "mlp_bias", False),
            Field("norm_bias", "norm_bias", False),
            Field("embedding_dropout", "embedding_dropout", 0.0),
            Field("activation_dropout", "mlp_dropout", 0.0),
            Field("initializer_range", "initializer_range", 0.02),
            Field("head.activation", "classifier_activation", "gelu", ACTIVATIONS),
            Field("head.dense_bias", "classifier_bias", False),
            Field("head.output_bias", "decoder_bias", True),
            Field("head.pooling", "classifier_pooling", "cls", {"cls": "first", "mean": "mean"}),
            Field("head.dropout", "classifier_dropout", 0.0),
        ],
        [
            Row("trunk.embeddings.words.weight", ("model.embeddings.tok_embeddings.weight",)),
            *rows_of("trunk.embeddings.norm", "model.embeddings.norm"),
            *rows_of("trunk.blocks.*.mixer_residual.before", f"{_LAYER}.attn_norm"),
            *rows_of("trunk.blocks.*.mixer.projection", f"{_LAYER}.attn.Wqkv"),
            *rows_of("trunk.blocks.*.mixer.output", f"{_LAYER}.attn.Wo"),
            *rows_of("trunk.blocks.*.feed_forward_residual.before", f"{_LAYER}.mlp_norm"),
            *rows_of("trunk.blocks.*.feed_forward.inner", f"{_LAYER}.mlp.Wi"),
            *rows_of("trunk.blocks.*.feed_forward.output", f"{_LAYER}.mlp.Wo"),
            *rows_of("trunk.last_norm", "model.final_norm"),
        ],
        {
            "masked": Head(
                "ModernBertForMaskedLM",
                [*_TRANSFORM, Row("head.output", ("decoder.weight",)), Row("head.bias", ("decoder.bias",))],
            ),
            "sequence": Head("ModernBertForSequenceClassification", _CLASSIFIER, _BIAS),
            "token": Head("ModernBertForTokenClassification", _CLASSIFIER, _BIAS),
            "span": Head("ModernBertForQuestionAnswering", _CLASSIFIER, _BIAS),
        },
        parts={
            "norm_place": "pre",
            "embedding_norm": True,
            "positions": "rotary",
            "gated": True,
            "dropout": 0.0,
            "initializer": "truncated",
        },
        # It would drop after the attention of a layer too, but not after its feed-forward network.
        must={"attention_dropout": 0.0},
        read=_read,
        write=_write,
        unused=("decoder.weight",),
        harmless=(
            "initializer_cutoff_factor",
            "deterministic_flash_attn",
            "reference_compile",
            "repad_logits_with_grad",
            "sparse_prediction",
            "sparse_pred_ignore_index",
            # In files before transformers 5, where nothing reads them.
            "layer_norm_eps",
            "position_embedding_type",
        ),
    )
}
