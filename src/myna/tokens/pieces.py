"""Documents cut into pieces no longer than a model's window: the items of pre-training.

Every token of every document is in exactly one piece, whatever the length of the document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
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


class Pieces:
    """The pieces of all documents of some stores, of at most ``window`` tokens each.

    ``lengths`` counts each piece with the tokens that the objective puts around it: ``extra`` of them, and
    ``extra_last`` more at a document's end. ``documents`` is the document of each piece, counted through the stores
    one after the other, ``tokens`` how many of its own tokens each piece holds, and ``last`` whether it ends there.
    """

    def __init__(self, stores: Sequence[TokenStore], window: int, extra: int = 0, extra_last: int = 0) -> None:
        self.stores = stores
        self._bases = np.cumsum([0, *(store.documents for store in stores)])
        owners, documents, starts, stops = [], [], [], []
        for owner, store in enumerate(stores):
            bounds = np.asarray(store.bounds, np.int64)
            sizes = np.diff(bounds)
            counts = -(-sizes // window)
            document = np.repeat(np.arange(len(sizes)), counts)
            number = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
            start = bounds[document] + number * window
            owners.append(np.full(len(document), owner))
            documents.append(document)
            starts.append(start)
            stops.append(np.minimum(start + window, bounds[document + 1]))
        self._owner, self._document = np.concatenate(owners), np.concatenate(documents)
        self._start, self._end = np.concatenate(starts), np.concatenate(stops)
        self.documents: NDArray[np.int64] = self._document + self._bases[self._owner]
        ends = np.append(self.documents[1:] != self.documents[:-1], True)[: len(self.documents)]
        self.last: NDArray[np.bool_] = ends
        self.tokens: NDArray[np.int64] = self._end - self._start
        self.lengths: NDArray[np.int64] = self._end - self._start + extra + extra_last * ends

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Piece:
        store = self.stores[self._owner[index]]
        start, end, document = int(self._start[index]), int(self._end[index]), int(self._document[index])
        first, last = int(store.bounds[document]), int(store.bounds[document + 1])
        return Piece(
            store.ids[start:end],
            store.word_starts[start:end],
            int(self.documents[index]),
            int(store.ids[start - 1]) if start > first else None,
            int(store.ids[end]) if end < last else None,
        )
