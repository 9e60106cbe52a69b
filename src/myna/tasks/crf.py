"""A conditional random field over the tags of a sequence (Lafferty et al. 2001): what tags say of their neighbours.

The score of a path is the sum of its tags' logits, of a number for each step from one tag to the next, and of one for
its first and one for its last tag. All paths are free while it learns; what BIO forbids is forbidden where the best
path is looked for (:mod:`.viterbi`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from myna.errors import InputError

# The numbers are learned at the rate of weights, which move by some hundredths in a training: they count tenfold.
_SCALE = 10.0


class Crf(nn.Module):
    """What it scores to begin with each tag, to end with it, ``(tags,)``, and to go on to another, ``(tags, tags)``."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.start, self.end = nn.Parameter(torch.zeros(tags)), nn.Parameter(torch.zeros(tags))
        self.step = nn.Parameter(torch.zeros(tags, tags))

    def forward(self, logits: Tensor, tags: Tensor, lengths: Sequence[int], whole: Sequence[bool]) -> Tensor:
        """What the right path of each sequence costs, ``(sequences,)`` in nats: -log of its share among all paths.

        ``logits`` are ``(units, tags)``, ``tags`` ``(units,)``, of all sequences one after the other, each of so many
        units, none empty. Of one that is not ``whole`` the borders score nothing. None is seen by another, and nothing
        is padded: at each unit only those take part that are as long.
        """
        kind = torch.promote_types(logits.dtype, self.step.dtype)
        logits, step = logits.to(kind), self.step.to(kind) * _SCALE
        count = np.asarray(lengths)
        order = np.argsort(-count, kind="stable")
        first = (np.cumsum(count) - count)[order]
        last = torch.from_numpy(first + count[order] - 1)
        active = [int((count > unit).sum()) for unit in range(int(count.max()))]
        borders = torch.tensor([bool(whole[n]) for n in order], dtype=kind).unsqueeze(1)
        start, end = (borders * border.to(kind) * _SCALE for border in (self.start, self.end))

        reached = logits[torch.from_numpy(first)] + start
        done = []
        for unit, going in enumerate(active[1:], 1):
            done.append(reached[going:])
            reached = (reached[:going, :, None] + step).logsumexp(1) + logits[torch.from_numpy(first[:going] + unit)]
        all_paths = (torch.cat([reached, *reversed(done)]) + end).logsumexp(1)

        begins = torch.zeros(len(tags), dtype=torch.bool)
        begins[torch.from_numpy(first)] = True
        scores = logits.gather(1, tags.unsqueeze(1)).squeeze(1)
        scores = scores + torch.where(begins, 0.0, step[tags.roll(1), tags])
        owners = torch.from_numpy(np.repeat(np.argsort(order, kind="stable"), count))
        right = torch.zeros(len(count), dtype=kind).index_add(0, owners, scores)
        places = torch.arange(len(count))
        right = right + start[places, tags[torch.from_numpy(first)]] + end[places, tags[last]]
        return (all_paths - right)[torch.from_numpy(np.argsort(order, kind="stable"))]

    def scores(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """What start, step and end score, as numbers."""
        start, step, end = (part.detach().double().numpy() * _SCALE for part in (self.start, self.step, self.end))
        return start, step, end

    def remembered(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {name: getattr(self, name).detach().tolist() for name in ("start", "step", "end")}

    @classmethod
    def recalled(cls, facts: Any, tags: int) -> Crf:
        """The one that these values are of; an :class:`InputError` where they are none of so many tags."""
        found = cls(tags)
        try:
            for name, parameter in found.named_parameters():
                values = torch.tensor(facts[name], dtype=parameter.dtype)
                if values.shape != parameter.shape or not bool(values.isfinite().all()):
                    raise ValueError
                parameter.data = values
        except (TypeError, ValueError, KeyError, RuntimeError):
            raise InputError("the scores of the CRF are damaged", remedy="train the model again") from None
        return found
