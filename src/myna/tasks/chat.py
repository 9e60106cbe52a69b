"""Chat templates: a conversation as the tokens that a model reads, and which of them are the assistant's.

A template is Jinja in Hugging Face's manner (``chat_template`` of ``tokenizer_config.json``, or
``chat_template.jinja``): that of the model's folder where it has one, else :func:`usual_template`. What somebody says
is never taken for a special token, whatever it looks like: it is encoded by itself, and put into its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jinja2
import numpy as np
from jinja2.sandbox import ImmutableSandboxedEnvironment
from numpy.typing import NDArray

from myna import files
from myna.corpus.document import Message
from myna.errors import InputError
from myna.tokens.encoding import encode
from myna.tokens.tokenizer import Tokenizer, settings_of

# What somebody says, while a template is rendered: of characters that stand in no text.
_PLACE = "\ue000{}\ue001"
_PLACES = re.compile("\ue000(\\d+)\ue001")
_FILE = "chat_template.jinja"
# Marks around what the assistant says, which need a Jinja of their own; here that is known anyway.
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")


class Answer(NamedTuple):
    """What the assistant says, the tokens ``start … stop - 1``; with the special token behind it they go to ``end``."""

    start: int
    stop: int
    end: int


@dataclass(frozen=True)
class Conversation:
    """A conversation as tokens, ``(tokens,)``, and the answers in it."""

    ids: NDArray[np.int64]
    answers: tuple[Answer, ...]


class ChatTemplate:
    """A template for a tokenizer; ``text`` is its Jinja."""

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self.tokenizer, self.text = tokenizer, text
        # What a template itself says is the same again and again.
        self._known: dict[str, tuple[list[int], int]] = {}

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> ChatTemplate:
        """That of the tokenizer's folder, else the usual one."""
        path = tokenizer.folder / _FILE
        if path.is_file():
            return cls(tokenizer, path.read_text(encoding="utf-8"))
        settings = tokenizer.folder / "tokenizer_config.json"
        given = files.read_object(settings).get("chat_template") if settings.is_file() else None
        return cls(tokenizer, given if isinstance(given, str) else usual_template(tokenizer))

    def conversation(self, messages: Sequence[Message]) -> Conversation:
        """The tokens of messages. A template that cannot say them is an :class:`~myna.errors.InputError`."""
        contents = iter(encode(self.tokenizer, [message.content for message in messages]))
        parts = _PLACES.split(self._rendered(messages))
        if [int(place) for place in parts[1::2]] != list(range(len(messages))):
            raise self._wrong("it leaves messages out, or puts them into another order")
        line: list[int] = []
        answers: list[Answer] = []
        for place, part in enumerate(parts):
            answers_here = place > 0 and messages[(place - 1) // 2].role == "assistant"
            if place % 2:
                start = len(line)
                line += next(contents).ids.tolist()
                answers += [Answer(start, len(line), len(line))] if answers_here else []
                continue
            around, end = self._around(part)
            if answers_here:
                answers[-1] = answers[-1]._replace(end=len(line) + end)
            line += around
        return Conversation(np.array(line, np.int64), tuple(answers))

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The ids that end an answer."""
        asked = [Message("user", "a"), Message("assistant", "b")]
        made = self.conversation(asked)
        (answer,) = made.answers
        behind = made.ids[answer.stop : answer.end][-1:].tolist()
        return tuple(sorted({*behind, self.tokenizer.end}))

    def _around(self, part: str) -> tuple[list[int], int]:
        """The ids of what a template itself says, and how many of them up to the first special token, with it."""
        if part not in self._known:
            self._known[part] = self._encoded(part)
        return self._known[part]

    def _encoded(self, part: str) -> tuple[list[int], int]:
        ids: list[int] = []
        end = 0
        for number, piece in enumerate(self._special.split(part)):
            if number % 2:
                ids.append(self._ids[piece])
                end = end or len(ids)
            elif piece:
                ids += encode(self.tokenizer, [piece])[0].ids.tolist()
        return ids, end

    @cached_property
    def _ids(self) -> dict[str, int]:
        added = self.tokenizer.backend.get_added_tokens_decoder()
        return {token.content: id for id, token in added.items() if token.special}

    @cached_property
    def _special(self) -> re.Pattern[str]:
        names = sorted(self._ids, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, names))})" if names else "((?!))")

    @cached_property
    def _compiled(self) -> jinja2.Template:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        return environment.from_string(_GENERATION.sub("", self.text))

    def _rendered(self, messages: Sequence[Message]) -> str:
        plain = [{"role": m.role, "content": _PLACE.format(number)} for number, m in enumerate(messages)]
        try:
            made: str = self._compiled.render(messages=plain, add_generation_prompt=False, **self._names)
        except (jinja2.TemplateError, TypeError, ValueError, RecursionError, ArithmeticError) as error:
            raise self._wrong(f"it refuses this conversation ({' '.join(str(error).split())[:120]})") from None
        return made

    @cached_property
    def _names(self) -> dict[str, Any]:
        """The special tokens that a template can name."""
        named = {name: value for name, value in settings_of(self.tokenizer.folder).items() if name.endswith("_token")}
        return {name: value.get("content") if isinstance(value, dict) else value for name, value in named.items()}

    def _wrong(self, what: str) -> InputError:
        remedy = "give messages that it can say, or take the template out of the folder"
        return InputError(f"the chat template: {what}", where=self.tokenizer.folder, remedy=remedy)


def _refuse(what: str) -> None:
    raise jinja2.TemplateError(what)


def usual_template(tokenizer: Tokenizer) -> str:
    """Each turn is its role on a line, what is said, and the token that ends a text, behind the one that begins it.

    No piece is added to the vocabulary, so that a trained model knows all that it reads.
    """
    begin = "" if tokenizer.start is None else _name(tokenizer, tokenizer.start)
    turn = "message['role'] + '\\n' + message['content'] + " + json.dumps(_name(tokenizer, tokenizer.end))
    return (
        f"{{{{ {json.dumps(begin)} }}}}{{% for message in messages %}}{{{{ {turn} }}}}{{% endfor %}}"
        "{% if add_generation_prompt %}{{ 'assistant\\n' }}{% endif %}"
    )


def _name(tokenizer: Tokenizer, id: int) -> str:
    return str(tokenizer.backend.id_to_token(id))
