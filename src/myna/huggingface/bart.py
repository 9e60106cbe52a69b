"""BART (Lewis et al. 2019, arXiv:1910.13461): an encoder-decoder of post-norm layers with learned positions."""

from __future__ import annotations

import math
from typing import Any

from myna.errors import InputError
from myna.huggingface.layout import ACTIVATIONS, Family, Field, Head, Row, Settings, rows_of
from myna.model.config import ModelConfig


def _read(settings: Settings) -> dict[str, Any]:
    width = settings.take("d_model")
    layers, heads, inner = (settings.take(f"encoder_{part}") for part in ("layers", "attention_heads", "ffn_dim"))
    settings.must(num_hidden_layers=layers, decoder_attention_heads=heads, decoder_ffn_dim=inner)
    scale = math.sqrt(width) if settings.take("scale_embedding", False) else 1.0
    return {"embedding_scale": scale}


def _write(config: ModelConfig) -> dict[str, Any]:
    if config.embedding_scale not in (1.0, math.sqrt(config.hidden_size)):
        raise InputError("the embedding_scale of a bart model is 1 or the root of its hidden_size")
    return {
        "scale_embedding": config.embedding_scale != 1,
        "decoder_attention_heads": config.heads,
        "decoder_ffn_dim": config.feed_forward_size,
    }


def _stack_rows(ours: str, theirs: str) -> list[Row]:
    """The rows of one of the two stacks; an encoder has none that read a source."""
    block, layer = f"{ours}.blocks.*", f"{theirs}.layers.*"
    rows = [
        Row(f"{ours}.embeddings.positions.weight", (f"{theirs}.embed_positions.weight",)),
        *rows_of(f"{ours}.embeddings.norm", f"{theirs}.layernorm_embedding"),
    ]
    for mixer, attention in (("mixer", "self_attn"), ("source", "encoder_attn")):
        rows += [
            *rows_of(f"{block}.{mixer}.projection", *(f"{layer}.{attention}.{part}_proj" for part in "qkv")),
            *rows_of(f"{block}.{mixer}.output", f"{layer}.{attention}.out_proj"),
            *rows_of(f"{block}.{mixer}_residual.after", f"{layer}.{attention}_layer_norm"),
        ]
    return [
        *rows,
        *rows_of(f"{block}.feed_forward.inner", f"{layer}.fc1"),
        *rows_of(f"{block}.feed_forward.output", f"{layer}.fc2"),
        *rows_of(f"{block}.feed_forward_residual.after", f"{layer}.final_layer_norm"),
    ]


FAMILIES = {
    "bart": Family(
        "bart",
        "model.",
        [
            Field("vocabulary_size", "vocab_size"),
            Field("hidden_size", "d_model"),
            Field("layers", "encoder_layers"),
            Field("decoder_layers", "decoder_layers"),
            Field("heads", "encoder_attention_heads"),
            Field("feed_forward_size", "encoder_ffn_dim"),
            Field("maximum_length", "max_position_embeddings", 1024),
            Field("activation", "activation_function", "gelu", ACTIVATIONS),
            Field("dropout", "dropout", 0.1),
            Field("attention_dropout", "attention_dropout", 0.0),
            Field("activation_dropout", "activation_dropout", 0.0),
            Field("head.dropout", "classifier_dropout", 0.0),
            Field("initializer_range", "init_std", 0.02),
        ],
        [
            Row("trunk.encoder.embeddings.words.weight", ("model.shared.weight",)),
            *_stack_rows("trunk.encoder", "model.encoder"),
            *_stack_rows("trunk.decoder", "model.decoder"),
        ],
        {
            "sequence_to_sequence": Head(
                "BartForConditionalGeneration",
                [Row("head.bias", ("final_logits_bias",), unsqueezed=0)],
                {"dense": False},
            ),
        },
        parts={"position_offset": 2, "norm_epsilon": 1e-5},
        must={
            "tie_word_embeddings": True,
            "is_decoder": False,
            "encoder_layerdrop": 0.0,
            "decoder_layerdrop": 0.0,
            # Of the oldest folders, whose other values are those of other families (mBART, Marian, Blenderbot).
            "normalize_before": False,
            "normalize_embedding": True,
            "add_final_layer_norm": False,
            "add_bias_logits": False,
            "static_position_embeddings": False,
            "extra_pos_embeddings": 2,
        },
        read=_read,
        write=_write,
        ignored=("lm_head.weight", ".embed_tokens.weight", "encoder.version", "decoder.version"),
        harmless=("force_bos_token_to_be_generated", "classif_dropout", "save_step"),
    )
}
