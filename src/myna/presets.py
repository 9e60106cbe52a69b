"""Descriptions of models with a name. A preset leaves out ``vocabulary_size``, which the tokenizer gives.

Beside each of the published ones stands its source, and how many parameters it has with its own vocabulary and the
head that it was trained with. ``micro``, ``tiny``, ``mini`` and ``small`` are for a processor: their sizes are those
of Turc et al. 2019 (arXiv:1908.08962), with heads 64 wide; ``micro`` is our own, for minutes on a laptop. The families
``convgpt`` and ``cnn`` are our own: a decoder with convolution beside attention, and a network of convolution alone.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from myna.errors import InputError
from myna.model.config import ModelConfig
from myna.settings import reason

Parts = dict[str, Any]

_BERT: Parts = {"segments": 2}
_NO_HEAD: Parts = {"dense": False, "output_bias": False, "pooling": "last"}
_GPT: Parts = {
    "attention": "causal",
    "norm_place": "pre",
    "norm_epsilon": 1e-5,
    "activation": "gelu_tanh",
    "maximum_length": 1024,
    "initializer": "depth_scaled",
    "head": _NO_HEAD,
}
_LLAMA: Parts = {
    "attention": "causal",
    "norm": "rms_norm",
    "norm_place": "pre",
    "positions": "rotary",
    "activation": "silu",
    "gated": True,
    "projection_bias": False,
    "output_bias": False,
    "feed_forward_bias": False,
    "dropout": 0.0,
    "head": _NO_HEAD,
}
_CONVOLUTION: Parts = {"mixer": "convolution+attention", "kernel_size": 9, "convolution_ratio": 2}
_CONVBERT: Parts = {**_BERT, **_CONVOLUTION}
_CONVGPT: Parts = {**_GPT, **_CONVOLUTION}
_CNN: Parts = {"mixer": "convolution", "positions": "none", "norm_place": "pre", "norm_epsilon": 1e-5}
_BART: Parts = {
    "positions": "learned",
    "position_offset": 2,
    "norm_epsilon": 1e-5,
    "maximum_length": 1024,
    "head": {**_NO_HEAD, "output_bias": True, "pooling": "first", "dropout": 0.0},
}


def _size(hidden_size: int, layers: int, heads: int, maximum_length: int | None = None) -> Parts:
    size = {"hidden_size": hidden_size, "layers": layers, "heads": heads, "feed_forward_size": 4 * hidden_size}
    return size if maximum_length is None else size | {"maximum_length": maximum_length}


def _small_sizes(family: str, parts: Parts) -> dict[str, Parts]:
    sizes = {"tiny": _size(128, 2, 2), "mini": _size(256, 4, 4), "small": _size(512, 4, 8)}
    return {f"{family}-{name}": parts | size for name, size in sizes.items()}


PRESETS: dict[str, Parts] = {
    # A larger spread of initial weights than BERT's 0.02 learns sooner at these widths.
    "bert-micro": _BERT | _size(128, 2, 2, 128) | {"initializer_range": 0.05},
    **_small_sizes("bert", _BERT),
    # Devlin et al. 2018 (arXiv:1810.04805): 109,514,298 and 335,174,458 parameters with 30,522 pieces.
    "bert-base": _BERT | _size(768, 12, 12),
    "bert-large": _BERT | _size(1024, 24, 16),
    # Liu et al. 2019 (arXiv:1907.11692): 124,697,433 with 50,265 pieces.
    "roberta-base": _size(768, 12, 12) | {"segments": 1, "position_offset": 2, "norm_epsilon": 1e-5},
    # Lan et al. 2019 (arXiv:1909.11942): 11,221,680 with 30,000 pieces.
    "albert-base": _BERT
    | _size(768, 12, 12)
    | {"embedding_size": 128, "layer_groups": 1, "activation": "gelu_tanh", "dropout": 0.0}
    | {"head": {"activation": "gelu_tanh"}},
    # Clark et al. 2020 (arXiv:2003.10555), the discriminator: 13,549,057 with 30,522 pieces.
    "electra-small": _BERT | _size(256, 12, 4) | {"embedding_size": 128},
    # Jiang et al. 2020 (arXiv:2008.02496): 106,303,170 with 30,522 pieces.
    "convbert-base": _CONVBERT | _size(768, 12, 12),
    **_small_sizes("convbert", _CONVBERT),
    # Warner et al. 2024 (arXiv:2412.13663): 149,655,232 with 50,368 pieces.
    "modernbert-base": {
        **_size(768, 22, 12, 8192),
        "feed_forward_size": 1152,
        "window": 64,
        "global_every": 3,
        "positions": "rotary",
        "rotary_base": 160_000.0,
        "rotary_local_base": 10_000.0,
        "norm_place": "pre",
        "embedding_norm": True,
        "norm_epsilon": 1e-5,
        "norm_bias": False,
        "projection_bias": False,
        "output_bias": False,
        "feed_forward_bias": False,
        "gated": True,
        "dropout": 0.0,
        "initializer": "truncated",
        "head": {"dense_bias": False, "dropout": 0.0},
    },
    "cnn-base": _CNN | _size(768, 12, 12),
    **_small_sizes("cnn", _CNN),
    "gpt-micro": _GPT | _size(96, 2, 2, 64) | {"initializer_range": 0.05},
    **_small_sizes("gpt", _GPT),
    # Radford et al. 2018: 116,534,784 with 40,478 pieces.
    "gpt-base": _GPT
    | _size(768, 12, 12, 512)
    | {"norm_place": "post", "embedding_norm": False, "initializer": "normal"},
    # Radford et al. 2019: 124,439,808 and 354,823,168 with 50,257 pieces.
    "gpt2": _GPT | _size(768, 12, 12),
    "gpt2-medium": _GPT | _size(1024, 24, 16),
    "convgpt-base": _CONVGPT | _size(768, 12, 12),
    **_small_sizes("convgpt", _CONVGPT),
    # Llama 3.2 (arXiv:2407.21783): 1,235,814,400 with 128,256 pieces.
    "llama-1b": _LLAMA
    | _size(2048, 16, 32, 131_072)
    | {"key_value_heads": 8, "norm_epsilon": 1e-5, "rotary_base": 500_000.0}
    | {"rotary_scaling": {"kind": "llama3", "factor": 32.0}},
    # Qwen3 (arXiv:2505.09388): 596,049,920 with 151,936 pieces.
    "qwen3-0.6b": _LLAMA
    | _size(1024, 28, 16, 40_960)
    | {"feed_forward_size": 3072, "key_value_heads": 8, "head_size": 128, "query_key_norm": True}
    | {"norm_epsilon": 1e-6, "rotary_base": 1_000_000.0},
    # Lewis et al. 2019 (arXiv:1910.13461): 139,470,681 with 50,265 pieces, the bias of the output layer counted.
    "bart-base": _BART | _size(768, 6, 12) | {"decoder_layers": 6},
    "bart-micro": _BART | _size(128, 2, 2, 256) | {"decoder_layers": 2, "initializer_range": 0.05},
    **{name: parts | {"decoder_layers": parts["layers"]} for name, parts in _small_sizes("bart", _BART).items()},
    # T5 v1.1 (arXiv:1910.10683, 2002.05202): 76,961,152 with 32,128 pieces.
    "t5-small": {
        **_size(512, 8, 6, 512),
        "decoder_layers": 8,
        "head_size": 64,
        "feed_forward_size": 1024,
        "positions": "relative",
        "attention_scale": 1.0,
        "norm": "rms_norm",
        "norm_place": "pre",
        "norm_epsilon": 1e-6,
        "activation": "gelu_tanh",
        "gated": True,
        "projection_bias": False,
        "output_bias": False,
        "feed_forward_bias": False,
        "tied": False,
        "attention_dropout": 0.1,
        "activation_dropout": 0.1,
        "final_dropout": 0.1,
        "initializer": "fan_in",
        "initializer_range": 1.0,
        "head": {**_NO_HEAD, "pooling": "first"},
    },
}


def model_config(preset: str | None, vocabulary_size: int, **changes: Any) -> ModelConfig:
    """The description of a preset with ``changes`` to its parts; without a preset to the defaults of a ModelConfig.

    An unknown name, and parts that do not go together, are an :class:`InputError`.
    """
    if preset is not None and preset not in PRESETS:
        raise InputError(f"there is no preset {preset!r}", remedy=f"choose one of {', '.join(PRESETS)}")
    try:
        return ModelConfig(**{**PRESETS.get(preset or "", {}), **changes, "vocabulary_size": vocabulary_size})
    except ValidationError as error:
        raise InputError(reason(error)) from None
