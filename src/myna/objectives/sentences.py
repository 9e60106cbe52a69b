"""Next sentence beside masked words (BERT, Devlin et al. 2018, arXiv:1810.04805, 3.1 and A.2).

A sequence holds two stretches of text, each with its segment and an end. Half of the time the second follows the first
in its document, else it is of another document; a head on the first token tells which. The loss is the mean over
masked pieces and the mean over pairs, added up.

As in the paper a "sentence" is any stretch of text: each piece of a document is cut in two. Where a pair is not real,
second stretches have changed places among documents, so that an epoch still holds every token once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from myna import randomness
from myna.errors import InputError
from myna.model.config import HeadConfig
from myna.model.flat import flatten
from myna.model.heads import LanguageHead, Model, SequenceHead
from myna.model.transformer import initialize
from myna.objectives.language import LanguageObjective, Vocabulary, draw_key
from myna.objectives.losses import cross_entropy, linear_cross_entropy
from myna.objectives.masked import Masker
from myna.objectives.protocol import Batch, Loss, Term
from myna.objectives.settings import NextSentence, ObjectiveSettings
from myna.tokens.pieces import Piece, Pieces

if TYPE_CHECKING:
    from myna.tokens.sampler import Reached
    from myna.tokens.store import TokenStore


@dataclass(frozen=True)
class Pair:
    """Two stretches of text as one piece, the second from ``cut`` on; ``real`` where it follows the first.

    A text of one token has no second stretch, and ``real`` is None.
    """

    piece: Piece
    cut: int
    real: bool | None


class Pairs(Pieces):
    """The pieces of documents as pairs. ``lengths``, ``documents`` (of the first stretch) and ``tokens`` are theirs.

    Which pairs are real is the same in every epoch, as in BERT's program, and depends on the texts' number alone.
    Second stretches change places over the whole text, so that all pairs are held in memory: 40 bytes for each.
    """

    documents: NDArray[np.int64]
    tokens: NDArray[np.int64]

    def __init__(self, stores: Sequence[TokenStore], window: int) -> None:
        super().__init__(stores, window)
        key = randomness.key(0, "next sentence")
        number = np.arange(len(self))
        whole = self.places(number)
        self.tokens, self.documents = whole.tokens, whole.documents
        # Neither stretch is longer than half a window, so that any two go together.
        least, most = np.maximum(1, self.tokens - window // 2), np.minimum(self.tokens - 1, window - window // 2)
        drawn = randomness.uniform(randomness.key(key, "cut"), number)
        self._cuts = np.where(self.tokens > 1, least + (drawn * (most - least + 1)).astype(np.int64), 1)
        self._seconds = self._exchanged(key, number)
        seconds = self.tokens[self._seconds] - self._cuts[self._seconds]
        self.tokens = self._cuts + seconds
        self.lengths = self.tokens + 2 + (seconds > 0)

    def __getitem__(self, index: int) -> Pair:  # type: ignore[override]
        other, cut = int(self._seconds[index]), int(self._cuts[index])
        first, second = super().__getitem__(index), super().__getitem__(other)
        begins = np.array(second.word_starts[self._cuts[other] :])
        begins[:1] = 1
        ids = np.concatenate([first.ids[:cut], second.ids[self._cuts[other] :]])
        starts = np.concatenate([first.word_starts[:cut], begins])
        piece = Piece(ids, starts, first.document, first.before, None)
        return Pair(piece, cut, bool(other == index) if len(begins) else None)

    def held(self, reached: Reached) -> dict[str, int]:
        """How many documents some pairs begin in, and how many tokens they hold."""
        pairs = np.concatenate([reached.chunks, reached.items])
        return {"documents": len(np.unique(self.documents[pairs])), "tokens": int(self.tokens[pairs].sum())}

    def _exchanged(self, key: int, number: NDArray[np.int64]) -> NDArray[np.int64]:
        """Whose second stretch each pair has, ``(pairs,)``: half of them that of another document."""
        drawn = randomness.uniform(randomness.key(key, "real"), number) < 0.5
        chosen = np.flatnonzero(drawn & (self.tokens > 1))
        counts = np.bincount(self.documents[chosen], minlength=1)
        largest = np.flatnonzero(self.documents[chosen] == counts.argmax())
        # Of a document that has more pairs than all others together, what is beyond these stays as it is.
        chosen = np.delete(chosen, largest[max(0, len(chosen) - len(largest)) :])
        # Documents in an order drawn for them, and half a round on there is always another one.
        shuffled = randomness.numbers(randomness.key(key, "documents"), self.documents[chosen])
        chosen = chosen[np.argsort(shuffled, kind="stable")]
        result = number.copy()
        result[chosen] = np.roll(chosen, len(chosen) // 2)
        return result


@dataclass(frozen=True)
class PairBatch(Batch):
    """Pairs with masked words. ``real``, ``(documents,)``, is 0 where the second follows, 1 where not, -1 for one."""

    real: Tensor | None = None


class NextSentenceLM(LanguageObjective):
    """Predicts masked words, and whether two stretches of text follow one another."""

    settings_class = NextSentence
    name = "masked"
    judged = ("targets", "blanks")
    next_sentence: SequenceHead

    def __init__(self, vocabulary: Vocabulary, settings: ObjectiveSettings | None = None) -> None:
        super().__init__(vocabulary, settings)
        self.masker = Masker(vocabulary, self.settings)

    def equip(self, model: Model, seed: int) -> None:
        """Makes the head on the first token: BERT's pooler and two classes."""
        if model.config.segments < 2:
            what = f"this model has {model.config.segments} segments, and next_sentence tells two texts apart"
            raise InputError(what, remedy="use a bert preset, or set model.segments = 2")
        head = HeadConfig(activation="tanh", norm=False, dropout=model.config.dropout)
        config = model.config.model_copy(update={"head": head})
        self.next_sentence = SequenceHead(config, 2)
        initialize(self.next_sentence, config, randomness.key(seed, "next sentence") >> 1)

    def modules(self) -> Mapping[str, nn.Module]:
        """The head that tells what follows."""
        return {"next_sentence": self.next_sentence}

    def items(self, stores: Sequence[TokenStore], maximum_length: int) -> Pairs:
        """Pairs of stretches, which leave room for a start and two ends."""
        return Pairs(stores, maximum_length - 3)

    def batch(self, items: Sequence[Pair], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`."""
        start, end = [self.vocabulary.start], [self.vocabulary.end]
        masks = self.masker([item.piece for item in items], numbers, draw_key(key), self.share)
        cuts = np.array([item.cut for item in items])
        lines, segments = [], []
        for text, item in zip(masks.sequences, items, strict=True):
            first, second = text[: item.cut], text[item.cut :]
            lines.append(np.concatenate([start, first, end, second, end if len(second) else []]).astype(np.int64))
            segments.append(np.arange(len(lines[-1])) >= item.cut + 2)
        lengths = np.array([len(item.piece.ids) for item in items])
        begins = np.cumsum(lengths) - lengths
        place = masks.rows - begins[masks.owners]
        whole = np.array([len(line) for line in lines])
        positions = (np.cumsum(whole) - whole)[masks.owners] + place + 1 + (place >= cuts[masks.owners])
        real = np.array([-1 if item.real is None else int(not item.real) for item in items])
        counts = {"masked": len(positions), "next_sentence": int((real >= 0).sum())}
        return PairBatch(
            replace(flatten(lines, numbers, key), segments=torch.from_numpy(np.concatenate(segments).astype(np.int64))),
            torch.from_numpy(masks.targets),
            {name: count for name, count in counts.items() if count},
            torch.from_numpy(positions),
            owners=masks.owners,
            real=torch.from_numpy(real),
        )

    def loss(self, model: Model, batch: Batch) -> Loss:
        """Cross-entropy of masked words and of what follows, in nats."""
        assert isinstance(batch, PairBatch)
        assert isinstance(model.head, LanguageHead)
        assert batch.real is not None
        hidden = model.trunk(batch.tokens)
        rows, head = model.head.features(hidden[batch.positions]), model.head
        smoothing, z_loss = self.settings.label_smoothing, self.settings.z_loss
        filled = linear_cross_entropy(rows, head.weight, head.bias, batch.targets, smoothing, z_loss)
        terms = [Term("masked", filled, batch.counts["masked"])]
        if "next_sentence" in batch.counts:
            paired = batch.real >= 0
            told = cross_entropy(self.next_sentence(hidden, batch.tokens)[paired], batch.real[paired])
            terms.append(Term("next_sentence", told, batch.counts["next_sentence"]))
        return Loss(tuple(terms))
