"""Generation: a decoder goes on from a prompt, greedily or by sampling.

Prompts of different length are read flat and decoded together in runs of equal length, without padding: each gets
the tokens it would get alone. What is sampled is a function of (seed, number of the prompt, position).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from myna import randomness
from myna.errors import InputError
from myna.model.cache import Cache
from myna.model.flat import Flat, Run, flatten
from myna.model.heads import Model, last_tokens
from myna.tokens.encoding import encode
from myna.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: the most likely at ``temperature`` 0, else drawn.

    ``top_k`` keeps the k most likely; ``top_p`` the fewest that together have that probability (nucleus sampling,
    arXiv:1904.09751). Both are off at None.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise InputError(
                f"temperature is {self.temperature}", remedy="give 0 (the most likely token) or a higher number"
            )
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k is {self.top_k}", remedy="give 1 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}", remedy="give a share above 0, up to 1")


@dataclass(frozen=True)
class Generated:
    """What came after ``prompt``: the ``text``, how many ``tokens`` it took, and why it ended.

    ``finish`` is ``stop`` (the model ended the document) or ``length`` (as many tokens as asked for, or the model's
    window is full). A character that was begun and not finished at the end is left out of the text.
    """

    prompt: str
    text: str
    tokens: int
    finish: str


def generate(
    model: Model, tokenizer: Tokenizer, prompts: Sequence[str], tokens: int = 100, sampling: Sampling | None = None
) -> list[Generated]:
    """Goes on from each prompt by up to ``tokens`` tokens."""
    if model.kind != "causal" or tokenizer.start is None:
        raise InputError("this model does not generate text", remedy="use a decoder (objective = causal)")
    if tokens < 1:
        raise InputError(f"tokens is {tokens}", remedy="give 1 or more")
    window = model.config.maximum_length
    read = [np.concatenate([[tokenizer.start], e.ids]).astype(np.int64) for e in encode(tokenizer, prompts)]
    for prompt, ids in zip(prompts, read, strict=True):
        if len(ids) >= window:
            what = f"the prompt {prompt[:20]!r} … has {len(ids)} tokens, the model reads {window}"
            raise InputError(what, remedy="shorten it")
    assert tokenizer.end is not None
    written: list[list[int]] = [[] for _ in prompts]
    # A model may have more rows than its tokenizer has pieces; and no token but the end stands for no text.
    barred = set(range(tokenizer.vocabulary_size, model.config.vocabulary_size)) | set(tokenizer.special_ids)
    allowed = torch.ones(model.config.vocabulary_size, dtype=torch.bool)
    allowed[sorted(barred - {tokenizer.end})] = False
    for number, token in _decode(model, read, tokens, tokenizer.end, allowed, sampling or Sampling()):
        written[number].append(token)
    results = []
    for prompt, line in zip(prompts, written, strict=True):
        stopped = line[-1] == tokenizer.end
        text = tokenizer.decode(line[:-1] if stopped else line)
        results.append(Generated(prompt, text.rstrip("\ufffd"), len(line), "stop" if stopped else "length"))
    return results


def _decode(
    model: Model, prompts: Sequence[NDArray[np.int64]], tokens: int, end: int, allowed: Tensor, sampling: Sampling
) -> Iterator[tuple[int, int]]:
    """Gives (number of the prompt, its next token) until each has ended."""
    rows = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    cache = Cache(model.config.layers)
    batch = flatten([prompts[number] for number in rows])
    with torch.inference_mode():
        hidden = model.trunk(batch, cache)[last_tokens(batch)]
        for count in range(1, tokens + 1):
            logits = model.head(hidden, batch).masked_fill(~allowed, -torch.inf)
            chosen = _choose(logits, rows, cache.lengths, sampling)
            yield from zip(rows, chosen, strict=True)
            window = model.config.maximum_length
            going = [p for p, token in enumerate(chosen) if token != end and cache.lengths[p] < window]
            if not going or count == tokens:
                return
            if len(going) < len(rows):
                cache.select(going)
                rows, chosen = [rows[p] for p in going], [chosen[p] for p in going]
            batch = _one_each(chosen, cache.lengths)
            hidden = model.trunk(batch, cache)


def _one_each(ids: Sequence[int], lengths: Sequence[int]) -> Flat:
    """One token for each row. A run is a stretch of rows that have read equally much, in the order of the cache."""
    runs: list[Run] = []
    for row, length in enumerate(lengths):
        if row and lengths[row - 1] == length:
            runs[-1] = Run(runs[-1].start, runs[-1].documents + 1, 1)
        else:
            runs.append(Run(row, 1, 1))
    return Flat(torch.tensor(ids), torch.tensor(lengths), tuple(runs))


def _choose(logits: Tensor, rows: Sequence[int], lengths: Sequence[int], sampling: Sampling) -> list[int]:
    """The next token of each row from its logits, ``(rows, vocabulary)``."""
    if sampling.temperature == 0:
        return [int(token) for token in logits.argmax(1)]
    drawn: list[int] = []
    for row, length, line in zip(rows, lengths, logits.double().numpy(), strict=True):
        order: NDArray[np.intp] = np.argsort(-line, kind="stable")[: sampling.top_k]
        with np.errstate(over="ignore"):  # the coldest leave the most likely alone
            weights = np.exp((line[order] - line[order[0]]) / sampling.temperature)
        share = np.cumsum(weights) / weights.sum()
        if sampling.top_p is not None:
            kept = int(np.searchsorted(share, sampling.top_p)) + 1
            share = share[:kept] / share[min(kept, len(share)) - 1]
        point = randomness.uniform(randomness.key(sampling.seed, "generate", row), np.array([length]))[0]
        drawn.append(int(order[min(int(np.searchsorted(share, point, side="right")), len(share) - 1)]))
    return drawn
