"""Generation: a decoder goes on from a prompt, an encoder-decoder answers it, greedily or by sampling.

Prompts of different length are read flat and decoded together in runs of equal length, without padding: each gets
the tokens it would get alone. What is sampled is a function of (seed, number of the prompt, position).
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
from myna.inference.manner import Manner
from myna.model.cache import Cache
from myna.model.flat import Flat, Run, flatten
from myna.model.heads import Model, last_tokens
from myna.model.transformer import EncoderDecoder
from myna.tokens.encoding import encode, encode_framed
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

    ``goes_on`` says that the text goes on from the prompt; that of an encoder-decoder answers it.

    ``finish`` is ``stop`` (the model ended the document) or ``length`` (as many tokens as asked for, or the model's
    window is full). A character that was begun and not finished at the end is left out of the text.
    """

    prompt: str
    text: str
    tokens: int
    finish: str
    goes_on: bool = True

    @property
    def whole(self) -> str:
        """The text with the prompt that it goes on from, if it does."""
        return self.prompt + self.text if self.goes_on else self.text


def generate(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    tokens: int = 100,
    sampling: Sampling | None = None,
    manner: Manner | None = None,
) -> list[Generated]:
    """Goes on from each prompt by up to ``tokens`` tokens; an encoder-decoder reads it and writes another text."""
    if model.kind not in ("causal", "sequence_to_sequence"):
        raise InputError("this model does not generate text", remedy="use a decoder (objective = causal)")
    if tokens < 1:
        raise InputError(f"tokens is {tokens}", remedy="give 1 or more")
    manner = Manner((tokenizer.end,)) if manner is None else manner
    sampling = Sampling() if sampling is None else sampling
    begin = tokenizer.end if tokenizer.start is None else tokenizer.start
    if manner.begins:
        read = [np.append(begin, e.ids).astype(np.int64) for e in encode(tokenizer, prompts)]
    else:
        read = [np.array(ids or [begin], np.int64) for ids in encode_framed(tokenizer, prompts)]
    window, goes_on = model.config.maximum_length, model.kind == "causal"
    for prompt, ids in zip(prompts, read, strict=True):
        if len(ids) >= window + (not goes_on):
            what = f"the prompt {prompt[:20]!r} … has {len(ids)} tokens, the model reads {window}"
            raise InputError(what, remedy="shorten it")
    # A model may have more rows than its tokenizer has pieces; and what is drawn stands for text, or ends it.
    barred = set(range(tokenizer.vocabulary_size, model.config.vocabulary_size))
    if sampling.temperature:
        barred |= set(tokenizer.special_ids) - set(manner.ends)
    allowed = torch.ones(model.config.vocabulary_size, dtype=torch.bool)
    allowed[sorted(barred)] = False
    results = []
    for prompt, ids, line in zip(prompts, read, write(model, read, tokens, manner, allowed, sampling), strict=True):
        stopped = line[-1] in manner.ends
        text = _text(tokenizer, ids.tolist() if goes_on else [], line[:-1] if stopped else line)
        results.append(Generated(prompt, text.rstrip("\ufffd"), len(line), "stop" if stopped else "length", goes_on))
    return results


def write(
    model: Model,
    prompts: Sequence[NDArray[np.int64]],
    tokens: int,
    manner: Manner,
    allowed: Tensor | None = None,
    sampling: Sampling | None = None,
) -> list[list[int]]:
    """The ids that a model writes after each of ``prompts``, or having read it: up to ``tokens``, with what ended it.

    ``allowed``, ``(vocabulary,)``, says which ids may be chosen; None: all. None for ``sampling`` is greedy.
    """
    sampling = Sampling(temperature=0) if sampling is None else sampling
    window = model.config.maximum_length
    written: list[list[int]] = [[] for _ in prompts]
    rows = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    batch = flatten([prompts[number] for number in rows])
    with torch.inference_mode():
        stack, memory, first = model.trunk, None, None
        if isinstance(stack, EncoderDecoder):
            if manner.start is None:
                raise InputError("config.json: decoder_start_token_id is missing, with which the model's texts begin")
            memory, first = stack.read(batch), manner.first
            memory.projected = {}
            stack, batch = stack.decoder, flatten([np.array([manner.start])] * len(rows))
        cache = Cache(stack.config.layers)
        for count in range(1, tokens + 1):
            hidden = stack(batch, cache, memory)[last_tokens(batch)]
            logits = model.head(hidden, batch)
            if allowed is not None:
                logits = logits.masked_fill(~allowed, -torch.inf)
            chosen = _choose(logits, rows, cache.lengths, sampling)
            forced = first if count == 1 else manner.last if memory is not None and count == tokens else None
            if forced is not None:
                chosen = [forced] * len(rows)
            for row, token in zip(rows, chosen, strict=True):
                written[row].append(token)
            going = [p for p, token in enumerate(chosen) if token not in manner.ends and cache.lengths[p] < window]
            if not going:
                break
            if len(going) < len(rows):
                cache.select(going)
                rows, chosen = [rows[p] for p in going], [chosen[p] for p in going]
                if memory is not None:
                    memory.spans = [memory.spans[p] for p in going]
            batch = _one_each(chosen, cache.lengths)
    return written


def _text(tokenizer: Tokenizer, before: list[int], written: list[int]) -> str:
    """The text of what was written: where spaces are not pieces, told by what the whole has more than the prompt."""
    if tokenizer.kind == "byte_bpe" or not before:
        return tokenizer.decode(written)
    prompt, whole = tokenizer.decode(before), tokenizer.decode(before + written)
    return whole[len(prompt) :] if whole.startswith(prompt) else tokenizer.decode(written)


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
