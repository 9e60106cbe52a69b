"""Texts in the making, a row each: a model reads the prompts once, flat, then one token of each row a step.

Rows lie in the order of the lengths of their prompts, without padding; rows of one prompt side by side. A search takes
the scores of the next tokens, and says which rows go on, and with what.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from myna.errors import InputError
from myna.inference.choosing import History, Rules, follow
from myna.inference.forms import Fitting, State
from myna.inference.manner import Manner
from myna.model.cache import Cache
from myna.model.flat import Flat, Run, flatten, flatten_sources
from myna.model.heads import Model, last_tokens
from myna.model.transformer import EncoderDecoder


@dataclass(frozen=True)
class Limits:
    """What holds of every text: ``tokens`` at most, ended as the ``manner`` says, chosen by the ``rules``.

    ``allowed``, ``(vocabulary,)``, says which ids may be chosen; None: all. ``fitting`` bars what would leave a form.
    ``stopped`` says of a prompt's number and of what was written so far that it is the end.
    """

    tokens: int
    manner: Manner
    allowed: Tensor | None = None
    rules: Rules = field(default_factory=Rules)
    fitting: Fitting | None = None
    stopped: Callable[[int, list[int]], bool] | None = None


class Rows:
    """Rows that have read their prompts. ``prompts`` are the numbers of these, ``written`` the ids written after.

    A prompt is ``(tokens,)``, or the windows of an encoder's source, ``(windows, tokens)``.

    ``room`` is how many tokens fit: as many as were asked for, or up to the end of the model's window.
    """

    def __init__(self, model: Model, prompts: Sequence[NDArray[np.int64]], limits: Limits, copies: int = 1) -> None:
        self._model, self._limits, self._memory = model, limits, None
        self.prompts = sorted(range(len(prompts)), key=lambda number: prompts[number].size)
        read = [prompts[number] for number in self.prompts]
        stack = model.trunk
        with torch.inference_mode():
            if isinstance(stack, EncoderDecoder):
                if limits.manner.start is None:
                    what = "config.json: decoder_start_token_id is missing, with which the model's texts begin"
                    raise InputError(what)
                self._memory = stack.read(flatten_sources(read))
                self._memory.projected = {}
                stack, read = stack.decoder, [np.array([limits.manner.start])] * len(read)
            self._stack, self._cache = stack, Cache(stack.config.layers)
            self._logits = self._pass(flatten(read))
        window = model.config.maximum_length
        self.room = [min(limits.tokens, window - length + 1) for length in self.lengths]
        self.begun = list(self.lengths)
        self.written: list[list[int]] = [[] for _ in read]
        self._history = History(read, model.config.vocabulary_size) if limits.rules.need_history else None
        self._states: list[State] = [limits.fitting.begin if limits.fitting else None] * len(read)
        if copies > 1:
            rows = [row for row in range(len(read)) for _ in range(copies)]
            self._select(rows)
            self._logits = self._logits[torch.tensor(rows)]

    @property
    def lengths(self) -> list[int]:
        """The tokens that each row has read."""
        return self._cache.lengths

    def scores(self, logarithms: bool = False) -> Tensor:
        """The scores of the next token, ``(rows, vocabulary)``: logits, or logarithms of probabilities.

        What is barred is -inf.
        """
        limits, count = self._limits, len(self.written[0]) + 1
        plain = self._logits.float().log_softmax(1) if logarithms else self._logits
        scores = follow(plain, limits.rules, self._history, limits.manner.ends, count - 1)
        if limits.fitting is not None:
            fits = torch.stack([limits.fitting.allowed(state) for state in self._states])
            # Where the rules have barred all that fits, the form is kept.
            barred = ~torch.isfinite(scores.masked_fill(~fits, -torch.inf)).any(1, keepdim=True)
            return torch.where(barred, plain, scores).masked_fill(~fits, -torch.inf)
        if limits.allowed is not None:
            scores = scores.masked_fill(~limits.allowed, -torch.inf)
        cut = self._memory is not None and count == limits.tokens
        forced = limits.manner.first if self._memory is not None and count == 1 else limits.manner.last if cut else None
        if forced is not None:
            scores = torch.full_like(scores, -torch.inf)
            scores[:, forced] = 0
        return scores

    def ends(self, row: int, token: int) -> bool:
        """Whether the text of a row ends with this token next."""
        limits = self._limits
        if token in limits.manner.ends:
            return True
        if limits.fitting is not None and limits.fitting.complete(limits.fitting.after(self._states[row], token)):
            return True
        return limits.stopped is not None and limits.stopped(self.prompts[row], [*self.written[row], token])

    def go_on(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        """These rows, one or more times each, go on with these tokens; the others are left."""
        self._select(rows)
        for row, token in enumerate(tokens):
            self.written[row] = [*self.written[row], token]
        if self._history is not None:
            self._history.append(tokens)
        if self._limits.fitting is not None:
            after = self._limits.fitting.after
            self._states = [after(state, token) for state, token in zip(self._states, tokens, strict=True)]
        with torch.inference_mode():
            self._logits = self._pass(_one_each(tokens, self.lengths))

    def _pass(self, batch: Flat) -> Tensor:
        hidden = self._stack(batch, self._cache, self._memory)[last_tokens(batch)]
        return self._model.scores(hidden, batch, self._memory)

    def _select(self, rows: Sequence[int]) -> None:
        if list(rows) == list(range(len(self.written))):
            return
        with torch.inference_mode():
            same = len(rows) == len(self.prompts) and all(
                self.prompts[row] == prompt for row, prompt in zip(rows, self.prompts, strict=True)
            )
            # Rows that change places within their prompt have read the same prompt.
            self._cache.select(rows, self.begun if same else None)
        if self._memory is not None:
            self._memory.spans = [self._memory.spans[row] for row in rows]
        if self._history is not None:
            self._history.select(rows)
        for name in ("prompts", "written", "room", "begun", "_states"):
            setattr(self, name, [getattr(self, name)[row] for row in rows])


def _one_each(ids: Sequence[int], lengths: Sequence[int]) -> Flat:
    """One token for each row. A run is a stretch of rows that have read equally much, in the order of the cache."""
    runs: list[Run] = []
    for row, length in enumerate(lengths):
        if row and lengths[row - 1] == length:
            runs[-1] = Run(runs[-1].start, runs[-1].documents + 1, 1)
        else:
            runs.append(Run(row, 1, 1))
    return Flat(torch.tensor(ids), torch.tensor(lengths), tuple(runs))
