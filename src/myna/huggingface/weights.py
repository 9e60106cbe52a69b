"""The tensors of a folder, one at a time: in ``model.safetensors``, or in several files named by an index.

A tensor is mapped from its file, checked, and given to whoever copies it; then its pages are let go. So loading a
model takes little more memory than the model. No pickle is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from myna import files
from myna.errors import InputError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLE = "pytorch_model.bin"


class Weights(Mapping[str, Tensor]):
    """The tensors of a folder by name.

    A missing, truncated or damaged file is an :class:`InputError` that names it, when the object is made; a tensor
    with a value that is no number, when it is asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.files = weight_files(folder)
        self._place: dict[str, Path] = {}
        self.header: dict[str, tuple[tuple[int, ...], str]] = {}
        for path in self.files:
            with _opened(path) as stream:
                for name in stream.keys():  # noqa: SIM118 (it is no dictionary)
                    part = stream.get_slice(name)
                    self._place[name] = path
                    self.header[name] = tuple(part.get_shape()), part.get_dtype()
        for name, path in _indexed(folder).items():
            if self._place.get(name) != path:
                raise InputError(f"the tensor {name} is not in this file, where the index has it", where=path)

    def __getitem__(self, name: str) -> Tensor:
        path = self._place[name]
        with _opened(path) as stream:
            tensor: Tensor = stream.get_tensor(name)
        if not is_finite(tensor):
            raise InputError(f"the tensor {name} holds what is not a number", where=path)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights of a folder, all of which are there."""
    paths = sorted(set(_indexed(folder).values())) or [folder / SINGLE]
    for path in paths:
        if not path.is_file():
            what, remedy = "this file is missing (weights are read from safetensors only)", None
            if (folder / _PICKLE).is_file():
                remedy = f"{_PICKLE} is a pickle, which can run anything: if you trust it, myna convert --trust-pickle"
            raise InputError(what, where=path, remedy=remedy)
    return paths


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor holds numbers alone, in one pass and without another tensor of its size."""
    if tensor.numel() == 0 or not tensor.is_floating_point():
        return True
    least, most = torch.aminmax(tensor)
    return bool(torch.isfinite(least) & torch.isfinite(most))


def _indexed(folder: Path) -> dict[str, Path]:
    """Where an index says that each tensor is; nothing where one file holds them all."""
    index = folder / INDEX
    if (folder / SINGLE).is_file() or not index.is_file():
        return {}
    named = files.read_object(index).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(file, str) for file in named.values()):
        raise InputError("this file is damaged (its weight_map names no files)", where=index)
    for file in named.values():
        if Path(file).name != file:
            raise InputError(f"{file[:80]!r} is not the name of a file beside the index", where=index)
    return {name: folder / file for name, file in named.items()}


def _opened(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise InputError(f"this file is damaged ({error})", where=path) from None
