"""Infilling (BART, arXiv:1910.13461, 2.2), for an encoder-decoder.

Spans of a text, of lengths drawn from a Poisson distribution, each become one mask, and one of length 0 is a mask where
nothing stood; the decoder writes the whole text. The spans together have the share of tokens that is asked for, the
last of them cut off there. Sentences can be put into another order before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from myna import randomness
from myna.objectives.language import LanguageObjective, draw_key
from myna.objectives.protocol import Batch
from myna.objectives.settings import Infilling
from myna.objectives.spans import translated
from myna.tokens.pieces import Piece, Sizes

# Poisson lengths of a mean of 20 are longer than this once in a million times.
_LONGEST = 64


class InfillingLM(LanguageObjective):
    """Writes a text anew of which spans are masked."""

    settings_class = Infilling
    name = "infilling"

    def window(self, maximum_length: int) -> int:
        """A start and an end stand around the source."""
        return maximum_length - 2

    def taken(self, pieces: Sizes) -> NDArray[np.int64]:
        """The most that source and target can have: how many spans there are is drawn with the batch."""
        return 2 * pieces.tokens + 3

    def batch(self, items: Sequence[Piece], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`."""
        vocabulary, draw = self.vocabulary, randomness.key(draw_key(key), "infilling")
        sources, targets = [], []
        for item, number in zip(items, numbers, strict=True):
            ids = np.asarray(item.ids, np.int64)
            drawn = randomness.key(draw, int(number))
            text = self._in_another_order(ids, drawn) if self.settings.permute_sentences else ids
            source = self._masked(text, drawn)
            sources.append(np.concatenate([[vocabulary.start], source, [vocabulary.end]]))
            targets.append(np.concatenate([ids, [vocabulary.end]]))
        return translated(self.name, sources, targets, vocabulary.start, numbers, key)

    def _masked(self, ids: NDArray[np.int64], key: int) -> NDArray[np.int64]:
        """The text with spans masked, never longer than it was."""
        noise = max(1, round(self.settings.ratio * len(ids)))
        lengths = self.span_lengths(noise, key)
        kept = len(ids) - noise
        # Spans stand at different places among what is kept, so that no two are one; where there are more spans than
        # places, some stand together.
        places = randomness.permutation(randomness.key(key, "places"), kept + 1)[np.arange(len(lengths)) % (kept + 1)]
        places = np.sort(places)
        starts = places + np.cumsum(lengths) - lengths
        gone = np.zeros(len(ids), bool)
        for start, length in zip(starts, lengths, strict=True):
            gone[start : start + length] = True
        result: NDArray[np.int64] = np.insert(ids[~gone], places, self.vocabulary.mask)
        return result

    def span_lengths(self, noise: int, key: int) -> NDArray[np.int64]:
        """Poisson lengths that add up to ``noise``; of those that are 0 as many as leave the text no longer."""
        mean = self.settings.mean_span
        chances = np.array([math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(_LONGEST)])
        count, lengths = max(8, noise), np.zeros(0, np.int64)
        while lengths.sum() < noise:
            drawn = randomness.uniform(randomness.key(key, "lengths"), np.arange(count))
            lengths = np.searchsorted(np.cumsum(chances), drawn, side="right").astype(np.int64)
            count *= 2
        reached = np.cumsum(lengths)
        last = int(np.searchsorted(reached, noise))
        lengths = lengths[: last + 1].copy()
        lengths[last] -= reached[last] - noise
        spans = int((lengths > 0).sum())
        empty = np.cumsum(lengths == 0)
        result: NDArray[np.int64] = lengths[(lengths > 0) | (empty <= noise - spans)]
        return result

    def _in_another_order(self, ids: NDArray[np.int64], key: int) -> NDArray[np.int64]:
        """The sentences of a text, each up to the mark that ends it, in an order drawn for it."""
        ends = np.flatnonzero(np.isin(ids, self.vocabulary.stops)) + 1
        sentences = [part for part in np.split(ids, ends) if len(part)]
        order = randomness.permutation(randomness.key(key, "sentences"), len(sentences))
        return np.concatenate([sentences[i] for i in order])
