"""The micro-batches of a step, of all of it or of a process's share, and their gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from myna.model.heads import Model
from myna.objectives.protocol import Batch, Grouped, Items, Objective
from myna.tokens.sampler import micro_batches, share
from myna.training.parallel import Alone
from myna.training.processes import ALONE
from myna.training.settings import Precision


def make_batches(
    objective: Objective,
    items: Items,
    chosen: Sequence[int],
    most_tokens: int,
    key: int | None,
    rank: int = 0,
    count: int = 1,
) -> list[Batch]:
    """The micro-batches of one step, or of the share that process ``rank`` of ``count`` has in it.

    ``chosen`` are its items; their place in it is what their draws depend on.
    """
    lengths = items.lengths[np.asarray(chosen)]
    group = objective.group if isinstance(objective, Grouped) else 1
    mine = share(lengths, rank, count, group)
    return [
        objective.batch([items[int(chosen[n])] for n in mine[numbers]], mine[numbers], key)
        for numbers in micro_batches(lengths[mine], most_tokens, group)
    ]


def backward(objective: Objective, model: Model, batches: Sequence[Batch], precision: Precision = "float32") -> float:
    """Adds the gradients of a step to the parameters, and gives its loss; products are made in ``precision``.

    The counts of all micro-batches are added up first, so that every backward is final.
    """
    return Alone(model, {}, ALONE, precision).backward(objective, model, batches, total_counts(batches))


def total_counts(batches: Sequence[Batch]) -> dict[str, int]:
    """How many targets each term has in all batches of a step."""
    return added([batch.counts for batch in batches])


def added(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counts by name, added up."""
    counts: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            counts[name] = counts.get(name, 0) + count
    return counts
