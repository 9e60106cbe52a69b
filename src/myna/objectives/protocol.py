"""What the training loop asks of an objective, and nothing more.

An :class:`Objective` makes items of a source, a batch of items, and a loss of a batch. A :class:`Task` does the same
for labelled examples, and decodes and judges predictions. The loop trains either and knows neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from myna.model.flat import Flat
from myna.model.heads import Model
from myna.tokens.chunks import Lengths


@dataclass(frozen=True)
class Term:
    """One part of a loss: the ``sum`` over its targets (a scalar tensor), how many they are, and its weight."""

    name: str
    sum: Tensor
    count: int
    weight: float = 1.0


@dataclass(frozen=True)
class Loss:
    """A loss as named sums and counts, so that nothing is ever a mean of means."""

    terms: tuple[Term, ...]

    def total(self, counts: Mapping[str, int]) -> Tensor:
        """The part of this micro-batch in the mean over a whole step: each sum over the *step's* count of its term.

        ``counts`` are known before the first backward, since they depend on the batch alone. The gradient of a step
        is then the sum of those of its micro-batches, however the step was cut.
        """
        parts = [term.sum * (term.weight / counts[term.name]) for term in self.terms]
        return sum(parts[1:], start=parts[0])


@dataclass(frozen=True)
class Batch:
    """Items made ready for a model.

    ``tokens`` are flat, in the order of the items; of an encoder-decoder they are the source, and ``target`` is what
    its decoder reads. ``targets`` are what is to be predicted, at the rows ``positions`` of the tokens (of the
    target's, where there is one), or one for each token (or document) where that is None. ``counts`` are the targets
    of each term. ``owners`` says which item of the batch each target is of, ``(targets,)``;
    ``taught``, ``(targets, labels)``, what a teacher says instead.
    """

    tokens: Flat
    targets: Tensor
    counts: Mapping[str, int]
    positions: Tensor | None = None
    target: Flat | None = None
    owners: NDArray[np.int64] | None = None
    taught: Tensor | None = None

    @property
    def size(self) -> int:
        """How many tokens a model reads in it."""
        return len(self.tokens.ids) + (0 if self.target is None else len(self.target.ids))

    def passes(self) -> list[Batch]:
        """It in parts whose losses add up to its own, each of which goes through a model's layers once.

        Processes that share a model's weights go through them together. A batch that one of them goes through twice
        and another once must say so here.
        """
        return [self]


class Items(Protocol):
    """A sequence of items and the tokens that each takes in a batch."""

    @property
    def lengths(self) -> Lengths:
        """How many tokens each takes."""

    def __getitem__(self, index: int) -> Any:
        """The item, in a form that only its objective knows."""


class Objective(Protocol):
    """An objective of training."""

    def batch(self, items: Sequence[Any], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """A batch of items, as a pure function.

        ``numbers`` are the items' numbers within the step: with ``key`` they decide every draw (which tokens are
        masked, what is dropped), so that an item fares alike in any company. Without a key nothing is dropped.
        """

    def loss(self, model: Model, batch: Batch) -> Loss:
        """The loss of a batch; its counts are the batch's."""

    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained beside the model, by name."""


@runtime_checkable
class Scheduled(Protocol):
    """An objective that changes over a run."""

    def at(self, share: float) -> Objective:
        """The objective when ``share`` of the steps, from 0 to 1, is done: a function of that alone."""


@runtime_checkable
class Grouped(Protocol):
    """An objective whose loss couples items, as a contrastive one does.

    So many items of a step as ``group`` says, one after the other in the step's order, are in one batch whatever the
    size of micro-batches, and no others are coupled; so the loss does not depend on how a step is cut.
    """

    group: int
