"""What a decoder remembers of the tokens it has read, for each layer and for each row (a document that is written).

Rows may be of different length. A step appends to all rows at once and mixes in runs of rows of equal length, so that
prompts of different length are decoded together without padding. Attention remembers keys and values, a convolution
its last inputs, attention to a source the source's keys and values, which all rows share.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from myna.model.flat import Flat, Run, document_lengths, document_starts


class KeyValues:
    """Keys and values of one layer, ``(rows, heads, capacity, channels)`` each; row r holds ``lengths[r]``."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.lengths: list[int] = []

    def append(self, row: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds ``(documents, heads, length, channels)`` to the rows from ``row`` on, which have equal lengths.

        Gives the keys and values of these rows from their start, ``(documents, heads, all, channels)``.
        """
        documents, heads, length, size = keys.shape
        while len(self.lengths) < row + documents:
            self.lengths.append(0)
        before = self.lengths[row]
        self._grow(len(self.lengths), heads, before + length, size, keys)
        assert self.keys is not None
        assert self.values is not None
        rows = slice(row, row + documents)
        self.keys[rows, :, before : before + length] = keys
        self.values[rows, :, before : before + length] = values
        self.lengths[rows] = [before + length] * documents
        return self.keys[rows, :, : before + length], self.values[rows, :, : before + length]

    def _grow(self, rows: int, heads: int, capacity: int, size: int, like: Tensor) -> None:
        old = 0 if self.keys is None else self.keys.shape[2]
        if self.keys is not None and self.keys.shape[0] >= rows and old >= capacity:
            return
        # Doubling keeps the copying of a long generation linear in its length.
        shape = (rows, heads, max(capacity, 2 * old if capacity > old else old), size)
        keys, values = like.new_empty(shape), like.new_empty(shape)
        if self.keys is not None and self.values is not None:
            keys[: self.keys.shape[0], :, :old] = self.keys
            values[: self.keys.shape[0], :, :old] = self.values
        self.keys, self.values = keys, values

    def select(self, rows: Sequence[int], shared: Sequence[int] | None = None) -> None:
        """Keeps these rows, in this order; a row may be taken more than once.

        ``shared`` says how many of its first tokens each row has in common with the one that takes its place, where
        as many rows stay, of the same lengths: these are not copied.
        """
        if self.keys is not None and self.values is not None:
            if shared is not None:
                self._exchange(rows, shared)
            else:
                index, longest = torch.tensor(list(rows), device=self.keys.device), max(self.lengths)
                self.keys, self.values = self.keys[index, :, :longest], self.values[index, :, :longest]
        self.lengths = [self.lengths[row] for row in rows]

    def _exchange(self, rows: Sequence[int], shared: Sequence[int]) -> None:
        assert self.keys is not None
        assert self.values is not None
        # Rows of one length lie side by side, and change places among themselves.
        for (start, end), group in itertools.groupby(range(len(rows)), lambda row: (shared[row], self.lengths[row])):
            places = list(group)
            first, taken = places[0], [rows[place] for place in places]
            if taken == places or start == end:
                continue
            low = min(first, *taken)
            index = torch.tensor(taken, device=self.keys.device) - low
            for held in (self.keys, self.values):
                held[first : first + len(places), :, start:end] = held[low : max(taken) + 1, :, start:end][index]


class Inputs:
    """The last inputs of a causal convolution, ``(rows, kernel_size - 1, channels)``; zeros before a row's start."""

    def __init__(self) -> None:
        self.last: Tensor | None = None

    def append(self, row: int, inputs: Tensor, count: int) -> Tensor:
        """Adds ``(documents, length, channels)`` to the rows from ``row`` on and remembers the last ``count``.

        Gives them behind what was remembered, ``(documents, count + length, channels)``.
        """
        documents, _, channels = inputs.shape
        if self.last is None:
            self.last = inputs.new_zeros(0, count, channels)
        missing = row + documents - self.last.shape[0]
        if missing > 0:
            self.last = torch.cat((self.last, inputs.new_zeros(missing, count, channels)))
        rows = slice(row, row + documents)
        whole = torch.cat((self.last[rows], inputs), dim=1)
        self.last[rows] = whole[:, whole.shape[1] - count :]
        return whole

    def select(self, rows: Sequence[int]) -> None:
        """Keeps these rows, in this order."""
        if self.last is not None:
            self.last = self.last[torch.tensor(list(rows), device=self.last.device)]


@dataclass
class Memory:
    """What an encoder has made of the sources: ``hidden`` is ``(source tokens, hidden)``; row r reads ``spans[r]``.

    A span is (first token, length). ``projected`` holds a decoder's keys and values by layer, once they are made;
    ``ids`` are the tokens of the sources.
    """

    hidden: Tensor
    spans: list[tuple[int, int]]
    projected: dict[int, tuple[Tensor, Tensor]] | None = None
    ids: Tensor | None = None

    @classmethod
    def of(cls, hidden: Tensor, source: Flat) -> Memory:
        """The memory of source documents, of which ``source.windows`` may say that several are one source."""
        starts, lengths = document_starts(source.runs), document_lengths(source.runs)
        counts = itertools.repeat(1, len(starts)) if source.windows is None else source.windows
        firsts = list(itertools.accumulate(counts, initial=0))
        spans = [(starts[first], sum(lengths[first:end])) for first, end in itertools.pairwise(firsts)]
        return cls(hidden, spans, ids=source.ids)


@dataclass
class LayerState:
    """The state of one layer; a mixer takes from it what it has."""

    attention: KeyValues = field(default_factory=KeyValues)
    convolution: Inputs = field(default_factory=Inputs)
    values: Inputs = field(default_factory=Inputs)


class Cache:
    """The state of every layer. ``lengths`` are the tokens read so far, by row."""

    def __init__(self, layers: int) -> None:
        self.layers = [LayerState() for _ in range(layers)]
        self.lengths: list[int] = []

    def before(self, runs: Sequence[Run]) -> list[int]:
        """How much the rows of each run have read; the runs cover the rows in order, rows of a run equally long."""
        row, result = 0, []
        for run in runs:
            result.append(self.lengths[row] if row < len(self.lengths) else 0)
            row += run.documents
        return result

    def read(self, runs: Sequence[Run]) -> None:
        """Says that a pass over ``runs`` has been made."""
        added = document_lengths(runs)
        self.lengths += [0] * (len(added) - len(self.lengths))
        for row, length in enumerate(added):
            self.lengths[row] += length

    def select(self, rows: Sequence[int], shared: Sequence[int] | None = None) -> None:
        """Keeps these rows of every layer, in this order; a row may be taken more than once.

        ``shared``: see :meth:`KeyValues.select`.
        """
        for layer in self.layers:
            if layer.attention.lengths:
                layer.attention.select(rows, shared)
            layer.convolution.select(rows)
            layer.values.select(rows)
        self.lengths = [self.lengths[row] for row in rows]
