"""Which items make up a step: a pure function of (seed, step, lengths).

An epoch is a permutation of the items. The tokens of all epochs, one after the other, form one line, and step s takes
the items that begin in its stretch of ``batch_tokens`` tokens. So a step holds ``batch_tokens`` on average, an epoch
holds every item exactly once, and any step can be found without walking there. Nothing depends on the number of
workers or on where a run was cut.

Where there are too many items to hold a permutation of them, it is one of chunks of neighbouring items
(:mod:`myna.tokens.chunks`), and the items of a group of chunks that follow one another are mixed when a step comes
to it. A group is so large that neighbours in a step are of texts far apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myna import randomness
from myna.errors import InputError
from myna.tokens.chunks import Lengths, chunks_of

# A group of chunks has about so many items, and at least so many chunks: some hundred batches, and ten MB of memory.
GROUP_ITEMS, GROUP_CHUNKS = 1 << 17, 64


@dataclass(frozen=True)
class Reached:
    """What a run came to, each once: whole ``chunks``, and ``items`` of others. Of single items all are chunks."""

    chunks: NDArray[np.int64]
    items: NDArray[np.int64]


class Sampler:
    """The items of each step. ``lengths`` are the tokens of the items, ``batch_tokens`` the budget of a step."""

    def __init__(self, lengths: Lengths, batch_tokens: int, seed: int) -> None:
        self.lengths, self.batch_tokens, self.seed = lengths, batch_tokens, seed
        self.epoch_tokens = int(lengths.sum())
        if self.epoch_tokens < batch_tokens:
            raise InputError(
                f"there are {self.epoch_tokens} tokens to train on, fewer than one batch of {batch_tokens}",
                remedy="add text, or lower batch_tokens",
            )
        if int(lengths.max()) > batch_tokens:
            raise InputError(
                f"batch_tokens = {batch_tokens} is smaller than the longest piece, {int(lengths.max())} tokens",
                remedy="raise batch_tokens, or lower the model's maximum_length",
            )
        self._line = Line(lengths, seed)

    def step(self, step: int) -> NDArray[np.int64]:
        """The items of a step (counted from 0), in their order; across the end of an epoch where it falls so.

        No item is longer than a step's stretch, so that every step has at least one.
        """
        return self._line.between(step * self.batch_tokens, (step + 1) * self.batch_tokens)

    def reached(self, steps: int) -> tuple[Reached, ...]:
        """What the first ``steps`` steps hold, of the one source that there is."""
        return (self._line.reached(steps * self.batch_tokens),)


class Line:
    """All epochs of some items, one after the other, as a line of tokens."""

    def __init__(self, lengths: Lengths, seed: int) -> None:
        self.lengths, self.seed = lengths, seed
        self.epoch_tokens = int(lengths.sum())
        self._chunks = chunks_of(lengths)
        self._group = 1
        if not self._chunks.single:
            self._group = max(GROUP_CHUNKS, GROUP_ITEMS * len(self._chunks.tokens) // len(lengths))
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, np.int64)
        self._starts: NDArray[np.int64] = np.empty(0, np.int64)
        self._mixed = (-1, -1, np.empty(0, np.int64), np.empty(0, np.int64))

    def between(self, begin: int, end: int) -> NDArray[np.int64]:
        """The items that begin in a stretch of the line, in their order; ``(items,)``, perhaps none."""
        found = [np.empty(0, np.int64)]
        for epoch in range(begin // self.epoch_tokens, (end - 1) // self.epoch_tokens + 1):
            self._enter(epoch)
            found += self._within(begin - epoch * self.epoch_tokens, end - epoch * self.epoch_tokens)
        return np.concatenate(found)

    def reached(self, tokens: int) -> Reached:
        """What begins before so many tokens of the line."""
        nothing = np.empty(0, np.int64)
        if tokens >= self.epoch_tokens:
            return Reached(np.arange(len(self._chunks.tokens)), nothing)
        self._enter(0)
        begun = int(np.searchsorted(self._starts, tokens))
        if self._chunks.single:
            return Reached(self._order[:begun], nothing)
        whole = max(begun - 1, 0)
        last = int(self._starts[whole])
        return Reached(self._order[: whole * self._group], np.concatenate([nothing, *self._within(last, tokens)]))

    def _enter(self, epoch: int) -> None:
        """Makes the order of the chunks in an epoch, and where each group of them begins."""
        if epoch != self._epoch:
            count = len(self._chunks.tokens)
            self._order = randomness.permutation(randomness.key(self.seed, "order", epoch), count)
            ordered = self._chunks.tokens[self._order]
            if self._group > 1:
                ordered = np.add.reduceat(ordered, np.arange(0, count, self._group))
            self._starts = np.cumsum(ordered) - ordered
            self._epoch = epoch

    def _within(self, begin: int, end: int) -> list[NDArray[np.int64]]:
        """The items that begin in a stretch of the epoch."""
        first, last = np.searchsorted(self._starts, [begin, end])
        if self._chunks.single:
            return [self._order[first:last]]
        found = []
        for group in range(max(int(np.searchsorted(self._starts, begin, side="right")) - 1, 0), int(last)):
            items, starts = self._items_of(group)
            found.append(items[slice(*np.searchsorted(starts, [begin, end]))])
        return found

    def _items_of(self, group: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The items of a group of chunks in their order, and where in the epoch each begins."""
        if self._mixed[:2] != (self._epoch, group):
            chunks = self._order[group * self._group : (group + 1) * self._group]
            items = self._chunks.items(chunks)
            key = randomness.key(self.seed, "order", self._epoch, "items")
            order = np.argsort(randomness.numbers(key, items), kind="stable")
            lengths = self.lengths[items][order]
            starts = int(self._starts[group]) + np.cumsum(lengths) - lengths
            self._mixed = (self._epoch, group, items[order], starts)
        return self._mixed[2], self._mixed[3]


def micro_batches(lengths: NDArray[np.int64], most_tokens: int, group: int = 1) -> list[NDArray[np.int64]]:
    """Cuts the items of a step, in the order of their lengths, into stretches of at most ``most_tokens``.

    Gives indices into ``lengths``. An item longer than that stands alone. So many neighbours of the step as ``group``
    says stay together, whatever their length.
    """
    if group > 1:
        firsts = np.arange(0, len(lengths), group)
        totals = np.add.reduceat(lengths, firsts) if len(lengths) else lengths
        return [_members(piece, group, lengths) for piece in micro_batches(totals, most_tokens)]
    order = np.argsort(lengths, kind="stable")
    found: list[list[int]] = []
    room = 0
    for index in order:
        length = int(lengths[index])
        if not found or length > room:
            found.append([])
            room = most_tokens
        found[-1].append(int(index))
        room -= length
    return [np.array(piece) for piece in found]


def _members(groups: NDArray[np.int64], group: int, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The items of some groups, in the order of their lengths."""
    members = (groups[:, None] * group + np.arange(group)).ravel()
    members = np.sort(members[members < len(lengths)])
    result: NDArray[np.int64] = members[np.argsort(lengths[members], kind="stable")]
    return result
