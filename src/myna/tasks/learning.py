"""How the labels of a task are learned: what each counts, and what is asked beside the right answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from myna.errors import InputError
from myna.objectives.losses import class_weights_of
from myna.objectives.protocol import Batch

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig


@dataclass(frozen=True)
class Learning:
    """The options of a loss over labels. ``class_weights`` is ``(labels,)`` or None for all alike."""

    class_weights: Tensor | None = None
    label_smoothing: float = 0.0
    focal: float = 0.0
    r_drop: float = 0.0

    @classmethod
    def of(cls, config: FinetuneConfig, labels: Sequence[str], counts: Sequence[int]) -> Learning:
        """The options of a ``[finetune]`` table, for labels that occur so often in training.

        Weights by name are for the labels that are named; the others weigh one. A name that is no label's is an
        :class:`InputError`.
        """
        weights = config.class_weights
        found = None
        if weights == "balanced":
            found = class_weights_of(counts)
        elif isinstance(weights, Mapping):
            unknown = sorted(set(weights) - set(labels))
            if unknown:
                what = f"class_weights has {unknown[0]!r}, which is no label of training"
                raise InputError(what, remedy=f"the labels are {', '.join(labels)}")
            found = torch.tensor([float(weights.get(label, 1.0)) for label in labels])
        return cls(found, config.label_smoothing, config.focal, config.r_drop)

    def nats(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of each row, ``(rows,)``, of ``logits (rows, labels)`` with ``targets (rows,)``."""
        weights = None if self.class_weights is None else self.class_weights.to(logits.dtype)
        nats = F.cross_entropy(logits, targets, weights, reduction="none", label_smoothing=self.label_smoothing)
        if not self.focal:
            return nats
        right = logits.softmax(1).gather(1, targets.unsqueeze(1)).squeeze(1)
        return share_to_learn(right, self.focal) * nats


def share_to_learn(right: Tensor, gamma: float) -> Tensor:
    """What the focal loss (arXiv:1708.02002) weighs a loss by: (1 - p)^gamma for the probability ``right`` of what is
    right. Where that is one, a gamma below one has no slope.
    """
    result: Tensor = (1 - right).clamp(min=torch.finfo(right.dtype).tiny) ** gamma
    return result


def dropped_otherwise(batch: Batch) -> Batch:
    """The same batch under another dropout, as R-Drop (arXiv:2106.14448) reads it a second time."""
    keys = batch.tokens.keys
    if keys is None:
        return batch
    # An odd factor and a constant make keys of their own, one for one.
    other = keys * -1_640_531_527 ^ 1_540_483_477
    return replace(batch, tokens=replace(batch.tokens, keys=other))


def divergence(logits: Tensor, other: Tensor) -> Tensor:
    """The mean of both Kullback-Leibler divergences of each row, ``(rows,)`` in nats; see R-Drop."""
    one, two = logits.log_softmax(1), other.log_softmax(1)
    return ((one.exp() - two.exp()) * (one - two)).sum(1) / 2
