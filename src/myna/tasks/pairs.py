"""Pairs of texts: one label for both, or one number, as whether one follows from the other, or how alike they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from myna.corpus.document import Document
from myna.errors import InputError
from myna.model.heads import Model
from myna.tasks.classification import OneLabel, several
from myna.tasks.examples import Example
from myna.tasks.regression import VALUE, OneNumber
from myna.tasks.whole import WholeTexts
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

# Options of a training that are for pairs of one kind alone.
_OF_LABELS = ("class_weights", "label_smoothing", "focal", "r_drop")
_OF_NUMBERS = ("loss",)


class Pairs(WholeTexts):
    """See :class:`~myna.tasks.task.Task`. Its answers are numbers where training has numbers and no labels."""

    name = "pairs"

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        super().__init__(tokenizer, labels, maximum_length)
        self.answers = OneNumber() if self.labels == VALUE else OneLabel(labels)

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The two texts with their label, else with their number."""
        if document.pair is None or (document.label is None and document.value is None):
            return []
        return [
            Example(
                document.text,
                document.id,
                document.source,
                document.group,
                document.label,
                pair=document.pair,
                value=document.value if document.label is None else None,
            )
        ]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """The names themselves, of which there are two at least; the one output of numbers where there are none."""
        names = set(names)
        return several(names) if names else VALUE

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """See :class:`~myna.tasks.task.Adjustable`. An option that is not for these answers is an error."""
        numbers = isinstance(self.answers, OneNumber)
        for name in _OF_LABELS if numbers else _OF_NUMBERS:
            if getattr(config, name) != type(config).model_fields[name].default:
                what = f"{name} is not for pairs with a {'number' if numbers else 'label'}"
                raise InputError(what, remedy="leave it out")
        super().adjust(config, examples, model)
