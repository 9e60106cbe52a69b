"""RoBERTa (Liu et al. 2019, arXiv:1907.11692): BERT's layers, positions counted from behind the padding token's."""

from __future__ import annotations

from typing import Any

from myna.huggingface.bert import FIELDS, MUST, attention_rows, embedding_rows, layer_rows, read_head
from myna.huggingface.layout import Family, Head, Row, Settings, rows_of
from myna.model.config import ModelConfig

_LAYER = "roberta.encoder.layer.*"
_NONE = {"dense": False, "first_dropout": 0.0}


def _read(settings: Settings) -> dict[str, Any]:
    offset = settings.take("pad_token_id", 1) + 1
    parts = {"position_offset": offset, "maximum_length": settings.take("max_position_embeddings", 512) - offset}
    head = read_head(settings)["head"]
    return parts | {"head": head | {"first_dropout": head["dropout"]}}


def _write(config: ModelConfig) -> dict[str, Any]:
    return {
        "max_position_embeddings": config.maximum_length + config.position_offset,
        "pad_token_id": config.position_offset - 1,
        "classifier_dropout": config.head.dropout,
    }


FAMILIES = {
    "roberta": Family(
        "roberta",
        "roberta.",
        FIELDS,
        [*embedding_rows("roberta."), *attention_rows(_LAYER), *layer_rows(_LAYER)],
        {
            "masked": Head(
                "RobertaForMaskedLM",
                [
                    *rows_of("head.transform.dense", "lm_head.dense"),
                    *rows_of("head.transform.norm", "lm_head.layer_norm"),
                    Row("head.bias", ("lm_head.bias",)),
                ],
                {"activation": "gelu", "first_dropout": 0.0},
            ),
            "sequence": Head(
                "RobertaForSequenceClassification",
                [*rows_of("head.transform.dense", "classifier.dense"), *rows_of("head.output", "classifier.out_proj")],
                {"activation": "tanh", "norm": False},
            ),
            "token": Head("RobertaForTokenClassification", rows_of("head.output", "classifier"), _NONE),
            "span": Head("RobertaForQuestionAnswering", rows_of("head.output", "qa_outputs"), _NONE),
        },
        must=MUST,
        read=_read,
        write=_write,
        ignored=("lm_head.decoder.", ".position_ids"),
        unused=("roberta.pooler.",),
    )
}
