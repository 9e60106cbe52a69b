"""Text classification: one label for each text. The probabilities of a long text's windows are averaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from myna.corpus.document import Document
from myna.errors import InputError
from myna.evaluation.calibration import Sureness, temperature_of, tempered
from myna.evaluation.metrics import accuracy, confusion, macro_f1
from myna.model.heads import Model
from myna.objectives.losses import distillations
from myna.tasks.examples import Example
from myna.tasks.learning import Learning, divergence
from myna.tasks.task import UNKNOWN
from myna.tasks.whole import WholeTexts
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig


@dataclass(frozen=True, eq=False)
class Classified:
    """A text's label and the ``probabilities``, ``(labels,)``, of all ``labels``."""

    label: str
    labels: tuple[str, ...]
    probabilities: NDArray[np.float64]

    def answer(self, least: float = 0.0) -> dict[str, Any]:
        """``{"label", "scores": {label: probability}}``; the label is None where it is less probable than ``least``."""
        scores = dict(zip(self.labels, self.probabilities.tolist(), strict=True))
        return {"label": self.label if scores[self.label] >= least else None, "scores": scores}


class OneLabel:
    """One of the labels, learned by cross-entropy in nats. See :class:`~myna.tasks.whole.Answers`."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels, self.learning, self.temperature = tuple(labels), Learning(), 1.0
        self._numbers = {label: number for number, label in enumerate(self.labels)}

    def target(self, example: Example) -> NDArray[np.int64]:
        """The number of the label; one that is none of the model's is an :class:`InputError`."""
        if example.label is None:
            return np.array([UNKNOWN], np.int64)
        if example.label not in self._numbers:
            raise unknown_label(example.label, self.labels, example.place)
        return np.array([self._numbers[example.label]], np.int64)

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropies in nats."""
        return self.learning.nats(logits, targets)

    def distances(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """In nats; see :func:`~myna.objectives.losses.distillations`."""
        return distillations(logits, taught, temperature)

    def divergence(self, logits: Tensor, other: Tensor) -> Tensor:
        """In nats."""
        return divergence(logits, other)

    def said(self, logits: Tensor) -> Classified:
        """The mean of the probabilities of a text's windows at the temperature, and the label where it is greatest."""
        probabilities = tempered(logits.softmax(1).mean(0).numpy(), self.temperature)
        return Classified(self.labels[int(probabilities.argmax())], self.labels, probabilities)

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """Takes up the options of a training."""
        often = Counter(example.label for example in examples)
        self.learning = Learning.of(config, self.labels, [often[label] for label in self.labels])

    def settle(self, model: Model) -> None:
        """Nothing is beside the model."""

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Classified]) -> dict[str, float]:
        """``accuracy`` (the score) and ``macro_f1``."""
        expected = [example.label for example in examples if example.label is not None]
        cells = confusion(expected, [prediction.label for prediction in predictions], self.labels)
        share = float(accuracy(cells))
        return {"score": share, "accuracy": share, "macro_f1": float(macro_f1(cells))}

    def sureness(self, examples: Sequence[Example], predictions: Sequence[Classified]) -> Sureness:
        """An answer for each text, whose outcomes are the labels."""
        said = np.array([each.probabilities for each in predictions]).reshape(-1, len(self.labels))
        truth = np.array([self._numbers[example.label or ""] for example in examples], np.int64)
        return Sureness(said, truth, np.array([self._numbers[each.label] for each in predictions], np.int64))

    def remembered(self) -> dict[str, Any]:
        """The temperature."""
        return {"temperature": self.temperature}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """Takes the temperature up again."""
        self.temperature = temperature_of(facts)


def unknown_label(label: str, labels: Sequence[str], place: str) -> InputError:
    """What to say of a label that is none of the model's."""
    what = f"the label {label!r} is none of the model's"
    return InputError(what, where=place, remedy=f"its labels are {', '.join(labels)}")


def several(names: Iterable[str]) -> tuple[str, ...]:
    """The names, sorted. A single one is an :class:`InputError`: there would be nothing to tell apart."""
    labels = tuple(sorted(set(names)))
    if len(labels) == 1:
        raise InputError(f"every example has the label {labels[0]!r}", remedy="add examples of another label")
    return labels


class Classification(WholeTexts):
    """See :class:`~myna.tasks.task.Task`."""

    name = "classification"

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        super().__init__(tokenizer, labels, maximum_length)
        self.answers = OneLabel(labels)

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The document with its label."""
        label = document.label
        if label is None and document.labels:
            if len(document.labels) > 1:
                what = f"this has {len(document.labels)} labels, and classification takes one"
                where = Example(document.text, document.id, document.source).place
                raise InputError(what, where=where, remedy='keep the label that is wanted, or use task = "multilabel"')
            label = document.labels[0]
        if label is None:
            return []
        return [Example(document.text, document.id, document.source, document.group, label)]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """The names themselves; a single one is an :class:`InputError`."""
        return several(names)
