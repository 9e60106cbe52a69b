"""What fine-tuning asks of a task: an objective that also reads examples, decodes predictions and judges them.

One example may give several items: the windows of a long text. Predictions come back one for each example. What a
task makes of examples, and what it reads out of a model, is the same in training, in evaluation and in use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from myna.corpus.document import Document
from myna.ledger import Ledger
from myna.model.config import ModelConfig
from myna.model.heads import Model
from myna.objectives.protocol import Batch, Objective
from myna.tasks.examples import Example, counts
from myna.tasks.windows import TooLong
from myna.tokens.encoding import Encoding, encode
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.evaluation.calibration import Sureness
    from myna.finetuning import FinetuneConfig

# The target of an output whose label is not known: what is to be predicted.
UNKNOWN = -1
# The ledger's reason for what ``too_long = "drop"`` leaves out.
LEFT_OUT = "longer than the model's window"
# Texts are encoded so many at a time: what the tokenizer says of them is forty times as large as their ids.
_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class Item:
    """A window of an example.

    ``ids`` is ``(tokens,)``, special tokens included. ``targets``, ``(outputs,)``, are the numbers of the classes that
    its outputs should have, or ``UNKNOWN`` (of several labels ``(1, labels)``, of a number the number). ``rows``,
    ``(outputs,)``, are the tokens where a token head gives these outputs, and None for a sequence head, which has one
    output. ``windows`` says how many its example gave; ``segments``, ``(tokens,)``, which text of a pair a token is of.
    ``taught``, ``(outputs, labels)``, are a teacher's logits, where there is one.
    """

    example: int
    ids: NDArray[np.int64]
    targets: NDArray[Any]
    rows: NDArray[np.int64] | None = None
    windows: int = 1
    segments: NDArray[np.int64] | None = None
    taught: NDArray[np.float32] | None = None


class TaskItems:
    """The items of ``examples``, those of an example one after the other. ``lengths`` are their tokens.

    The ledger is told how many examples are kept: those with an item.
    """

    def __init__(self, examples: Sequence[Example], items: Sequence[Item], ledger: Ledger) -> None:
        self.examples, self._items = examples, items
        self.lengths: NDArray[np.int64] = np.array([len(item.ids) for item in items], np.int64)
        ledger.kept_of(LEFT_OUT, examples=(len({item.example for item in items}), len(examples)))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Item:
        return self._items[index]

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def by_example(self, outputs: Sequence[Tensor]) -> Iterator[tuple[Example, list[Tensor]]]:
        """Each example with the outputs of its items, which are given in the order of the items."""
        grouped: list[list[Tensor]] = [[] for _ in self.examples]
        for item, output in zip(self._items, outputs, strict=True):
            grouped[item.example].append(output)
        yield from zip(self.examples, grouped, strict=True)


def portions(examples: Sequence[Example]) -> Iterator[tuple[int, Sequence[Example]]]:
    """The examples, so many at a time as are encoded together, with the number of the first of them."""
    for start in range(0, len(examples), _AT_ONCE):
        yield start, examples[start : start + _AT_ONCE]


def encoded(
    tokenizer: Tokenizer, examples: Sequence[Example], both: bool = False
) -> Iterator[tuple[int, Example, list[Encoding]]]:
    """Each example with its number and the pieces of its text; where ``both``, those of its pair too, if it has one."""
    for start, some in portions(examples):
        texts = [[example.text for example in some]] + [[example.pair or "" for example in some]] * both
        read = zip(*(encode(tokenizer, side) for side in texts), strict=True)
        for number, (example, encodings) in enumerate(zip(some, read, strict=True), start):
            yield number, example, list(encodings)


def count_labels(examples: Sequence[Example], items: Sequence[Item], ledger: Ledger) -> None:
    """Tells the ledger how many labels are kept, where an example with an item keeps all of its own."""
    kept = counts(examples[number] for number in {item.example for item in items})["labels"]
    ledger.kept_of(LEFT_OUT, labels=(kept, counts(examples)["labels"]))


def framed(tokenizer: Tokenizer, ids: NDArray[np.integer]) -> NDArray[np.int64]:
    """The ids between the tokens that begin and end every text, ``(tokens + 2,)``; one less where none begins it."""
    before = [] if tokenizer.start is None else [tokenizer.start]
    return np.concatenate([before, ids, [tokenizer.end]]).astype(np.int64)


def taught_of(items: Sequence[Item]) -> Tensor | None:
    """What a teacher says of some items, ``(outputs, labels)``."""
    given = [item.taught for item in items if item.taught is not None]
    return torch.from_numpy(np.concatenate(given)) if given else None


class Prediction(Protocol):
    """What a task says of one example."""

    def answer(self) -> dict[str, Any]:
        """The prediction as a user reads it: plain values for JSON."""


class Task(Objective, Protocol):
    """A task. ``head`` is the kind of head it needs: ``sequence``, ``token`` …, ``language`` where it :class:`Writes`;
    ``trunk`` is none.

    ``labels`` name its outputs.
    """

    head: str
    labels: tuple[str, ...]

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        """A task for a model with this tokenizer, these labels and windows of ``maximum_length`` tokens."""

    @classmethod
    def examples(cls, document: Document) -> Sequence[Example]:
        """The examples in a document (read without its words): none where it has no label of this task."""

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """The model's labels, sorted, for the names that labels have in the examples."""

    def items(
        self, examples: Sequence[Example], too_long: TooLong = "window", ledger: Ledger | None = None
    ) -> TaskItems:
        """The items of examples, labelled or not.

        The ledger, in which they have come in, is told what is kept and what ``too_long`` leaves out.
        """

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """The logits of a batch, ``(outputs, labels)``, in the order of its items and of their outputs."""

    def decode(self, items: TaskItems, outputs: Sequence[Tensor]) -> Sequence[Prediction]:
        """One prediction for each example, from the logits ``(outputs, labels)`` of each item."""

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Any]) -> dict[str, float]:
        """Figures of merit by name; ``score`` is the one that chooses the best epoch, higher is better."""


@runtime_checkable
class Writes(Protocol):
    """A task whose answer is a text, which takes long to write, and is judged while training by what it costs."""

    def take_up(self, config: FinetuneConfig, examples: Sequence[Example], described: ModelConfig) -> None:
        """Takes up the options of a training, as :meth:`Adjustable.adjust`, for a model of this description."""

    def arranged(self, examples: Sequence[Example]) -> list[Example]:
        """The examples as the model is asked them, of which items are made: one may become several."""

    def write(self, model: Model, items: TaskItems, batch_tokens: int) -> Sequence[Prediction]:
        """What the model writes of each of the items' examples, each as it would be alone."""

    def validate(self, model: Model, items: TaskItems, batch_tokens: int) -> dict[str, float]:
        """Figures of merit of what was to be written, ``score`` among them, without writing anything."""


@runtime_checkable
class Adjustable(Protocol):
    """A task that takes up options of its training, as all of Myna's own do."""

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """Takes up the options before a training on ``examples``: weights of classes, a loss, a scale.

        Raises an :class:`~myna.errors.InputError` for what does not fit the examples.
        """

    def settle(self, model: Model) -> None:
        """Puts into the trained model what the task would have to know beside it, as the scale of numbers."""

    def remembered(self) -> dict[str, Any]:
        """What the task must know again to predict, for ``myna.json``."""

    def recall(self, facts: Mapping[str, Any]) -> None:
        """Takes that up again."""


@runtime_checkable
class Sure(Protocol):
    """A task whose answers have probabilities, which a ``temperature`` sets right (see :mod:`myna.evaluation`)."""

    temperature: float

    def sureness(self, examples: Sequence[Example], predictions: Sequence[Any]) -> Sureness | None:
        """The probabilities beside what is right; None where what is said has none, as a number."""
