"""Embeddings: a vector for each text, so that texts which belong together are near each other.

Learned from pairs: of a group of pairs each text shall find its own, and each of those its text (InfoNCE,
arXiv:1807.03748, both ways as in arXiv:2103.00020). The others of the group are what it is told apart from, but for
those that are the same text or the pair of the same text. A vector is the mean of a text's last hidden states (or the
first or the last of them), of a long text the mean over its windows, divided by its length. The model is a trunk
without a head.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from myna.corpus.document import Document
from myna.errors import InputError
from myna.evaluation.retrieval import Pairing, found_at
from myna.ledger import Ledger
from myna.model.flat import flatten
from myna.model.heads import Model, first_tokens, last_tokens, pool
from myna.objectives.losses import contrastive
from myna.objectives.protocol import Batch, Loss, Term
from myna.tasks.examples import Example
from myna.tasks.task import Item, TaskItems, count_labels, encoded, framed
from myna.tasks.windows import TooLong, fit
from myna.tokens.encoding import Encoding
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

# The label of an example: that its pair belongs to it.
PAIR = "pair"
# So many pairs are told apart at a time: enough to be hard, and their activations fit a small machine.
GROUP = 32
TEMPERATURE = 0.05
# Windows of an item at most, for their keys of dropout to be their own.
_MOST_WINDOWS = 1 << 12


@dataclass(frozen=True, slots=True)
class TextsItem(Item):
    """A text, or it and its pair, all windows of both one after the other.

    ``sizes`` are the tokens of each window, ``sides`` says which text it is of. ``targets``, ``(texts,)``, are marks of
    the texts, equal where they are the same.
    """

    sizes: tuple[int, ...] = ()
    sides: tuple[int, ...] = ()


@dataclass(frozen=True)
class TextsBatch(Batch):
    """``rows``, ``(windows,)``, is the text of each window; ``groups``, ``(items,)``, the group of each pair."""

    rows: Tensor | None = None
    groups: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Embedded:
    """The vector of a text, ``(hidden,)`` and of length one, and that of its pair where it has one."""

    vector: NDArray[np.float32]
    pair: NDArray[np.float32] | None = None

    @property
    def likeness(self) -> float | None:
        """The cosine between both."""
        return None if self.pair is None else float(self.vector @ self.pair)

    def answer(self) -> dict[str, Any]:
        """``{"vector"}``."""
        return {"vector": self.vector.tolist()}


class Embeddings:
    """See :class:`~myna.tasks.task.Task`. So many pairs as ``group`` says are never cut apart."""

    head = "trunk"
    asks = "texts"

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        self.tokenizer, self.labels, self.room = tokenizer, tuple(labels), maximum_length - 2
        self.group, self.temperature = GROUP, TEMPERATURE
        self.pooling: Literal["first", "mean", "last"] = "mean"

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The document with its pair."""
        if document.pair is None:
            return []
        return [Example(document.text, document.id, document.source, document.group, PAIR, pair=document.pair)]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """None: the outputs have no names."""
        return ()

    def items(
        self, examples: Sequence[Example], too_long: TooLong = "window", ledger: Ledger | None = None
    ) -> TaskItems:
        """Each text with its pair."""
        ledger = Ledger() if ledger is None else ledger
        items: list[Item] = []
        for number, example, (text, pair) in encoded(self.tokenizer, examples, both=True):
            read = [text] if example.pair is None else [text, pair]
            items += self._item(number, example, read, too_long, ledger)
        count_labels(examples, items, ledger)
        return TaskItems(examples, items, ledger)

    def _item(
        self, number: int, example: Example, read: Sequence[Encoding], too_long: TooLong, ledger: Ledger
    ) -> list[TextsItem]:
        if too_long == "drop" and max(map(len, read)) > self.room:
            ledger.came_in(tokens=sum(map(len, read)))
            ledger.dropped(f"longer than the model's {self.room} pieces", tokens=sum(map(len, read)))
            return []
        windows = [
            (side, framed(self.tokenizer, encoding.ids[window.start : window.end]))
            for side, encoding in enumerate(read)
            for window in fit(len(encoding), self.room, too_long, example.place, ledger)
        ]
        if len(windows) > _MOST_WINDOWS:
            what = f"this text is {len(windows)} windows of the model, more than {_MOST_WINDOWS}"
            raise InputError(what, where=example.place, remedy="cut it into parts")
        marks = np.array([_mark(text) for text in (example.text, example.pair)[: len(read)] if text is not None])
        ids = np.concatenate([ids for _, ids in windows])
        sizes, sides = tuple(len(ids) for _, ids in windows), tuple(side for side, _ in windows)
        return [TextsItem(number, ids, marks, windows=1, sizes=sizes, sides=sides)]

    def batch(self, items: Sequence[TextsItem], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`; the count is of pairs."""
        sizes = np.array([size for item in items for size in item.sizes], np.int64)
        documents = np.split(np.concatenate([item.ids for item in items]), np.cumsum(sizes)[:-1])
        firsts = np.cumsum([0, *(len(item.targets) for item in items)])
        rows = np.concatenate([first + np.array(item.sides) for item, first in zip(items, firsts, strict=False)])
        own = np.concatenate(
            [number * _MOST_WINDOWS + np.arange(len(item.sizes)) for item, number in zip(items, numbers, strict=True)]
        )
        # In the order of their lengths, in which they make the fewest runs.
        order = np.argsort(sizes, kind="stable")
        return TextsBatch(
            flatten([documents[n] for n in order], own[order], key),
            torch.from_numpy(np.concatenate([item.targets for item in items])),
            {"embeddings": len(items)},
            rows=torch.from_numpy(rows[order]),
            groups=torch.from_numpy(np.asarray(numbers) // self.group),
        )

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """The vector of every text, ``(texts, hidden)``, not yet of length one: the mean over its windows."""
        assert isinstance(batch, TextsBatch)
        assert batch.rows is not None
        hidden: Tensor = model.trunk(batch.tokens)
        if self.pooling == "mean":
            pooled = pool(hidden, batch.tokens)
        else:
            pooled = hidden[(first_tokens if self.pooling == "first" else last_tokens)(batch.tokens)]
        pooled = pooled.to(torch.promote_types(pooled.dtype, torch.float32))
        total = pooled.new_zeros(len(batch.targets), pooled.shape[1]).index_add(0, batch.rows, pooled)
        windows = pooled.new_zeros(len(batch.targets)).index_add(0, batch.rows, pooled.new_ones(len(batch.rows)))
        return total / windows.unsqueeze(1)

    def loss(self, model: Model, batch: Batch) -> Loss:
        """InfoNCE both ways, averaged, in nats for each pair."""
        assert isinstance(batch, TextsBatch)
        assert batch.groups is not None
        texts, pairs = torch.unbind(self.outputs(model, batch).view(len(batch.groups), 2, -1), 1)
        marks = batch.targets.view(-1, 2)
        alike = (marks[:, None] == marks).any(2)
        ways = ((texts, pairs), (pairs, texts))
        nats = sum(contrastive(a, b, batch.groups, self.temperature, alike) for a, b in ways) / 2
        assert isinstance(nats, Tensor)
        return Loss((Term("embeddings", nats, batch.counts["embeddings"]),))

    def modules(self) -> Mapping[str, nn.Module]:
        """Nothing beside the model."""
        return {}

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """Takes up the group, the temperature and the pooling of a training."""
        self.group, self.temperature = config.group or GROUP, config.temperature or TEMPERATURE
        self.pooling = config.pooling or "mean"

    def settle(self, model: Model) -> None:
        """Nothing is beside the model."""

    def remembered(self) -> dict[str, Any]:
        """What of a text's hidden states its vector is."""
        return {"pooling": self.pooling}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """Takes that up again."""
        known: dict[str, Literal["first", "mean", "last"]] = {"first": "first", "last": "last"}
        self.pooling = known.get(str(facts.get("pooling")), "mean")

    def decode(self, items: TaskItems, outputs: Sequence[Tensor]) -> list[Embedded]:
        """The vector of each text, and of its pair."""
        rows = [F.normalize(parts[0].double(), dim=1).float().numpy() for _, parts in items.by_example(outputs)]
        return [Embedded(row[0], row[1] if len(row) > 1 else None) for row in rows]

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Embedded]) -> dict[str, float]:
        """``mrr`` (the score), ``recall_at_1`` and ``recall_at_10``: where each text's pair stands among all pairs."""
        places = places_of(Pairing.of([(e.text, e.pair or "") for e in examples]), predictions)
        figures = {"mrr": float((1 / places).mean()) if len(places) else 0.0}
        figures |= {f"recall_at_{most}": float((places <= most).mean()) if len(places) else 0.0 for most in (1, 10)}
        return {"score": figures["mrr"], **figures}


def places_of(pairing: Pairing, predictions: Sequence[Embedded]) -> NDArray[np.int64]:
    """At which place among the candidates each text finds its pair, ``(texts,)``, from 1."""
    texts = np.array([each.vector for each in predictions])
    candidates = np.array([predictions[n].pair for n in pairing.candidates])
    return found_at(lambda first, last: texts[first:last] @ candidates.T, pairing)


def _mark(text: str) -> int:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little", signed=True)
