"""A search by meaning: the texts of a file whose vectors are nearest to that of a query.

An index keeps the vectors, as safetensors, with hashes of the texts and of the model that they are of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from myna import files
from myna.errors import InputError, MynaError
from myna.huggingface.weights import ADAPTER_CONFIG, weights_hash
from myna.inference.loaded import Loaded

_FORMAT = "myna-index-2"
_SETTINGS = ("config.json", "tokenizer.json", "tokenizer_config.json", "myna.json", ADAPTER_CONFIG)


@dataclass(frozen=True)
class Hit:
    """A text that was found: its number from 1, and the cosine between its vector and that of the query."""

    number: int
    text: str
    likeness: float


@dataclass(frozen=True)
class Index:
    """Texts and their vectors, ``(texts, hidden)`` in float32, each of length one."""

    texts: Sequence[str]
    vectors: NDArray[np.float32]

    @classmethod
    def of(cls, model: Loaded, texts: Sequence[str]) -> Index:
        """The index of some texts, none empty."""
        return cls(texts, _unit(model.embed(texts).float().numpy()))

    def search(self, model: Loaded, query: str, top: int = 10) -> list[Hit]:
        """The ``top`` texts nearest to a query, the nearest first; of equals the first."""
        likeness = self.vectors @ _unit(model.embed(query).float().numpy())[0]
        nearest = np.argsort(-likeness, kind="stable")[:top].tolist()
        return [Hit(n + 1, self.texts[n], float(likeness[n])) for n in nearest]


def index_of(model: Loaded, texts: Sequence[str], path: Path | None = None) -> tuple[Index, bool]:
    """The index of texts, and whether its vectors are those that ``path`` keeps; if not, they are written there.

    A file there that is no index is an :class:`InputError`, and stays as it is.
    """
    marks = {"format": _FORMAT, "texts": _mark_of_texts(texts), "model": _mark_of_model(model.folder)}
    if path is not None and path.exists():
        vectors, found = _read(path)
        # One with a bit that has changed is made anew.
        if found == {**marks, "vectors": _mark_of_vectors(vectors)} and len(vectors) == len(texts):
            return Index(texts, vectors), True
    index = Index.of(model, texts)
    if path is not None:
        try:
            files.write_bytes(
                path, save({"vectors": index.vectors}, {**marks, "vectors": _mark_of_vectors(index.vectors)})
            )
        except MynaError as error:
            remedy = (error.remedy or "").replace("choose another with --to", "give --index another name")
            raise type(error)(error.what, where=path, remedy=remedy) from error
    return index, False


def _read(path: Path) -> tuple[NDArray[np.float32], dict[str, str]]:
    try:
        content = path.read_bytes()
        vectors: NDArray[np.float32] = load(content)["vectors"]
        found: dict[str, str] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        if found["format"] != _FORMAT:
            raise KeyError
    except OSError as error:
        what = f"this file cannot be read ({(error.strerror or str(error)).lower()})"
        raise InputError(what, where=path, remedy="give --index the name of a file") from error
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise InputError("this is no index of myna search", where=path, remedy="give --index another name") from None
    return vectors, found


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return result


def _mark_of_vectors(vectors: NDArray[np.float32]) -> str:
    return hashlib.sha256(vectors.tobytes()).hexdigest()


def _mark_of_texts(texts: Sequence[str]) -> str:
    total = hashlib.sha256()
    for text in texts:
        total.update(hashlib.sha256(text.encode()).digest())
    return total.hexdigest()


def _mark_of_model(folder: Path) -> str:
    """A hash of all that a vector depends on: weights, settings, tokenizer."""
    others = (files.sha256(folder / name) for name in _SETTINGS if (folder / name).is_file())
    return hashlib.sha256("\n".join([weights_hash(folder), *others]).encode()).hexdigest()
