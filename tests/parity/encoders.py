"""Encoders: BERT, RoBERTa, ALBERT, ELECTRA, ConvBERT, ModernBERT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers as hf
from torch import Tensor

from .comparing import VOCABULARY, Case

LABELS = {"id2label": {0: "b", 1: "a", 2: "c"}, "label2id": {"b": 0, "a": 1, "c": 2}}
SIZE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 50,
    "max_position_embeddings": 40,
    "layer_norm_eps": 1e-5,
    "hidden_act": "gelu_new",
}


def _each_head(family: str, config: Callable[..., Any], classes: str, heads: dict[str, str], **how: Any) -> list[Case]:
    """A case for each head, by the end of its class's name."""
    automatic = {"masked": "MaskedLM", "sequence": "SequenceClassification", "token": "TokenClassification"}
    automatic |= {"span": "QuestionAnswering", "replaced": "PreTraining"}
    cases = []
    for kind, end in heads.items():
        labels = LABELS if kind in ("sequence", "token") else {}

        def make(end: str = end, labels: dict[str, Any] = labels) -> Any:
            return getattr(hf, f"{classes}For{end}")(config(**labels))

        cases.append(Case(family, kind, make, f"AutoModelFor{automatic[kind]}", **how))
    return cases


_HEADS = {
    "masked": "MaskedLM",
    "sequence": "SequenceClassification",
    "token": "TokenClassification",
    "span": "QuestionAnswering",
}

# BERT's settings under other names, or with other defaults; the dropouts say nothing here but are read and written.
_DROPOUTS = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3, "initializer_range": 0.03}
_WIDE = {**SIZE, **_DROPOUTS, "embedding_size": 16, "type_vocab_size": 3, "classifier_dropout": 0.4}
_ALBERT = {**SIZE, **_DROPOUTS, "embedding_size": 16, "type_vocab_size": 3, "classifier_dropout_prob": 0.4}
_ALBERT |= {"num_hidden_layers": 4, "num_hidden_groups": 2, "hidden_act": "relu"}
_CONVBERT = {**_WIDE, "num_attention_heads": 6, "head_ratio": 3, "conv_kernel_size": 5}
_MODERNBERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 5,
    "num_attention_heads": 3,
    "intermediate_size": 50,
    "max_position_embeddings": 40,
    "hidden_activation": "silu",
    "norm_eps": 1e-3,
    "pad_token_id": 0,
    "local_attention": 9,
    "global_attn_every_n_layers": 2,
    "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 700.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
    },
    "classifier_activation": "relu",
    "classifier_dropout": 0.4,
    "embedding_dropout": 0.2,
    "mlp_dropout": 0.3,
    "initializer_range": 0.03,
}
# All of these are the other way round where nothing is said.
_BIASES = {"norm_bias": True, "attention_bias": True, "mlp_bias": True, "classifier_bias": True, "decoder_bias": False}


def _rotate_in_double(model: Any) -> None:
    """Theirs turns queries and keys in single precision whatever the model is in; here it stays in the model's."""
    from transformers.models.modernbert import modeling_modernbert as theirs

    def turned(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1) -> tuple[Tensor, Tensor]:
        cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
        return q * cos + theirs.rotate_half(q) * sin, k * cos + theirs.rotate_half(k) * sin

    theirs.apply_rotary_pos_emb = turned


def _modernbert(variant: str, heads: dict[str, str], **changes: Any) -> list[Case]:
    def config(**labels: Any) -> Any:
        return hf.ModernBertConfig(**{**_MODERNBERT, **changes, **labels})

    return _each_head("modernbert", config, "ModernBert", heads, prepare=_rotate_in_double, variant=variant)


CASES = [
    *_each_head("bert", lambda **k: hf.BertConfig(**SIZE, type_vocab_size=3, **k), "Bert", _HEADS),
    *_each_head(
        "roberta", lambda **k: hf.RobertaConfig(**SIZE, type_vocab_size=2, pad_token_id=3, **k), "Roberta", _HEADS
    ),
    *_each_head("albert", lambda **k: hf.AlbertConfig(**_ALBERT, **k), "Albert", _HEADS),
    *_each_head(
        "electra", lambda **k: hf.ElectraConfig(**_WIDE, **k), "Electra", {**_HEADS, "replaced": "PreTraining"}
    ),
    *_each_head(
        "electra",
        lambda **k: hf.ElectraConfig(**{**_WIDE, "embedding_size": 24}, tie_word_embeddings=False, **k),
        "Electra",
        {"masked": "MaskedLM", "replaced": "PreTraining"},
        variant="as-wide",
    ),
    *_each_head("convbert", lambda **k: hf.ConvBertConfig(**_CONVBERT, **k), "ConvBert", _HEADS, padding=False),
    *_each_head(
        "convbert",
        lambda **k: hf.ConvBertConfig(**{**_CONVBERT, "embedding_size": 24}, tie_word_embeddings=False, **k),
        "ConvBert",
        {"masked": "MaskedLM"},
        padding=False,
        variant="as-wide",
    ),
    *_modernbert("biased", _HEADS, **_BIASES, classifier_pooling="mean"),
    *_modernbert("plain", {"masked": "MaskedLM", "sequence": "SequenceClassification"}, tie_word_embeddings=False),
    *_modernbert("sliding", {"sequence": "SequenceClassification"}, layer_types=["sliding_attention"] * 5),
    *_modernbert("full", {"token": "TokenClassification"}, layer_types=["full_attention"] * 5),
]
