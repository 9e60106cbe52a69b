"""Several labels at once: for each label whether a text has it, by a probability of its own and a threshold."""

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
from myna.evaluation.metrics import exact_match, label_counts, macro_f1_of_labels, micro_f1_of_labels
from myna.model.heads import Model
from myna.tasks.classification import several, unknown_label
from myna.tasks.examples import Example
from myna.tasks.learning import Learning, share_to_learn
from myna.tasks.whole import WholeTexts
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labels that a text has, in the order of ``labels``, and the ``probabilities``, ``(labels,)``, of each."""

    chosen: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: NDArray[np.float64]

    def answer(self) -> dict[str, Any]:
        """``{"labels", "scores": {label: probability}}``."""
        scores = dict(zip(self.labels, self.probabilities.tolist(), strict=True))
        return {"labels": list(self.chosen), "scores": scores}


class SeveralLabels:
    """Any of the labels, each learned by binary cross-entropy. See :class:`~myna.tasks.whole.Answers`.

    The loss of a text is the sum over its labels, in nats.
    """

    def __init__(self, labels: Sequence[str], threshold: float = 0.5) -> None:
        self.labels, self.threshold, self.learning = tuple(labels), threshold, Learning()
        self._numbers = {label: number for number, label in enumerate(self.labels)}

    def target(self, example: Example) -> NDArray[np.float32]:
        """One for each label that the text has; one that is none of the model's is an :class:`InputError`."""
        row = np.zeros((1, len(self.labels)), np.float32)
        for label in example.labels or ():
            if label not in self._numbers:
                raise unknown_label(label, self.labels, example.place)
            row[0, self._numbers[label]] = 1
        return row

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropies in nats, summed over the labels."""
        wanted = targets.to(logits.dtype)
        smoothed = torch.lerp(wanted, torch.full_like(wanted, 0.5), self.learning.label_smoothing)
        nats = F.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
        if self.learning.focal:
            right = torch.where(wanted > 0, logits, -logits).sigmoid()
            nats = share_to_learn(right, self.learning.focal) * nats
        if self.learning.class_weights is not None:
            nats = torch.where(wanted > 0, nats * self.learning.class_weights.to(nats.dtype), nats)
        return nats.sum(1)

    def divergence(self, logits: Tensor, other: Tensor) -> Tensor:
        """The mean of both Kullback-Leibler divergences of each label, summed, in nats."""
        apart: Tensor = ((logits.sigmoid() - other.sigmoid()) * (logits - other)).sum(1) / 2
        return apart

    def said(self, logits: Tensor) -> Labelled:
        """The labels whose probability, the mean of those of a text's windows, reaches the threshold."""
        probabilities = logits.sigmoid().mean(0).numpy()
        chosen = [label for label, p in zip(self.labels, probabilities, strict=True) if p >= self.threshold]
        return Labelled(tuple(chosen), self.labels, probabilities)

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """Takes up the options of a training. Balanced, a label that is there counts as often as it is not."""
        self.threshold = config.threshold
        there = np.concatenate([self.target(example) for example in examples]).sum(0)
        learning = Learning.of(config, self.labels, there.astype(int).tolist())
        if config.class_weights == "balanced":
            weights = torch.from_numpy((len(examples) - there) / np.maximum(there, 1)).float().clamp(min=1e-3)
            learning = Learning(weights, learning.label_smoothing, learning.focal, learning.r_drop)
        self.learning = learning

    def settle(self, model: Model) -> None:
        """Nothing is beside the model but the threshold."""

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Labelled]) -> dict[str, float]:
        """``micro_f1`` (the score), ``macro_f1`` and ``exact_match``."""
        expected = [example.labels or () for example in examples]
        sums = label_counts(expected, [prediction.chosen for prediction in predictions], self.labels).sum(0)
        micro = float(micro_f1_of_labels(sums))
        exact = float(exact_match(sums))
        return {"score": micro, "micro_f1": micro, "macro_f1": float(macro_f1_of_labels(sums)), "exact_match": exact}


class Multilabel(WholeTexts):
    """See :class:`~myna.tasks.task.Task`."""

    name = "multilabel"
    answers: SeveralLabels

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        super().__init__(tokenizer, labels, maximum_length)
        self.answers = SeveralLabels(labels)

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The document with its labels, of which there may be none; a single ``label`` is one."""
        labels = document.labels
        if labels is None and document.label is not None:
            labels = (document.label,)
        if labels is None:
            return []
        return [Example(document.text, document.id, document.source, document.group, labels=labels)]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """The names themselves; a single one is an :class:`InputError`."""
        return several(names)

    def remembered(self) -> dict[str, Any]:
        """The threshold, and what is read."""
        return {**super().remembered(), "threshold": self.answers.threshold}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """Takes both up again."""
        super().recall(facts)
        found = facts.get("threshold")
        self.answers.threshold = found if isinstance(found, float) and 0 < found < 1 else 0.5
