"""Instructions: conversations, of which a model learns what the assistant says, every answer of each.

A decoder reads a conversation in one line; a long one in windows. An encoder-decoder reads what was said before an
answer and writes the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from myna.corpus.document import Document, Message
from myna.inference.manner import Manner
from myna.ledger import Ledger
from myna.tasks.chat import ChatTemplate, Conversation
from myna.tasks.examples import Example
from myna.tasks.passages import NOTHING, Fitting, Passage, Pieces
from myna.tasks.writing import Writing, example_of
from myna.tokens.tokenizer import Tokenizer


class Instructions(Writing):
    """Conversations. See :class:`~myna.tasks.task.Task`."""

    name = "instructions"
    reads = "messages"

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        super().__init__(tokenizer, labels, maximum_length)
        self.template = ChatTemplate.of(tokenizer)

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """A conversation up to its last answer: that is the target, and the text is what was said before."""
        messages = document.messages or ()
        last = max((n for n, message in enumerate(messages) if message.role == "assistant"), default=None)
        if last is None:
            return []
        before = "\n".join(message.content for message in messages[:last])
        return [example_of(document, before, messages[last].content, messages=messages[: last + 1])]

    @property
    def chat_template(self) -> str:
        """What the model's folder is to have for its tokenizer."""
        return self.template.text

    def _passages(self, examples: Sequence[Example], first: int, fitting: Fitting) -> list[Passage]:
        found = []
        for number, example in enumerate(examples, first):
            if example.target is None:
                found.append(self._asked(number, example))
                continue
            made = self.template.conversation(_messages(example))
            if self.two_stacks:
                for answer in made.answers:
                    target = made.ids[answer.start : answer.stop].astype(np.int32)
                    found += fitting.for_encoder(number, example, self._before(made, answer.start), target)
                continue
            learned = np.zeros(len(made.ids), bool)
            for answer in made.answers:
                learned[answer.start : answer.end] = True
            last = made.answers[-1].end
            found += fitting.lines(number, example, made.ids[:last], learned[:last])
        return found

    def _asked(self, number: int, example: Example) -> Passage:
        """What is said before the last answer of an example, or before the one that is asked for."""
        messages = list(_messages(example))
        if messages[-1].role != "assistant":
            messages.append(Message("assistant", "."))  # Behind what stands before it, whatever it says.
        made = self.template.conversation(messages)
        line = made.ids[: made.answers[-1].start]
        if self.two_stacks:
            fitting = Fitting(self.tokenizer, self.maximum_length, "window", Ledger())
            (passage,) = fitting.for_encoder(number, example, self._before(made, len(line)), None)
            return passage
        room, whole = self.maximum_length - min(self._most(), self.maximum_length // 2), len(line)
        oldest = 1 if messages[0].role == "system" else 0
        # Of a long conversation the oldest turns are left out, but for what the system says and the last question.
        while len(line) > room and len(messages) - oldest > 2:
            del messages[oldest]
            made = self.template.conversation(messages)
            line = made.ids[: made.answers[-1].start]
        line = line[-room:]
        return Passage(number, line, NOTHING, unread=whole - len(line))

    def _before(self, made: Conversation, place: int) -> Pieces:
        """What an encoder reads before an answer, to which it adds a start of its own."""
        first = 1 if made.ids[0] == self.tokenizer.start else 0
        return made.ids[first:place].astype(np.int32)

    def manner(self) -> Manner:
        """How answers end."""
        return replace(super().manner(), ends=(self.tokenizer.end,) if self.two_stacks else self.template.ends)


def _messages(example: Example) -> list[Message]:
    return [Message(*each) for each in example.messages or (("user", example.text),)]
