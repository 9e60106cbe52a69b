"""OpenAI GPT (Radford et al. 2018): a causal post-norm stack whose embeddings are not normed."""

from __future__ import annotations

from typing import Any

from myna.errors import InputError
from myna.huggingface.gpt2 import NO_DENSE, SUMMARY, read_embedding_dropout, write_embedding_dropout
from myna.huggingface.layout import Family, Field, Head, Row, Settings, rows_of
from myna.model.config import ModelConfig

_LAYER = "transformer.h.*"


def _read(settings: Settings) -> dict[str, Any]:
    return {"feed_forward_size": 4 * settings.take("n_embd"), **read_embedding_dropout(settings)}


def _write(config: ModelConfig) -> dict[str, Any]:
    if config.feed_forward_size != 4 * config.hidden_size:
        raise InputError("the feed_forward_size of an openai-gpt model is four times its hidden_size")
    return write_embedding_dropout(config)


FAMILIES = {
    "openai-gpt": Family(
        "openai-gpt",
        "transformer.",
        [
            Field("vocabulary_size", "vocab_size"),
            Field("hidden_size", "n_embd"),
            Field("layers", "n_layer"),
            Field("heads", "n_head"),
            Field("maximum_length", "n_positions", 512),
            Field("norm_epsilon", "layer_norm_epsilon", 1e-5),
            # Its "gelu" is the tanh form.
            Field("activation", "afn", "gelu", {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}),
            Field("dropout", "resid_pdrop", 0.1),
            Field("attention_dropout", "attn_pdrop", 0.1),
            Field("head.dropout", "classifier_dropout", 0.1),
            Field("initializer_range", "initializer_range", 0.02),
        ],
        [
            Row("trunk.embeddings.words.weight", ("transformer.tokens_embed.weight",)),
            Row("trunk.embeddings.positions.weight", ("transformer.positions_embed.weight",)),
            *rows_of("trunk.blocks.*.mixer.projection", f"{_LAYER}.attn.c_attn", transposed=True),
            *rows_of("trunk.blocks.*.mixer.output", f"{_LAYER}.attn.c_proj", transposed=True),
            *rows_of("trunk.blocks.*.mixer_residual.after", f"{_LAYER}.ln_1"),
            *rows_of("trunk.blocks.*.feed_forward.inner", f"{_LAYER}.mlp.c_fc", transposed=True),
            *rows_of("trunk.blocks.*.feed_forward.output", f"{_LAYER}.mlp.c_proj", transposed=True),
            *rows_of("trunk.blocks.*.feed_forward_residual.after", f"{_LAYER}.ln_2"),
        ],
        {
            "causal": Head("OpenAIGPTLMHeadModel", (), NO_DENSE),
            "sequence": Head("OpenAIGPTForSequenceClassification", rows_of("head.output", "score"), NO_DENSE),
        },
        parts={"attention": "causal", "norm_place": "post", "embedding_norm": False},
        must={"tie_word_embeddings": True},
        read=_read,
        write=_write,
        ignored=("lm_head.weight", ".attn.bias", ".position_ids"),
        harmless=(*SUMMARY, "n_ctx", "n_special", "predict_special_tokens"),
    )
}
