"""Descriptions of models with a name. A preset leaves out ``vocabulary_size``, which the tokenizer gives.

The counts are of all parameters with the vocabulary of the original: those of the published models.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from myna.errors import InputError
from myna.model.config import ModelConfig
from myna.settings import reason

_BERT: dict[str, Any] = {"segments": 2}
_PLAIN_HEAD: dict[str, Any] = {"dense": False, "output_bias": False, "pooling": "last"}
_GPT: dict[str, Any] = {
    "attention": "causal",
    "norm_place": "pre",
    "norm_epsilon": 1e-5,
    "activation": "gelu_tanh",
    "maximum_length": 1024,
    "initializer": "depth_scaled",
    "head": _PLAIN_HEAD,
}


def _size(hidden_size: int, layers: int, heads: int, maximum_length: int | None = None) -> dict[str, Any]:
    size: dict[str, Any] = {"hidden_size": hidden_size, "layers": layers, "heads": heads}
    size["feed_forward_size"] = 4 * hidden_size
    return size if maximum_length is None else size | {"maximum_length": maximum_length}


PRESETS: dict[str, dict[str, Any]] = {
    # A larger spread of initial weights than BERT's 0.02 learns sooner at these widths.
    "bert-micro": _BERT | _size(128, 2, 2, 128) | {"initializer_range": 0.05},
    "bert-tiny": _BERT | _size(128, 2, 2),
    "bert-mini": _BERT | _size(256, 4, 4),
    "bert-small": _BERT | _size(512, 4, 8),
    "bert-base": _BERT | _size(768, 12, 12),
    "gpt-micro": _GPT | _size(96, 2, 2, 64) | {"initializer_range": 0.05},
    "gpt-tiny": _GPT | _size(128, 2, 2),
    "gpt-mini": _GPT | _size(256, 4, 4),
    "gpt-small": _GPT | _size(512, 4, 8),
    "gpt2": _GPT | _size(768, 12, 12),
}


def model_config(preset: str, vocabulary_size: int, **changes: Any) -> ModelConfig:
    """The description of a preset with ``changes`` to its parts; an unknown name is an :class:`InputError`."""
    if preset not in PRESETS:
        raise InputError(f"there is no preset {preset!r}", remedy=f"choose one of {', '.join(PRESETS)}")
    try:
        return ModelConfig(**{**PRESETS[preset], **changes, "vocabulary_size": vocabulary_size})
    except ValidationError as error:
        raise InputError(reason(error)) from None
