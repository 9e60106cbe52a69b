"""Beam search: the most likely texts are looked for among several beginnings at a time.

It is that of transformers, kept for each prompt alone: a text's score is the sum of the logarithms of its tokens'
probabilities, divided by its length to the power of ``length_penalty``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from myna.errors import InputError
from myna.inference.rows import Limits, Rows
from myna.model.heads import Model

# Lower than any score, and still a number: of beams that are not there yet.
_NONE = -1e9


@dataclass(frozen=True)
class Beams:
    """``count`` beginnings are kept; a higher ``length_penalty`` favours longer texts, 0 the likeliest.

    A prompt is done when ``count`` texts have ended and, with ``early_stopping`` False, the best of the beginnings is
    no better, at its length, than the worst of these; True: at once; "never": when, at the greatest length where the
    penalty is above 0, it could not become better.
    """

    count: int
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False

    def __post_init__(self) -> None:
        if not 2 <= self.count <= 64:
            raise InputError(
                f"beams is {self.count}", remedy="give 2 to 64 (or none, for the likeliest token each time)"
            )
        if not math.isfinite(self.length_penalty):
            raise InputError(f"length_penalty is {self.length_penalty}", remedy="give a number, as 1 or 0.6")
        if self.early_stopping not in (True, False, "never"):
            raise InputError(f"early_stopping is {self.early_stopping!r}", remedy='give True, False or "never"')


def search(
    model: Model, prompts: Sequence[NDArray[np.int64]], limits: Limits, beams: Beams, best: int = 1
) -> list[list[list[int]]]:
    """The ``best`` texts of each prompt, the best first, as ids with what ended them."""
    rows = Rows(model, prompts, limits, beams.count)
    found: list[list[list[int]]] = [[] for _ in prompts]
    count, ends = beams.count, torch.tensor(limits.manner.ends)
    # All beams of a prompt begin alike: the first alone counts.
    begun = torch.full((len(prompts), count), _NONE)
    begun[:, 0] = 0
    # The texts that have ended, best first: (score, ids).
    ended: list[list[tuple[float, list[int]]]] = [[] for _ in prompts]
    for length in range(1, limits.tokens + 1):
        scores = rows.scores(logarithms=True)
        size = scores.shape[1]
        total = (scores.view(-1, count, size) + begun[:, :, None]).flatten(1)
        values, places = total.topk(min(max(2, 1 + len(ends)) * count, count * size))
        sources, tokens = places // size, places % size
        hits = _hits(rows, sources, tokens, length, limits, ends)
        _take_ended(ended, rows, values, sources, tokens, hits, length, beams)
        after = values + hits * _NONE
        begun, kept = after.topk(count)
        goes_on = []
        for number, texts in enumerate(ended):
            at = length if beams.early_stopping != "never" or beams.length_penalty <= 0 else rows.room[number * count]
            better = float(begun[number, 0]) / at**beams.length_penalty
            full = len(texts) == count
            done = full and (beams.early_stopping is True or better <= np.float32(texts[-1][0]))
            if done or bool(hits[number].all()):
                found[rows.prompts[number * count]] = [ids for _, ids in texts[:best]]
            else:
                goes_on.append(number)
        if not goes_on:
            break
        sources, tokens = sources.gather(1, kept)[goes_on], tokens.gather(1, kept)[goes_on]
        chosen = (sources + count * torch.tensor(goes_on)[:, None]).flatten()
        ended, begun = [ended[number] for number in goes_on], begun[goes_on]
        rows.go_on(chosen.tolist(), tokens.flatten().tolist())
    return found


def _hits(rows: Rows, sources: Tensor, tokens: Tensor, length: int, limits: Limits, ends: Tensor) -> Tensor:
    """Which of the candidates, ``(prompts, candidates)``, end their text."""
    count = len(rows.prompts) // len(sources)
    hits = torch.isin(tokens, ends) | (torch.tensor(rows.room[::count]) <= length)[:, None]
    if limits.fitting is None and limits.stopped is None:
        return hits
    for number, (places, line) in enumerate(zip(sources.tolist(), tokens.tolist(), strict=True)):
        for column, (source, token) in enumerate(zip(places, line, strict=True)):
            if rows.ends(number * count + source, token):
                hits[number, column] = True
    return hits


def _take_ended(
    ended: list[list[tuple[float, list[int]]]],
    rows: Rows,
    values: Tensor,
    sources: Tensor,
    tokens: Tensor,
    hits: Tensor,
    length: int,
    beams: Beams,
) -> None:
    """Puts those of the first candidates that end among the best texts that have ended."""
    count = beams.count
    penalized = (values / length**beams.length_penalty)[:, :count]
    for number, column in hits[:, :count].nonzero().tolist():
        score = float(penalized[number, column])
        if math.isfinite(score):
            ids = [*rows.written[number * count + int(sources[number, column])], int(tokens[number, column])]
            ended[number] = sorted([*ended[number], (score, ids)], key=lambda text: -text[0])[:count]
