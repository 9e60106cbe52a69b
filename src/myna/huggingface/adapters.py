"""Adapters of a model in a folder of their own, as peft lays them out, and the model that they are with their base.

``adapter_config.json`` says of what rank they are and where their base is, ``adapter_model.safetensors`` holds them,
the head and the pointer under the names that the model has in ``transformers``. ``config.json`` and the tokenizer are
the model's.
A folder ``base`` beside them, where there is one, is taken for the base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from myna import files
from myna.errors import InputError
from myna.huggingface.families import empty_model, family_of
from myna.huggingface.layout import Row, TensorError, quoted, sizes_of
from myna.huggingface.weights import ADAPTER_CONFIG, Weights, is_adapted, weights_hash
from myna.model.heads import Model
from myna.training.lora import LowRank, detach

if TYPE_CHECKING:
    from myna.huggingface.folder import ModelFolder

_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_TASKS = {"sequence": "SEQ_CLS", "token": "TOKEN_CLS", "causal": "CAUSAL_LM", "sequence_to_sequence": "SEQ_2_SEQ_LM"}
# What other adapters can be besides, which changes what they compute.
_PLAIN = {"peft_type": "LORA", "bias": "none", "use_dora": False, "use_rslora": False}


def lay_out(
    model: Model, base: Path, rank: int, alpha: float, dropout: float
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Takes the adapters off a model, and gives their ``adapter_config.json`` and the tensors of their file.

    Where the family keeps in one matrix what has adapters of its own here, they become one adapter of their ranks' sum.
    """
    adapters = detach(model)
    family = family_of(model.config, model.kind)
    theirs, tensors, transposed = family.tensors(model), dict[str, Tensor](), False
    learned: list[str] = []
    for row, weight in family.placed(model):
        if row.ours.startswith(("head.", "pointer.")):
            tensors |= {_PREFIX + name: theirs[name] for name in row.theirs}
            learned += row.theirs
        elif row.ours in adapters:
            sizes = sizes_of(row, weight.shape[0], model.config)
            tensors |= {_PREFIX + name: part for name, part in _parts(row, adapters[row.ours], sizes)}
            transposed |= row.transposed
    ranks = {name[len(_PREFIX) : -len(_DOWN)]: len(part) for name, part in tensors.items() if name.endswith(_DOWN)}
    other = {name: count for name, count in ranks.items() if count != rank}
    config = {
        **_PLAIN,
        "task_type": _TASKS.get(model.kind),
        "base_model_name_or_path": str(base.absolute()),
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "rank_pattern": other,
        "alpha_pattern": {name: alpha * count / rank for name, count in other.items()},
        "target_modules": sorted(ranks),
        "modules_to_save": sorted({name.rpartition(".")[0] for name in learned}) or None,
        "fan_in_fan_out": transposed,
        "inference_mode": True,
    }
    return config, tensors


def _parts(row: Row, adapter: LowRank, sizes: list[int]) -> Iterator[tuple[str, Tensor]]:
    """The adapter of each matrix of theirs that a row of ours is made of, without those that have none."""
    start = 0
    for name, size in zip(row.theirs, sizes, strict=True):
        mine = [part for part, rows in adapter.rows.items() if rows.start < start + size and rows.stop > start]
        module = name.removesuffix(".weight")
        if mine:
            yield module + _DOWN, torch.cat([adapter.down[part].detach() for part in mine])
            blocks = []
            for part in mine:
                rows, up = adapter.rows[part], adapter.up[part].detach()
                block = up.new_zeros(size, up.shape[1])
                first, last = max(rows.start, start), min(rows.stop, start + size)
                block[first - start : last - start] = up[first - rows.start : last - rows.start]
                blocks.append(block)
            yield module + _UP, torch.cat(blocks, 1)
        start += size


def open_adapted(
    folder: Path, settings: dict[str, Any], facts: dict[str, Any], dtype: torch.dtype | None, wider: bool
) -> ModelFolder:
    """The model of a folder of adapters: its base with what they learned added, under its own head."""
    from myna.huggingface.folder import open_model_folder

    config = files.read_object(folder / ADAPTER_CONFIG)
    for name, value in _PLAIN.items():
        if config.get(name, value) != value:
            what = f"{name} = {quoted(config[name])} is not supported, only {quoted(value)}"
            raise InputError(what, where=folder / ADAPTER_CONFIG)
    base = open_model_folder(_base_of(folder, config, facts), dtype, wider=wider)
    kept = None if dtype is None else base.model.trunk.embeddings.words.weight.dtype
    model, family, bare = empty_model(settings)
    try:
        model.trunk.load_state_dict(base.model.trunk.state_dict(), assign=True)
    except RuntimeError:
        raise InputError("the base is a model of other sizes than these adapters'", where=folder) from None
    given = _with_changes(family.tensors(model), Weights(folder), config, folder)
    model, family, bare = empty_model(settings)
    left = family.load(model, given, bare, kept)
    return replace(base, model=model, settings=settings, facts=facts, family=family, bare=bare, left=left)


def _base_of(folder: Path, config: Mapping[str, Any], facts: Mapping[str, Any]) -> Path:
    """Where the base is; an :class:`InputError` where it is not there, or another one than that of training."""
    named = config.get("base_model_name_or_path")
    base = folder / "base"
    if not base.is_dir() and isinstance(named, str):
        base = folder / named
    remedy = f"put the base model's folder there as {folder / 'base'}"
    if not base.is_dir():
        what = f"the model that these adapters stand on is not at {quoted(named)}"
        raise InputError(what, where=folder / ADAPTER_CONFIG, remedy=remedy)
    if is_adapted(base):
        raise InputError("the base of adapters is adapters itself", where=base, remedy="merge it with: myna convert")
    if facts.get("base") not in (None, weights_hash(base)):
        raise InputError("this is not the model that these adapters were trained on", where=base, remedy=remedy)
    return base


def _with_changes(
    given: dict[str, Tensor], saved: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path
) -> dict[str, Tensor]:
    """The tensors of the model: those of the base with what was learned added, and those that were saved whole."""
    alphas, usual = config.get("alpha_pattern") or {}, config.get("lora_alpha")
    for full in saved:
        name = full.removeprefix(_PREFIX)
        if name.endswith(_UP):
            continue
        if not name.endswith(_DOWN):
            given[name] = saved[full]
            continue
        module = name.removesuffix(_DOWN)
        down, up, weight = saved[full], saved.get(f"{_PREFIX}{module}{_UP}"), given.get(f"{module}.weight")
        alpha = alphas.get(module, usual) if isinstance(alphas, dict) else None
        if not isinstance(alpha, (int, float)):
            raise InputError("lora_alpha is not a number", where=folder / ADAPTER_CONFIG)
        if weight is None or up is None or up.ndim != 2 or down.ndim != 2 or up.shape[1] != down.shape[0]:
            raise TensorError(full, "has no matrix to be added to").at(folder)
        change = (up @ down) * (alpha / down.shape[0])
        change = change.T if config.get("fan_in_fan_out") else change
        if change.shape != weight.shape:
            raise TensorError(full, f"makes {tuple(change.shape)} of a matrix of {tuple(weight.shape)}").at(folder)
        given[f"{module}.weight"] = weight + change.to(weight.dtype)
    lost = next((name for name, tensor in given.items() if tensor.is_meta), None)
    if lost is not None:
        raise TensorError(lost, "is missing").at(folder)
    return given
