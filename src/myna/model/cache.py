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
from torch import Tensor, nn

from myna.model.flat import Flat, Run, document_lengths, document_starts, documents_of


class Remembered:
    """Keys or values of one layer, ``heads (rows, heads, capacity, channels)``, full up to what a row has read."""

    def __init__(self) -> None:
        self.heads: Tensor | None = None

    def append(self, rows: slice, before: int, added: Tensor) -> Tensor:
        """Adds ``(documents, heads, length, channels)`` to ``rows``, each of which holds ``before`` tokens.

        Gives what these rows hold from their start, ``(documents, heads, all, channels)``.
        """
        end = before + added.shape[2]
        heads = self._with_room(rows.stop, end, added)
        heads[rows, :, before:end] = added
        return heads[rows, :, :end]

    def _with_room(self, rows: int, length: int, like: Tensor) -> Tensor:
        old = like.new_empty(0, like.shape[1], 0, like.shape[3]) if self.heads is None else self.heads
        most, _, capacity, _ = old.shape
        if most >= rows and capacity >= length:
            return old
        # Doubling keeps the copying of a long generation linear in its length.
        longer = max(length, 2 * capacity) if length > capacity else capacity
        self.heads = like.new_empty(max(rows, most), like.shape[1], longer, like.shape[3])
        self.heads[:most, :, :capacity] = old
        return self.heads

    def select(self, rows: Sequence[int], longest: int) -> None:
        """Keeps these rows, in this order, of which none holds more than ``longest``."""
        if self.heads is not None:
            self.heads = self.heads[torch.tensor(list(rows), device=self.heads.device), :, :longest]

    def exchange(self, places: slice, rows: Sequence[int], tokens: slice) -> None:
        """Puts these tokens of ``rows`` in the place of those of as many others."""
        if self.heads is not None:
            self.heads[places, :, tokens] = self.heads[rows, :, tokens]


class Inputs:
    """The last inputs of a causal convolution, ``(rows, kernel_size - 1, channels)``; zeros before a row's start."""

    def __init__(self) -> None:
        self.last: Tensor | None = None

    def append(self, rows: slice, inputs: Tensor, count: int) -> Tensor:
        """Adds ``(documents, length, channels)`` to ``rows`` and remembers the last ``count``.

        Gives them behind what was remembered, ``(documents, count + length, channels)``.
        """
        if self.last is None:
            self.last = inputs.new_zeros(0, count, inputs.shape[2])
        missing = rows.stop - self.last.shape[0]
        if missing > 0:
            self.last = torch.cat((self.last, inputs.new_zeros(missing, *self.last.shape[1:])))
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

    A span is (first token, length); ``ids`` are the tokens of the sources. ``projected`` holds the keys and values of
    each attention to the source, once they are made.
    """

    hidden: Tensor
    spans: list[tuple[int, int]]
    ids: Tensor
    projected: dict[nn.Module, tuple[Tensor, Tensor]] | None = None

    @classmethod
    def of(cls, hidden: Tensor, source: Flat) -> Memory:
        """The memory of source documents, of which ``source.windows`` may say that several are one source."""
        starts, lengths = document_starts(source.runs), document_lengths(source.runs)
        counts = itertools.repeat(1, len(starts)) if source.windows is None else source.windows
        firsts = list(itertools.accumulate(counts, initial=0))
        spans = [(starts[first], sum(lengths[first:end])) for first, end in itertools.pairwise(firsts)]
        return cls(hidden, spans, source.ids)


@dataclass
class LayerState:
    """The state of one layer; a mixer takes from it what it has."""

    keys: Remembered = field(default_factory=Remembered)
    values: Remembered = field(default_factory=Remembered)
    convolution: Inputs = field(default_factory=Inputs)
    convolution_values: Inputs = field(default_factory=Inputs)


class Cache:
    """The state of every layer. ``lengths`` are the tokens read so far, by row."""

    def __init__(self, layers: int) -> None:
        self.layers = [LayerState() for _ in range(layers)]
        self.lengths: list[int] = []

    def read(self, runs: Sequence[Run]) -> list[int]:
        """Counts a pass over ``runs``, and gives how much the rows of each had read before.

        The runs cover the rows in order, rows of a run equally long.
        """
        added = document_lengths(runs)
        before = self.lengths or [0] * len(added)
        self.lengths = [sum(both) for both in zip(before, added, strict=True)]
        return [before[rows.start] for rows in documents_of(runs)]

    def select(self, rows: Sequence[int], shared: Sequence[int] | None = None) -> None:
        """Keeps these rows of every layer, in this order; a row may be taken more than once.

        ``shared`` says how many of its first tokens each row has in common with the one that takes its place, where
        as many rows stay, of the same lengths: these are not copied.
        """
        heads = [part for layer in self.layers for part in (layer.keys, layer.values)]
        if shared is None:
            for part in heads:
                part.select(rows, max(self.lengths))
        else:
            # Rows of one length lie side by side, and change places among themselves.
            stretches = list(zip(shared, self.lengths, strict=True))
            for (start, end), group in itertools.groupby(range(len(rows)), stretches.__getitem__):
                places = list(group)
                taken = [rows[place] for place in places]
                if taken != places and start != end:
                    for part in heads:
                        part.exchange(slice(places[0], places[-1] + 1), taken, slice(start, end))
        for layer in self.layers:
            layer.convolution.select(rows)
            layer.convolution_values.select(rows)
        self.lengths = [self.lengths[row] for row in rows]
