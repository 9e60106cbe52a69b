"""Several objectives in one run: which one an item is for is drawn for each item of a step, by weight.

Each objective's loss is the mean over its own targets, times its weight among all. Documents of one objective are a
batch of their own, so that each sees its own attention pattern and none is asked for in the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from myna import randomness
from myna.model.heads import Model
from myna.objectives import find_objective
from myna.objectives.language import LanguageObjective, Vocabulary, draw_key
from myna.objectives.protocol import Batch, Loss, Term
from myna.objectives.settings import Declaration, Mixed, ObjectiveSettings
from myna.tokens.pieces import Sizes


@dataclass(frozen=True)
class Member:
    """An objective of a mixture, its name there, and its share of the items."""

    name: str
    objective: LanguageObjective
    share: float

    def term(self, name: str) -> str:
        """The name of one of its terms among those of all."""
        return name if name == self.name else f"{self.name}.{name}"


@dataclass(frozen=True)
class MixedBatch(Batch):
    """A batch for each objective that has items in it. The tokens and targets are those of the first."""

    parts: tuple[tuple[Member, Batch], ...] = ()

    @property
    def size(self) -> int:
        """How many tokens a model reads in all of them."""
        return sum(batch.size for _, batch in self.parts)

    def passes(self) -> list[Batch]:
        """One for each objective in it."""
        inner = [(member, part) for member, batch in self.parts for part in batch.passes()]
        return [replace(self, parts=(part,)) for part in inner]


class Mixture(LanguageObjective):
    """Several objectives by weight."""

    settings_class: ClassVar[type[ObjectiveSettings]] = Mixed
    name = "mixture"
    judged = ()

    def __init__(self, vocabulary: Vocabulary, settings: ObjectiveSettings | None = None) -> None:
        super().__init__(vocabulary, settings)
        self.members = self.make_members()

    def make_members(self) -> Sequence[Member]:
        """The objectives that are mixed, as the settings say."""
        mixed: Mixed = self.settings
        total = sum(mixed.weights.values())
        return [
            Member(name, find_objective(name)(self.vocabulary, mixed.tables.settings_of(name)), weight / total)
            for name, weight in mixed.weights.items()
        ]

    @property
    def head(self) -> str:
        """The kind of head that all have."""
        declared: Declaration = self.settings.declaration()
        return declared.head

    def equip(self, model: Model, seed: int) -> None:
        """Makes what each objective trains beside the model."""
        for member in self.members:
            member.objective.equip(model, seed)

    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained beside the model, by name."""
        return {name: module for member in self.members for name, module in member.objective.modules().items()}

    def companions(self) -> Mapping[str, Model]:
        """Models that are kept beside the one that is trained, by name."""
        return {name: model for member in self.members for name, model in member.objective.companions().items()}

    def parts(self) -> Sequence[LanguageObjective]:
        """The objectives that are mixed."""
        return [part for member in self.members for part in member.objective.parts()]

    def at(self, share: float) -> Self:
        """The mixture when ``share`` of the steps is done."""
        then = super().at(share)
        then.members = [replace(member, objective=member.objective.at(share)) for member in self.members]
        return then

    def window(self, maximum_length: int) -> int:
        """That of the objective that has the least room."""
        return min(member.objective.window(maximum_length) for member in self.members)

    def taken(self, pieces: Sizes) -> NDArray[np.int64]:
        """The tokens of the objective that takes most: which it will be is drawn later."""
        result: NDArray[np.int64] = np.max([member.objective.taken(pieces) for member in self.members], axis=0)
        return result

    def batch(self, items: Sequence[Any], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`."""
        # A mixture in a mixture draws anew.
        drawn = randomness.uniform(randomness.key(draw_key(key), "objective", self.name), numbers)
        bounds = np.cumsum([member.share for member in self.members])[:-1]
        whose = np.searchsorted(bounds, drawn, side="right")
        parts: list[tuple[Member, Batch]] = []
        counts: dict[str, int] = {}
        owners: list[NDArray[np.int64]] = []
        for place, member in enumerate(self.members):
            mine = np.flatnonzero(whose == place)
            if len(mine) == 0:
                continue
            batch = member.objective.batch([items[int(i)] for i in mine], numbers[mine], key)
            parts.append((member, batch))
            counts |= {member.term(name): count for name, count in batch.counts.items()}
            if batch.owners is not None:
                owners.append(mine[batch.owners])
        first = parts[0][1]
        return MixedBatch(
            first.tokens,
            first.targets,
            counts,
            first.positions,
            first.target,
            np.concatenate(owners) if owners else None,
            parts=tuple(parts),
        )

    def loss(self, model: Model, batch: Batch) -> Loss:
        """The terms of all objectives."""
        assert isinstance(batch, MixedBatch)
        terms = []
        for member, part in batch.parts:
            for term in member.objective.loss(model, part).terms:
                terms.append(Term(member.term(term.name), term.sum, term.count, term.weight * member.share))
        return Loss(tuple(terms))
