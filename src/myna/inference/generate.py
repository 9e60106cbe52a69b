"""Generation: a decoder goes on from a prompt, an encoder-decoder answers it, by sampling, greedily or with beams.

Prompts of different length are read flat and decoded together in runs of equal length, without padding: each gets
the tokens it would get alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from myna.errors import InputError
from myna.inference.beams import Beams, search
from myna.inference.choosing import Rules, Sampling, choose
from myna.inference.forms import Fitting, Form
from myna.inference.manner import Manner
from myna.inference.rows import Limits, Rows
from myna.model.heads import Model
from myna.tokens.encoding import encode, encode_framed
from myna.tokens.tokenizer import Tokenizer

__all__ = ["Beams", "Form", "Generated", "Rules", "Sampling", "generate", "stream", "write"]


@dataclass(frozen=True)
class Generated:
    """What came after ``prompt``: the ``text``, how many ``tokens`` it took, and why it ended.

    ``goes_on`` says that the text goes on from the prompt; that of an encoder-decoder answers it.

    ``finish`` is ``stop`` (the model ended the document, a text to stop at came, or the form is filled) or ``length``
    (as many tokens as asked for, or the model's window is full). A text to stop at is left out of the text, and so is
    a character that was begun and not finished at the end.
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
    choice: Sampling | Beams | None = None,
    manner: Manner | None = None,
    rules: Rules | None = None,
    form: Form | None = None,
    stop: Sequence[str] = (),
    samples: int = 1,
) -> list[Generated]:
    """Goes on from each prompt by up to ``tokens`` tokens; an encoder-decoder reads it and writes another text.

    ``choice`` says how: drawn (None: from the model's own probabilities), or looked for with beams. A ``form`` is
    kept to its end, whatever ``tokens`` and ``rules`` say. A text ends at any of ``stop``. There are ``samples`` texts
    of each prompt, side by side: with beams the best, else as many draws.
    """
    asked = _Asked(model, tokenizer, prompts, tokens, choice, manner, rules, form, stop)
    lines = write_all(model, asked.read, asked.limits, asked.choice, samples)
    return [asked.result(number, line) for number, of_prompt in enumerate(lines) for line in of_prompt]


def stream(
    model: Model,
    tokenizer: Tokenizer,
    prompt: str,
    tokens: int = 100,
    choice: Sampling | Beams | None = None,
    manner: Manner | None = None,
    rules: Rules | None = None,
    form: Form | None = None,
    stop: Sequence[str] = (),
) -> Iterator[str]:
    """The text of :func:`generate` in pieces, each as soon as it is sure: no half characters, nothing taken back.

    With beams nothing is sure before the end.
    """
    asked = _Asked(model, tokenizer, [prompt], tokens, choice, manner, rules, form, stop)
    return _stream(model, asked)


def _stream(model: Model, asked: _Asked) -> Iterator[str]:
    given, line = "", []
    if isinstance(asked.choice, Beams):
        ((line,),) = write_all(model, asked.read, asked.limits, asked.choice, 1)
    else:
        for ((_, token),) in _steps(model, asked.read, asked.limits, asked.choice, 1):
            line.append(token)
            sure = asked.sure(0, line)
            if len(sure) > len(given) and sure.startswith(given):
                yield sure[len(given) :]
                given = sure
    text = asked.result(0, line).text
    if len(text) > len(given):
        yield text[len(given) :]


def write(
    model: Model,
    prompts: Sequence[NDArray[np.int64]],
    tokens: int,
    manner: Manner,
    choice: Sampling | Beams | None = None,
    rules: Rules | None = None,
) -> list[list[int]]:
    """The ids that a model writes after each of ``prompts``, or having read it: up to ``tokens``, with what ended it.

    None for ``choice`` is greedy.
    """
    choice = Sampling(temperature=0) if choice is None else choice
    return [line for (line,) in write_all(model, prompts, Limits(tokens, manner, rules=rules or Rules()), choice, 1)]


def write_all(
    model: Model, prompts: Sequence[NDArray[np.int64]], limits: Limits, choice: Sampling | Beams, samples: int
) -> list[list[list[int]]]:
    """``samples`` texts of each prompt, as ids with what ended them."""
    if samples < 1:
        raise InputError(f"samples is {samples}", remedy="give 1 or more")
    if isinstance(choice, Beams):
        if samples > choice.count:
            raise InputError(f"{choice.count} beams give {choice.count} texts at most, not {samples}")
        return search(model, prompts, limits, choice, samples) if prompts else []
    if samples > 1 and choice.temperature == 0:
        what = "the most likely token each time gives one text, not several"
        raise InputError(what, remedy="give a temperature above 0, or beams")
    written: list[list[list[int]]] = [[[] for _ in range(samples)] for _ in prompts]
    for step in _steps(model, prompts, limits, choice, samples) if prompts else ():
        for (prompt, sample), token in step:
            written[prompt][sample].append(token)
    return written


def _steps(
    model: Model, prompts: Sequence[NDArray[np.int64]], limits: Limits, sampling: Sampling, samples: int
) -> Iterator[list[tuple[tuple[int, int], int]]]:
    """Token by token: the (prompt, sample) of each text that goes on, and its next token."""
    rows = Rows(model, prompts, limits, samples)
    lines = [(prompt, row % samples) for row, prompt in enumerate(rows.prompts)]
    while lines:
        tokens = choose(rows.scores(), lines, rows.lengths, sampling)
        yield list(zip(lines, tokens, strict=True))
        going = [
            row
            for row, token in enumerate(tokens)
            if not rows.ends(row, token) and len(rows.written[row]) + 1 < rows.room[row]
        ]
        lines = [lines[row] for row in going]
        if lines:
            rows.go_on(going, [tokens[row] for row in going])


class _Asked:
    """What was asked, made ready: the ids of the prompts, the limits of what is written, the way back to text."""

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        prompts: Sequence[str],
        tokens: int,
        choice: Sampling | Beams | None,
        manner: Manner | None,
        rules: Rules | None,
        form: Form | None,
        stop: Sequence[str],
    ) -> None:
        if model.kind not in ("causal", "sequence_to_sequence"):
            raise InputError("this model does not generate text", remedy="use a decoder (objective = causal)")
        if tokens < 1:
            raise InputError(f"tokens is {tokens}", remedy="give 1 or more")
        self.stop = [stop] if isinstance(stop, str) else list(stop)
        if "" in self.stop:
            raise InputError("an empty text to stop at would end every text", remedy="give some characters")
        self.tokenizer, self.prompts = tokenizer, prompts
        self.choice = Sampling() if choice is None else choice
        manner = Manner((tokenizer.end,)) if manner is None else manner
        begin = tokenizer.end if tokenizer.start is None else tokenizer.start
        # A decoder's window holds what it reads too, whether or not what it writes goes on from that.
        self.one_line = model.kind == "causal"
        self.goes_on = self.one_line and manner.goes_on
        # What was fine-tuned to write never writes a special token.
        self.limited = manner.read is not None
        if manner.read is not None:
            self.read = manner.read(prompts)
        elif manner.begins:
            self.read = [np.append(begin, e.ids).astype(np.int64) for e in encode(tokenizer, prompts)]
        else:
            self.read = [np.array(ids or [begin], np.int64) for ids in encode_framed(tokenizer, prompts)]
        size = model.config.vocabulary_size
        fitting = None if form is None else Fitting(form, tokenizer, size)
        tokens = tokens if fitting is None else fitting.tokens
        self._check(model.config.maximum_length, fitting)
        stopped: Callable[[int, list[int]], bool] | None = self._stopped if self.stop and form is None else None
        self.limits = Limits(tokens, manner, self._allowed(size, manner.ends), rules or Rules(), fitting, stopped)

    def result(self, number: int, line: list[int]) -> Generated:
        """What was written after a prompt."""
        text, stopped = self._text(number, line), line[-1] in self.limits.manner.ends
        fitting = self.limits.fitting
        if fitting is not None:
            stopped = True
        elif (end := self._end(text)) is not None:
            text, stopped = text[:end], True
        return Generated(
            self.prompts[number], text.rstrip("\ufffd"), len(line), "stop" if stopped else "length", self.goes_on
        )

    def sure(self, number: int, line: list[int]) -> str:
        """What will stay of the text, whatever comes next."""
        text = self._text(number, line)
        if self.limits.stopped is not None:
            end = self._end(text)
            if end is None:
                end = len(text) - max(n for stop in self.stop for n in range(len(stop)) if text.endswith(stop[:n]))
            text = text[:end]
        return text.rstrip("\ufffd")

    def _check(self, window: int, fitting: Fitting | None) -> None:
        for prompt, ids in zip(self.prompts, self.read, strict=True):
            if ids.shape[-1] >= window + (not self.one_line):
                what = f"the prompt {prompt[:20]!r} … has {len(ids)} tokens, the model reads {window}"
                raise InputError(what, remedy="shorten it")
            room = window - (len(ids) if self.one_line else 1) + 1
            if fitting is not None and fitting.tokens > room:
                what = f"the form can take {fitting.tokens} tokens, the model writes {room} after the prompt at most"
                raise InputError(
                    what, remedy="ask for fewer or shorter lines" + ", or shorten the prompt" * self.goes_on
                )

    def _allowed(self, size: int, ends: Sequence[int]) -> Tensor:
        # A model may have more rows than its tokenizer has pieces; and what is drawn stands for text, or ends it.
        barred = set(range(self.tokenizer.vocabulary_size, size))
        if (isinstance(self.choice, Sampling) and self.choice.temperature) or self.limited:
            barred |= set(self.tokenizer.special_ids) - set(ends)
        allowed = torch.ones(size, dtype=torch.bool)
        allowed[sorted(barred)] = False
        return allowed

    def _stopped(self, number: int, line: list[int]) -> bool:
        return self._end(self._text(number, line)) is not None

    def _end(self, text: str) -> int | None:
        """Where the first text to stop at begins."""
        return min((at for stop in self.stop if (at := text.find(stop)) >= 0), default=None)

    def _text(self, number: int, line: list[int]) -> str:
        """The text of what was written: where spaces are not pieces, what the whole has more than the prompt."""
        tokenizer = self.tokenizer
        written = line[:-1] if line and line[-1] in self.limits.manner.ends else line
        if tokenizer.kind == "byte_bpe" or not self.goes_on:
            return tokenizer.decode(written)
        before = self.read[number].tolist()
        prompt, whole = tokenizer.decode(before), tokenizer.decode(before + written)
        return whole[len(prompt) :] if whole.startswith(prompt) else tokenizer.decode(written)
