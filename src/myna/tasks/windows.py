"""Long texts: what is read of a text that is longer than a model's window, and what answers for what.

Windows are of one size, evenly spread, and overlap by at least half. A place in the text is answered for by the window
in which it stands nearest the middle, where it has most context; so every place is answered for exactly once.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

from myna.errors import InputError
from myna.ledger import Ledger

TooLong = Literal["window", "drop", "cut", "error"]


class Window(NamedTuple):
    """Reads the pieces ``start … end - 1`` of a text and answers for those of ``first … last - 1``."""

    start: int
    end: int
    first: int
    last: int


def windows(length: int, size: int) -> list[Window]:
    """The windows of ``size`` pieces over a text of ``length`` pieces; one where it fits."""
    if length <= size:
        return [Window(0, length, 0, length)]
    spare, stride = length - size, max(1, size // 2)
    count = -(-spare // stride) + 1
    starts = [number * spare // (count - 1) for number in range(count)]
    # The middle of two neighbours' overlap is as far from the end of the one as from the start of the other.
    borders = [0, *((a + size + b + 1) // 2 for a, b in pairwise(starts)), length]
    return [Window(a, a + size, borders[n], borders[n + 1]) for n, a in enumerate(starts)]


def fit_pair(
    lengths: tuple[int, int], size: int, too_long: TooLong, where: str, ledger: Ledger
) -> list[tuple[Window, Window]]:
    """The windows of two texts that are read together in ``size`` pieces; see :func:`fit`.

    The shorter text is whole beside each window of the longer one, where it takes no more than half of the room; two
    that are both longer go by side by side, so that every piece of both is read.
    """
    if min(lengths) == 0:
        which = "first" if lengths[0] == 0 else "second"
        raise InputError(f"the tokenizer finds nothing to read in the {which} text of this pair", where=where)
    if size < 2:
        raise InputError("the model's window has no room for a pair: all of it would be cut", where=where)
    if sum(lengths) <= size:
        # A single text of as many pieces tells what is to be told of room, tokens and the books.
        fit(sum(lengths), size, too_long, where, ledger)
        return [(Window(0, lengths[0], 0, lengths[0]), Window(0, lengths[1], 0, lengths[1]))]
    half = size // 2
    first = size - lengths[1] if lengths[1] <= half else min(lengths[0], size - half)
    rooms = first, size - first
    one, two = (windows(length, room) for length, room in zip(lengths, rooms, strict=True))
    count = max(len(one), len(two))
    pairs = [(one[n * len(one) // count], two[n * len(two) // count]) for n in range(count)]
    if too_long == "window":
        ledger.came_in(tokens=sum(lengths))
        ledger.kept(tokens=sum(lengths))
        ledger.note("windows beyond the first", count - 1)
        return pairs
    return pairs[: len(fit(sum(lengths), size, too_long, where, ledger))]


def fit(length: int, size: int, too_long: TooLong, where: str, ledger: Ledger) -> list[Window]:
    """The windows of a text under ``too_long``: several, one, or none where it is dropped.

    Every piece is counted in the ledger, as a token. A text without a piece, one whose every piece would be cut, or
    one too long under ``error`` is an :class:`InputError` that names it by ``where``.
    """
    if length == 0:
        raise InputError("the tokenizer finds nothing to read in this text", where=where)
    if size <= 0:
        raise InputError("the model's window has no room for a text: all of it would be cut", where=where)
    ledger.came_in(tokens=length)
    if length <= size or too_long == "window":
        found = windows(length, size)
        ledger.kept(tokens=length)
        ledger.note("windows beyond the first", len(found) - 1)
        return found
    reason = f"longer than the model's {size} pieces"
    if too_long == "drop":
        ledger.dropped(reason, tokens=length)
        return []
    if too_long == "cut":
        ledger.kept(tokens=size)
        ledger.dropped(reason, tokens=length - size)
        return [Window(0, size, 0, size)]
    remedy = 'use too_long = "window" to read all of it, "cut" or "drop" to lose some'
    raise InputError(
        f"this text has {length} pieces, {length - size} more than the model takes", where=where, remedy=remedy
    )
