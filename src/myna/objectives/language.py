"""What objectives of language models share: a vocabulary, pieces of documents, and the loss at some rows.

An objective is a subclass of :class:`LanguageObjective` that says how a batch is made; most need no more. One of a
user's own is written the same way: ``docs/objectives.md`` shows one whole.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from myna import randomness
from myna.errors import InputError
from myna.model.heads import LanguageHead, Model
from myna.objectives.losses import linear_cross_entropy, target_nats
from myna.objectives.protocol import Batch, Items, Loss, Term
from myna.objectives.settings import Declaration, LanguageSettings, ObjectiveSettings
from myna.tokens.chunks import Computed
from myna.tokens.pieces import Pieces, Sizes
from myna.tokens.sampler import micro_batches
from myna.tokens.special import sentinel_ids

if TYPE_CHECKING:
    from myna.tokens.store import TokenStore
    from myna.tokens.tokenizer import Tokenizer


_STOPS = "。！？.!?…\n"


@dataclass(frozen=True)
class Vocabulary:
    """The ids that an objective needs to know of a tokenizer.

    ``sentinels`` stand for spans, in the order of these; ``stops`` are the marks that end a sentence.
    """

    size: int
    start: int
    end: int
    mask: int
    special: tuple[int, ...]
    sentinels: tuple[int, ...] = ()
    stops: tuple[int, ...] = ()

    @classmethod
    def of(cls, tokenizer: Tokenizer, needed: Declaration) -> Vocabulary:
        """That of a tokenizer; an :class:`InputError` where it lacks what an objective needs."""
        if tokenizer.kind not in needed.tokenizers:
            what = f"this objective can't be learnt with a tokenizer of kind = {tokenizer.kind!r}"
            remedy = f"use one of kind = {' or '.join(map(repr, needed.tokenizers))}"
            raise InputError(what, where=tokenizer.folder, remedy=remedy)
        if tokenizer.start is None or tokenizer.end is None:
            what = "the tokenizer lacks the special tokens that a text begins and ends with"
            raise InputError(what, where=tokenizer.folder, remedy="train one of your own in a [tokenizer] table")
        mask = tokenizer.start if tokenizer.mask is None else tokenizer.mask
        sentinels = sentinel_ids(tokenizer, needed.sentinels)
        pieces = [tokenizer.backend.encode(stop, add_special_tokens=False).ids for stop in _STOPS]
        stops = tuple(ids[0] for ids in pieces if len(ids) == 1 and ids[0] != tokenizer.unknown)
        size, special = tokenizer.vocabulary_size, tokenizer.special_ids
        return cls(size, tokenizer.start, tokenizer.end, mask, special, sentinels, stops)


class LanguageObjective:
    """An objective over pieces of documents, with a cross-entropy at some of their rows.

    A subclass has ``settings_class``, the ``name`` of its term, and ``batch``; ``extra`` tokens stand around each
    piece, and ``extra_last`` more at a document's end. ``judged`` names the ways in which its models are judged
    (:mod:`myna.evaluation.language`).
    """

    settings_class: ClassVar[type[ObjectiveSettings]]
    name: ClassVar[str]
    extra: ClassVar[int] = 0
    extra_last: ClassVar[int] = 0
    judged: ClassVar[tuple[str, ...]] = ("targets",)
    settings: Any

    def __init__(self, vocabulary: Vocabulary, settings: ObjectiveSettings | None = None) -> None:
        self.vocabulary = vocabulary
        self.settings = self.settings_class() if settings is None else settings
        self.share = 0.0

    @property
    def head(self) -> str:
        """The kind of head that it trains."""
        return self.settings_class.declared.head

    def equip(self, model: Model, seed: int) -> None:
        """Makes what is trained beside ``model``, with weights from ``seed``. Most have nothing."""

    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained beside the model, by name; none of its tensors is the model's."""
        return {}

    def companions(self) -> Mapping[str, Model]:
        """Models that are kept beside the one that is trained, by name."""
        return {}

    def parts(self) -> Sequence[LanguageObjective]:
        """The objectives that this is made of: itself, or those of a mixture."""
        return [self]

    def at(self, share: float) -> Self:
        """The same objective when ``share`` of the steps is done: what changes over a run is a function of that."""
        then = copy.copy(self)
        then.share = share
        return then

    def window(self, maximum_length: int) -> int:
        """How many tokens of a document a piece may have for a model of ``maximum_length``."""
        return maximum_length - self.extra - self.extra_last

    def taken(self, pieces: Sizes) -> NDArray[np.int64]:
        """How many tokens each piece takes in a batch, by its own size alone."""
        return pieces.tokens + self.extra + self.extra_last * pieces.last

    def items(self, stores: Sequence[TokenStore], maximum_length: int) -> Pieces:
        """The pieces of all documents, each token in one of them."""
        return Pieces(stores, self.window(maximum_length), self.taken)

    def batch(self, items: Sequence[Any], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`. Evaluation, without a key, has a fixed draw of its own."""
        raise NotImplementedError

    def features(self, model: Model, batch: Batch) -> Tensor:
        """What the output matrix is multiplied with for each target, ``(targets, width)``."""
        assert isinstance(model.head, LanguageHead)
        with rows_of_table(model):
            hidden = model.trunk(batch.tokens) if batch.target is None else model.trunk(batch.tokens, batch.target)
        return model.head.features(hidden if batch.positions is None else hidden[batch.positions])

    def loss(self, model: Model, batch: Batch) -> Loss:
        """Cross-entropy of the targets, in nats."""
        assert isinstance(model.head, LanguageHead)
        assert isinstance(self.settings, LanguageSettings)
        rows, head = self.features(model, batch), model.head
        smoothing, z_loss = self.settings.label_smoothing, self.settings.z_loss
        total = linear_cross_entropy(rows, head.weight, head.bias, batch.targets, smoothing, z_loss)
        return Loss((Term(self.name, total, batch.counts[self.name]),))


@contextmanager
def rows_of_table(model: Model) -> Iterator[None]:
    """Inside, looking up words gives the table a gradient of the rows that were read, where a tied head gives it a
    whole one: torch adds these rows to that one, and no second table of zeros is made, filled and added.
    """
    words = model.trunk.embeddings.words
    words.sparse = model.config.tied and words.weight.device.type == "cpu"
    try:
        yield
    finally:
        words.sparse = False


def draw_key(key: int | None) -> int:
    """The key of a step, or that of evaluation, whose draws depend on an item's number alone."""
    return randomness.key(0, "evaluation") if key is None else key


@dataclass(frozen=True)
class TargetCosts:
    """The cross-entropy in ``nats`` of each target, its id and its document, ``(targets,)`` each."""

    nats: NDArray[np.float64]
    targets: NDArray[np.int64]
    documents: NDArray[np.int64]


class JudgedItems(Items, Protocol):
    """Items with the document that each is of, ``(items,)``."""

    @property
    def documents(self) -> Computed | NDArray[np.int64]:
        """The document of each."""


def target_costs(
    model: Model, objective: LanguageObjective, items: JudgedItems, batch_tokens: int = 4096
) -> TargetCosts:
    """Scores every item once, with draws that depend on the item's number alone."""
    assert isinstance(model.head, LanguageHead)
    nats, targets, documents = [], [], []
    with torch.inference_mode():
        for chosen in micro_batches(np.asarray(items.lengths), batch_tokens):
            batch = objective.batch([items[i] for i in chosen], chosen, None)
            rows = objective.features(model, batch)
            nats.append(target_nats(rows, model.head.weight, model.head.bias, batch.targets).double().numpy())
            targets.append(batch.targets.numpy())
            assert batch.owners is not None
            documents.append(items.documents[chosen[batch.owners]])
    return TargetCosts(np.concatenate(nats), np.concatenate(targets), np.concatenate(documents))
