"""Which token comes next: what raises or bars some of the scores, and what is drawn from the rest.

The order is that of transformers: tokens seen before are made less likely, runs of tokens that would come a second time
are barred, ends that come too early are barred; then temperature, top-k, top-p and min-p. What is drawn is a function
of (seed, number of the prompt, position).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from myna import randomness
from myna.errors import InputError

# So many of the likeliest are sorted at first; what is drawn is hardly ever beyond them.
_HEAD = 1024


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: the most likely at ``temperature`` 0, else drawn.

    ``top_k`` keeps the k most likely; ``top_p`` the fewest that together have that probability (nucleus sampling,
    arXiv:1904.09751); ``min_p`` those at least that likely, as a share of the most likely (arXiv:2407.01082). All
    three are off at None.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    min_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise InputError(
                f"temperature is {self.temperature}", remedy="give 0 (the most likely token) or a higher number"
            )
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k is {self.top_k}", remedy="give 1 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}", remedy="give a share above 0, up to 1")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise InputError(f"min_p is {self.min_p}", remedy="give a share from 0 to 1")


@dataclass(frozen=True)
class Rules:
    """What holds of a text however it is chosen.

    It does not end before ``min_tokens`` tokens. The scores of tokens that were read or written are divided by
    ``repetition_penalty`` (multiplied where they are negative; CTRL, arXiv:1909.05858). No ``no_repeat`` tokens in a
    row come twice; 0 lets them.
    """

    min_tokens: int = 0
    repetition_penalty: float = 1.0
    no_repeat: int = 0

    def __post_init__(self) -> None:
        if self.min_tokens < 0:
            raise InputError(f"min_tokens is {self.min_tokens}", remedy="give 0 or more")
        if not 0 < self.repetition_penalty < math.inf:
            what = f"repetition_penalty is {self.repetition_penalty}"
            raise InputError(what, remedy="give 1 (none) or a higher number, as 1.2")
        if self.no_repeat < 0:
            raise InputError(f"no_repeat is {self.no_repeat}", remedy="give 0 (off) or a number of tokens, as 3")

    @property
    def need_history(self) -> bool:
        """Whether they ask what came before."""
        return self.repetition_penalty != 1 or self.no_repeat > 0


class History:
    """What each row has read and written: ``ids`` is ``(rows, longest)``, filled up with ``vocabulary``."""

    def __init__(self, rows: Sequence[NDArray[np.int64]], vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self.lengths = torch.tensor([len(row) for row in rows])
        self.ids = torch.full((len(rows), max(len(row) for row in rows)), vocabulary)
        for number, row in enumerate(rows):
            self.ids[number, : len(row)] = torch.from_numpy(row)

    def append(self, tokens: Sequence[int]) -> None:
        """A token more for each row."""
        longest = int(self.lengths.max())
        if longest == self.ids.shape[1]:
            more = self.ids.new_full((self.ids.shape[0], max(16, longest)), self.vocabulary)
            self.ids = torch.cat((self.ids, more), dim=1)
        self.ids = self.ids.scatter(1, self.lengths[:, None], torch.tensor(tokens)[:, None])
        self.lengths = self.lengths + 1

    def select(self, rows: Sequence[int]) -> None:
        """Keeps these rows, in this order; a row may be taken more than once."""
        index = torch.tensor(rows)
        self.ids, self.lengths = self.ids[index], self.lengths[index]

    def seen(self) -> Tensor:
        """Whether each token came before: ``(rows, vocabulary)``."""
        marked = torch.zeros(self.ids.shape[0], self.vocabulary + 1, dtype=torch.bool)
        return marked.scatter_(1, self.ids, True)[:, : self.vocabulary]

    def repeats(self, count: int) -> Tensor:
        """Whether each token would end ``count`` tokens in a row that came before: ``(rows, vocabulary)``."""
        marked = torch.zeros(self.ids.shape[0], self.vocabulary + 1, dtype=torch.bool)
        if self.ids.shape[1] >= count:
            places = self.lengths[:, None] + torch.arange(1 - count, 0)
            last = self.ids.gather(1, places.clamp(min=0))
            windows = self.ids.unfold(1, count, 1)
            same = (windows[..., :-1] == last[:, None]).all(2) & (self.lengths >= count)[:, None]
            # What does not match marks the column beyond the vocabulary, and so does what fills a row up.
            marked.scatter_(1, torch.where(same, windows[..., -1], self.vocabulary), True)
        return marked[:, : self.vocabulary]


def follow(scores: Tensor, rules: Rules, history: History | None, ends: Sequence[int], written: int) -> Tensor:
    """The scores of the next token, ``(rows, vocabulary)``, when ``written`` tokens were written; barred is -inf."""
    if history is not None and rules.repetition_penalty != 1:
        penalty = rules.repetition_penalty
        scores = torch.where(history.seen(), torch.where(scores < 0, scores * penalty, scores / penalty), scores)
    if history is not None and rules.no_repeat:
        scores = scores.masked_fill(history.repeats(rules.no_repeat), -torch.inf)
    if written < rules.min_tokens:
        scores = scores.index_fill(1, torch.tensor(ends), -torch.inf)
    return scores


def choose(scores: Tensor, lines: Sequence[tuple[int, int]], lengths: Sequence[int], sampling: Sampling) -> list[int]:
    """The next token of each row from its scores, ``(rows, vocabulary)``.

    A row is named by its (prompt, sample), and has read ``lengths`` tokens: with the seed, they say what is drawn.
    """
    if sampling.temperature == 0:
        return [int(token) for token in scores.argmax(1)]
    size = scores.shape[1]
    head = min(sampling.top_k or _HEAD, size)
    double = scores.double()
    values, ids = (part.numpy() for part in double.topk(head))
    # A share is of all that top_k keeps.
    of_all = sampling.top_k is None and head < size
    drawn = []
    for row, ((prompt, sample), length) in enumerate(zip(lines, lengths, strict=True)):
        place = (prompt,) if sample == 0 else (prompt, sample)
        point = float(randomness.uniform(randomness.key(sampling.seed, "generate", *place), np.array([length]))[0])
        total = float(_weights(double[row].numpy(), values[row, 0], sampling).sum()) if of_all else None
        token = _drawn(values[row], ids[row], total, point, sampling)
        if token is None:
            token = _drawn(double[row].numpy(), np.arange(size), None, point, sampling)
        assert token is not None
        drawn.append(token)
    return drawn


def _weights(values: NDArray[np.float64], best: float, sampling: Sampling) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):  # the coldest leave the most likely alone
        weights: NDArray[np.float64] = np.exp((values - best) / sampling.temperature)
    return weights


def _drawn(
    values: NDArray[np.float64], ids: NDArray[np.int64], total: float | None, point: float, sampling: Sampling
) -> int | None:
    """The token at ``point`` of the probabilities laid end to end, the likeliest first.

    ``total`` is the weight of all, where there are more than ``values``; None says that it lies beyond these.
    """
    order = np.lexsort((ids, -values))
    weights = _weights(values[order], values[order[0]], sampling)
    sums = np.cumsum(weights)
    share = sums / (sums[-1] if total is None else total)
    kept = len(share)
    if sampling.top_p is not None:
        kept = int(np.searchsorted(share, sampling.top_p)) + 1
        if kept > len(share):
            if total is not None:
                return None
            kept = len(share)
    if sampling.min_p is not None:
        least = int(np.searchsorted(-weights, -sampling.min_p, side="right"))
        if least == len(share) < kept + 1 and total is not None and sampling.top_p is None:
            return None
        kept = max(1, min(kept, least))
    if sampling.top_p is not None or sampling.min_p is not None:
        share = share[:kept] / share[kept - 1]
    elif total is not None and point >= share[-1]:
        return None
    return int(ids[order[min(int(np.searchsorted(share, point, side="right")), len(share) - 1)]])
