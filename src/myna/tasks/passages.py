"""What is read of an example before a text is written, and what is to be written: fitted into a model's windows.

An encoder reads a long source in windows, all of which the decoder sees (arXiv:2007.01282). A decoder reads the source
and goes on with the target in one line; what has no room there is left out, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from myna import randomness
from myna.errors import InputError
from myna.ledger import Ledger
from myna.model.flat import flatten, flatten_sources
from myna.objectives.protocol import Batch
from myna.tasks.examples import Example, counts
from myna.tasks.task import LEFT_OUT, TaskItems, framed
from myna.tasks.windows import TooLong, fit
from myna.tokens.tokenizer import Tokenizer

Ids = NDArray[np.int64]
Pieces = NDArray[np.int32]
NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Passage:
    """What is read of an example, and what is to be written after it.

    ``source`` is ``(tokens,)``, or in windows of an encoder ``(windows, tokens)``; ``target``, ``(tokens,)``, ends with
    what ends a text, and is empty where it is not known. ``learned``, ``(tokens,)``, says which of its tokens are to be
    learned; None: all. ``unread`` tokens of the source were left out.
    """

    example: int
    source: Ids
    target: Ids
    learned: NDArray[np.bool_] | None = None
    unread: int = 0

    @property
    def ids(self) -> Ids:
        """All tokens, those that are read before those to be written."""
        return np.concatenate([self.source.ravel(), self.target])


class Passages(TaskItems):
    """The passages of examples; in a batch each takes the tokens of its source and of its target."""

    def __init__(self, examples: Sequence[Example], passages: Sequence[Passage], ledger: Ledger) -> None:
        super().__init__(examples, [], Ledger())
        self._passages = passages
        self.lengths = np.array([passage.source.size + len(passage.target) for passage in passages], np.int64)
        kept = sorted({passage.example for passage in passages})
        came, held = counts(examples), counts(examples[number] for number in kept)
        ledger.kept_of(LEFT_OUT, **{unit: (held[unit], count) for unit, count in came.items()})

    def __len__(self) -> int:
        return len(self._passages)

    def check_room(self, batch_tokens: int) -> None:
        """Raises an :class:`InputError` for a text that a step of so many tokens cannot hold, all windows of it."""
        longest = int(self.lengths.argmax()) if len(self) else 0
        if len(self) and self.lengths[longest] > batch_tokens:
            what = f"this text takes {self.lengths[longest]:,} tokens, more than a step of {batch_tokens:,} has"
            place = self.examples[self._passages[longest].example].place
            raise InputError(what, where=place, remedy='raise batch_tokens, or set too_long = "cut" or "drop"')

    # An item of two texts: the objective that made it is the only one that reads it.
    def __getitem__(self, index: int) -> Passage:  # type: ignore[override]
        return self._passages[index]


@dataclass(frozen=True)
class Fitting:
    """How examples become passages of a model with windows of ``size`` tokens; all that is left out is in the books."""

    tokenizer: Tokenizer
    size: int
    too_long: TooLong
    ledger: Ledger

    def for_encoder(self, number: int, example: Example, source: Pieces, target: Pieces | None) -> list[Passage]:
        """The source in windows, between a start and an end; the target as far as the decoder's window goes."""
        room, written = self.size - 1, 0 if target is None else len(target)
        if written > room and self.too_long in ("drop", "error"):
            return self._refused(len(source) + written, room, "target", example)
        reads = fit(len(source), self.size - 2, self.too_long, example.place, self.ledger)
        if not reads:
            self._count(written, 0, self.size - 2)
            return []
        lines = [framed(self.tokenizer, source[each.start : each.end]) for each in reads]
        read = lines[0] if len(lines) == 1 else np.stack(lines)
        return [Passage(number, read, self._target(target, room), unread=len(source) - reads[-1].end)]

    def for_decoder(
        self, number: int, example: Example, source: Pieces, target: Pieces | None, most: int
    ) -> list[Passage]:
        """``start, source, end`` and then the target: half of the room at least, where both are too long.

        Where the target is not known there is room for ``most`` tokens of it, if these are no more than half.
        """
        room = self.size - 2
        if len(source) == 0:
            raise InputError("the tokenizer finds nothing to read in this text", where=example.place)
        if room < 2:
            raise InputError("the model's window has no room for a text and another", where=example.place)
        written = min(most, room // 2) if target is None else len(target)
        if len(source) + written > room and target is not None and self.too_long in ("drop", "error"):
            return self._refused(len(source) + written, room, "text with its target", example)
        of_target = min(written, room - min(len(source), room // 2))
        read = source[: room - of_target]
        self._count(len(source), len(read), room)
        line = framed(self.tokenizer, read)
        return [Passage(number, line, self._target(target, of_target), unread=len(source) - len(read))]

    def lines(self, number: int, example: Example, line: Ids, learned: NDArray[np.bool_]) -> list[Passage]:
        """A line of a decoder, ``(tokens,)``, of which some are to be learned; a long one in windows.

        Each token is learned once, in the window where most stands around it; its first is never.
        """
        learned = learned.copy()
        learned[0] = False
        found = []
        for read in fit(len(line) - 1, self.size, self.too_long, example.place, self.ledger):
            mask = np.zeros(read.end - read.start, bool)
            mask[read.first - read.start : read.last - read.start] = learned[read.first + 1 : read.last + 1]
            if mask.any():
                found.append(
                    Passage(number, line[read.start : read.start + 1], line[read.start + 1 : read.end + 1], mask)
                )
        return found

    def _target(self, target: Pieces | None, room: int) -> Ids:
        """A target with what ends it; one that was cut off has not ended."""
        if target is None:
            return NOTHING
        self._count(len(target), min(room, len(target)), room)
        whole = target.astype(np.int64)
        return whole[:room] if len(target) > room else np.append(whole, self.tokenizer.end)

    def _refused(self, length: int, room: int, what: str, example: Example) -> list[Passage]:
        """Leaves an example out, or refuses it."""
        if self.too_long == "error":
            what = f"the {what} of this row has {length} pieces, {length - room} more than the model takes"
            raise InputError(what, where=example.place, remedy='use too_long = "cut" or "drop" to lose some')
        self._count(length, 0, room)
        return []

    def _count(self, came: int, kept: int, room: int) -> None:
        self.ledger.came_in(tokens=came)
        self.ledger.kept(tokens=kept)
        self.ledger.dropped(f"longer than the model's {room} pieces", tokens=came - kept)


def batch_of(
    name: str, items: Sequence[Passage], numbers: NDArray[np.int64], key: int | None, start: int | None
) -> Batch:
    """Passages made ready: for an encoder-decoder whose texts begin with ``start``; None: for a decoder."""
    learned = [np.ones(len(i.target), bool) if i.learned is None else i.learned for i in items]
    targets = torch.from_numpy(np.concatenate([i.target[mask] for i, mask in zip(items, learned, strict=True)]))
    owners = np.repeat(np.arange(len(items)), [mask.sum() for mask in learned])
    if start is not None:
        read = [np.concatenate([[start], item.target[:-1]]).astype(np.int64) for item in items]
        written = flatten(read, numbers, None if key is None else randomness.key(key, "target"))
        sources = flatten_sources([item.source for item in items], numbers, key)
        return Batch(sources, targets, {name: len(targets)}, target=written, owners=owners)
    lines = [np.concatenate([item.source, item.target])[:-1] for item in items]
    # What is predicted at a token is the next: at the last of the source the first of the target.
    before = [np.zeros(len(item.source) - 1, bool) for item in items]
    rows = np.flatnonzero(np.concatenate([part for both in zip(before, learned, strict=True) for part in both]))
    return Batch(flatten(lines, numbers, key), targets, {name: len(targets)}, torch.from_numpy(rows), owners=owners)
