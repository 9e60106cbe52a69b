"""Documents cut into pieces no longer than a model's window: the items of pre-training.

Every token of every document is in exactly one piece, whatever the length of the document. Where a piece lies is
computed when it is asked for, so that what is held in memory does not grow with the text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from myna.tokens.chunks import ChunkedLengths, Chunks, Computed, Lengths, blocks, cut, ranges

if TYPE_CHECKING:
    from myna.tokens.sampler import Reached
    from myna.tokens.store import TokenStore


@dataclass(frozen=True)
class Piece:
    """A stretch of a document: its ``ids``, where words begin among them (0 or 1), and whose it is.

    ``before`` is the id just before the stretch and ``after`` the one just behind it, None at the document's ends.
    """

    ids: NDArray[np.integer]
    word_starts: NDArray[np.uint8]
    document: int
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Sizes:
    """How many ``tokens`` of a document pieces hold, and whether it ends there (``last``), ``(pieces,)`` each."""

    tokens: NDArray[np.int64]
    last: NDArray[np.bool_]


@dataclass(frozen=True)
class Places(Sizes):
    """Sizes of pieces, and the ``documents`` they are of, counted through the stores one after the other."""

    documents: NDArray[np.int64]


class Pieces:
    """The pieces of all documents of some stores, of at most ``window`` tokens each.

    ``lengths`` are the tokens of each piece in a batch: what ``taken`` makes of its size, for each piece by itself.
    ``documents`` is the document of each, counted through the stores one after the other, ``tokens`` how many tokens of
    it the piece holds. ``filled`` documents have a token.
    """

    lengths: Lengths
    documents: Computed | NDArray[np.int64]
    tokens: Computed | NDArray[np.int64]

    def __init__(
        self,
        stores: Sequence[TokenStore],
        window: int,
        taken: Callable[[Sizes], NDArray[np.int64]] = lambda sizes: sizes.tokens,
    ) -> None:
        self.stores, self.window = stores, window
        self._inner = int(taken(Sizes(np.array([window]), np.array([False])))[0])
        self._ends = np.append(0, taken(Sizes(np.arange(1, window + 1), np.ones(window, bool))))
        self._bases = np.cumsum([0, *(store.documents for store in stores)])
        self._token_bases = np.cumsum([0, *(store.tokens for store in stores)])
        cuts = [cut(store.bounds, window, self._inner, self._ends) for store in stores]
        items = np.cumsum([0, *(int(found.firsts[-1]) for found in cuts)])
        self._firsts = np.append(
            np.concatenate([c.firsts[:-1] + n for c, n in zip(cuts, items, strict=False)]), items[-1]
        )
        self._documents = np.append(
            np.concatenate([c.documents[:-1] + n for c, n in zip(cuts, self._bases, strict=False)]), self._bases[-1]
        )
        self._numbers = np.append(np.concatenate([c.numbers[:-1] for c in cuts]), 0)
        chunks = Chunks(self._firsts, np.concatenate([c.tokens for c in cuts]))
        self._single = chunks.single
        self.filled = sum(found.filled for found in cuts)
        self.lengths = ChunkedLengths(chunks, self._taken, max((c.longest for c in cuts), default=0))
        self.documents = Computed(len(self), lambda numbers: self.places(numbers).documents)
        self.tokens = Computed(len(self), lambda numbers: self.places(numbers).tokens)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def __getitem__(self, index: int) -> Piece:
        if not 0 <= index < len(self):
            raise IndexError(index)
        # One piece at a time is what a step asks for: plain numbers are four times as quick as arrays of one.
        if self._single:
            document, inside = int(self._documents[index]), int(self._numbers[index])
        else:
            document, inside = (int(found[0]) for found in self._walked(np.array([index])))
        owner = bisect_right(self._bases, document) - 1
        store, local = self.stores[owner], document - int(self._bases[owner])
        first, last = int(store.bounds[local]), int(store.bounds[local + 1])
        start = first + inside * self.window
        end = min(start + self.window, last)
        ids, word_starts = store.stretch(start, end)
        return Piece(
            ids,
            word_starts,
            document,
            int(store.ids[start - 1]) if start > first else None,
            int(store.ids[end]) if end < last else None,
        )

    def places(self, numbers: NDArray[np.int64]) -> Places:
        """The sizes of some pieces, and of which documents they are."""
        if self._single:
            documents, inside = self._documents[numbers], self._numbers[numbers]
        else:
            documents, inside = self._walked(numbers)
        _, firsts, ends = self._edges(documents)
        left = ends - firsts - inside * self.window
        return Places(np.minimum(left, self.window), left <= self.window, documents)

    def first(self, documents: Sequence[int]) -> NDArray[np.int64]:
        """The pieces of the first so many documents of each store."""
        counts = [
            sum(int((-(-np.diff(block) // self.window)).sum()) for _, block in blocks(store.bounds[: count + 1]))
            for store, count in zip(self.stores, documents, strict=True)
        ]
        begins = self._firsts[np.searchsorted(self._documents, self._bases[:-1])]
        return ranges(begins, begins + np.array(counts, np.int64))

    def held(self, reached: Reached) -> dict[str, int]:
        """How many documents some chunks and pieces are of, and how many tokens of these they hold."""
        chunks, places = reached.chunks, self.places(reached.items)
        tokens = int((self._before(chunks + 1) - self._before(chunks)).sum() + places.tokens.sum())
        begins = np.sort(np.concatenate([self._documents[chunks], places.documents]))
        behind = self._documents[chunks + 1] + (self._numbers[chunks + 1] > 0)
        behind = np.sort(np.concatenate([behind, places.documents + 1]))
        return {"documents": self._between(begins, behind), "tokens": tokens}

    def _between(self, begins: NDArray[np.int64], behind: NDArray[np.int64]) -> int:
        """How many documents with a token lie in any of some ranges; beginnings and ends are each in order."""
        documents = 0
        for base, store in zip(self._bases, self.stores, strict=False):
            for first, block in blocks(store.bounds):
                low, high = base + first, base + first + len(block) - 1
                started, ended = (np.searchsorted(line, [low, high]) for line in (begins, behind))
                count = started[0] - ended[0]
                if count == 0 and started[0] == started[1]:
                    continue
                changes = np.bincount(begins[slice(*started)] - low, minlength=high - low)
                changes -= np.bincount(behind[slice(*ended)] - low, minlength=high - low)
                documents += int(((count + np.cumsum(changes) > 0) & (np.diff(block) > 0)).sum())
        return documents

    def _taken(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        found = self.places(numbers)
        return np.where(found.last, self._ends[found.tokens], self._inner)

    def _walked(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The document of each piece, and which of its pieces it is, by a walk over the documents of its chunk."""
        chunks, mine = np.unique(np.searchsorted(self._firsts, numbers, side="right") - 1, return_inverse=True)
        stops = np.minimum(self._documents[chunks + 1] + 1, self._bases[-1])
        documents = ranges(self._documents[chunks], stops)
        _, firsts, ends = self._edges(documents)
        piece_ends = np.cumsum(-(-(ends - firsts) // self.window))
        counted = np.append(0, piece_ends)
        begins = np.cumsum(stops - self._documents[chunks]) - (stops - self._documents[chunks])
        wanted = (counted[begins] + self._numbers[chunks] - self._firsts[chunks])[mine] + numbers
        found = np.searchsorted(piece_ends, wanted, side="right")
        return documents[found], wanted - counted[found]

    def _edges(self, documents: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The store of each document, and where in its ids it begins and ends."""
        owners = np.searchsorted(self._bases, documents, side="right") - 1
        firsts, ends = np.empty_like(documents), np.empty_like(documents)
        for owner, store in enumerate(self.stores):
            mine = slice(None) if len(self.stores) == 1 else np.flatnonzero(owners == owner)
            local = documents[mine] - self._bases[owner]
            firsts[mine], ends[mine] = store.bounds[local], store.bounds[local + 1]
        return owners, firsts, ends

    def _before(self, chunks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tokens of documents that lie before some chunks."""
        documents = self._documents[chunks]
        within = documents < self._bases[-1]
        owners, firsts, _ = self._edges(documents[within])
        result = np.full(len(chunks), self._token_bases[-1])
        result[within] = self._token_bases[owners] + firsts + self._numbers[chunks][within] * self.window
        return result
