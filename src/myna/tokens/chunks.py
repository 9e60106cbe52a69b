"""Items by the chunk: all that a sampler must hold of them in memory, however many there are.

A chunk is a stretch of neighbouring items. Up to ``MOST_CHUNKS`` items each is a chunk of its own; beyond that a chunk
has 2, 4, 8, … of them, so that there are never more chunks than that. The pieces of a token store are cut into chunks
by one walk over the bounds of its documents, a block of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# A permutation of so many takes 8 MB and 0.1 s.
MOST_CHUNKS = 1 << 20
# Enough for numpy to be quick, little beside a model in memory.
BLOCK = 1 << 17


class Lengths(Protocol):
    """The tokens that items take, by their numbers: a numpy array is one."""

    def __len__(self) -> int:
        """How many items there are."""

    def __getitem__(self, numbers: Any, /) -> Any:
        """Those of some items, shaped as ``numbers``."""

    def sum(self) -> Any:
        """The tokens of all items."""

    def max(self) -> Any:
        """The tokens of the longest."""


@dataclass(frozen=True)
class Chunks:
    """``firsts``, ``(chunks + 1,)``, is the first item of each chunk and the number of all items, ``tokens``,
    ``(chunks,)``, what a chunk's items take together."""

    firsts: NDArray[np.int64]
    tokens: NDArray[np.int64]

    @property
    def single(self) -> bool:
        """Whether each item is a chunk of its own."""
        return len(self.tokens) == int(self.firsts[-1])

    def items(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """The items of some chunks, one chunk after the other."""
        return ranges(self.firsts[chosen], self.firsts[chosen + 1])


class Computed:
    """Figures of ``count`` items that are computed where they are looked at; ``numpy.asarray`` gives all of them."""

    def __init__(self, count: int, of: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> None:
        self._count, self._of = count, of

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, numbers: Any) -> Any:
        wanted = np.asarray(numbers, np.int64)
        return self._of(wanted.ravel()).reshape(wanted.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self._of(np.arange(self._count)), dtype)


class ComputedLengths(Computed):
    """Computed :class:`Lengths`, of which the ``total`` and the ``longest`` are known."""

    def __init__(
        self, count: int, of: Callable[[NDArray[np.int64]], NDArray[np.int64]], total: int, longest: int
    ) -> None:
        super().__init__(count, of)
        self._total, self._longest = total, longest

    def sum(self) -> int:
        """The tokens of all items."""
        return self._total

    def max(self) -> int:
        """The tokens of the longest."""
        return self._longest


class ChunkedLengths(ComputedLengths):
    """Computed :class:`Lengths` of items by the chunk."""

    def __init__(self, chunks: Chunks, of: Callable[[NDArray[np.int64]], NDArray[np.int64]], longest: int) -> None:
        super().__init__(int(chunks.firsts[-1]), of, int(chunks.tokens.sum()), longest)
        self.chunks = chunks


def chunks_of(lengths: Lengths) -> Chunks:
    """The chunks of items; those of an array are single items, however many there are."""
    if isinstance(lengths, ChunkedLengths):
        return lengths.chunks
    return Chunks(np.arange(len(lengths) + 1), np.asarray(lengths, np.int64))


def ranges(begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of some ranges, one range after the other."""
    counts = ends - begins
    steps = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    result: NDArray[np.int64] = steps + np.repeat(begins, counts)
    return result


@dataclass(frozen=True)
class Cut:
    """The pieces of the documents of a store by the chunk.

    A chunk begins with the piece ``firsts`` of the store, which is the piece ``numbers`` of the document ``documents``;
    the last of these is what lies behind the end, ``(chunks + 1,)`` each. ``tokens``, ``(chunks,)``, is what a chunk
    takes in a batch, ``longest`` what one piece takes at most. ``filled`` documents have a token.
    """

    firsts: NDArray[np.int64]
    documents: NDArray[np.int64]
    numbers: NDArray[np.int64]
    tokens: NDArray[np.int64]
    longest: int
    filled: int


def cut(bounds: NDArray[np.int64], window: int, inner: int, ends: NDArray[np.int64]) -> Cut:
    """Cuts documents into pieces of at most ``window`` tokens, and these into chunks.

    A piece takes ``inner`` tokens in a batch where its document goes on, else ``ends[its own tokens]``.
    """
    pieces = sum(int((-(-np.diff(block) // window)).sum()) for _, block in blocks(bounds))
    size = 1
    while pieces > size * MOST_CHUNKS:
        size *= 2
    firsts = np.append(np.arange(0, pieces, size), pieces)
    documents, numbers, before = (np.empty(len(firsts), np.int64) for _ in range(3))
    walked = taken = longest = filled = 0
    for base, block in blocks(bounds):
        sizes = np.diff(block)
        counts = -(-sizes // window)
        rests = ends[sizes - (counts - 1) * window]
        takes = np.where(counts > 0, (counts - 1) * inner + rests, 0)
        piece_ends, token_ends = walked + np.cumsum(counts), taken + np.cumsum(takes)
        low, high = np.searchsorted(firsts, [walked, piece_ends[-1]])
        # The first document that has not ended where a chunk begins is the one that the chunk begins in.
        place = np.searchsorted(piece_ends, firsts[low:high], side="right")
        documents[low:high] = base + place
        numbers[low:high] = firsts[low:high] - (piece_ends - counts)[place]
        before[low:high] = (token_ends - takes)[place] + numbers[low:high] * inner
        walked, taken = int(piece_ends[-1]), int(token_ends[-1])
        longest = max(longest, int(rests[counts > 0].max(initial=0)), inner if (counts > 1).any() else 0)
        filled += int((counts > 0).sum())
    documents[-1], numbers[-1], before[-1] = len(bounds) - 1, 0, taken
    return Cut(firsts, documents, numbers, np.diff(before), longest, filled)


def blocks(bounds: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Bounds of documents by the block: the number of the first document, and the bounds of it and of those behind."""
    for base in range(0, len(bounds) - 1, BLOCK):
        yield base, np.asarray(bounds[base : base + BLOCK + 1], np.int64)
