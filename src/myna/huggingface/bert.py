"""BERT (Devlin et al. 2018, arXiv:1810.04805)."""

from __future__ import annotations

from typing import Any

from myna.errors import InputError
from myna.huggingface.layout import GELU, Family, Field, Head, Row, Settings, rows_of
from myna.model.config import ModelConfig

LAYER = "bert.encoder.layer.*"
PROJECTIONS = [f"{LAYER}.attention.self.{part}" for part in ("query", "key", "value")]

# Fields that BERT, RoBERTa, ELECTRA and ConvBERT share.
FIELDS = [
    Field("vocabulary_size", "vocab_size"),
    Field("hidden_size", "hidden_size"),
    Field("layers", "num_hidden_layers"),
    Field("heads", "num_attention_heads"),
    Field("feed_forward_size", "intermediate_size"),
    Field("segments", "type_vocab_size", 2),
    Field("norm_epsilon", "layer_norm_eps", 1e-12),
    Field("activation", "hidden_act", "gelu", GELU | {"relu": "relu", "silu": "silu", "swish": "silu"}),
    Field("dropout", "hidden_dropout_prob", 0.1),
    Field("attention_dropout", "attention_probs_dropout_prob", 0.1),
    Field("initializer_range", "initializer_range", 0.02),
]
MUST = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


def embedding_rows(prefix: str) -> list[Row]:
    """The rows of BERT's embeddings."""
    return [
        Row("trunk.embeddings.words.weight", (f"{prefix}embeddings.word_embeddings.weight",)),
        Row("trunk.embeddings.positions.weight", (f"{prefix}embeddings.position_embeddings.weight",)),
        Row("trunk.embeddings.segments.weight", (f"{prefix}embeddings.token_type_embeddings.weight",)),
        *rows_of("trunk.embeddings.norm", f"{prefix}embeddings.LayerNorm"),
    ]


def layer_rows(layer: str) -> list[Row]:
    """The rows of a post-norm layer as BERT names them."""
    return [
        *rows_of("trunk.blocks.*.mixer.output", f"{layer}.attention.output.dense"),
        *rows_of("trunk.blocks.*.mixer_residual.after", f"{layer}.attention.output.LayerNorm"),
        *rows_of("trunk.blocks.*.feed_forward.inner", f"{layer}.intermediate.dense"),
        *rows_of("trunk.blocks.*.feed_forward.output", f"{layer}.output.dense"),
        *rows_of("trunk.blocks.*.feed_forward_residual.after", f"{layer}.output.LayerNorm"),
    ]


def attention_rows(layer: str, mixer: str = "trunk.blocks.*.mixer") -> list[Row]:
    """The rows of queries, keys and values as BERT names them."""
    return rows_of(f"{mixer}.projection", *(f"{layer}.attention.self.{part}" for part in ("query", "key", "value")))


def read_head(settings: Settings) -> dict[str, Any]:
    """The head of a masked language model is activated as the layers are; classifiers have a dropout of their own."""
    if settings.take("type_vocab_size", 2) == 0:
        raise InputError("config.json: type_vocab_size = 0 is not supported, only 1 and more")
    dropout = settings.take("classifier_dropout", settings.take("hidden_dropout_prob", 0.1))
    names = GELU | {"relu": "relu", "silu": "silu", "swish": "silu"}
    return {"head": {"activation": names[settings.take("hidden_act", "gelu")], "dropout": dropout}}


def _read(settings: Settings) -> dict[str, Any]:
    return {"maximum_length": settings.take("max_position_embeddings", 512)} | read_head(settings)


def _write(config: ModelConfig) -> dict[str, Any]:
    return {"max_position_embeddings": config.maximum_length, "classifier_dropout": config.head.dropout}


_TANH = {"activation": "tanh", "norm": False}
_NONE = {"activation": "gelu", "dense": False}

FAMILIES = {
    "bert": Family(
        "bert",
        "bert.",
        FIELDS,
        [*embedding_rows("bert."), *attention_rows(LAYER), *layer_rows(LAYER)],
        {
            "masked": Head(
                "BertForMaskedLM",
                [
                    *rows_of("head.transform.dense", "cls.predictions.transform.dense"),
                    *rows_of("head.transform.norm", "cls.predictions.transform.LayerNorm"),
                    Row("head.bias", ("cls.predictions.bias",)),
                ],
            ),
            "sequence": Head(
                "BertForSequenceClassification",
                [*rows_of("head.transform.dense", "bert.pooler.dense"), *rows_of("head.output", "classifier")],
                _TANH,
            ),
            "token": Head("BertForTokenClassification", rows_of("head.output", "classifier"), _NONE),
            "span": Head("BertForQuestionAnswering", rows_of("head.output", "qa_outputs"), _NONE),
        },
        must=MUST,
        read=_read,
        write=_write,
        ignored=("cls.predictions.decoder.", ".position_ids"),
        # The pooler of a model that ends in something else, and the head of the next sentence.
        unused=("bert.pooler.", "cls.seq_relationship."),
        aliases={"BertForPreTraining": "masked"},
    )
}
