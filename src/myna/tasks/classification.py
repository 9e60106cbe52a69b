"""Text classification: one label for each text.

A text is read as ``start, its pieces, end``, in windows where it is long; the probabilities of its windows are
averaged. In the loss every *example* counts once, whatever its length: each of its windows counts for its share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from myna.corpus.document import Document
from myna.errors import InputError
from myna.evaluation.metrics import accuracy, confusion, macro_f1
from myna.ledger import Ledger
from myna.model.flat import flatten
from myna.model.heads import Model
from myna.objectives.protocol import Batch, Loss, Term
from myna.tasks.examples import Example
from myna.tasks.task import LEFT_OUT, UNKNOWN, Item, TaskItems, framed
from myna.tasks.windows import TooLong, fit
from myna.tokens.encoding import Encoding, encode
from myna.tokens.tokenizer import Tokenizer

# The weight of an example in whole numbers, so that counts stay exact: it can be cut into 1 … 16 equal shares.
EXAMPLE = 720_720
# Texts are encoded so many at a time: what the tokenizer says of them is forty times as large as their ids.
_AT_ONCE = 2048


@dataclass(frozen=True)
class _WeighedBatch(Batch):
    """A batch with the share, ``(items,)``, that each window is of its example."""

    shares: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Classified:
    """A text's label and the ``probabilities``, ``(labels,)``, of all ``labels``."""

    label: str
    labels: tuple[str, ...]
    probabilities: NDArray[np.float64]

    def answer(self) -> dict[str, Any]:
        """``{"label", "scores": {label: probability}}``."""
        return {"label": self.label, "scores": dict(zip(self.labels, self.probabilities.tolist(), strict=True))}


class Classification:
    """See :class:`~myna.tasks.task.Task`."""

    head = "sequence"

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        self.tokenizer, self.labels, self.room = tokenizer, tuple(labels), maximum_length - 2
        self._numbers = {label: number for number, label in enumerate(self.labels)}

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The document with its label."""
        label = document.label
        if label is None and document.labels:
            if len(document.labels) > 1:
                what = f"this has {len(document.labels)} labels, and classification takes one"
                where = Example(document.text, document.id, document.source).place
                raise InputError(what, where=where, remedy="keep the label that is wanted")
            label = document.labels[0]
        if label is None:
            return []
        return [Example(document.text, document.id, document.source, document.group, label)]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """The names themselves. A single one is an :class:`InputError`: there would be nothing to tell apart."""
        labels = tuple(sorted(set(names)))
        if len(labels) == 1:
            raise InputError(f"every example has the label {labels[0]!r}", remedy="add examples of another label")
        return labels

    def items(
        self, examples: Sequence[Example], too_long: TooLong = "window", ledger: Ledger | None = None
    ) -> TaskItems:
        """The windows of each text, of at most ``maximum_length`` tokens."""
        items = []
        ledger = Ledger() if ledger is None else ledger
        for number, (example, encoding) in enumerate(zip(examples, self._encoded(examples), strict=True)):
            target = np.array([self._number(example)], np.int64)
            read = fit(len(encoding.ids), self.room, too_long, example.place, ledger)
            for window in read:
                ids = framed(self.tokenizer, encoding.ids[window.start : window.end])
                items.append(Item(number, ids, target, windows=len(read)))
        came = sum(example.label is not None for example in examples)
        kept = len({item.example for item in items if item.targets[0] != UNKNOWN})
        ledger.kept(labels=kept)
        ledger.dropped(LEFT_OUT, labels=came - kept)
        return TaskItems(examples, items, ledger)

    def _encoded(self, examples: Sequence[Example]) -> Iterator[Encoding]:
        for start in range(0, len(examples), _AT_ONCE):
            yield from encode(self.tokenizer, [example.text for example in examples[start : start + _AT_ONCE]])

    def _number(self, example: Example) -> int:
        if example.label is None:
            return UNKNOWN
        if example.label not in self._numbers:
            what = f"the label {example.label!r} is none of the model's"
            raise InputError(what, where=example.place, remedy=f"its labels are {', '.join(self.labels)}")
        return self._numbers[example.label]

    def batch(self, items: Sequence[Item], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`; the count is of shares of examples."""
        shares = torch.tensor([round(EXAMPLE / item.windows) for item in items])
        return _WeighedBatch(
            flatten([item.ids for item in items], numbers, key),
            torch.from_numpy(np.concatenate([item.targets for item in items])),
            {"classification": int(shares.sum())},
            shares=shares,
        )

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Logits of every window, ``(items, labels)``."""
        result: Tensor = model(batch.tokens)
        return result

    def loss(self, model: Model, batch: Batch) -> Loss:
        """Cross-entropy of every window, in nats, weighed by its share of its example."""
        assert isinstance(batch, _WeighedBatch)
        assert batch.shares is not None
        nats = F.cross_entropy(self.outputs(model, batch), batch.targets, reduction="none")
        return Loss((Term("classification", nats @ batch.shares.to(nats.dtype), batch.counts["classification"]),))

    def modules(self) -> Mapping[str, nn.Module]:
        """Nothing beside the model."""
        return {}

    def decode(self, items: TaskItems, outputs: Sequence[Tensor]) -> list[Classified]:
        """The mean of the probabilities of a text's windows, and the label where it is greatest."""
        predictions = []
        for _, logits in items.by_example(outputs):
            probabilities = torch.cat(logits).double().softmax(1).mean(0).numpy()
            label = self.labels[int(probabilities.argmax())]
            predictions.append(Classified(label, self.labels, probabilities))
        return predictions

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Classified]) -> dict[str, float]:
        """``accuracy`` (the score) and ``macro_f1``."""
        expected = [example.label for example in examples if example.label is not None]
        cells = confusion(expected, [prediction.label for prediction in predictions], self.labels)
        share = float(accuracy(cells))
        return {"score": share, "accuracy": share, "macro_f1": float(macro_f1(cells))}
