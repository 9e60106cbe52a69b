"""Word segmentation: where the words of a text begin and end, learned from texts whose words are given.

Each unit (see :mod:`myna.tasks.units`) begins a word, goes on with one, ends one or is one by itself, and no unit is
left over. So a word is never cut within a run of letters or digits, and none reaches over white space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from myna.corpus.document import Document, Span
from myna.corpus.sentences import Bounds
from myna.evaluation.metrics import entity_counts, micro_f1, precision, recall
from myna.ledger import Ledger
from myna.tasks.examples import Example
from myna.tasks.tagging import Tagging
from myna.tasks.task import UNKNOWN, Item, TaskItems

# What the spans are called that words are.
WORD = "W"


@dataclass(frozen=True, eq=False)
class Segmented:
    """Where the words of a text begin and end, and the ``probabilities`` behind it, ``(units, labels)``."""

    text: str
    words: tuple[Bounds, ...]
    probabilities: NDArray[np.float64]

    def answer(self) -> dict[str, Any]:
        """``{"words"}``."""
        return {"words": [self.text[start:end] for start, end in self.words]}


class Segmentation(Tagging):
    """See :class:`~myna.tasks.task.Task`."""

    reads_words = True
    asks = "texts"

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The document with its words as spans."""
        if document.words is None or not len(document.words):
            return []
        bounds = zip(document.words.starts.tolist(), document.words.ends.tolist(), strict=True)
        spans = tuple(Span(start, end, WORD) for start, end in bounds)
        return [Example(document.text, document.id, document.source, document.group, spans=spans)]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """Begin, end, inside and single."""
        return tuple(label for label in cls.in_scheme(super().labels_of([WORD])) if label != "O")

    def _number(self, tag: str, example: Example) -> int:
        # What stands in no word, as a sign between two of them, is one.
        return super()._number(f"S-{WORD}" if tag == "O" else tag, example)

    def _count_labels(self, examples: Sequence[Example], items: Sequence[Item], ledger: Ledger) -> None:
        """Of the words of a text as many are kept as are begun in what is read, and no more than there are."""
        begins = np.array([label.startswith(("B-", "S-")) for label in self.labels])
        begun = np.zeros(len(examples), np.int64)
        for item in items:
            begun[item.example] += begins[item.targets[item.targets != UNKNOWN]].sum()
        came = np.array([len(example.spans or ()) for example in examples], np.int64)
        kept = int(np.minimum(begun, came).sum())
        ledger.kept_of("beyond what is read, or within a run of letters", labels=(kept, int(came.sum())))

    # What a tagger learns is learned here too, but what is said is of another class.
    def decode(self, items: TaskItems, outputs: Sequence[Tensor]) -> list[Segmented]:  # type: ignore[override]
        """The words of each text: every character but white space is in one."""
        found = []
        for tagged in super().decode(items, outputs):
            parts = (match for span in tagged.spans for match in re.compile(r"\S+").finditer(tagged.text, *span[:2]))
            found.append(Segmented(tagged.text, tuple(part.span() for part in parts), tagged.probabilities))
        return found

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Segmented]) -> dict[str, float]:  # type: ignore[override]
        """``word_f1`` (the score), ``word_precision`` and ``word_recall`` over all words of all examples."""
        counts = entity_counts([example.spans or () for example in examples], [words_of(p) for p in predictions]).sum(0)
        score = float(micro_f1(counts))
        return {
            "score": score,
            "word_f1": score,
            "word_precision": float(precision(counts)),
            "word_recall": float(recall(counts)),
        }


def words_of(prediction: Segmented) -> list[Span]:
    """The words as the spans that an example has."""
    return [Span(start, end, WORD) for start, end in prediction.words]
