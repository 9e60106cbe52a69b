"""Masked language modelling (Devlin et al. 2018, arXiv:1810.04805, 3.1), by whole words (Cui et al. 2019).

Words, not pieces, are chosen, in an order drawn for each sequence, until their pieces make up the ratio asked for; the
word at the border is taken by chance, so that the share is exact on average. Of the chosen pieces 80 % become
``[MASK]``, 10 % another piece, 10 % stay. The head runs at the chosen positions only. No sequence goes without a
target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from myna import randomness
from myna.model.flat import flatten
from myna.model.heads import LanguageHead, Model
from myna.objectives.losses import linear_cross_entropy, target_nats
from myna.objectives.protocol import Batch, Loss, Term
from myna.tokens.pieces import Piece, Pieces
from myna.tokens.sampler import micro_batches

if TYPE_CHECKING:
    from myna.tokens.store import TokenStore


@dataclass(frozen=True)
class Vocabulary:
    """The ids that an objective needs to know of a tokenizer."""

    size: int
    start: int
    end: int
    mask: int
    special: tuple[int, ...]


class MaskedLM:
    """Predicts masked words from both sides. ``ratio`` is the share of a sequence's pieces that are targets."""

    head = "masked"

    def __init__(self, vocabulary: Vocabulary, ratio: float = 0.15, whole_word: bool = True) -> None:
        self.vocabulary, self.ratio, self.whole_word = vocabulary, ratio, whole_word
        ordinary = np.setdiff1d(np.arange(vocabulary.size), vocabulary.special)
        self._ordinary: NDArray[np.int64] = ordinary

    def items(self, stores: Sequence[TokenStore], maximum_length: int) -> Pieces:
        """Pieces that leave room for ``[CLS]`` and ``[SEP]``."""
        return Pieces(stores, maximum_length - 2, extra=2)

    def batch(self, items: Sequence[Piece], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`. Evaluation passes a key of its own for the masks."""
        vocabulary = self.vocabulary
        draw = randomness.key(0, "evaluation") if key is None else key
        lengths = np.array([len(item.ids) for item in items])
        ids = np.concatenate([np.asarray(item.ids, np.int64) for item in items])
        starts = np.concatenate([np.asarray(item.word_starts) for item in items]).astype(bool)
        document = np.repeat(np.arange(len(items)), lengths)
        place = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        # A piece of a document can begin inside a word; what is there of the word is a word.
        starts |= (place == 0) | (not self.whole_word)
        index = (numbers[document].astype(np.uint64) << np.uint64(32)) | place.astype(np.uint64)
        chosen = _choose(starts, document, index, lengths, self.ratio, draw)
        fate = randomness.uniform(randomness.key(draw, "fate"), index)
        other = randomness.numbers(randomness.key(draw, "other"), index) % np.uint64(len(self._ordinary))
        inputs = np.where(chosen & (fate < 0.8), vocabulary.mask, ids)
        inputs = np.where(chosen & (fate >= 0.9), self._ordinary[other.astype(np.int64)], inputs)
        sequences = [
            np.concatenate([[vocabulary.start], part, [vocabulary.end]])
            for part in np.split(inputs, np.cumsum(lengths)[:-1])
        ]
        rows = np.flatnonzero(chosen)
        # Each sequence before a token brings two special tokens, and its own start one.
        positions = rows + 2 * document[rows] + 1
        return Batch(
            flatten(sequences, numbers, key),
            torch.from_numpy(ids[rows]),
            {"masked": len(rows)},
            torch.from_numpy(positions),
        )

    def loss(self, model: Model, batch: Batch) -> Loss:
        """Cross-entropy at the masked positions, in nats."""
        assert isinstance(model.head, LanguageHead)
        hidden = model.head.features(model.trunk(batch.tokens)[batch.positions])
        total = linear_cross_entropy(hidden, model.head.weight, model.head.bias, batch.targets)
        return Loss((Term("masked", total, batch.counts["masked"]),))

    def modules(self) -> Mapping[str, nn.Module]:
        """Nothing beside the model."""
        return {}


def _choose(
    starts: NDArray[np.bool_],
    document: NDArray[np.int64],
    index: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    ratio: float,
    key: int,
) -> NDArray[np.bool_]:
    """Which tokens, ``(tokens,)``, are targets: whole words, at least one in each document."""
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


@dataclass(frozen=True)
class MaskedScores:
    """The cross-entropy in ``nats`` of each target, its id and its document, ``(targets,)`` each."""

    nats: NDArray[np.float64]
    targets: NDArray[np.int64]
    documents: NDArray[np.int64]


def masked_scores(model: Model, objective: MaskedLM, items: Pieces, batch_tokens: int = 4096) -> MaskedScores:
    """Scores every item once, with masks that depend on the item's number alone."""
    assert isinstance(model.head, LanguageHead)
    nats, targets, documents = [], [], []
    with torch.inference_mode():
        for chosen in micro_batches(items.lengths, batch_tokens):
            batch = objective.batch([items[i] for i in chosen], chosen, None)
            hidden = model.head.features(model.trunk(batch.tokens)[batch.positions])
            nats.append(target_nats(hidden, model.head.weight, model.head.bias, batch.targets).double().numpy())
            targets.append(batch.targets.numpy())
            assert batch.positions is not None
            ends = np.cumsum(items.lengths[chosen])
            documents.append(items.documents[chosen[np.searchsorted(ends, batch.positions.numpy(), side="right")]])
    return MaskedScores(np.concatenate(nats), np.concatenate(targets), np.concatenate(documents))
