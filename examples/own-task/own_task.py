"""A task of one's own: labels in an order, as low, normal, high, urgent. An answer is the worse the further off it is.

In a recipe, or on the command line, with this file's folder on PYTHONPATH:

    task = "own_task:Urgency"

What a text is read as, long ones in windows, is that of Myna's own tasks for whole texts (``WholeTexts``); what is said
of a text, and how it is learned, stands here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from myna.corpus.document import Document
from myna.errors import InputError
from myna.finetuning import FinetuneConfig
from myna.model.heads import Model
from myna.tasks.examples import Example
from myna.tasks.task import UNKNOWN
from myna.tasks.whole import Answers, WholeTexts
from myna.tokens.tokenizer import Tokenizer

ORDER = ("low", "normal", "high", "urgent")


@dataclass(frozen=True)
class Placed:
    """What is said of a text. ``place`` is the mean place in the order, of which ``label`` is the middle."""

    label: str
    place: float

    def answer(self) -> dict[str, Any]:
        """As a user reads it; any plain values will do."""
        return {"urgency": self.label, "place": round(self.place, 2)}


class Places(Answers):
    """Learned by how far the probabilities, added up along the order, are from 0 before the right place and 1 from it
    on: the ranked probability score. See :class:`~myna.tasks.whole.Answers`.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)

    def target(self, example: Example) -> NDArray[np.int64]:
        """The place of the label."""
        if example.label is None:
            return np.array([UNKNOWN], np.int64)
        if example.label not in self.labels:
            remedy = f"the labels are {', '.join(self.labels)}"
            raise InputError(f"{example.label!r} has no place in the order", where=example.place, remedy=remedy)
        return np.array([self.labels.index(example.label)], np.int64)

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """One for each row; the sum over a batch is divided by the number of its examples."""
        reached = torch.arange(logits.shape[1]) >= targets.unsqueeze(1)
        return (logits.softmax(1).cumsum(1) - reached.to(logits.dtype)).square().sum(1)

    def divergence(self, logits: Tensor, other: Tensor) -> None:
        """No R-Drop here."""

    def said(self, logits: Tensor) -> Placed:
        """The mean over a text's windows, and the label at which half of the probability is reached."""
        probabilities = logits.softmax(1).mean(0)
        middle = int((probabilities.cumsum(0) < 0.5).sum())
        place = float(probabilities @ torch.arange(len(self.labels), dtype=probabilities.dtype))
        return Placed(self.labels[min(middle, len(self.labels) - 1)], place)

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """Takes up options of the ``[finetune]`` table; there are none."""

    def settle(self, model: Model) -> None:
        """Nothing is beside the model."""

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Placed]) -> dict[str, float]:
        """``score`` chooses the best epoch; the others stand in scores.json, each with an interval."""
        right = np.array([self.labels.index(example.label or "") for example in examples])
        said = np.array([self.labels.index(prediction.label) for prediction in predictions])
        nearness = float(1 - np.abs(right - said).mean() / (len(self.labels) - 1))
        return {"score": nearness, "nearness": nearness, "exact": float((right == said).mean())}


class Urgency(WholeTexts):
    """The task. ``fields`` are the columns that ``myna finetune`` looks for."""

    name = "urgency"
    fields = ("text", "label")

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        super().__init__(tokenizer, labels, maximum_length)
        self.answers = Places(labels)

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The examples in a document: one where it has a label."""
        if document.label is None:
            return []
        return [Example(document.text, document.id, document.source, document.group, document.label)]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """The labels in their order, which is that of the model's outputs."""
        unknown = sorted(set(names) - set(ORDER))
        if unknown:
            remedy = f"the labels are {', '.join(ORDER)}"
            raise InputError(f"{unknown[0]!r} has no place in the order", remedy=remedy)
        return ORDER
