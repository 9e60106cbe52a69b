"""What a model is, in plain values: its family, its parts, its parameters; no weights are made or read for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from myna.huggingface.families import empty_model
from myna.huggingface.weights import DTYPES, INDEX, SINGLE, Weights
from myna.model.config import ModelConfig
from myna.model.heads import Model

_SIZES = ("layers", "decoder_layers", "hidden_size", "heads", "feed_forward_size", "maximum_length", "vocabulary_size")
# What tells one kind of model from another is said always, all else where it is off its default.
_ALWAYS = ("mixer", "attention", "positions", "norm", "norm_place", "activation", "gated", "tied")
_UNSAID = ("head", "initializer", "initializer_range", "norm_epsilon")


def describe_model(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``family``, ``head``, sizes, ``parts`` and ``parameters`` (in all and by part) of what ``config.json`` says.

    The parameters are counted on the meta device. Raises an :class:`InputError` for what cannot be built.
    """
    model, family, bare = empty_model(settings)
    counts = _counts(model)
    if bare:
        counts.pop("head", None)
    sizes = {name: value for name in _SIZES if (value := getattr(model.config, name))}
    return {
        "family": family.model_type,
        "head": "none" if bare else model.kind,
        **sizes,
        "parts": _parts(model.config),
        "parameters": sum(counts.values()),
        "parameters_by_part": counts,
    }


def describe_weights(folder: Path) -> dict[str, Any]:
    """The ``numbers`` of each type in the weights of a folder and their ``files``, by the headers; {}: there are none.

    Raises an :class:`InputError` for a file that is missing or damaged.
    """
    if not (folder / SINGLE).exists() and not (folder / INDEX).exists():
        return {}
    weights = Weights(folder)
    counts = {str(DTYPES.get(name, name)).removeprefix("torch."): count for name, count in weights.dtypes.items()}
    return {"numbers": counts, "files": len(weights.files)}


def _parts(config: ModelConfig) -> dict[str, Any]:
    said = config.model_dump()
    usual = {name: field.default for name, field in ModelConfig.model_fields.items()}
    shown = {name: said[name] for name in _ALWAYS}
    others = {name: value for name, value in said.items() if name not in (*_ALWAYS, *_SIZES, *_UNSAID)}
    return shown | {
        name: value for name, value in others.items() if value != usual[name] and not name.endswith("dropout")
    }


def _counts(model: Model) -> dict[str, int]:
    """Parameters by part; of an encoder-decoder the layers of each."""
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        place = name.split(".")
        part = "head" if place[0] == "head" else "embeddings" if "embeddings" in place else "layers"
        if part == "layers" and place[1] in ("encoder", "decoder"):
            part = f"{place[1]} layers"
        counts[part] = counts.get(part, 0) + math.prod(parameter.shape)
    return counts
