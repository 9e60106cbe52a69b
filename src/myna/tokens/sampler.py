"""Which items make up a step: a pure function of (seed, step, lengths).

An epoch is a permutation of the items. The tokens of all epochs, one after the other, form one line, and step s takes
the items that begin in its stretch of ``batch_tokens`` tokens. So a step holds ``batch_tokens`` on average, an epoch
holds every item exactly once, and any step can be found without walking there. Nothing depends on the number of
workers or on where a run was cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from myna import randomness
from myna.errors import InputError


class Sampler:
    """The items of each step. ``lengths`` are the tokens of the items, ``batch_tokens`` the budget of a step."""

    def __init__(self, lengths: NDArray[np.int64], batch_tokens: int, seed: int) -> None:
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
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, np.int64)
        self._starts: NDArray[np.int64] = np.empty(0, np.int64)

    def steps_of(self, tokens: float) -> int:
        """The steps that ``tokens`` make, at least one."""
        return max(1, round(tokens / self.batch_tokens))

    def step(self, step: int) -> NDArray[np.int64]:
        """The items of a step (counted from 0), in their order; across the end of an epoch where it falls so.

        No item is longer than a step's stretch, so that every step has at least one.
        """
        begin, end = step * self.batch_tokens, (step + 1) * self.batch_tokens
        pieces = []
        for epoch in range(begin // self.epoch_tokens, (end - 1) // self.epoch_tokens + 1):
            self._enter(epoch)
            offset = epoch * self.epoch_tokens
            first, last = np.searchsorted(self._starts, [begin - offset, end - offset])
            pieces.append(self._order[first:last])
        return np.concatenate(pieces)

    def reached(self, steps: int) -> NDArray[np.int64]:
        """The items that the first ``steps`` steps hold, each once."""
        self._enter(0)
        return self._order[: int(np.searchsorted(self._starts, steps * self.batch_tokens))]

    def _enter(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._order = randomness.permutation(randomness.key(self.seed, "order", epoch), len(self.lengths))
            ordered = self.lengths[self._order]
            self._starts = np.cumsum(ordered) - ordered
            self._epoch = epoch


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
