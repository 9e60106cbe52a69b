"""The best tags of a sequence among those that BIO allows (Viterbi 1967), all sequences at once.

An inside tag follows the begin or an inside tag of its own label. A label that has no begin tag (the ``PER``, ``O`` of
some foreign models) may begin anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from myna.corpus.document import Span


def name_of(tag: str) -> str:
    """The label of a tag: ``PER`` of ``B-PER``, nothing of ``O``."""
    return "" if tag == "O" else tag[2:] if tag[:2] in ("B-", "I-") else tag


def transitions(tags: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What it costs to begin with each tag, ``(tags,)``, and to go from one to another, ``(tags, tags)``: 0 or -inf."""
    begun = {name_of(tag) for tag in tags if tag.startswith("B-")}
    inside = np.array([not tag.startswith("B-") and name_of(tag) in begun for tag in tags], bool)
    same = np.array([[tag != "O" and name_of(tag) == name_of(before) for tag in tags] for before in tags], bool)
    return np.where(inside, -np.inf, 0.0), np.where(inside & ~same, -np.inf, 0.0)


def best_paths(
    scores: Sequence[NDArray[np.floating]], start: NDArray[np.float64], step: NDArray[np.float64]
) -> list[NDArray[np.int64]]:
    """The path with the greatest sum for each sequence of scores ``(units, tags)``; of equals, the first tags.

    ``start`` and ``step`` are as :func:`transitions` gives them. The sequences, none empty, go forward together: at
    each unit only those take part that are as long.
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
    state = best.argmax(1)
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
        if name and name == before and not tag.startswith("B-"):
            found[-1] = Span(found[-1].start, end, name)
        elif name:
            found.append(Span(start, end, name))
        before = name
    return found
