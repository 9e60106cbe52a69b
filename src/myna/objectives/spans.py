"""Span corruption (T5, arXiv:1910.10683, 3.1.4 and 3.3.4), for an encoder-decoder.

Spans of a text are taken out, each leaving a sentinel; the decoder writes each sentinel and what stood there. How much
is taken out and in how many spans follows from the length alone, and where is drawn as in T5's program: what stays and
what goes are each cut into so many stretches, none empty, all ways alike, and take turns, what stays first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from myna import randomness
from myna.model.flat import flatten
from myna.objectives.language import LanguageObjective, draw_key
from myna.objectives.protocol import Batch
from myna.objectives.settings import SpanCorruption
from myna.tokens.pieces import Piece, Sizes


class SpanCorruptionLM(LanguageObjective):
    """Writes what was taken out of a text."""

    settings_class = SpanCorruption
    name = "span_corruption"

    def window(self, maximum_length: int) -> int:
        """Source and target each have at most one token more than the piece."""
        return maximum_length - 1

    def taken(self, pieces: Sizes) -> NDArray[np.int64]:
        """What stays, what goes, each sentinel twice, and two ends."""
        _, spans = self.amounts(pieces.tokens)
        return pieces.tokens + 2 * spans + 2

    def amounts(self, lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many tokens of pieces of some lengths go, and in how many spans."""
        noise = np.round(lengths * self.settings.ratio).astype(np.int64).clip(1, np.maximum(lengths - 1, 1))
        spans = np.round(noise / self.settings.mean_span).astype(np.int64).clip(1)
        most = np.minimum(np.maximum(lengths - noise, 1), len(self.vocabulary.sentinels))
        return noise, np.minimum(np.minimum(spans, noise), most)

    def batch(self, items: Sequence[Piece], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`."""
        vocabulary, draw = self.vocabulary, randomness.key(draw_key(key), "spans")
        sources, targets = [], []
        for item, number in zip(items, numbers, strict=True):
            ids = np.asarray(item.ids, np.int64)
            noise, spans = (int(amount[0]) for amount in self.amounts(np.array([len(ids)])))
            went = stretches(noise, spans, randomness.key(draw, "noise", int(number)))
            stayed = stretches(len(ids) - noise, spans, randomness.key(draw, "rest", int(number)))
            cuts = np.cumsum(np.stack([stayed, went], 1).ravel())[:-1]
            parts = np.split(ids, cuts)
            marks = [np.array([sentinel]) for sentinel in vocabulary.sentinels[:spans]]
            end = [np.array([vocabulary.end])]
            sources.append(np.concatenate([x for pair in zip(parts[::2], marks, strict=True) for x in pair] + end))
            targets.append(np.concatenate([x for pair in zip(marks, parts[1::2], strict=True) for x in pair] + end))
        return translated(self.name, sources, targets, vocabulary.start, numbers, key)


def stretches(tokens: int, count: int, key: int) -> NDArray[np.int64]:
    """The lengths of ``count`` stretches of so many tokens, none empty (but for a text of one token)."""
    cuts = np.sort(randomness.permutation(key, max(tokens - 1, 0))[: count - 1]) + 1
    return np.diff(np.concatenate([[0], cuts, [tokens]]))


def translated(
    name: str,
    sources: Sequence[NDArray[np.int64]],
    targets: Sequence[NDArray[np.int64]],
    start: int,
    numbers: NDArray[np.int64],
    key: int | None,
) -> Batch:
    """A batch for an encoder-decoder: it reads ``sources`` and writes ``targets``, each behind ``start``."""
    read = [np.concatenate([[start], target[:-1]]) for target in targets]
    flat = torch.from_numpy(np.concatenate(targets))
    return Batch(
        flatten(sources, numbers, key),
        flat,
        {name: len(flat)},
        target=flatten(read, numbers, None if key is None else randomness.key(key, "target")),
        owners=np.repeat(np.arange(len(targets)), [len(target) for target in targets]),
    )
