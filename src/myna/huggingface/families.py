"""The families by their ``model_type``, and models in and out of their layouts."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from myna.errors import InputError
from myna.huggingface.layout import Family, labels_of, quoted
from myna.model.config import HeadConfig, ModelConfig
from myna.model.heads import LANGUAGE_KINDS, Model

# The module of each. Where a description is that of several families, the first is taken.
FAMILIES = {
    "bert": "bert",
    "roberta": "roberta",
    "albert": "albert",
    "electra": "electra",
    "convbert": "convbert",
    "modernbert": "modernbert",
    "openai-gpt": "openai_gpt",
    "gpt2": "gpt2",
    "llama": "llama",
    "qwen2": "qwen",
    "qwen3": "qwen",
    "bart": "bart",
    "t5": "t5",
    "myna": "own",
}
_PLAIN: dict[str, dict[str, Any]] = {
    "causal": {"dense": False, "output_bias": False},
    "sequence_to_sequence": {"dense": False, "output_bias": False},
    "masked": {},
    "sequence": {"activation": "tanh", "norm": False},
    "replaced": {"norm": False},
}


def find_family(model_type: object) -> Family:
    """The table of a family; an :class:`InputError` names those there are."""
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise InputError(f"config.json: model_type = {quoted(model_type)} is not one of {', '.join(FAMILIES)}")
    family: Family = importlib.import_module(f"myna.huggingface.{FAMILIES[model_type]}").FAMILIES[model_type]
    return family


def family_of(config: ModelConfig, kind: str) -> Family:
    """The family in whose layout a model is saved: the first that can say all that it is."""
    for model_type in FAMILIES:
        family = find_family(model_type)
        if says(family, config, kind):
            return family
    return find_family("myna")


def says(family: Family, config: ModelConfig, kind: str) -> bool:
    """Whether the ``config.json`` that a family writes for a description, read again, is the same description."""
    try:
        return kind in family.heads and _said(family.config(family.settings(config, kind), kind)) == _said(config)
    except InputError:
        return False


def _said(config: ModelConfig) -> dict[str, Any]:
    """All that a description says, what is left to follow from the rest spelt out."""
    dropout = config.dropout if config.embedding_dropout is None else config.embedding_dropout
    normed = config.norm_place == "post" if config.embedding_norm is None else config.embedding_norm
    spelt = {"key_value_heads": config.kv_heads, "head_size": config.head_channels}
    return config.model_dump() | spelt | {"embedding_dropout": dropout, "embedding_norm": normed}


def settings_of(model: Model, family: Family | None = None) -> dict[str, Any]:
    """The content of ``config.json``, the special tokens aside; None for ``family``: the first that can say it."""
    family = family_of(model.config, model.kind) if family is None else family
    settings = family.settings(model.config, model.kind) | {"dtype": "float32"}
    if model.labels and model.kind not in LANGUAGE_KINDS:
        settings["id2label"] = {str(number): name for number, name in enumerate(model.labels)}
        settings["label2id"] = {name: number for number, name in enumerate(model.labels)}
    return settings


def bare_settings_of(model: Model) -> dict[str, Any]:
    """:func:`settings_of` for the trunk alone: its class is ``BertModel`` where the model's is ``BertForMaskedLM``."""
    settings = settings_of(model)
    named = re.split("For|LMHead|:", settings["architectures"][0])[0]
    return settings | {"architectures": [f"{named}Model"]}


def tensors_of(model: Model, bare: bool = False) -> dict[str, Tensor]:
    """The weights under the names and in the shapes of the family; those of a ``bare`` trunk without its head."""
    return family_of(model.config, model.kind).tensors(model, bare)


def empty_model(content: Mapping[str, Any], tensors: int | None = None) -> tuple[Model, Family, bool]:
    """The model that ``config.json`` describes, its weights not yet there (on the meta device), and its family.

    The last says that it is a bare trunk (``BertModel``), which is given the first head of its family. More layers
    than there are ``tensors`` in its file are an :class:`InputError` before any is made.
    """
    family = find_family(content.get("model_type"))
    kind, bare = family.kind(content)
    config = family.config(content, kind)
    blocks = (config.layer_groups or config.layers) + config.decoder_layers
    if tensors is not None and blocks > tensors:
        raise InputError(f"config.json: there are {blocks} layers, and the weights are {tensors} tensors")
    with torch.device("meta"), _Undrawn():
        return Model(config, kind, labels_of(content, kind)), family, bare


class _Undrawn(TorchFunctionMode):
    """No first weights are drawn, which on the meta device takes no memory but the import of half a library."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def with_head(config: ModelConfig, old: str, new: str) -> ModelConfig:
    """The same trunk under a head of another kind, as its family has it."""
    family = family_of(config, old)
    if family.model_type != "myna" and new in family.heads:
        return family.config(family.settings(config, old), new)
    parts = family.heads[new].parts if new in family.heads else _PLAIN.get(new, {"dense": False})
    kept = {"dropout": config.head.dropout, "first_dropout": 0.0, "pooling": config.head.pooling}
    return config.model_copy(update={"head": HeadConfig(**{**kept, **parts})})
