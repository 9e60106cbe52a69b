"""A structured perceptron for tags (Collins 2002), averaged: the linear method that taggers have to beat.

What it knows of a unit is the unit itself, its neighbours, pairs of these, and how it begins, ends and is written; and
of two tags that one followed the other. It learns from the mistakes of some sentences at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from myna.tasks.viterbi import best_paths, transitions

# Its weights fit 64 MB: features share a row by their hash where there are more.
_WEIGHTS = 1 << 24
_AT_ONCE = 16
_PASSES = 10
# Units that it learns from: about a minute of one processor.
MOST_UNITS = 1_000_000

Ints = NDArray[np.int64]


def structured_perceptron(
    units: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], others: Sequence[Sequence[str]]
) -> tuple[list[list[str]], int]:
    """The tags of ``others`` by what was learned from ``units`` and ``tags``, and from how many sentences that was.

    Tags that look like BIO are given as BIO allows. Of many sentences the first are taken.
    """
    sizes = np.cumsum([len(line) for line in units])
    taken = int(np.searchsorted(sizes, MOST_UNITS, side="right")) if len(sizes) else 0
    known = [n for n in range(taken) if len(units[n])]
    labels = sorted({tag for n in known for tag in tags[n]})
    if not labels:
        return [["O"] * len(line) for line in others], 0
    number = {label: n for n, label in enumerate(labels)}
    rows = 1 << int(np.log2(max(_WEIGHTS // len(labels), 2)))
    model = _Model(rows, labels)
    model.learn(
        features([units[n] for n in known], rows), [np.array([number[t] for t in tags[n]], np.int64) for n in known]
    )
    asked = [n for n, line in enumerate(others) if len(line)]
    found: list[list[str]] = [[] for _ in others]
    for n, path in zip(asked, model.paths(features([others[n] for n in asked], rows)), strict=True):
        found[n] = [labels[tag] for tag in path]
    return found, len(known)


class _Model:
    """Weights of features ``(rows, tags)`` and of steps ``(tags, tags)``, with what their mean over time needs."""

    def __init__(self, rows: int, labels: Sequence[str]) -> None:
        self.weights, self.late = (np.zeros((rows, len(labels)), np.float32) for _ in range(2))
        self.steps, self.late_steps = (np.zeros((len(labels), len(labels)), np.float64) for _ in range(2))
        self.start, self.forbidden = transitions(labels)

    def paths(self, lines: Sequence[Ints]) -> list[Ints]:
        found: list[Ints] = []
        for first in range(0, len(lines), 1024):
            scores = [self.weights[line].sum(1) for line in lines[first : first + 1024]]
            found += best_paths(scores, self.start, self.forbidden + self.steps)
        return found

    def learn(self, lines: Sequence[Ints], tags: Sequence[Ints]) -> None:
        time = 0
        for turn in range(_PASSES):
            order = np.random.default_rng(turn).permutation(len(lines))
            for first in range(0, len(order), _AT_ONCE):
                some = order[first : first + _AT_ONCE]
                time += 1
                for n, said in zip(some, self.paths([lines[n] for n in some]), strict=True):
                    if not np.array_equal(said, tags[n]):
                        self._correct(lines[n], tags[n], said, time)
        self.weights -= self.late / np.float32(max(time, 1))
        self.steps -= self.late_steps / max(time, 1)

    def _correct(self, line: Ints, right: Ints, said: Ints, time: int) -> None:
        wrong = np.flatnonzero(right != said)
        for tags, sign in ((right, 1.0), (said, -1.0)):
            # Of a sentence's units hardly two share a feature: one that does is moved once.
            self.weights[line[wrong], tags[wrong, None]] += np.float32(sign)
            self.late[line[wrong], tags[wrong, None]] += np.float32(sign * time)
            np.add.at(self.steps, (tags[:-1], tags[1:]), sign)
            np.add.at(self.late_steps, (tags[:-1], tags[1:]), sign * time)


def features(lines: Sequence[Sequence[str]], rows: int) -> list[Ints]:
    """The features of each unit of each line, ``(units, features)``, as rows of weights."""
    if not lines:
        return []
    flat = [unit for line in lines for unit in line]
    known = {unit: n for n, unit in enumerate(dict.fromkeys(flat))}
    # Of each different unit a hash of itself, of its ends, and of how it is written.
    table = np.array([[_hash(part) for part in _parts(unit)] for unit in known], np.uint64)
    ids = np.fromiter((known[unit] for unit in flat), np.int64, len(flat))
    itself = table[ids, 0]
    line_of = np.repeat(np.arange(len(lines)), [len(line) for line in lines])

    def beside(offset: int) -> NDArray[np.uint64]:
        moved = np.roll(itself, -offset)
        return np.where(np.roll(line_of, -offset) == line_of, moved, np.uint64(offset % 7 + 1))

    near = {offset: beside(offset) for offset in (-2, -1, 0, 1, 2)}
    pairs = [(-1, 0), (0, 1), (-1, 1), (-2, -1), (1, 2)]
    columns = [*near.values(), *(near[a] * np.uint64(31) + near[b] for a, b in pairs), *table[ids, 1:].T]
    mixed = [_mix(column + np.uint64(place)) for place, column in enumerate(columns)]
    found = (np.stack(mixed, 1) & np.uint64(rows - 1)).astype(np.int64)
    return np.split(found, np.cumsum([len(line) for line in lines])[:-1])


def _parts(unit: str) -> tuple[str, ...]:
    shape = "".join("X" if c.isupper() else "x" if c.islower() else "0" if c.isdigit() else "-" for c in unit[:4])
    return unit, unit[:1], unit[-1:], unit[-2:], unit[-3:], shape


def _hash(text: str) -> int:
    value = 1469598103934665603
    for character in text:
        value = (value ^ ord(character)) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return value


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return values ^ (values >> np.uint64(29))
