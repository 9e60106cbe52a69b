"""Characters predicted from the few before: n-grams, interpolated as Witten and Bell (1991) do.

With N occurrences of a history and T different characters behind it::

    p(c | history) = (count(history, c) + T · p(c | shorter history)) / (N + T)

and behind the shortest, the empty history, stands the same share for every Unicode character and for the end of the
document: 1 / 1,112,065. So every string has a probability, and those of all strings add up to one: it is a code as
honest as a network's, to the last unseen character.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myna.evaluation.metrics import Floats

# All code points but the surrogates, and the end of a document.
UNIFORM_SHARE = 1 / (0x110000 - 0x800 + 1)
# Characters gathered before they are counted: the keys and their sorted copy take 16 bytes each.
_GATHER = 4_000_000


class CharacterNgrams:
    """A model of characters by the ``order`` − 1 before, trained on whole documents, each with its end."""

    def __init__(self, order: int, texts: Iterable[str]) -> None:
        if not 1 <= order <= 6:
            raise ValueError(f"the order must be 1 to 6, not {order}")
        self.order = order
        alphabet = np.zeros(0x110000, bool)
        tables = [_Counts() for _ in range(order)]
        for part in in_parts(texts):
            codes, starts = codes_of(part)
            alphabet[codes[codes < _END]] = True
            for length, counts in enumerate(tables):
                counts.add(_keys(codes, starts, length))
        self.alphabet = "".join(map(chr, np.flatnonzero(alphabet)))
        self._levels = [counts.level() for counts in tables]

    def bits(self, texts: Sequence[str]) -> Floats:
        """The cost of each whole document with its end, ``(documents,)`` in bits."""
        totals = [np.zeros(0)]
        for part in in_parts(texts):
            codes, starts = codes_of(part)
            cost = -np.log2(self._shares(codes, starts))
            totals.append(np.add.reduceat(cost, starts))
        return np.concatenate(totals)

    def following(self, history: str) -> tuple[dict[str, float], float, float]:
        """What may follow ``history`` at a document's beginning.

        Gives the probability of each character of the alphabet, that of all others together, and that of the end.
        """
        lines = [history + character for character in self.alphabet]
        unseen = next(c for c in map(chr, range(1, 0x110000)) if c not in set(self.alphabet))
        codes, starts = codes_of([*lines, history + unseen])
        last = np.append(starts[1:], len(codes)) - 2  # the character before the end
        shares = self._shares(codes, starts)
        others = round(1 / UNIFORM_SHARE) - 1 - len(self.alphabet)
        codes, starts = codes_of([history])
        end = float(self._shares(codes, starts)[-1])
        return dict(zip(self.alphabet, shares[last].tolist(), strict=False)), float(shares[last[-1]]) * others, end

    def _shares(self, codes: NDArray[np.int64], starts: NDArray[np.int64]) -> Floats:
        shares = np.full(len(codes), UNIFORM_SHARE)
        for length, level in enumerate(self._levels):
            keys = _keys(codes, starts, length)
            count = level.count(keys)
            total, kinds = level.history(keys >> _WIDTH)
            seen = total > 0
            shares[seen] = (count[seen] + kinds[seen] * shares[seen]) / (total[seen] + kinds[seen])
        return shares


# A character's code is its code point; the end and what stands before a beginning come behind the last one.
_END, _START = 0x110000, 0x110001
_WIDTH = 21
# Of the hash of a history: the next character is put above what is known, and all is spread by an odd number.
_HALF, _ODD = np.uint64(42), np.uint64(0x9E3779B97F4A7C15)


def in_parts(texts: Iterable[str]) -> Iterable[list[str]]:
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text) + 1
        if size >= _GATHER:
            yield part
            part, size = [], 0
    if part:
        yield part


def codes_of(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The codes of all documents, each with its end (0x110000), one after the other; and where each begins."""
    pieces = [np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32) for text in texts]
    sizes = np.array([len(piece) + 1 for piece in pieces], np.int64)
    starts = np.cumsum(sizes) - sizes
    codes = np.full(int(sizes.sum()), _END, np.int64)
    inside = np.ones(len(codes), bool)
    inside[starts + sizes - 1] = False
    codes[inside] = np.concatenate(pieces) if pieces else np.zeros(0, np.uint32)
    return codes, starts


def _keys(codes: NDArray[np.int64], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Each character with the ``length`` before it in its document, as one number of 63 bits at most.

    Two characters before it stand there as they are, more by a hash of 42 bits: of ten million histories about ten
    then share their counts with another, and probabilities still add up to one.
    """
    history = np.zeros(len(codes), np.uint64)
    for back in range(1, length + 1):
        before = np.full(len(codes), _START, np.int64)
        before[back:] = codes[:-back]
        for step in range(back):  # what stands before a document's beginning is not the document before
            places = starts + step
            before[places[places < len(codes)]] = _START
        if back <= 2:
            history |= before.astype(np.uint64) << np.uint64(_WIDTH * (back - 1))
        else:
            history = ((history ^ before.astype(np.uint64) << _HALF) * _ODD) >> np.uint64(64 - 2 * _WIDTH)
    return (history.astype(np.int64) << _WIDTH) | codes


class _Counts:
    """Keys counted part by part."""

    def __init__(self) -> None:
        self.keys = np.zeros(0, np.int64)
        self.counts = np.zeros(0, np.int64)

    def add(self, keys: NDArray[np.int64]) -> None:
        new, times = np.unique(keys, return_counts=True)
        joined, places = np.unique(np.concatenate([self.keys, new]), return_inverse=True)
        counts = np.bincount(places, np.concatenate([self.counts, times]), len(joined))
        self.keys, self.counts = joined, counts.astype(np.int64)

    def level(self) -> _Level:
        histories, first = np.unique(self.keys >> _WIDTH, return_index=True)
        kinds = np.diff(np.append(first, len(self.keys)))
        totals = np.add.reduceat(self.counts, first) if len(first) else np.zeros(0, np.int64)
        return _Level(self.keys, self.counts, histories, totals, kinds)


@dataclass(frozen=True)
class _Level:
    """Sorted keys and histories with their counts."""

    keys: NDArray[np.int64]
    counts: NDArray[np.int64]
    histories: NDArray[np.int64]
    totals: NDArray[np.int64]
    kinds: NDArray[np.int64]

    def count(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often each key was seen."""
        return _look_up(self.keys, keys, self.counts)

    def history(self, histories: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How often each history was seen, and before how many different characters."""
        return _look_up(self.histories, histories, self.totals), _look_up(self.histories, histories, self.kinds)


def _look_up(known: NDArray[np.int64], asked: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(known):
        return np.zeros(len(asked), np.int64)
    places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where(known[places] == asked, values[places], 0)
