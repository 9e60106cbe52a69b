"""How much of what a model wrote stands word for word in what it was trained on: the longest copy in each text.

Training text is read once, as a stream: every stretch of 8 characters of it (32 where letters are not Chinese) is
looked up by its hash among those that were written, 100 million of them in seconds. What is found in both, which is
little, is then compared character by character in a suffix automaton (Blumer et al. 1985), so that the answer is exact.
A shorter copy is the language's and not the training text's: it counts as none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myna.corpus.shingles import Hashes, hashes_of
from myna.evaluation.baselines import mostly_han
from myna.evaluation.metrics import Floats
from myna.evaluation.ngrams import codes_of, in_parts

_SHORTEST_HAN, _SHORTEST = 8, 32
# A table of a bit for each value of the hash's first bits; what passes it is looked up among the hashes themselves.
_TABLE_BITS = 24


class Copy(NamedTuple):
    """``text[start : start + length]`` stands in the training text too; of length 0 where there is none."""

    start: int
    length: int


def longest_copies(written: Sequence[str], training: Iterable[str]) -> list[Copy]:
    """The longest copy in each text from any one of the ``training`` texts; the first of several.

    One shorter than 8 characters (32 where the texts are not Chinese) counts as none.
    """
    size = _SHORTEST_HAN if mostly_han(written) else _SHORTEST
    codes, _ = codes_of(written)
    if len(codes) < size:
        return [Copy(0, 0)] * len(written)
    hashes, here = hashes_of(codes, size), _within_texts(codes, size)
    known = np.unique(hashes[here])
    table = np.zeros(1 << _TABLE_BITS, bool)
    table[known >> np.uint64(64 - _TABLE_BITS)] = True
    seen: set[int] = set()
    shared: set[str] = set()
    for part in in_parts(training) if len(known) else ():
        for found, text in _found_in(part, known, table, size):
            seen.update(found)
            shared.add(text)
    here[here] = np.isin(hashes[here], np.fromiter(seen, np.uint64, len(seen)))
    return _longest(written, codes, here, size, shared)


def copy_counts(written: Sequence[str], copies: Sequence[Copy]) -> Floats:
    """The characters of each text that are its longest copy, and all: ``(texts, 2)``."""
    return np.array([(copy.length, len(t)) for t, copy in zip(written, copies, strict=True)], np.float64).reshape(-1, 2)


def _within_texts(codes: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Whether each stretch is within one text, ``(codes - size + 1,)``."""
    ends = np.concatenate([[0], np.cumsum(codes >= 0x110000)])
    result: NDArray[np.bool_] = ends[size:] == ends[:-size]
    return result


def _found_in(
    part: Sequence[str], known: Hashes, table: NDArray[np.bool_], size: int
) -> Iterator[tuple[list[int], str]]:
    """The stretches of some training texts that are written too, those one after the other as one text."""
    codes, _ = codes_of(part)
    if len(codes) < size:
        return
    hashes = hashes_of(codes, size)
    places = np.flatnonzero(table[hashes >> np.uint64(64 - _TABLE_BITS)])
    near = np.minimum(np.searchsorted(known, hashes[places]), len(known) - 1)
    places = places[(known[near] == hashes[places]) & _within_texts(codes, size)[places]]
    for run in np.split(places, np.flatnonzero(np.diff(places) != 1) + 1):
        if len(run):
            yield hashes[run].tolist(), _text(codes[run[0] : run[-1] + size])


def _longest(
    written: Sequence[str], codes: NDArray[np.int64], here: NDArray[np.bool_], size: int, shared: Iterable[str]
) -> list[Copy]:
    places = np.flatnonzero(here)
    runs = [run for run in np.split(places, np.flatnonzero(np.diff(places) != 1) + 1) if len(run)]
    stretches = [_text(codes[run[0] : run[-1] + size]) for run in runs]
    automaton = _Automaton(stretches)
    for text in shared:
        automaton.read(text)
    starts = np.cumsum([0, *(len(text) + 1 for text in written)])
    best = [Copy(0, 0)] * len(written)
    for run, (start, length) in zip(runs, automaton.longest(stretches), strict=True):
        number = int(np.searchsorted(starts, run[0], "right")) - 1
        if length >= size and length > best[number].length:
            best[number] = Copy(int(run[0] - starts[number]) + start, length)
    return best


def _text(codes: NDArray[np.int64]) -> str:
    return codes.astype(np.uint32).tobytes().decode("utf-32-le", "surrogatepass")


class _Automaton:
    """The suffix automaton of some texts with a different end behind each, and how much of each state was read."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.following: list[dict[str | int, int]] = [{}]
        self.lengths, self.links = [0], [-1]
        last = 0
        for number, text in enumerate(texts):
            for symbol in (*text, number):
                last = self._append(last, symbol)
        self.read_lengths = [0] * len(self.lengths)

    def _append(self, last: int, symbol: str | int) -> int:
        new = self._state(self.lengths[last] + 1, {})
        place = last
        while place >= 0 and symbol not in self.following[place]:
            self.following[place][symbol] = new
            place = self.links[place]
        if place < 0:
            self.links[new] = 0
            return new
        other = self.following[place][symbol]
        if self.lengths[other] == self.lengths[place] + 1:
            self.links[new] = other
            return new
        copy = self._state(self.lengths[place] + 1, dict(self.following[other]))
        self.links[copy] = self.links[other]
        while place >= 0 and self.following[place].get(symbol) == other:
            self.following[place][symbol] = copy
            place = self.links[place]
        self.links[other] = self.links[new] = copy
        return new

    def _state(self, length: int, following: dict[str | int, int]) -> int:
        self.lengths.append(length)
        self.links.append(0)
        self.following.append(following)
        return len(self.lengths) - 1

    def read(self, text: str) -> None:
        """Follows a text through the states, and remembers the longest stretch of it that ended in each."""
        state, length = 0, 0
        for symbol in text:
            while state and symbol not in self.following[state]:
                state = self.links[state]
                length = self.lengths[state]
            if symbol in self.following[state]:
                state, length = self.following[state][symbol], length + 1
            self.read_lengths[state] = max(self.read_lengths[state], length)

    def longest(self, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Of each of its texts where the longest stretch that was read begins, and its length."""
        best = list(self.read_lengths)
        order = sorted(range(1, len(best)), key=self.lengths.__getitem__)
        for state in reversed(order):  # What ended in a state has ended in those of its ends too.
            if best[state]:
                best[self.links[state]] = self.lengths[self.links[state]]
        for state in order:
            best[state] = max(best[state], best[self.links[state]])
        for text in texts:
            state, found = 0, (0, 0)
            for place, symbol in enumerate(text, 1):
                state = self.following[state][symbol]
                if best[state] > found[1]:
                    found = place - best[state], best[state]
            yield found
