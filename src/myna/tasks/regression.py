"""Regression: a number for each text. The numbers of a long text's windows are averaged.

The model learns numbers of mean 0 and deviation 1, those of training made so; before it is saved, mean and deviation go
into its output layer, so that whoever reads it reads the numbers themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from myna.corpus.document import Document
from myna.errors import InputError
from myna.evaluation.metrics import mean_absolute_error, moments, pearson, r_squared, ranks
from myna.model.heads import Model
from myna.tasks.examples import Example
from myna.tasks.whole import WholeTexts
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

# The one output of such a model; no classifier has a single label.
VALUE = ("value",)


@dataclass(frozen=True)
class Valued:
    """The number that is said of a text."""

    value: float

    def answer(self) -> dict[str, Any]:
        """``{"value"}``."""
        return {"value": self.value}


class OneNumber:
    """A number, learned by its squared, absolute or Huber's difference. See :class:`~myna.tasks.whole.Answers`."""

    labels = VALUE
    temperature = 1.0

    def __init__(self) -> None:
        self.mean, self.deviation, self.kind = 0.0, 1.0, "squared"

    def target(self, example: Example) -> NDArray[np.float64]:
        """The number; none is not a number."""
        return np.array([np.nan if example.value is None else example.value], np.float64)

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each number, in deviations."""
        wanted = ((targets - self.mean) / self.deviation).to(logits.dtype)
        said = logits[:, 0]
        if self.kind == "huber":
            return F.huber_loss(said, wanted, reduction="none")
        return (F.l1_loss if self.kind == "absolute" else F.mse_loss)(said, wanted, reduction="none")

    def distances(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """The loss of the teacher's number, as if it were the right one."""
        return self.losses(logits, taught[:, 0])

    def divergence(self, logits: Tensor, other: Tensor) -> None:
        """There is none between two numbers."""

    def said(self, logits: Tensor) -> Valued:
        """The mean of a text's windows."""
        return Valued(float(logits.mean()) * self.deviation + self.mean)

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """Takes the mean and the deviation of training. Numbers that are all the same are an :class:`InputError`."""
        values = np.array([example.value for example in examples], np.float64)
        self.kind, self.mean, self.deviation = config.loss, float(values.mean()), float(values.std())
        if self.deviation <= 1e-9 * max(1.0, abs(self.mean)):
            what = f"every example has the value {values[0]:g}"
            raise InputError(what, remedy="add examples of other values")
        output = model.head.output
        assert isinstance(output, torch.nn.Linear)
        if output.bias is None:
            self.mean, self.deviation = 0.0, float(np.sqrt(np.square(values).mean()))

    def settle(self, model: Model) -> None:
        """Puts mean and deviation into the output layer."""
        output = model.head.output
        assert isinstance(output, torch.nn.Linear)
        with torch.no_grad():
            output.weight.mul_(self.deviation)
            if output.bias is not None:
                output.bias.mul_(self.deviation).add_(self.mean)
        self.mean, self.deviation = 0.0, 1.0

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Valued]) -> dict[str, float]:
        """``r2`` (the score), ``pearson``, ``spearman`` and ``mean_absolute_error``."""
        expected = np.array([example.value for example in examples], np.float64)
        said = np.array([prediction.value for prediction in predictions], np.float64)
        sums = moments(expected, said).sum(0)
        share = float(r_squared(sums))
        return {
            "score": share,
            "r2": share,
            "pearson": float(pearson(sums)),
            "spearman": float(pearson(moments(ranks(expected), ranks(said)).sum(0))),
            "mean_absolute_error": float(mean_absolute_error(sums)),
        }

    def sureness(self, examples: Sequence[Example], predictions: Sequence[Valued]) -> None:
        """A number has no probability."""

    def remembered(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """Nothing."""


class Regression(WholeTexts):
    """See :class:`~myna.tasks.task.Task`."""

    name = "regression"

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        super().__init__(tokenizer, labels, maximum_length)
        self.answers = OneNumber()

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The document with its number."""
        if document.value is None:
            return []
        return [Example(document.text, document.id, document.source, document.group, value=document.value)]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """The one output."""
        return VALUE
