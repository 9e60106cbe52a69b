"""Generation: texts of a kind, by themselves or each of a source, as news of a headline and a poem of its title.

A text by itself is learned whole, as a language model does; it is judged by how a model goes on from its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from myna.corpus.document import Document
from myna.errors import InputError
from myna.model.config import ModelConfig
from myna.tasks.examples import Example
from myna.tasks.passages import NOTHING, Fitting, Passage, Passages
from myna.tasks.writing import Writing, example_of
from myna.tokens.encoding import encode

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

# Of a text by itself so many tokens, or half of it, are what a model is given to go on from.
BEGINNING = 8


class Generation(Writing):
    """Texts, with sources or without. See :class:`~myna.tasks.task.Task`."""

    name = "generation"
    apart_by_source = False
    sourced = True

    @property
    def goes_on(self) -> bool:
        """Whether what is written goes on from what is read."""
        return not self.sourced

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The text with its target; where there is none, the text is what is to be written."""
        if document.target is None:
            return [example_of(document, "", document.text)]
        return [example_of(document, document.text, document.target)]

    def _passages(self, examples: Sequence[Example], first: int, fitting: Fitting) -> list[Passage]:
        if self.sourced:
            return super()._passages(examples, first, fitting)
        found = []
        texts = encode(self.tokenizer, [example.target or example.text for example in examples])
        for number, (example, text) in enumerate(zip(examples, texts, strict=True), first):
            line = np.concatenate([[self.begin], text.ids, [self.tokenizer.end]]).astype(np.int64)
            if example.target is None:
                # What is gone on from is the end of a long beginning.
                room = self.maximum_length - min(self._most(), self.maximum_length // 2)
                found.append(Passage(number, line[:-1][-room:], NOTHING, unread=max(0, len(line) - 1 - room)))
            else:
                found += fitting.lines(number, example, line, np.ones(len(line), bool))
        return found

    def asked(self, items: Passages) -> list[Passage]:
        """The source of each example; of a text by itself, where that is known, its beginning."""
        if self.sourced:
            return super().asked(items)
        first: dict[int, Passage] = {}
        for number in range(len(items)):
            first.setdefault(items[number].example, items[number])
        return [_beginning(passage) for passage in first.values()]

    def _text(self, passage: Passage, line: Sequence[int]) -> str:
        return super()._text(passage, line if self.sourced else [*passage.source.tolist(), *line])

    def take_up(self, config: FinetuneConfig, examples: Sequence[Example], described: ModelConfig) -> None:
        """See :class:`~myna.tasks.writing.Writing`."""
        super().take_up(config, examples, described)
        self.sourced = any(example.text for example in examples)
        if self.two_stacks and not self.sourced:
            remedy = "start from a decoder, or name the column with what each is written of (target_column)"
            raise InputError("texts by themselves have nothing for an encoder to read", remedy=remedy)

    def remembered(self) -> dict[str, Any]:
        """See :class:`~myna.tasks.task.Adjustable`."""
        return {**super().remembered(), "sourced": self.sourced}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """See :class:`~myna.tasks.task.Adjustable`."""
        super().recall(facts)
        self.sourced = facts.get("sourced", True)


def _beginning(passage: Passage) -> Passage:
    count = min(BEGINNING, len(passage.target) // 2)
    return replace(passage, source=np.concatenate([passage.source, passage.target[:count]]))
