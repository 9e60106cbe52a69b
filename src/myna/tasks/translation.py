"""Translation: from the source's language, to it, or both ways with one model.

One that goes both ways is told which by a mark before the text, of ordinary characters that any tokenizer has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from myna.model.config import ModelConfig
from myna.tasks.examples import Example
from myna.tasks.writing import Writing

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

# Before a text that is to be written in the target's language, or in the source's.
FORWARD, BACKWARD = "=> ", "<= "


class Translation(Writing):
    """A text and its translation. See :class:`~myna.tasks.task.Task`."""

    name = "translation"
    direction = "forward"

    def arranged(self, examples: Sequence[Example]) -> list[Example]:
        """Each example in the direction of the model; in both, as two with their marks.

        A text to be translated both ways that has no mark is read forward.
        """
        if self.direction == "forward":
            return list(examples)
        if self.direction == "backward":
            return [example if example.target is None else _turned(example) for example in examples]
        found = []
        for example in examples:
            marked = example.text.startswith((FORWARD, BACKWARD))
            found.append(example if marked else replace(example, text=FORWARD + example.text))
            if example.target is not None and not marked:
                turned = _turned(example)
                found.append(replace(turned, text=BACKWARD + turned.text))
        return found

    def take_up(self, config: FinetuneConfig, examples: Sequence[Example], described: ModelConfig) -> None:
        """See :class:`~myna.tasks.writing.Writing`."""
        super().take_up(config, examples, described)
        self.direction = config.direction or "forward"

    def remembered(self) -> dict[str, Any]:
        """See :class:`~myna.tasks.task.Adjustable`."""
        return {**super().remembered(), "direction": self.direction}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """See :class:`~myna.tasks.task.Adjustable`."""
        super().recall(facts)
        self.direction = facts.get("direction", "forward")


def _turned(example: Example) -> Example:
    return replace(example, text=example.target or "", target=example.text)
