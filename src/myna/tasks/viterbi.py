"""The best tags of a sequence among those that BIO or BIOES allows (Viterbi 1967), all sequences at once.

An inside tag follows the begin or an inside tag of its own label. A label that has no begin tag (the ``PER``, ``O`` of
some foreign models) may begin anywhere. Where a label has an end tag (BIOES), what was begun goes on until there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from myna.corpus.document import Span

_BEGIN, _CLOSED = ("B-", "S-"), ("E-", "S-")


def name_of(tag: str) -> str:
    """The label of a tag: ``PER`` of ``B-PER``, nothing of ``O``."""
    return "" if tag == "O" else tag[2:] if tag[:2] in ("B-", "I-", "E-", "S-") else tag


def transitions(tags: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What it costs to begin with each tag, ``(tags,)``, and to go from one to another, ``(tags, tags)``: 0 or -inf."""
    begun = {name_of(tag) for tag in tags if tag.startswith(_BEGIN)}
    inside = np.array([not tag.startswith(_BEGIN) and name_of(tag) in begun for tag in tags], bool)
    same = np.array([[tag != "O" and name_of(tag) == name_of(before) for tag in tags] for before in tags], bool)
    goes_on = inside & same & ~np.array([tag.startswith(_CLOSED) for tag in tags], bool)[:, None]
    is_open = np.isinf(endings(tags))[:, None]
    return np.where(inside, -np.inf, 0.0), np.where((inside | is_open) & ~goes_on, -np.inf, 0.0)


def endings(tags: Sequence[str]) -> NDArray[np.float64]:
    """What it costs to end with each tag, ``(tags,)``: -inf in the middle of a label that has an end tag, else 0."""
    ended = {name_of(tag) for tag in tags if tag.startswith("E-")} & {name_of(tag) for tag in tags if tag[:2] == "B-"}
    return np.array([-np.inf if tag[:2] in ("B-", "I-") and name_of(tag) in ended else 0.0 for tag in tags])


def best_paths(
    scores: Sequence[NDArray[np.floating]],
    start: NDArray[np.float64],
    step: NDArray[np.float64],
    end: NDArray[np.float64] | None = None,
) -> list[NDArray[np.int64]]:
    """The path with the greatest sum for each sequence of scores ``(units, tags)``; of equals, the first tags.

    ``start`` and ``step`` are as :func:`transitions` gives them, ``end`` as :func:`endings`. The sequences, none empty,
    go forward together: at each unit only those take part that are as long.
    """
    if not scores:
        return []
    lengths = np.array([len(rows) for rows in scores])
    order = np.argsort(-lengths, kind="stable")
    flat = np.concatenate([scores[n] for n in order]).astype(np.float64)
    offsets = np.cumsum(lengths[order]) - lengths[order]
    active = [int((lengths > unit).sum()) for unit in range(int(lengths.max()))]
    best = flat[offsets] + start
    came_from = []
    for unit, count in enumerate(active[1:], 1):
        reached = best[:count, :, None] + step
        source = reached.argmax(1)
        best[:count] = np.take_along_axis(reached, source[:, None], 1)[:, 0] + flat[offsets[:count] + unit]
        came_from.append(source)
    state = (best if end is None else best + end).argmax(1)
    path = np.empty(len(flat), np.int64)
    for unit in range(len(active) - 1, -1, -1):
        count = active[unit]
        path[offsets[:count] + unit] = state[:count]
        if unit:
            state[:count] = came_from[unit - 1][np.arange(count), state[:count]]
    parts = np.split(path, offsets[1:])
    result: list[NDArray[np.int64]] = [path] * len(scores)
    for number, part in zip(order, parts, strict=True):
        result[int(number)] = part
    return result


def spans_of(tags: Sequence[str], bounds: Sequence[tuple[int, int]]) -> list[Span]:
    """The spans that tags mark, in characters; ``bounds`` are those of the units."""
    found: list[Span] = []
    before = ""
    for tag, (start, end) in zip(tags, bounds, strict=True):
        name = name_of(tag)
        if name and name == before and not tag.startswith(_BEGIN):
            found[-1] = Span(found[-1].start, end, name)
        elif name:
            found.append(Span(start, end, name))
        before = name
    return found


def in_bioes(tags: Sequence[str]) -> list[str]:
    """BIO tags as BIOES: the last of several inside tags ends, a begin tag with nothing behind it is single."""
    found = []
    for tag, after in zip(tags, [*tags, "O"][1:], strict=True):
        last = tag != "O" and after != f"I-{name_of(tag)}"
        found.append({"B-": "S-", "I-": "E-"}[tag[:2]] + tag[2:] if last else tag)
    return found


def in_bio(tags: Sequence[str]) -> list[str]:
    """BIOES tags as BIO."""
    return [{"S-": "B-", "E-": "I-"}.get(tag[:2], tag[:2]) + tag[2:] for tag in tags]
