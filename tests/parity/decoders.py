"""Decoders: OpenAI GPT, GPT-2, Llama, Qwen2, Qwen3; and encoder-decoders: BART, T5."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn

from .comparing import VOCABULARY, Case
from .encoders import LABELS

_PADDED = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
_HEADS = {
    "causal": ("ForCausalLM", "AutoModelForCausalLM"),
    "sequence": ("ForSequenceClassification", "AutoModelForSequenceClassification"),
    "token": ("ForTokenClassification", "AutoModelForTokenClassification"),
    "span": ("ForQuestionAnswering", "AutoModelForQuestionAnswering"),
    "sequence_to_sequence": ("ForConditionalGeneration", "AutoModelForSeq2SeqLM"),
}


def _case(family: str, name: str, kind: str, variant: str = "", model: str = "", **settings: Any) -> Case:
    """A case of the class ``name`` + the end of its head's name (or ``model``), with the settings of its config."""
    end, automatic = _HEADS[kind]
    labels = LABELS if kind in ("sequence", "token") else {}

    def make() -> Any:
        config = getattr(hf, f"{name}Config")(vocab_size=VOCABULARY, **settings, **_PADDED, **labels)
        return getattr(hf, model or f"{name}{end}")(config)

    source = kind == "sequence_to_sequence"
    return Case(family, kind, make, automatic, source=source, prepare=_PREPARE.get(name, _as_it_is), variant=variant)


def _as_it_is(model: Any) -> None:
    pass


def _in_double(model: Any) -> None:
    """Norms in the type of their weights: theirs go through single precision whatever the model is in."""

    def forward(self: Any, hidden: Tensor) -> Tensor:
        variance = hidden.pow(2).mean(-1, keepdim=True)
        return self.weight * (hidden * torch.rsqrt(variance + self.variance_epsilon))

    for module in model.modules():
        if hasattr(module, "variance_epsilon"):
            module.forward = MethodType(forward, module)


def _t5(model: Any) -> None:
    _in_double(model)
    if not model.config.scale_decoder_outputs:  # v1.1, which their constructor ties too, and their reader does not
        model.lm_head.weight = nn.Parameter(0.3 * torch.randn_like(model.shared.weight))


def _bart(model: Any) -> None:
    model.final_logits_bias.normal_()  # a buffer, and zero in what is made anew


_PREPARE: dict[str, Callable[[Any], None]] = {
    **dict.fromkeys(("Llama", "Qwen2", "Qwen3"), _in_double),
    "T5": _t5,
    "Bart": _bart,
}

_GPT = {"n_embd": 24, "n_layer": 3, "n_head": 3, "n_positions": 40, "layer_norm_epsilon": 1e-3}
_DROPOUTS = {"resid_pdrop": 0.2, "embd_pdrop": 0.3, "attn_pdrop": 0.4}
_GPT2 = _GPT | _DROPOUTS | {"n_inner": 50, "activation_function": "relu", "scale_attn_weights": False}
_LLAMA = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "intermediate_size": 50,
    "max_position_embeddings": 40,
    "rms_norm_eps": 1e-3,
    "hidden_act": "gelu",
    "attention_dropout": 0.2,
}
_BIASES = {"attention_bias": True, "mlp_bias": True}
_LINEAR = {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0}}
# Of the five frequencies one is kept, one is stretched and the others lie between.
_LLAMA3 = {
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500.0,
        "factor": 3.0,
        "low_freq_factor": 1.1,
        "high_freq_factor": 3.0,
        "original_max_position_embeddings": 16,
    }
}
_BART = {
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 3,
    "encoder_ffn_dim": 50,
    "decoder_ffn_dim": 50,
    "max_position_embeddings": 40,
    "activation_function": "relu",
    "dropout": 0.2,
    "attention_dropout": 0.3,
    "activation_dropout": 0.4,
}
_T5 = {
    "d_model": 24,
    "d_kv": 10,
    "d_ff": 50,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 3,
    "relative_attention_num_buckets": 12,
    "relative_attention_max_distance": 17,
    "layer_norm_epsilon": 1e-3,
    "dropout_rate": 0.2,
    "decoder_start_token_id": 0,
}

CASES = [
    _case("openai-gpt", "OpenAIGPT", "causal", model="OpenAIGPTLMHeadModel", afn="silu", **_GPT, **_DROPOUTS),
    _case("openai-gpt", "OpenAIGPT", "causal", "gelu", model="OpenAIGPTLMHeadModel", **_GPT),
    _case("openai-gpt", "OpenAIGPT", "sequence", afn="relu", **_GPT),
    _case("gpt2", "GPT2", "causal", model="GPT2LMHeadModel", **_GPT2),
    *(_case("gpt2", "GPT2", kind, **_GPT2) for kind in ("sequence", "token", "span")),
    _case("llama", "Llama", "causal", "llama3", **_LLAMA, **_BIASES, **_LLAMA3),
    _case("llama", "Llama", "causal", "linear-tied", tie_word_embeddings=True, **_LLAMA, **_BIASES, **_LINEAR),
    _case("llama", "Llama", "causal", "unbiased", **_LLAMA, rope_theta=500.0),
    *(_case("llama", "Llama", kind, **_LLAMA, **_BIASES, **_LLAMA3) for kind in ("sequence", "token")),
    _case("qwen2", "Qwen2", "causal", "llama3", **_LLAMA, **_LLAMA3),
    _case("qwen2", "Qwen2", "causal", "tied", tie_word_embeddings=True, **_LLAMA, rope_theta=500.0),
    *(_case("qwen2", "Qwen2", kind, **_LLAMA, **_LINEAR) for kind in ("sequence", "token")),
    _case(
        "qwen3", "Qwen3", "causal", "biased-tied", tie_word_embeddings=True, attention_bias=True, **_LLAMA, **_LINEAR
    ),
    _case("qwen3", "Qwen3", "causal", "llama3", **_LLAMA, **_LLAMA3),
    *(_case("qwen3", "Qwen3", kind, **_LLAMA, rope_theta=500.0) for kind in ("sequence", "token")),
    _case("bart", "Bart", "sequence_to_sequence", scale_embedding=True, **_BART),
    _case("bart", "Bart", "sequence_to_sequence", "unscaled", **_BART | {"activation_function": "gelu_new"}),
    _case("t5", "T5", "sequence_to_sequence", "v1.0", **_T5),
    _case("t5", "T5", "sequence_to_sequence", "v1.1", feed_forward_proj="gated-gelu", tie_word_embeddings=False, **_T5),
    _case("t5", "T5", "sequence_to_sequence", "gated-silu", feed_forward_proj="gated-silu", **_T5),
]
