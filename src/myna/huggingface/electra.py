"""ELECTRA (Clark et al. 2020, arXiv:2003.10555): BERT's layers, embeddings of a width of their own.

The generator is a masked language model; the discriminator tells of each token whether it was replaced.
"""

from __future__ import annotations

from typing import Any

from myna.huggingface.bert import FIELDS as BERT_FIELDS
from myna.huggingface.bert import attention_rows, embedding_rows, layer_rows, read_head
from myna.huggingface.layout import Family, Field, Head, Row, Settings, rows_of
from myna.model.config import ModelConfig

_LAYER = "electra.encoder.layer.*"

# What follows is ConvBERT's too, which began as a copy of this family.
FIELDS = [
    *BERT_FIELDS,
    Field("maximum_length", "max_position_embeddings", 512),
    Field("tied", "tie_word_embeddings", True),
]
MUST = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}
# Of the head for multiple choice.
HARMLESS = ("summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout")
# Copies of the embedding matrix.
UNUSED = ("generator_lm_head.weight",)
GENERATOR = [
    *rows_of("head.transform.dense", "generator_predictions.dense"),
    *rows_of("head.transform.norm", "generator_predictions.LayerNorm"),
    Row("head.output", ("generator_lm_head.weight",)),
    Row("head.bias", ("generator_lm_head.bias",)),
]
CLASSIFIER = [*rows_of("head.transform.dense", "classifier.dense"), *rows_of("head.output", "classifier.out_proj")]
GELU = {"activation": "gelu", "first_dropout": 0.0}
NONE = {"dense": False, **GELU}


def wide_rows(prefix: str) -> list[Row]:
    """The rows of BERT's embeddings and of their projection to the width of the layers."""
    return [*embedding_rows(prefix), *rows_of("trunk.embeddings.projection", f"{prefix}embeddings_project")]


def read(settings: Settings) -> dict[str, Any]:
    """Embeddings as wide as the layers are not projected; classifiers of texts drop on both sides of their layer."""
    width = settings.take("embedding_size")
    head = read_head(settings)["head"]
    return {
        "embedding_size": None if width == settings.take("hidden_size") else width,
        "head": head | {"first_dropout": head["dropout"]},
    }


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of what :func:`read` reads."""
    width = config.hidden_size if config.embedding_size is None else config.embedding_size
    return {"embedding_size": width, "classifier_dropout": config.head.dropout}


FAMILIES = {
    "electra": Family(
        "electra",
        "electra.",
        FIELDS,
        [*wide_rows("electra."), *attention_rows(_LAYER), *layer_rows(_LAYER)],
        {
            "masked": Head("ElectraForMaskedLM", GENERATOR, GELU),
            "replaced": Head(
                "ElectraForPreTraining",
                [
                    *rows_of("head.transform.dense", "discriminator_predictions.dense"),
                    *rows_of("head.output", "discriminator_predictions.dense_prediction"),
                ],
                {"norm": False, "first_dropout": 0.0},
            ),
            "sequence": Head("ElectraForSequenceClassification", CLASSIFIER, {"activation": "gelu", "norm": False}),
            "token": Head("ElectraForTokenClassification", rows_of("head.output", "classifier"), NONE),
            "span": Head("ElectraForQuestionAnswering", rows_of("head.output", "qa_outputs"), NONE),
        },
        must=MUST,
        read=read,
        write=write,
        ignored=(".position_ids",),
        unused=UNUSED,
        harmless=HARMLESS,
    )
}
