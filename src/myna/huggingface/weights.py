"""The tensors of a folder: in ``model.safetensors``, or in several files named by an index.

A tensor is read straight from its file into memory of its own when it is asked for, and checked there, so that loading
a model takes little more memory than the model. No pickle is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from myna import files
from myna.errors import InputError
from myna.huggingface.layout import TensorError, shown

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"
ADAPTERS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
# The types that weights may have, by their name in a file.
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
# Numbers that are read at a time, and looked over while they lie in the processor's cache.
_PIECE = 1 << 18


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies: bytes ``start`` to ``end`` of a file; ``dtype`` is safetensors' name for its type."""

    path: Path
    start: int
    end: int
    shape: tuple[int, ...]
    dtype: str


class Weights(Mapping[str, Tensor]):
    """The tensors of a folder by name.

    A missing, truncated or damaged file is an :class:`InputError` that names it, when the object is made; so is a
    tensor of another type or with a value that is no number, when it is asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.files = weight_files(folder)
        named = _indexed(folder)
        self.index = folder / INDEX if named else self.files[0]
        self._places: dict[str, _Place] = {}
        for path in self.files:
            found = _header(path)
            if named:
                odd = next((name for name in found if named.get(name) != path), None)
                if odd is not None:
                    raise InputError(f"the index does not say that the tensor {shown(odd)} is here", where=path)
            self._places |= found
        missing = next((name for name in named if name not in self._places), None)
        if missing is not None:
            what = f"the tensor {shown(missing)} is not in this file, where the index has it"
            raise InputError(what, where=named[missing])

    def __getitem__(self, name: str) -> Tensor:
        place = self._places[name]
        if place.dtype not in DTYPES:
            raise TensorError(name, f"holds {place.dtype}, not numbers with a fraction (F32, BF16, F16 or F64)")
        tensor = torch.empty(place.shape, dtype=DTYPES[place.dtype])
        with open(place.path, "rb", buffering=0) as stream:
            stream.seek(place.start)
            for piece in torch.split(tensor.view(-1), _PIECE):
                _read_into(piece, stream, place.path)
                if not is_finite(piece):
                    raise TensorError(name, "holds what is not a number")
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def dtypes(self) -> dict[str, int]:
        """How many numbers there are of each type."""
        found: dict[str, int] = {}
        for place in self._places.values():
            found[place.dtype] = found.get(place.dtype, 0) + math.prod(place.shape)
        return found

    def file_of(self, name: str) -> Path:
        """The file that holds a tensor, or should."""
        return self._places[name].path if name in self._places else self.index


def dtype_of(name: str | torch.dtype) -> torch.dtype:
    """The type that weights may have, by its name in torch; another is an :class:`InputError`."""
    found = next((dtype for dtype in DTYPES.values() if name in (dtype, str(dtype).removeprefix("torch."))), None)
    if found is None:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES.values())
        raise InputError(f"dtype = {shown(name)} is not one of {known}")
    return found


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights of a folder, all of which are there."""
    paths = sorted(set(_indexed(folder).values())) or [folder / (ADAPTERS if is_adapted(folder) else SINGLE)]
    for path in paths:
        if not os.path.isfile(path):
            what, remedy = "this file is missing (weights are read from safetensors only)", None
            if any((folder / name).is_file() for name in (PICKLE, f"{PICKLE}.index.json")):
                remedy = f"{PICKLE} is a pickle; if you trust where it is from: myna convert FROM TO --trust-pickle"
            raise InputError(what, where=path, remedy=remedy)
    return paths


def is_adapted(folder: Path) -> bool:
    """Whether a folder holds adapters, and not the weights that they stand on."""
    here = (folder / ADAPTER_CONFIG).is_file()
    return here and not (folder / SINGLE).is_file() and not (folder / INDEX).is_file()


def weights_hash(folder: Path) -> str:
    """The SHA-256 of a folder's weights: of its one file, or of the hashes of several."""
    hashes = [files.sha256(path) for path in weight_files(folder)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def write_weights(
    folder: Path, tensors: Mapping[str, Tensor], shard_size: int | None = None, single: str = SINGLE
) -> None:
    """Writes the file ``single``; beyond ``shard_size`` bytes several files and their index."""
    shards: list[dict[str, Tensor]] = [{}]
    room = shard_size
    for name, tensor in tensors.items():
        if room is not None and shard_size is not None:
            if tensor.nbytes > room and shards[-1]:
                shards.append({})
                room = shard_size
            room -= tensor.nbytes
        shards[-1][name] = tensor
    if len(shards) == 1:
        _write_file(folder / single, tensors)
        return
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_file(folder / file, shard)
        places |= dict.fromkeys(shard, file)
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    with files.open_new(folder / INDEX) as stream:
        stream.write((json.dumps(index, indent=2) + "\n").encode())


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
    return index_of(index)


def index_of(index: Path) -> dict[str, Path]:
    """The file of each tensor by an index, which names files beside itself alone."""
    named = files.read_object(index).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(file, str) for file in named.values()):
        raise InputError("this file is damaged (its weight_map names no files)", where=index)
    for file in named.values():
        if not file or Path(file).name != file or not file.isprintable():
            raise InputError(f"{shown(file)} is not the name of a file beside the index", where=index)
    return {name: index.parent / file for name, file in named.items()}


def _header(path: Path) -> dict[str, _Place]:
    """The places of a file's tensors.

    The library has looked the header over before it is read here: its length, its JSON, and that the tensors lie one
    after the other without gaps up to the end of the file.
    """
    try:
        with safe_open(path, framework="pt"):
            pass
        with open(path, "rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(f"this file is damaged ({str(error)[:200]})", where=path) from None
    header.pop("__metadata__", None)
    places = {}
    for name, entry in header.items():
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        places[name] = _Place(path, start, end, tuple(entry["shape"]), entry["dtype"])
    return places


def _read_into(piece: Tensor, stream: io.FileIO, path: Path) -> None:
    left = _bytes(piece)
    while left:
        count = stream.readinto(left)
        if not count:
            raise InputError("this file is damaged (it ends early)", where=path)
        left = left[count:]


def _write_file(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """One file, byte for byte as the library writes it, without a copy of all of it in memory."""
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in order:
        tensor, start = tensors[name], end
        end = start + tensor.nbytes
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    written = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    with files.open_new(path) as stream:
        stream.write(len(written).to_bytes(8, "little") + written)
        for name in order:
            if tensors[name].numel():
                stream.write(_bytes(tensors[name].detach().contiguous()))


def _bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor that lies in one piece, not copied."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data
