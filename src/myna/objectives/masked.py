"""Masked language modelling (Devlin et al. 2018, arXiv:1810.04805, 3.1), by whole words (Cui et al. 2019) or by spans.

Units (words, pieces, or spans of words) are chosen in an order drawn for each sequence, until their pieces make up the
ratio asked for; the unit at the border is taken by chance, so that the share is exact on average. Of the chosen pieces
80 % become ``[MASK]``, 10 % another piece, 10 % stay. The head runs at the chosen positions only. No sequence goes
without a target.

Spans are those of SpanBERT (arXiv:1907.10529, 3.1): whole words, as many as a geometric distribution (p = 0.2, at most
10) says, and what becomes of one becomes of all its pieces. A text is cut into spans anew in each batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from myna import randomness
from myna.model.flat import flatten
from myna.objectives.language import LanguageObjective, Vocabulary, draw_key
from myna.objectives.protocol import Batch
from myna.objectives.settings import Masked, Masking, ObjectiveSettings
from myna.tokens.pieces import Piece

# Of the geometric distribution of a span's words.
SPAN_STOP, SPAN_LONGEST = 0.2, 10


class MaskedLM(LanguageObjective):
    """Predicts what is masked from both sides."""

    settings_class = Masked
    name = "masked"
    extra = 2
    judged = ("targets", "blanks")

    def __init__(self, vocabulary: Vocabulary, settings: ObjectiveSettings | None = None) -> None:
        super().__init__(vocabulary, settings)
        self.masker = Masker(vocabulary, self.settings)

    def batch(self, items: Sequence[Piece], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`."""
        vocabulary = self.vocabulary
        masks = self.masker(items, numbers, draw_key(key), self.share)
        sequences = [np.concatenate([[vocabulary.start], part, [vocabulary.end]]) for part in masks.sequences]
        # Each sequence before a token brings two special tokens, and its own start one.
        positions = masks.rows + 2 * masks.owners + 1
        return Batch(
            flatten(sequences, numbers, key),
            torch.from_numpy(masks.targets),
            {"masked": len(positions)},
            torch.from_numpy(positions),
            owners=masks.owners,
        )


@dataclass(frozen=True)
class Masks:
    """Texts with some of their pieces masked.

    ``sequences`` are the texts as they are read, without special tokens; ``rows`` are the masked pieces, counted
    through all of them, ``targets`` what stood there, and ``owners`` whose they are, ``(targets,)`` each.
    """

    sequences: list[NDArray[np.int64]]
    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    owners: NDArray[np.int64]


class Masker:
    """Masks texts as a :class:`~myna.objectives.settings.Masking` says.

    ``fates`` are the shares that become the mask and that become the mask or another piece; the rest stays.
    """

    def __init__(self, vocabulary: Vocabulary, settings: Masking, fates: tuple[float, float] = (0.8, 0.9)) -> None:
        self.vocabulary, self.settings, self.fates = vocabulary, settings, fates
        self._ordinary: NDArray[np.int64] = np.setdiff1d(np.arange(vocabulary.size), vocabulary.special)

    def __call__(self, items: Sequence[Piece], numbers: NDArray[np.int64], draw: int, share: float) -> Masks:
        """The texts of pieces masked; ``numbers`` and ``draw`` decide how, and ``share`` of the run is done."""
        lengths = np.array([len(item.ids) for item in items])
        ids = np.concatenate([np.asarray(item.ids, np.int64) for item in items])
        starts = np.concatenate([np.asarray(item.word_starts) for item in items]).astype(bool)
        document = np.repeat(np.arange(len(items)), lengths)
        place = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        # A piece of a document can begin inside a word; what is there of the word is a word.
        starts |= (place == 0) | (self.settings.unit == "piece")
        index = (numbers[document].astype(np.uint64) << np.uint64(32)) | place.astype(np.uint64)
        ratio = self.settings.at(share)
        spans = self.settings.unit == "span"
        if spans:
            starts = _spans(starts, document, index, ratio, draw)
        chosen = _choose(starts, document, index, lengths, ratio, draw)
        fate = randomness.uniform(randomness.key(draw, "fate"), index)
        if spans:
            fate = fate[starts][np.cumsum(starts) - 1]
        other = randomness.numbers(randomness.key(draw, "other"), index) % np.uint64(len(self._ordinary))
        inputs = np.where(chosen & (fate < self.fates[0]), self.vocabulary.mask, ids)
        inputs = np.where(chosen & (fate >= self.fates[1]), self._ordinary[other.astype(np.int64)], inputs)
        rows = np.flatnonzero(chosen)
        return Masks(np.split(inputs, np.cumsum(lengths)[:-1]), rows, ids[rows], document[rows])


def _spans(
    starts: NDArray[np.bool_], document: NDArray[np.int64], index: NDArray[np.uint64], ratio: float, key: int
) -> NDArray[np.bool_]:
    """Where spans of words begin, ``(tokens,)``: each text is cut into spans one after the other.

    A short text has no span longer than its share of masked words, or one span would be most of it.
    """
    first = np.flatnonzero(starts)
    owner = document[first]
    words = np.bincount(owner, minlength=int(owner[-1]) + 1)
    longest = np.clip((ratio * words).astype(np.int64), 1, SPAN_LONGEST)[owner]
    # The geometric distribution cut off at ``longest``, and by that larger below it, as SpanBERT's program has it.
    drawn = randomness.uniform(randomness.key(key, "spans"), index[first])
    reach = 1 - (1 - SPAN_STOP) ** longest
    sizes = 1 + np.floor(np.log1p(-drawn * reach) / np.log1p(-SPAN_STOP)).astype(np.int64)
    ends = np.cumsum(words)[owner]
    begins = np.zeros(len(first), bool)
    word = 0
    while word < len(first):
        begins[word] = True
        word = min(word + int(sizes[word]), int(ends[word]))
    result = np.zeros(len(starts), bool)
    result[first[begins]] = True
    return result


def _choose(
    starts: NDArray[np.bool_],
    document: NDArray[np.int64],
    index: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    ratio: float,
    key: int,
) -> NDArray[np.bool_]:
    """Which tokens, ``(tokens,)``, are targets: whole units, which begin at ``starts``, at least one a document."""
    word = np.cumsum(starts) - 1
    first = np.flatnonzero(starts)
    size = np.diff(np.append(first, len(starts)))
    owner = document[first]
    order = np.lexsort((randomness.numbers(randomness.key(key, "words"), index[first]), owner))
    sizes, owners = size[order], owner[order]
    line = np.cumsum(sizes) - sizes
    before = line - np.repeat(np.cumsum(lengths) - lengths, np.bincount(owners, minlength=len(lengths)))
    border = randomness.uniform(randomness.key(key, "border"), index[first])[order]
    taken = (before + border * sizes < ratio * lengths[owners]) | (before == 0)
    chosen = np.zeros(len(first), bool)
    chosen[order] = taken
    result: NDArray[np.bool_] = chosen[word]
    return result
