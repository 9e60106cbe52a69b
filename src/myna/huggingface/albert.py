"""ALBERT (Lan et al. 2019, arXiv:1909.11942): few layers, used in turn, over narrow embeddings."""

from __future__ import annotations

from typing import Any

from myna.errors import InputError
from myna.huggingface.bert import FIELDS, embedding_rows
from myna.huggingface.layout import ACTIVATIONS, Family, Field, Head, Row, Settings, rows_of

_LAYER = "albert.encoder.albert_layer_groups.*.albert_layers.0"
_DEFAULTS = {"hidden_act": "gelu_new", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_NONE = {"activation": "gelu", "dense": False}


def _read(settings: Settings) -> dict[str, Any]:
    groups = settings.take("num_hidden_groups", 1)
    if groups < 1:  # blocks of their own for all layers are a word of ours alone
        raise InputError(f"config.json: num_hidden_groups = {groups} is not supported, only 1 and more")
    return {"head": {"activation": settings.one_of("hidden_act", ACTIVATIONS, _DEFAULTS["hidden_act"])}}


FAMILIES = {
    "albert": Family(
        "albert",
        "albert.",
        [
            *(field._replace(default=_DEFAULTS.get(field.theirs, field.default)) for field in FIELDS),
            Field("maximum_length", "max_position_embeddings", 512),
            Field("embedding_size", "embedding_size"),
            Field("layer_groups", "num_hidden_groups", 1),
            Field("head.dropout", "classifier_dropout_prob", 0.1),
        ],
        [
            *embedding_rows("albert."),
            *rows_of("trunk.embeddings.projection", "albert.encoder.embedding_hidden_mapping_in"),
            *rows_of(
                "trunk.blocks.*.mixer.projection",
                *(f"{_LAYER}.attention.{part}" for part in ("query", "key", "value")),
            ),
            *rows_of("trunk.blocks.*.mixer.output", f"{_LAYER}.attention.dense"),
            *rows_of("trunk.blocks.*.mixer_residual.after", f"{_LAYER}.attention.LayerNorm"),
            *rows_of("trunk.blocks.*.feed_forward.inner", f"{_LAYER}.ffn"),
            *rows_of("trunk.blocks.*.feed_forward.output", f"{_LAYER}.ffn_output"),
            *rows_of("trunk.blocks.*.feed_forward_residual.after", f"{_LAYER}.full_layer_layer_norm"),
        ],
        {
            "masked": Head(
                "AlbertForMaskedLM",
                [
                    *rows_of("head.transform.dense", "predictions.dense"),
                    *rows_of("head.transform.norm", "predictions.LayerNorm"),
                    Row("head.bias", ("predictions.bias",)),
                ],
            ),
            "sequence": Head(
                "AlbertForSequenceClassification",
                [*rows_of("head.transform.dense", "albert.pooler"), *rows_of("head.output", "classifier")],
                {"activation": "tanh", "norm": False},
            ),
            "token": Head("AlbertForTokenClassification", rows_of("head.output", "classifier"), _NONE),
            "span": Head("AlbertForQuestionAnswering", rows_of("head.output", "qa_outputs"), _NONE),
        },
        # Several layers in a group, one after the other, are an order of sharing that no stack here has.
        must={"inner_group_num": 1, "position_embedding_type": "absolute", "tie_word_embeddings": True},
        read=_read,
        ignored=("predictions.decoder.", ".position_ids"),
        # The pooler of a model that ends in something else, and the head of the order of sentences.
        unused=("albert.pooler.", "sop_classifier."),
        # Written by the first release and read by nobody.
        harmless=("down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks"),
        aliases={"AlbertForPreTraining": "masked"},
    )
}
