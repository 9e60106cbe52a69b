"""Tags of given words: a part of speech for each, or a name's BIO tag; one prediction for every word, always.

The words are those of the input (``tokens``). A text without any is cut at its spaces, and one without spaces into
words as a corpus is; into characters, where training had its Han characters one by one. Where the tags are BIO, those
of a sentence are the best that BIO allows, and mark spans; within the model they can be BIOES.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from myna.corpus.document import Document, Span
from myna.corpus.sentences import Bounds
from myna.corpus.words import segment, split_at_spaces
from myna.errors import InputError
from myna.evaluation.calibration import Sureness, temperature_of, tempered
from myna.evaluation.metrics import are_bio, entity_counts, micro_f1
from myna.ledger import Ledger
from myna.tasks.examples import Example
from myna.tasks.tagging import Sentence, Tagging
from myna.tasks.task import UNKNOWN, Item, TaskItems
from myna.tasks.units import units
from myna.tasks.viterbi import in_bio, in_bioes, spans_of
from myna.tokens.characters import han
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig
    from myna.model.heads import Model


@dataclass(frozen=True, eq=False)
class TaggedWords:
    """The words of a text, the tag of each, and the ``probabilities`` behind it, ``(words, labels)``.

    ``spans`` are those that the tags mark, None where they are not BIO; ``numbers`` are those of the tags.
    """

    text: str
    words: tuple[Bounds, ...]
    tags: tuple[str, ...]
    spans: tuple[Span, ...] | None
    probabilities: NDArray[np.float64]
    numbers: NDArray[np.int64]

    @property
    def sure(self) -> list[float]:
        """How probable each tag is that was given, ``(words,)``."""
        found: list[float] = self.probabilities[np.arange(len(self.numbers)), self.numbers].tolist()
        return found

    def answer(self, least: float = 0.0) -> dict[str, Any]:
        """``{"tokens", "tags"}``, and ``"spans"`` as a tagger gives them where the tags are BIO.

        A tag is None where it is less probable than ``least``.
        """
        tags = [tag if sure >= least else None for tag, sure in zip(self.tags, self.sure, strict=True)]
        found: dict[str, Any] = {"tokens": [self.text[a:b] for a, b in self.words], "tags": tags}
        if self.spans is not None:
            found["spans"] = [{**span._asdict(), "text": self.text[span.start : span.end]} for span in self.spans]
        return found


class TagsOfWords(Tagging):
    """See :class:`~myna.tasks.task.Task`."""

    reads_words = True
    by_character = False
    temperature = 1.0

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        super().__init__(tokenizer, labels, maximum_length)
        self.bioes = False  # Of words, BIOES can also be what they were given as: then they stay so.

    @property
    def marks_spans(self) -> bool:
        """Whether its tags mark spans."""
        return self.bioes or are_bio(self.labels)

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The document with the tags of its words."""
        words = document.words
        if words is None or not any(words.tags):
            return []
        bounds = tuple(zip(words.starts.tolist(), words.ends.tolist(), strict=True))
        return [
            Example(document.text, document.id, document.source, document.group, words=bounds, tags=tuple(words.tags))
        ]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """The tags themselves; of BIO both of each name, and ``O``."""
        tags = set(names)
        if are_bio(tags):
            return super().labels_of(tag[2:] for tag in tags if tag != "O")
        if len(tags) == 1:
            raise InputError(f"every word has the tag {min(tags)!r}", remedy="add examples of another tag")
        return tuple(sorted(tags))

    @classmethod
    def in_scheme(cls, labels: Sequence[str]) -> tuple[str, ...]:
        """The labels of BIO as those of BIOES; an :class:`InputError` where they are plain names."""
        if not are_bio(labels):
            what = 'scheme = "bioes" is for tags that mark spans, and these are plain names'
            raise InputError(what, remedy="leave scheme out")
        return super().in_scheme(labels)

    def _read(self, number: int, example: Example, ledger: Ledger) -> list[Sentence]:
        bounds = words_of(example, self.by_character)
        targets = np.full(len(bounds), UNKNOWN, np.int64)
        if example.tags is not None:
            tags = in_bioes(example.tags) if self.bioes else example.tags
            targets = np.array([self._numbers.get(tag, UNKNOWN) for tag in tags], np.int64)
            ledger.note("tags that training never saw", int((targets == UNKNOWN).sum()))
        return [Sentence(number, [example.text[start:end] for start, end in bounds], targets)]

    def _count_labels(self, examples: Sequence[Example], items: Sequence[Item], ledger: Ledger) -> None:
        came = sum(len(example.tags or ()) for example in examples)
        labelled = {number for number, example in enumerate(examples) if example.tags is not None}
        kept = sum(len(item.targets) for item in items if item.example in labelled)
        ledger.kept_of("beyond what is read", labels=(kept, came))

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """Takes up the options of a training, and whether its Han characters stand one by one."""
        self.bioes = config.scheme == "bioes"
        super().adjust(config, examples, model)
        lengths = [b - a for example in examples for a, b in example.words or () if han(example.text[a])[0]]
        self.by_character = bool(lengths) and max(lengths) == 1

    def remembered(self) -> dict[str, Any]:
        """How a text without words is cut, what the tags are within the model, and the temperature."""
        within = {"scheme": "bioes"} if self.bioes else {}
        own = {"by_character": self.by_character, "temperature": self.temperature}
        return {**own, **within, **super().remembered()}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """Takes that up again."""
        self.by_character, self.bioes = facts.get("by_character") is True, facts.get("scheme") == "bioes"
        self.temperature = temperature_of(facts)
        super().recall(facts)

    def sureness(self, examples: Sequence[Example], predictions: Sequence[TaggedWords]) -> Sureness:
        """An answer for each word whose tag training knew, whose outcomes are the tags."""
        tagged = (in_bioes(example.tags or ()) if self.bioes else example.tags or () for example in examples)
        truth = np.array([self._numbers.get(tag, UNKNOWN) for tags in tagged for tag in tags], np.int64)
        said = np.concatenate([np.zeros((0, len(self.labels))), *(each.probabilities for each in predictions)])
        given = np.concatenate([np.zeros(0, np.int64), *(each.numbers for each in predictions)])
        known = truth != UNKNOWN
        return Sureness(said[known], truth[known], given[known])

    def decode(self, items: TaskItems, outputs: Sequence[Tensor]) -> list[TaggedWords]:  # type: ignore[override]
        """The best tags of each text, one for each word. Needs all windows of a text."""
        logits = [(example, torch.cat(parts).double()) for example, parts in items.by_example(outputs)]
        paths = self._best([each.numpy() for _, each in logits])
        found = []
        for (example, each), path in zip(logits, paths, strict=True):
            bounds, chosen = words_of(example, self.by_character), [self.labels[number] for number in path]
            tags = tuple(in_bio(chosen) if self.bioes else chosen)
            spans = tuple(spans_of(tags, bounds)) if self.marks_spans else None
            probabilities = tempered(each.softmax(1).numpy(), self.temperature)
            found.append(TaggedWords(example.text, bounds, tags, spans, probabilities, np.array(path, np.int64)))
        return found

    def metrics(self, examples: Sequence[Example], predictions: Sequence[TaggedWords]) -> dict[str, float]:  # type: ignore[override]
        """``word_accuracy``, which is the score but where the tags are BIO: there it is ``entity_f1``."""
        pairs = [
            (right, said)
            for example, prediction in zip(examples, predictions, strict=True)
            for right, said in zip(example.tags or (), prediction.tags, strict=True)
        ]
        share = sum(right == said for right, said in pairs) / max(len(pairs), 1)
        if not self.marks_spans:
            return {"score": share, "word_accuracy": share}
        expected = [spans_of(example.tags or (), words_of(example)) for example in examples]
        score = float(micro_f1(entity_counts(expected, [p.spans or () for p in predictions]).sum(0)))
        return {"score": score, "entity_f1": score, "word_accuracy": share}


def words_of(example: Example, by_character: bool = False) -> tuple[Bounds, ...]:
    """Where the words of an example begin and end: its own, else those between spaces, else as a corpus is cut.

    ``by_character``: instead of the last, each Han character is one.
    """
    if example.words is not None:
        return example.words
    spaced = len(example.text.split()) > 1
    if by_character and not spaced:
        return tuple(units(example.text))
    words = split_at_spaces(example.text) if spaced else segment(example.text)
    return tuple(zip(words.starts.tolist(), words.ends.tolist(), strict=True))
