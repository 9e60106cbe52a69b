"""``convert``: a model's folder written anew in the layout of its family, checked, in another type or in shards.

What a table cannot place is an error that names it. A pickle is read here alone, where its reader says that it is
trusted, and then by the loader that builds nothing but tensors.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from myna import files
from myna.errors import InputError
from myna.huggingface.families import family_of, says, settings_of
from myna.huggingface.folder import ModelFolder, fill, open_model_folder, to_json
from myna.huggingface.layout import HARMLESS, TensorError
from myna.huggingface.weights import INDEX, PICKLE, SINGLE, Weights, dtype_of, index_of, is_adapted, is_finite

# Files that go along as they are: tokenizers, how the model writes, and what is said of it.
_KEPT = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"),
    *("vocab.json", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
    *("chat_template.jinja", "generation_config.json", "README.md", "LICENSE", "LICENSE.txt", "NOTICE"),
)
# As in transformers: what most disks and programs take in one file.
SHARD_SIZE = "5GB"
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def convert(
    source: Path | str,
    target: Path | str,
    dtype: str | None = None,
    shard_size: str = SHARD_SIZE,
    trust_pickle: bool = False,
) -> dict[str, Any]:
    """Writes the model in ``source`` as a new folder ``target``, whole or not at all, and says what was written.

    ``dtype`` is what the weights become (``float32``, ``bfloat16``, ``float16``), None: what each is. Weights beyond
    ``shard_size`` (bytes, or a number with KB, MB or GB) are cut into shards. The facts of a ``myna.json`` are kept.
    Raises an :class:`InputError` for a target that exists and for what :func:`open_model_folder` refuses.
    """
    source, target = Path(source), Path(target)
    wanted, size = None if dtype is None else dtype_of(dtype), _bytes_of(shard_size)
    if target.exists() or target.is_symlink():
        raise InputError("this exists already", where=target, remedy="choose another")
    files.check_folder(source)
    pickled = _read_pickles(source) if trust_pickle and not _has_safetensors(source) else None
    found = open_model_folder(source, None, pickled)
    try:
        tensors = _tensors(found, Weights(source) if pickled is None else pickled)
        if wanted is not None:
            tensors = {name: _as(wanted, name, tensor) for name, tensor in tensors.items()}
    except TensorError as error:
        raise error.at(source) from None
    content = {name: (source / name).read_bytes() for name in _KEPT if (source / name).is_file()}
    content["config.json"] = to_json(_settings(found, tensors))
    facts = {"kind": found.model.kind, "labels": list(found.model.labels), **found.facts}
    facts = {name: value for name, value in facts.items() if name not in ("format", "files", "base")}
    with files.new_folder(target) as place:
        fill(place, content, tensors, facts, size)
        written = sorted(path.name for path in place.iterdir())
    return {
        "model": str(target),
        "family": _family(found).model_type,
        "head": "none" if found.bare else found.model.kind,
        "tensors": len(tensors),
        "parameters": sum(parameter.numel() for parameter in found.model.parameters()),
        "bytes": sum(tensor.nbytes for tensor in tensors.values()),
        "files": written,
    }


def _family(found: ModelFolder) -> Any:
    """The family in whose layout a model is written: that which it came in, if it can say it."""
    config, kind = found.model.config, found.model.kind
    return found.family if says(found.family, config, kind) else family_of(config, kind)


def _tensors(found: ModelFolder, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is written: the model's tensors, and in the same family those that it has no use for, as they are."""
    family = _family(found)
    tensors = family.tensors(found.model, found.bare)
    if family is found.family:
        tensors |= {name: given[name] for name in found.left if name not in tensors}
    return dict(sorted(tensors.items()))


def _settings(found: ModelFolder, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """``config.json``: what the family says of the model, and what else the folder said that changes no arithmetic."""
    harmless = {*HARMLESS, *found.family.harmless} - {"dtype", "torch_dtype", "transformers_version", "architectures"}
    kept = {name: value for name, value in found.settings.items() if name in harmless}
    settings = settings_of(found.model, _family(found))
    settings |= {name: value for name, value in kept.items() if settings.get(name) is None}
    # The type of most numbers: a few norms may be kept in another.
    counts: dict[torch.dtype, int] = {}
    for tensor in tensors.values():
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.numel()
    settings["dtype"] = str(max(counts, key=lambda dtype: counts[dtype])).removeprefix("torch.")
    if found.bare:
        settings["architectures"] = found.settings.get("architectures")
    return settings


def _as(dtype: torch.dtype, name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    made = tensor.to(dtype)
    if not is_finite(made):
        raise TensorError(name, f"holds numbers beyond what {str(dtype).removeprefix('torch.')} can say")
    return made


def _bytes_of(size: str) -> int:
    match = re.fullmatch(r"(\d{1,15})\s*([KMG]B)?", size.strip().upper())
    count = int(match[1]) * _UNITS[match[2] or ""] if match else 0
    if not count:
        raise InputError(f"the shard size {size[:40]!r} is no size", remedy="give bytes, or a number as 500MB or 5GB")
    return count


def _has_safetensors(folder: Path) -> bool:
    return (folder / SINGLE).is_file() or (folder / INDEX).is_file() or is_adapted(folder)


def _read_pickles(folder: Path) -> dict[str, Tensor]:
    """The tensors of ``pytorch_model.bin``, or of the files that its index names."""
    index = folder / f"{PICKLE}.index.json"
    paths = sorted(set(index_of(index).values())) if index.is_file() else [folder / PICKLE]
    tensors: dict[str, Tensor] = {}
    for path in paths:
        if not path.is_file():
            raise InputError("this file is missing", where=path)
        for name, tensor in _unpickled(path).items():
            if not isinstance(name, str) or not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
                raise InputError("this file holds something else than tensors by name", where=path)
            if not is_finite(tensor):
                raise TensorError(name, "holds what is not a number").at(path)
            tensors[name] = tensor
    return tensors


def _unpickled(path: Path) -> dict[Any, Any]:
    try:
        # Files of the older format can't be mapped.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError:
        raise InputError("this file can't be read as weights alone: it holds more than tensors", where=path) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError) as error:
        first = str(error).strip().partition("\n")[0][:150]
        raise InputError(f"this file can't be read as weights alone ({first})", where=path) from None
    if not isinstance(content, dict):
        raise InputError("this file holds something else than tensors by name", where=path)
    return content
