"""Documents one after the other, without padding: the form in which every batch reaches the model.

Everything token-wise works on ``(tokens, hidden)``. Only a mixer sees documents, as runs: stretches of documents of
equal length, which reach attention as ``(documents, heads, length, head_size)`` without any mask.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from myna import randomness


class Run(NamedTuple):
    """``documents`` of ``length`` tokens each, from token ``start`` of the batch."""

    start: int
    documents: int
    length: int

    @property
    def rows(self) -> slice:
        """The tokens of this run."""
        return slice(self.start, self.start + self.documents * self.length)

    def of(self, tokens: Tensor) -> Tensor:
        """Its rows of ``(tokens, …)`` as ``(documents, length, …)``, not copied."""
        return tokens[self.rows].view(self.documents, self.length, *tokens.shape[1:])


@dataclass(frozen=True)
class Flat:
    """The tokens of a batch.

    ``ids`` and ``positions`` are ``(tokens,)`` of int64; ``runs`` cover them in order. ``keys``, ``(tokens,)`` of
    int32, are there in training: dropout is a function of them. ``segments`` is ``(tokens,)`` or None for all zero;
    ``prefixes``, ``(documents,)``, says how many tokens of each document all of its tokens see (prefix attention);
    ``whole`` says that all see all of their document, whatever the attention. ``windows`` says of a source that is
    read in windows how many documents, side by side, are those of each, and a decoder sees them all (arXiv:2007.01282).
    """

    ids: Tensor
    positions: Tensor
    runs: tuple[Run, ...]
    keys: Tensor | None = None
    segments: Tensor | None = None
    prefixes: Tensor | None = None
    whole: bool = False
    windows: tuple[int, ...] | None = None


def runs_of(lengths: Sequence[int]) -> tuple[Run, ...]:
    """The runs of equal neighbours in ``lengths``. Documents in the order of their lengths give the fewest."""
    runs: list[Run] = []
    start = 0
    for length, equal in itertools.groupby(lengths):
        runs.append(Run(start, len(list(equal)), length))
        start = runs[-1].rows.stop
    return tuple(runs)


def flatten(
    documents: Sequence[NDArray[np.integer]], numbers: NDArray[np.integer] | None = None, key: int | None = None
) -> Flat:
    """Puts documents, none empty, one after the other.

    With ``key``, each token gets a key for dropout from ``(key, its document's number, its position)`` alone, so that
    what is dropped does not depend on which documents stand beside it.
    """
    lengths = np.array([len(document) for document in documents], np.int64)
    positions = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    ids = torch.from_numpy(np.concatenate(documents).astype(np.int64))
    keys = None
    if key is not None:
        assert numbers is not None
        index = (np.repeat(numbers.astype(np.uint64), lengths) << np.uint64(32)) | positions.astype(np.uint64)
        drawn = randomness.numbers(randomness.key(key, "dropout"), index) >> np.uint64(32)
        keys = torch.from_numpy(drawn.astype(np.uint32).view(np.int32))
    return Flat(ids, torch.from_numpy(positions), runs_of(lengths.tolist()), keys)


def flatten_sources(
    sources: Sequence[NDArray[np.integer]], numbers: NDArray[np.integer] | None = None, key: int | None = None
) -> Flat:
    """:func:`flatten` of sources, each ``(tokens,)`` or, in windows of one length, ``(windows, tokens)``."""
    lines = [np.atleast_2d(source) for source in sources]
    windows = tuple(len(line) for line in lines)
    flat = flatten(
        [window for line in lines for window in line], None if numbers is None else numbers.repeat(windows), key
    )
    return replace(flat, windows=windows)


def documents_of(runs: Sequence[Run]) -> Iterator[slice]:
    """Which documents each run holds, counted from that of the first one on."""
    first = 0
    for run in runs:
        yield slice(first, first + run.documents)
        first += run.documents


def document_lengths(runs: Sequence[Run]) -> list[int]:
    """The length of each document."""
    return [run.length for run in runs for _ in range(run.documents)]


def document_starts(runs: Sequence[Run]) -> list[int]:
    """The first token of each document."""
    return [run.start + number * run.length for run in runs for number in range(run.documents)]
