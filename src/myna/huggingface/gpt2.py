"""GPT-2 (Radford et al. 2019)."""

from __future__ import annotations

from typing import Any

from myna.huggingface.layout import ACTIVATIONS, Family, Field, Head, Row, Settings, rows_of
from myna.model.config import ModelConfig

_LAYER = "transformer.h.*"
NO_DENSE = {"dense": False, "output_bias": False, "pooling": "last"}
# Settings of a head that reads one vector of a text beside a language model's, which we don't have.
SUMMARY = tuple(f"summary_{part}" for part in ("type", "use_proj", "activation", "proj_to_labels", "first_dropout"))


def read_embedding_dropout(settings: Settings) -> dict[str, Any]:
    """The dropout after the embeddings; none where it is that of the layers, as our presets say it."""
    rate = settings.take("embd_pdrop", 0.1)
    return {"embedding_dropout": None if rate == settings.take("resid_pdrop", 0.1) else rate}


def write_embedding_dropout(config: ModelConfig) -> dict[str, Any]:
    """The same for ``config.json``."""
    return {"embd_pdrop": config.dropout if config.embedding_dropout is None else config.embedding_dropout}


def _read(settings: Settings) -> dict[str, Any]:
    inner = settings.take("n_inner", 4 * settings.take("n_embd"))
    return {"feed_forward_size": inner, **read_embedding_dropout(settings)}


def _write(config: ModelConfig) -> dict[str, Any]:
    return {"n_inner": config.feed_forward_size, **write_embedding_dropout(config)}


FAMILIES = {
    "gpt2": Family(
        "gpt2",
        "transformer.",
        [
            Field("vocabulary_size", "vocab_size"),
            Field("hidden_size", "n_embd"),
            Field("layers", "n_layer"),
            Field("heads", "n_head"),
            Field("maximum_length", "n_positions", 1024),
            Field("norm_epsilon", "layer_norm_epsilon", 1e-5),
            Field("activation", "activation_function", "gelu_new", ACTIVATIONS),
            Field("attention_scale", "scale_attn_weights", True, {True: None, False: 1.0}),
            Field("dropout", "resid_pdrop", 0.1),
            Field("attention_dropout", "attn_pdrop", 0.1),
            Field("head.dropout", "classifier_dropout", 0.1),
            Field("initializer_range", "initializer_range", 0.02),
        ],
        [
            Row("trunk.embeddings.words.weight", ("transformer.wte.weight",)),
            Row("trunk.embeddings.positions.weight", ("transformer.wpe.weight",)),
            *rows_of("trunk.blocks.*.mixer_residual.before", f"{_LAYER}.ln_1"),
            *rows_of("trunk.blocks.*.mixer.projection", f"{_LAYER}.attn.c_attn", transposed=True),
            *rows_of("trunk.blocks.*.mixer.output", f"{_LAYER}.attn.c_proj", transposed=True),
            *rows_of("trunk.blocks.*.feed_forward_residual.before", f"{_LAYER}.ln_2"),
            *rows_of("trunk.blocks.*.feed_forward.inner", f"{_LAYER}.mlp.c_fc", transposed=True),
            *rows_of("trunk.blocks.*.feed_forward.output", f"{_LAYER}.mlp.c_proj", transposed=True),
            *rows_of("trunk.last_norm", "transformer.ln_f"),
        ],
        {
            "causal": Head("GPT2LMHeadModel", (), NO_DENSE),
            "sequence": Head("GPT2ForSequenceClassification", rows_of("head.output", "score"), NO_DENSE),
            "token": Head("GPT2ForTokenClassification", rows_of("head.output", "classifier"), {"dense": False}),
            "span": Head("GPT2ForQuestionAnswering", rows_of("head.output", "qa_outputs"), {"dense": False}),
        },
        parts={"attention": "causal", "norm_place": "pre", "initializer": "depth_scaled"},
        must={
            "tie_word_embeddings": True,
            "add_cross_attention": False,
            "scale_attn_by_inverse_layer_idx": False,
            "reorder_and_upcast_attn": False,
        },
        read=_read,
        write=_write,
        ignored=("lm_head.weight", ".attn.bias", ".attn.masked_bias"),
        harmless=(*SUMMARY, "n_ctx"),
    )
}
