"""What a decoder remembers of the tokens it has read: keys and values of each layer, with their lengths.

Rows may be of different length. A step appends to all rows at once and computes attention in runs of rows of equal
length, so that prompts of different length are decoded together without padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class KeyValues:
    """Keys and values of one layer, ``(rows, heads, capacity, head_size)`` each; row r holds ``lengths[r]``."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.lengths: list[int] = []

    def append(self, row: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds ``(documents, heads, length, head_size)`` to the rows from ``row`` on, which have equal lengths.

        Gives the keys and values of these rows from their start, ``(documents, heads, all, head_size)``.
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

    def select(self, rows: Sequence[int]) -> None:
        """Keeps these rows, in this order; a row may be taken more than once."""
        if self.keys is not None and self.values is not None:
            index = torch.tensor(list(rows), device=self.keys.device)
            self.keys, self.values = self.keys[index], self.values[index]
        self.lengths = [self.lengths[row] for row in rows]

    def trim(self, length: int) -> None:
        """Forgets what stands beyond ``length`` in every row."""
        self.lengths = [min(length, n) for n in self.lengths]


class Cache:
    """The state of every layer; ``lengths`` are those of the rows."""

    def __init__(self, layers: int) -> None:
        self.layers = [KeyValues() for _ in range(layers)]

    @property
    def lengths(self) -> list[int]:
        """Tokens read so far, by row."""
        return self.layers[0].lengths

    def select(self, rows: Sequence[int]) -> None:
        """Keeps these rows of every layer."""
        for layer in self.layers:
            layer.select(rows)

    def trim(self, length: int) -> None:
        """Forgets what stands beyond ``length`` in every layer."""
        for layer in self.layers:
            layer.trim(length)
