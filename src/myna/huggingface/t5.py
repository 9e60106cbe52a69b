"""T5 (Raffel et al. 2020, arXiv:1910.10683) and T5 v1.1, an encoder-decoder of pre-norm layers without biases.

v1.1 has a gated feed-forward network and an output layer of its own, whose input is not scaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor

from myna.huggingface.layout import ACTIVATIONS, Family, Field, Head, Row, Settings, rows_of
from myna.model.config import ModelConfig
from myna.model.heads import Model


class _T5(Family):
    """A family whose inner feed-forward layer is one matrix, or two where it is gated."""

    def placed(self, model: Model) -> Iterator[tuple[Row, Tensor]]:
        matrices = 2 if model.config.gated else 1
        rows = [row for row in self.rows if ".inner." not in row.ours or len(row.theirs) == matrices]
        return Family.placed(replace(self, rows=rows), model)


def _read(settings: Settings) -> dict[str, Any]:
    width, heads, size = settings.take("d_model"), settings.take("num_heads"), settings.take("d_kv")
    feed_forward = str(settings.take("feed_forward_proj", "relu"))
    activation = "gelu_new" if feed_forward == "gated-gelu" else feed_forward.removeprefix("gated-")
    rate = settings.take("dropout_rate", 0.1)
    # Since transformers 5 tie_word_embeddings is always true, and the scale tells the two versions apart.
    first = settings.take("scale_decoder_outputs", settings.take("tie_word_embeddings", True))
    return {
        "decoder_layers": settings.take("num_decoder_layers", settings.take("num_layers")),
        "head_size": None if size * heads == width else size,
        "gated": settings.take("is_gated_act", feed_forward.startswith("gated-")),
        "activation": settings.one_of("dense_act_fn", ACTIVATIONS, activation),
        "tied": first,
        "output_scale": width**-0.5 if first else 1.0,
        "attention_dropout": rate,
        "activation_dropout": rate,
        "final_dropout": rate,
    }


def _write(config: ModelConfig) -> dict[str, Any]:
    activation = next(theirs for theirs, ours in ACTIVATIONS.items() if ours == config.activation)
    gated = "gated-gelu" if activation == "gelu_new" else f"gated-{activation}"
    return {
        "num_decoder_layers": config.decoder_layers,
        "d_kv": config.head_channels,
        "feed_forward_proj": gated if config.gated else activation,
        "dense_act_fn": activation,
        "is_gated_act": config.gated,
        "tie_word_embeddings": config.tied,
        "scale_decoder_outputs": config.tied,
    }


def _stack_rows(stack: str) -> list[Row]:
    """The rows of the encoder or of the decoder, whose layers read the source between their two other parts."""
    block, layer = f"trunk.{stack}.blocks.*", f"{stack}.block.*.layer"
    mixers = {"mixer": "SelfAttention"} | ({"source": "EncDecAttention"} if stack == "decoder" else {})
    first = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    rows = [
        Row(f"trunk.{stack}.schemes.0.relative.weight", (first,)),
        *rows_of(f"trunk.{stack}.last_norm", f"{stack}.final_layer_norm"),
    ]
    for number, (part, name) in enumerate(mixers.items()):
        rows += [
            *rows_of(f"{block}.{part}_residual.before", f"{layer}.{number}.layer_norm"),
            *rows_of(f"{block}.{part}.projection", *(f"{layer}.{number}.{name}.{which}" for which in "qkv")),
            *rows_of(f"{block}.{part}.output", f"{layer}.{number}.{name}.o"),
        ]
    inner = f"{layer}.{len(mixers)}.DenseReluDense"
    return [
        *rows,
        *rows_of(f"{block}.feed_forward_residual.before", f"{layer}.{len(mixers)}.layer_norm"),
        *rows_of(f"{block}.feed_forward.inner", f"{inner}.wi"),
        *rows_of(f"{block}.feed_forward.inner", f"{inner}.wi_0", f"{inner}.wi_1"),
        *rows_of(f"{block}.feed_forward.output", f"{inner}.wo"),
    ]


FAMILIES = {
    "t5": _T5(
        "t5",
        "",
        [
            Field("vocabulary_size", "vocab_size"),
            Field("hidden_size", "d_model"),
            Field("layers", "num_layers"),
            Field("heads", "num_heads"),
            Field("feed_forward_size", "d_ff"),
            # Of the oldest folders; there is no limit but the distance from which all positions are alike.
            Field("maximum_length", "n_positions", 512),
            Field("relative_buckets", "relative_attention_num_buckets", 32),
            Field("relative_distance", "relative_attention_max_distance", 128),
            Field("norm_epsilon", "layer_norm_epsilon", 1e-6),
            Field("dropout", "dropout_rate", 0.1),
            Field("head.dropout", "classifier_dropout", 0.0),
            Field("initializer_range", "initializer_factor", 1.0),
        ],
        [
            Row("trunk.encoder.embeddings.words.weight", ("shared.weight",)),
            *_stack_rows("encoder"),
            *_stack_rows("decoder"),
        ],
        {
            "sequence_to_sequence": Head(
                "T5ForConditionalGeneration",
                [Row("head.output", ("lm_head.weight",))],
                {"dense": False, "output_bias": False},
            ),
        },
        parts={
            "positions": "relative",
            "attention_scale": 1.0,
            "norm": "rms_norm",
            "norm_place": "pre",
            "projection_bias": False,
            "output_bias": False,
            "feed_forward_bias": False,
            "initializer": "fan_in",
        },
        must={"is_decoder": False},
        read=_read,
        write=_write,
        ignored=(".embed_tokens.weight", ".EncDecAttention.relative_attention_bias."),
        # A copy of the embeddings where they are the output layer.
        unused=("lm_head.",),
    )
}
