"""Tagging: the spans of a text that are names, terms …, as BIO tags of its units (see :mod:`myna.tasks.units`).

The loss and the prediction of a unit are those of its first piece. A text is read by sentences, a long sentence in
windows; each unit is an output of exactly one window, the one where it has most context. The tags of a sentence are
the best that BIO allows, or within the model BIOES; with ``crf`` by what the tags say of their neighbours too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from myna.corpus.document import Document, Span
from myna.corpus.sentences import Bounds
from myna.errors import InputError
from myna.evaluation.metrics import entity_counts, micro_f1, precision, recall
from myna.ledger import Ledger
from myna.model.flat import flatten
from myna.model.heads import Model
from myna.objectives.losses import distillation
from myna.objectives.protocol import Batch, Loss, Term
from myna.tasks.crf import Crf
from myna.tasks.examples import Example
from myna.tasks.learning import Learning
from myna.tasks.settings import Distill
from myna.tasks.task import UNKNOWN, Item, TaskItems, framed, portions, taught_of
from myna.tasks.units import sentences, tags_of, units
from myna.tasks.viterbi import best_paths, endings, in_bio, in_bioes, name_of, spans_of, transitions
from myna.tasks.windows import TooLong, Window, fit
from myna.tokens.encoding import Encoding, encode_words
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

# Examples encoded at a time: the strings of all units of a corpus would take more memory than all else.


@dataclass(frozen=True, eq=False)
class Tagged:
    """The spans of a text, the tag of each unit, and the ``probabilities`` behind it, ``(units, labels)``."""

    text: str
    spans: tuple[Span, ...]
    units: tuple[Bounds, ...]
    tags: tuple[str, ...]
    probabilities: NDArray[np.float64]

    def answer(self) -> dict[str, Any]:
        """``{"spans": [{"start", "end", "label", "text"}]}``, in characters of the text."""
        return {
            "spans": [
                {"start": span.start, "end": span.end, "label": span.label, "text": self.text[span.start : span.end]}
                for span in self.spans
            ]
        }


@dataclass(frozen=True)
class Units(Batch):
    """A batch whose outputs are units; ``learned``, ``(units,)``, are the places of those that are learned, None: all.

    For a CRF they are those of windows whose tags are all known; ``lengths`` says how many units each of these has, and
    ``whole`` which are whole sentences.
    """

    learned: Tensor | None = None
    lengths: tuple[int, ...] = ()
    whole: tuple[bool, ...] = ()


class Tagging:
    """See :class:`~myna.tasks.task.Task`. ``bioes``: its labels are so; ``crf``: there where one is learned."""

    head = "token"
    distill = Distill()
    crf: Crf | None = None

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        self.tokenizer, self.labels, self.room = tokenizer, tuple(labels), maximum_length - 2
        self._numbers = {label: number for number, label in enumerate(self.labels)}
        self._start, self._step = transitions(self.labels)
        self._end = endings(self.labels)
        self.bioes = bool(np.isinf(self._end).any())
        self.learning = Learning()

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The sentences of the document, with the spans in each; no span is cut."""
        if document.spans is None:
            return []
        examples = []
        spans = sorted(document.spans, key=lambda span: span.start)
        place = 0
        bounds = sentences(document.text, [span[:2] for span in spans])
        for number, (start, end) in enumerate(bounds):
            inside = []
            while place < len(spans) and spans[place].start < end:
                inside.append(Span(spans[place].start - start, spans[place].end - start, spans[place].label))
                place += 1
            name = document.id if len(bounds) == 1 else f"{document.id}.{number}"
            text = document.text[start:end]
            examples.append(Example(text, name, document.source, document.group, spans=tuple(inside)))
        return examples

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """``B-`` and ``I-`` of each name, and ``O``."""
        return tuple(sorted({f"{begin}-{name}" for name in names for begin in "BI"} | {"O"}))

    @classmethod
    def in_scheme(cls, labels: Sequence[str]) -> tuple[str, ...]:
        """The labels of BIO as those of BIOES."""
        return tuple(sorted({*labels, *(f"{mark}-{name_of(tag)}" for tag in labels if tag != "O" for mark in "ES")}))

    def items(
        self, examples: Sequence[Example], too_long: TooLong = "window", ledger: Ledger | None = None
    ) -> TaskItems:
        """The sentences of each text, in windows of at most ``maximum_length`` tokens."""
        ledger = Ledger() if ledger is None else ledger
        items: list[Item] = []
        for start, some in portions(examples):
            numbered = enumerate(some, start)
            read = [sentence for number, example in numbered for sentence in self._read(number, example, ledger)]
            for sentence, encoding in zip(read, encode_words(self.tokenizer, [s.words for s in read]), strict=True):
                shown = fit(len(encoding), self.room, too_long, examples[sentence.example].place, ledger)
                items += [self._item(sentence, encoding, window, len(shown)) for window in shown]
        self._count_labels(examples, items, ledger)
        return TaskItems(examples, items, ledger)

    def _item(self, sentence: Sentence, encoding: Encoding, window: Window, among: int) -> Item:
        firsts = np.flatnonzero(encoding.word_starts)
        mine = slice(*np.searchsorted(firsts, [window.first, window.last]))
        ids = framed(self.tokenizer, encoding.ids[window.start : window.end])
        # One further, where a token begins every window.
        rows = firsts[mine] - window.start + (self.tokenizer.start is not None)
        return Item(sentence.example, ids, sentence.targets[mine], rows, among)

    def _read(self, number: int, example: Example, ledger: Ledger) -> list[Sentence]:
        parts = _units_by_sentence(example.text)
        bounds = [each for part in parts for each in part]
        targets = np.full(len(bounds), UNKNOWN, np.int64)
        if example.spans is not None:
            tags, widened = tags_of(bounds, example.spans)
            ledger.note("spans widened to whole units", widened)
            tags = in_bioes(tags) if self.bioes else tags
            targets = np.array([self._number(tag, example) for tag in tags], np.int64)
        ends = np.cumsum([len(part) for part in parts])
        return [
            Sentence(number, [example.text[start:end] for start, end in part], targets[last - len(part) : last])
            for part, last in zip(parts, ends, strict=True)
        ]

    def _number(self, tag: str, example: Example) -> int:
        if tag not in self._numbers:
            what = f"the label {name_of(tag)!r} is none of the model's"
            known = sorted({name_of(label) for label in self.labels} - {""})
            raise InputError(what, where=example.place, remedy=f"its labels are {', '.join(known)}")
        return self._numbers[tag]

    def _count_labels(self, examples: Sequence[Example], items: Sequence[Item], ledger: Ledger) -> None:
        """Of the spans, those whose first unit is a target are kept."""
        begins = np.array([label.startswith(("B-", "S-")) for label in self.labels])
        came = sum(len(example.spans or ()) for example in examples)
        kept = sum(int(begins[item.targets[item.targets != UNKNOWN]].sum()) for item in items)
        ledger.kept_of("beyond what is read, or overlapping another span", labels=(kept, came))

    def batch(self, items: Sequence[Item], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`; the count is of units."""
        starts = np.cumsum([0, *(len(item.ids) for item in items)])
        rows = [item.rows + start for item, start in zip(items, starts, strict=False) if item.rows is not None]
        targets = np.concatenate([item.targets for item in items])
        chains: list[Item] = []
        if self.crf is None:
            known = targets != UNKNOWN
        else:
            chains = [item for item in items if len(item.targets) and (item.targets != UNKNOWN).all()]
            known = np.concatenate([np.full(len(i.targets), bool((i.targets != UNKNOWN).all())) for i in items])
        return Units(
            flatten([item.ids for item in items], numbers, key),
            torch.from_numpy(targets),
            {"tagging": int(known.sum())},
            torch.from_numpy(np.concatenate(rows)),
            taught=taught_of(items),
            # Told here: how many there are must be known where tensors have no content, in a plan.
            learned=None if known.all() else torch.from_numpy(np.flatnonzero(known)),
            lengths=tuple(len(item.targets) for item in chains),
            whole=tuple(item.windows == 1 for item in chains),
        )

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Logits at the first piece of every unit, ``(units, labels)``."""
        result: Tensor = model(batch.tokens)[batch.positions]
        return result

    def loss(self, model: Model, batch: Batch) -> Loss:
        """Cross-entropy of every unit, in nats; with a CRF what the tags of every window cost."""
        assert isinstance(batch, Units)
        logits, targets, taught = self.outputs(model, batch), batch.targets, batch.taught
        if batch.learned is not None:
            logits, targets = logits[batch.learned], targets[batch.learned]
            taught = None if taught is None else taught[batch.learned]
        if self.crf is not None:
            nats = self.crf(logits, targets, batch.lengths, batch.whole).sum() if batch.lengths else logits.sum() * 0.0
            return Loss((Term("tagging", nats, batch.counts["tagging"]),))
        total = self.learning.nats(logits, targets).sum()
        if taught is not None:
            apart = distillation(logits, taught, self.distill.temperature)
            total = torch.lerp(total, apart.to(total.dtype), self.distill.weight)
        return Loss((Term("tagging", total, batch.counts["tagging"]),))

    def modules(self) -> Mapping[str, nn.Module]:
        """The CRF, where there is one."""
        return {} if self.crf is None else {"crf": self.crf}

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """Takes up the options of a training; see :class:`~myna.tasks.task.Adjustable`."""
        numbers = [item.targets for item in self.items(examples)] if config.class_weights == "balanced" else []
        known = np.concatenate([np.zeros(0, np.int64), *numbers])
        often = np.bincount(known[known != UNKNOWN], minlength=len(self.labels))
        self.learning = Learning.of(config, self.labels, often.tolist())
        self.distill = config.distill or Distill()
        self.crf = Crf(len(self.labels)) if config.crf else None

    def settle(self, model: Model) -> None:
        """What is beside the model stays there: no other library has a place for a CRF."""

    def remembered(self) -> dict[str, Any]:
        """The CRF."""
        return {} if self.crf is None else {"crf": self.crf.remembered()}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """Takes it up again."""
        self.crf = Crf.recalled(facts["crf"], len(self.labels)) if "crf" in facts else None

    def _best(self, scores: Sequence[NDArray[np.float64]]) -> list[NDArray[np.int64]]:
        """The best path that is allowed, of the logits of each sentence."""
        borders = self._start, self._step, self._end
        if self.crf is not None:
            start, step, end = (a + b for a, b in zip(borders, self.crf.scores(), strict=True))
            return best_paths(scores, start, step, end)
        return best_paths(scores, *borders)

    def decode(self, items: TaskItems, outputs: Sequence[Tensor]) -> list[Tagged]:
        """The best tags of each sentence as BIO, and the spans they mark. Needs all windows of a text."""
        texts = []
        scores: list[NDArray[np.float64]] = []
        for example, parts in items.by_example(outputs):
            logits = torch.cat(parts).double()
            sentences = _units_by_sentence(example.text)
            texts.append((example.text, sentences, logits.softmax(1).numpy()))
            scores += [part.numpy() for part in torch.split(logits, [len(sentence) for sentence in sentences])]
        paths = iter(self._best(scores))
        predictions = []
        for text, sentences, probabilities in texts:
            spans: list[Span] = []
            tags: list[str] = []
            for sentence in sentences:
                chosen = [self.labels[number] for number in next(paths)]
                spans += spans_of(chosen, sentence)
                tags += in_bio(chosen) if self.bioes else chosen
            bounds = tuple(each for sentence in sentences for each in sentence)
            predictions.append(Tagged(text, tuple(spans), bounds, tuple(tags), probabilities))
        return predictions

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Tagged]) -> dict[str, float]:
        """``entity_f1`` (the score), ``entity_precision`` and ``entity_recall`` over all spans of all examples."""
        expected = [example.spans or () for example in examples]
        counts = entity_counts(expected, [prediction.spans for prediction in predictions]).sum(0)
        score = float(micro_f1(counts))
        figures = {"entity_precision": float(precision(counts)), "entity_recall": float(recall(counts))}
        return {"score": score, "entity_f1": score, **figures}


@dataclass(frozen=True)
class Sentence:
    """The units of a sentence and their targets, ``(units,)``."""

    example: int
    words: list[str]
    targets: NDArray[np.int64]


def _units_by_sentence(text: str) -> list[list[Bounds]]:
    return [units(text, *bounds) for bounds in sentences(text)]
