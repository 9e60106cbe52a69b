"""What the tasks share that give one answer for a whole text, or for a pair of texts.

A text is read as ``start, its pieces, end``, a pair as ``start, the first, end, the second, end`` with a segment for
each where the model has segments; in windows where they are long, whose answers are averaged. In the loss every
*example* counts once, whatever its length: each of its windows counts for its share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from myna.ledger import Ledger
from myna.model.flat import flatten
from myna.model.heads import Model
from myna.objectives.protocol import Batch, Loss, Term
from myna.tasks.examples import Example
from myna.tasks.learning import dropped_otherwise
from myna.tasks.reading import Read, Summarize
from myna.tasks.settings import Distill
from myna.tasks.task import Item, TaskItems, count_labels, encoded, framed, portions, taught_of
from myna.tasks.windows import TooLong, fit, fit_pair
from myna.tokens.encoding import Encoding
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.evaluation.calibration import Sureness
    from myna.finetuning import FinetuneConfig

# The weight of an example in whole numbers, so that counts stay exact: it can be cut into 1 … 16 equal shares.
EXAMPLE = 720_720


@dataclass(frozen=True)
class WeighedBatch(Batch):
    """A batch with the share, ``(items,)``, that each window is of its example."""

    shares: Tensor | None = None


class Answers(Protocol):
    """What is said of a text, and how it is learned. A ``temperature`` divides the logits of labels.

    A class of somebody's own that inherits from it needs no more than what has no answer here.
    """

    temperature: float = 1.0

    def target(self, example: Example) -> NDArray[Any]:
        """What is right, ``(1,)`` or ``(1, labels)``; anything where it is not known."""

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each row, ``(rows,)``, of ``logits (rows, labels)``."""

    def distances(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """How far each row, ``(rows,)``, is from what a teacher says, ``taught (rows, labels)``."""

    def divergence(self, logits: Tensor, other: Tensor) -> Tensor | None:
        """How far two answers to the same rows are apart, ``(rows,)``; None where nobody asks (R-Drop)."""
        return None

    def said(self, logits: Tensor) -> Any:
        """The prediction of a text by the logits of its windows, ``(windows, labels)`` in float64."""

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """Takes up the options of a training on these examples."""

    def settle(self, model: Model) -> None:
        """What the answers were told by beside the model goes into the model."""

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Any]) -> dict[str, float]:
        """See :class:`~myna.tasks.task.Task`."""

    def sureness(self, examples: Sequence[Example], predictions: Sequence[Any]) -> Sureness | None:
        """See :class:`~myna.tasks.task.Sure`."""
        return None

    def remembered(self) -> dict[str, Any]:
        """See :class:`~myna.tasks.task.Adjustable`."""
        return {}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """See :class:`~myna.tasks.task.Adjustable`."""


class WholeTexts:
    """The parts of a :class:`~myna.tasks.task.Task` that do not depend on what the answers are."""

    head = "sequence"
    name = ""
    answers: Answers
    r_drop = 0.0
    read: Read = "whole"
    # Makes the summary that is read; without it (before there is one, in a plan) the first window is.
    summarize: Summarize | None = None
    distill = Distill()

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        self.tokenizer, self.labels, self.maximum_length = tokenizer, tuple(labels), maximum_length

    def items(
        self, examples: Sequence[Example], too_long: TooLong = "window", ledger: Ledger | None = None
    ) -> TaskItems:
        """The windows of each text, of at most ``maximum_length`` tokens; of its summary, or the first, where that is
        what is read.
        """
        items: list[Item] = []
        ledger = Ledger() if ledger is None else ledger
        if self.read == "first" or (self.read == "summary" and self.summarize is None):
            too_long = "cut"
        for start, some in portions(examples):
            for number, read in enumerate(self._read(self._summarized(some, ledger), too_long, ledger), start):
                target = self.answers.target(examples[number])
                items += [Item(number, ids, target, windows=len(read), segments=segments) for ids, segments in read]
        count_labels(examples, items, ledger)
        return TaskItems(examples, items, ledger)

    def _summarized(self, examples: Sequence[Example], ledger: Ledger) -> Sequence[Example]:
        """The examples with their summaries in place of their texts, where these are read."""
        if self.read != "summary" or self.summarize is None:
            return examples
        found = [replace(each, text=text) for each, text in zip(examples, self.summarize(examples), strict=True)]
        left = sum(len(each.text) for each in examples) - sum(len(each.text) for each in found)
        ledger.note("characters that summaries leave out", left)
        return found

    def _read(
        self, examples: Sequence[Example], too_long: TooLong, ledger: Ledger
    ) -> Iterator[list[tuple[NDArray[np.int64], NDArray[np.int64] | None]]]:
        """The ids and segments of each window of each example."""
        for _, example, (first, second) in encoded(self.tokenizer, examples, both=True):
            if example.pair is not None:
                yield self._windows_of_pair(example, first, second, too_long, ledger)
                continue
            windows = fit(len(first.ids), self.maximum_length - 2, too_long, example.place, ledger)
            yield [(framed(self.tokenizer, first.ids[w.start : w.end]), None) for w in windows]

    def _windows_of_pair(
        self, example: Example, first: Encoding, second: Encoding, too_long: TooLong, ledger: Ledger
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64] | None]]:
        lengths = len(first.ids), len(second.ids)
        found: list[tuple[NDArray[np.int64], NDArray[np.int64] | None]] = []
        for one, two in fit_pair(lengths, self.maximum_length - 3, too_long, example.place, ledger):
            before = framed(self.tokenizer, first.ids[one.start : one.end])
            after = np.append(second.ids[two.start : two.end], self.tokenizer.end).astype(np.int64)
            segments = np.repeat(np.arange(2, dtype=np.int64), [len(before), len(after)])
            found.append((np.concatenate([before, after]), segments))
        return found

    def batch(self, items: Sequence[Item], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`; the count is of shares of examples."""
        shares = torch.tensor([round(EXAMPLE / item.windows) for item in items])
        tokens = flatten([item.ids for item in items], numbers, key)
        if any(item.segments is not None for item in items):
            segments = [np.zeros(len(i.ids), np.int64) if i.segments is None else i.segments for i in items]
            tokens = replace(tokens, segments=torch.from_numpy(np.concatenate(segments)))
        total = int(shares.sum())
        return WeighedBatch(
            tokens,
            torch.from_numpy(np.concatenate([item.targets for item in items])),
            {self.name: total, "r_drop": total} if self.r_drop else {self.name: total},
            taught=taught_of(items),
            shares=shares,
        )

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Logits of every window, ``(items, labels)``."""
        tokens = batch.tokens if model.config.segments > 1 else replace(batch.tokens, segments=None)
        result: Tensor = model(tokens)
        return result

    def loss(self, model: Model, batch: Batch) -> Loss:
        """The loss of every window, weighed by its share of its example."""
        assert isinstance(batch, WeighedBatch)
        assert batch.shares is not None
        logits = self.outputs(model, batch)
        losses = self._losses(logits, batch)
        shares = batch.shares.to(losses.dtype)
        if not self.r_drop:
            return Loss((Term(self.name, losses @ shares, batch.counts[self.name]),))
        again = self.outputs(model, dropped_otherwise(batch))
        both = (losses + self._losses(again, batch)) / 2
        apart = self.answers.divergence(logits, again)
        assert apart is not None
        return Loss(
            (
                Term(self.name, both @ shares, batch.counts[self.name]),
                Term("r_drop", apart @ shares, batch.counts["r_drop"], self.r_drop),
            )
        )

    def _losses(self, logits: Tensor, batch: Batch) -> Tensor:
        losses = self.answers.losses(logits, batch.targets)
        if batch.taught is None:
            return losses
        apart = self.answers.distances(logits, batch.taught, self.distill.temperature)
        return torch.lerp(losses, apart.to(losses.dtype), self.distill.weight)

    def modules(self) -> Mapping[str, nn.Module]:
        """Nothing beside the model."""
        return {}

    def decode(self, items: TaskItems, outputs: Sequence[Tensor]) -> list[Any]:
        """What is said of each text, by all of its windows."""
        return [self.answers.said(torch.cat(logits).double()) for _, logits in items.by_example(outputs)]

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Any]) -> dict[str, float]:
        """See :class:`~myna.tasks.task.Task`."""
        return self.answers.metrics(examples, predictions)

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """See :class:`~myna.tasks.task.Adjustable`."""
        self.r_drop, self.read = config.r_drop, config.read or "whole"
        self.distill = config.distill or Distill()
        self.answers.adjust(config, examples, model)

    def settle(self, model: Model) -> None:
        """See :class:`~myna.tasks.task.Adjustable`."""
        self.answers.settle(model)

    def remembered(self) -> dict[str, Any]:
        """What the answers must know again, and what is read of a long text, where it is not all."""
        return {**self.answers.remembered(), **({} if self.read == "whole" else {"read": self.read})}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """Takes that up again."""
        self.answers.recall(facts)
        self.read = found if (found := facts.get("read")) in ("first", "summary") else "whole"

    @property
    def temperature(self) -> float:
        """See :class:`~myna.tasks.task.Sure`."""
        return self.answers.temperature

    @temperature.setter
    def temperature(self, temperature: float) -> None:
        self.answers.temperature = temperature

    def sureness(self, examples: Sequence[Example], predictions: Sequence[Any]) -> Sureness | None:
        """See :class:`~myna.tasks.task.Sure`."""
        return self.answers.sureness(examples, predictions)
