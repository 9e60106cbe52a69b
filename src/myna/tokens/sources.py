"""Several sources of items in one run, drawn from by weight.

Each source is a line of tokens of its own (:class:`~myna.tokens.sampler.Line`), epoch after epoch. What a source has
given before a step is its share of all tokens up to there, rounded down, and a step takes from it what begins between
that and what it has given before the next step. These are whole numbers computed exactly, so that nothing of a source
is left out or comes twice, and any step is found at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna import randomness
from myna.errors import InputError
from myna.tokens.chunks import Computed, ComputedLengths
from myna.tokens.pieces import Pieces
from myna.tokens.sampler import Line, Reached


class Sources:
    """The items of several sources by name, those of a source one after the other.

    ``weights`` say how much is drawn from each, ``cooldown_weights`` how much in the last part of a run; a source that
    these do not name has none. A source without a token is an :class:`InputError`.
    """

    def __init__(
        self,
        parts: Mapping[str, Pieces],
        weights: Mapping[str, float],
        cooldown_weights: Mapping[str, float] | None = None,
    ) -> None:
        self.names, self.parts = tuple(parts), tuple(parts.values())
        self.weights, self.cooldown_weights = weights, cooldown_weights or weights
        for name, part in parts.items():
            if len(part) == 0:
                raise InputError(f"the corpus {name} has no text to train on", remedy="take it out, or add text")
        self._firsts = np.cumsum([0, *map(len, self.parts)])
        counts = (sum(store.documents for store in part.stores) for part in self.parts)
        self._documents = np.cumsum([0, *counts])
        self.lengths = ComputedLengths(
            len(self),
            self._asked(lambda owner: self.parts[owner].lengths),
            sum(int(part.lengths.sum()) for part in self.parts),
            max(int(part.lengths.max()) for part in self.parts),
        )
        documents = self._asked(lambda owner: self.parts[owner].documents, self._documents)
        self.documents = Computed(len(self), documents)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def __getitem__(self, index: int) -> Any:
        owner = int(self._owners(np.array([index]))[0])
        return self.parts[owner][index - int(self._firsts[owner])]

    def first(self, name: str) -> int:
        """The number of the first item of a source."""
        return int(self._firsts[self.names.index(name)])

    def _owners(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._firsts, numbers, side="right") - 1

    def _asked(
        self, figures: Callable[[int], Any], bases: NDArray[np.int64] | None = None
    ) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
        """Gives a figure of items, asked of the source that each is of, counted from the source's base on."""

        def of(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
            owners, result = self._owners(numbers), np.empty(len(numbers), np.int64)
            for owner in np.unique(owners):
                mine = owners == owner
                base = 0 if bases is None else bases[owner]
                result[mine] = figures(int(owner))[numbers[mine] - self._firsts[owner]] + base
            return result

        return of


class SourceSampler:
    """The items of each step, of every source as many as its weight says; ``batch_tokens`` is the budget of a step.

    The weights of the cool-down hold from step ``stable_steps`` on. A budget that is smaller than the longest pieces
    of all sources together is an :class:`InputError`: a step might have none.
    """

    def __init__(self, sources: Sources, batch_tokens: int, seed: int, stable_steps: int) -> None:
        self.sources, self.batch_tokens, self.stable_steps = sources, batch_tokens, stable_steps
        self.epoch_tokens = int(sources.lengths.sum())
        longest = sum(int(part.lengths.max()) for part in sources.parts)
        if longest > batch_tokens:
            raise InputError(
                f"batch_tokens = {batch_tokens} is smaller than the longest pieces of all corpora together, {longest}",
                remedy="raise batch_tokens, or lower the model's maximum_length",
            )
        # By its name, so that a source has the same order in any company.
        named = zip(sources.names, sources.parts, strict=True)
        self._lines = {name: Line(part.lengths, randomness.key(seed, "source", name)) for name, part in named}
        self._shares = {
            name: (_share(sources.weights, name), _share(sources.cooldown_weights, name)) for name in self._lines
        }

    def step(self, step: int) -> NDArray[np.int64]:
        """The items of a step (counted from 0), those of each source in their order; at least one."""
        return np.concatenate(
            [
                line.between(self.given(name, step), self.given(name, step + 1)) + self.sources.first(name)
                for name, line in self._lines.items()
            ]
        )

    def given(self, name: str, steps: int) -> int:
        """How many tokens the first ``steps`` steps take from a source."""
        stable, cooldown = self._shares[name]
        before = min(steps, self.stable_steps)
        return int(self.batch_tokens * (stable * before + cooldown * (steps - before)))

    def epochs(self, name: str, steps: int) -> float:
        """How often the first ``steps`` steps have gone through a source."""
        return self.given(name, steps) / self._lines[name].epoch_tokens

    def reached(self, steps: int) -> tuple[Reached, ...]:
        """What the first ``steps`` steps hold of each source."""
        return tuple(line.reached(self.given(name, steps)) for name, line in self._lines.items())


def _share(weights: Mapping[str, float], name: str) -> Fraction:
    return Fraction(weights.get(name, 0)) / sum(map(Fraction, weights.values()))
