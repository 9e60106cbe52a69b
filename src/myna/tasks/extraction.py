"""Extraction: the sentences of a text that make its summary, as they stand in it.

A model gives each sentence a logit, from the mean of its tokens; a long text is read in windows, and each sentence is
answered for by the window where it has most context. It learns from the sentences that come nearest the target: chosen
greedily, each next one by how much it adds to ROUGE-1 and ROUGE-2 (Nallapati et al. 2017, arXiv:1611.04230).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from myna.corpus.document import Document
from myna.corpus.sentences import Bounds, sentences
from myna.corpus.words import join
from myna.evaluation import texts
from myna.ledger import Ledger
from myna.model.flat import flatten
from myna.model.heads import FIXED_LABELS, Model, TokenHead
from myna.objectives.protocol import Batch, Loss, Term
from myna.tasks.examples import Example
from myna.tasks.task import UNKNOWN, Item, TaskItems, count_labels, encoded, framed
from myna.tasks.windows import TooLong, Window, fit
from myna.tokens.encoding import Encoding
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

# More sentences than this make no summary, even where each still adds a word.
MOST = 10
# Enough to know how many sentences a summary usually takes.
_LOOKED_AT = 1_000


@dataclass(frozen=True, eq=False)
class Extracted:
    """The summary of a text, and what it was chosen from: ``sentences`` with the ``probabilities``, ``(sentences,)``,
    that each is of the summary. ``chosen`` are the places of those that are, in the order of the text.
    """

    text: str
    source: str
    sentences: tuple[Bounds, ...]
    probabilities: NDArray[np.float64]
    chosen: tuple[int, ...]

    def answer(self) -> dict[str, Any]:
        """``{"text", "sentences": [{"start", "end", "text", "probability"}]}``, in characters of the source."""
        found = []
        for place in self.chosen:
            start, end = self.sentences[place]
            probability = round(float(self.probabilities[place]), 4)
            found.append({"start": start, "end": end, "text": self.source[start:end], "probability": probability})
        return {"text": self.text, "sentences": found}


@dataclass(frozen=True, slots=True)
class SentenceItem(Item):
    """A window; its outputs are sentences, and ``ends``, ``(outputs,)``, is behind the last token of each."""

    ends: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class SentenceBatch(Batch):
    """A batch whose targets are of sentences, of ``sizes (sentences,)`` tokens.

    ``rows (tokens,)`` are its tokens that are of sentences, these one after the other, and ``places (tokens,)``
    says of which each is.
    """

    rows: Tensor | None = None
    places: Tensor | None = None
    sizes: Tensor | None = None


class Extraction:
    """See :class:`~myna.tasks.task.Task`."""

    head = "sentences"
    name = "extraction"
    # What is judged has another source than all that is trained on, whatever its summary.
    apart_by_source = True

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        self.tokenizer, self.labels, self.room = tokenizer, tuple(labels), maximum_length - 2
        self.count: int = 1
        self.share: float | None = None

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The text with its summary."""
        if document.target is None:
            return []
        what = (document.text, document.id, document.source, document.group)
        return [Example(*what, target=document.target)]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """The one output: whether a sentence is chosen."""
        return FIXED_LABELS[cls.head]

    def items(
        self, examples: Sequence[Example], too_long: TooLong = "window", ledger: Ledger | None = None
    ) -> TaskItems:
        """The windows of each text that have a sentence to answer for."""
        ledger = Ledger() if ledger is None else ledger
        items: list[Item] = []
        for number, example, (encoding,) in encoded(self.tokenizer, examples):
            items += self._windows(number, example, encoding, too_long, ledger)
        count_labels(examples, items, ledger)
        return TaskItems(examples, items, ledger)

    def _windows(
        self, number: int, example: Example, encoding: Encoding, too_long: TooLong, ledger: Ledger
    ) -> list[Item]:
        shown = fit(len(encoding), self.room, too_long, example.place, ledger)
        bounds = sentences(example.text)
        starts, ends = (np.searchsorted(encoding.starts, [each[side] for each in bounds]) for side in (0, 1))
        # A sentence of which the tokenizer leaves nothing has the piece of what stands behind it.
        starts, ends = np.minimum(starts, len(encoding) - 1), np.maximum(ends, starts + 1)
        targets = np.full(len(bounds), UNKNOWN, np.int64)
        if example.target is not None:
            targets[:] = 0
            targets[list(best_sentences([example.text[a:b] for a, b in bounds], example.target))] = 1
        found: list[Item] = []
        for window in shown:
            mine = (starts >= window.first) & (starts < window.last)
            if mine.any():
                found.append(self._item(number, encoding, window, starts[mine], ends[mine], targets[mine], len(shown)))
        ledger.note("sentences", len(bounds))
        return found

    def _item(
        self,
        number: int,
        encoding: Encoding,
        window: Window,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        targets: NDArray[np.int64],
        among: int,
    ) -> Item:
        ids = framed(self.tokenizer, encoding.ids[window.start : window.end])
        # One further, where a token begins every window.
        shift = (self.tokenizer.start is not None) - window.start
        return SentenceItem(
            number, ids, targets, starts + shift, among, ends=np.minimum(ends, window.end).astype(np.int64) + shift
        )

    def batch(self, items: Sequence[SentenceItem], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`; the count is of sentences."""
        before = np.cumsum([0, *(len(item.ids) for item in items)])[:-1]
        starts, ends = (
            np.concatenate([part + start for part, start in zip(parts, before, strict=True) if part is not None])
            for parts in ([item.rows for item in items], [item.ends for item in items])
        )
        targets = np.concatenate([item.targets for item in items])
        sizes = ends - starts
        places = np.repeat(np.arange(len(sizes)), sizes)
        rows = np.arange(len(places)) + (starts - np.cumsum(sizes) + sizes)[places]
        return SentenceBatch(
            flatten([item.ids for item in items], numbers, key),
            torch.from_numpy(targets),
            {self.name: int((targets != UNKNOWN).sum())},
            torch.from_numpy(starts),
            rows=torch.from_numpy(rows),
            places=torch.from_numpy(places),
            sizes=torch.from_numpy(sizes),
        )

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """The logit of every sentence, ``(sentences, 1)``."""
        assert isinstance(batch, SentenceBatch)
        assert batch.rows is not None
        assert batch.places is not None
        assert batch.sizes is not None
        assert isinstance(model.head, TokenHead)
        rows = model.trunk(batch.tokens)[batch.rows]
        sums = rows.new_zeros(len(batch.sizes), rows.shape[1]).index_add_(0, batch.places, rows)
        keys = batch.tokens.keys
        return model.head.label(sums / batch.sizes.unsqueeze(1), None if keys is None else keys[batch.positions])

    def loss(self, model: Model, batch: Batch) -> Loss:
        """The binary cross-entropy of every sentence of which it is known whether it is chosen, in nats."""
        logits = self.outputs(model, batch)[:, 0]
        wanted, known = batch.targets.clamp(min=0).to(logits.dtype), (batch.targets != UNKNOWN).to(logits.dtype)
        total = F.binary_cross_entropy_with_logits(logits, wanted, known, reduction="sum")
        return Loss((Term(self.name, total, batch.counts[self.name]),))

    def modules(self) -> Mapping[str, nn.Module]:
        """Nothing beside the model."""
        return {}

    def decode(self, items: TaskItems, outputs: Sequence[Tensor]) -> list[Extracted]:
        """The likeliest sentences of each text: as many as was set, or as training has."""
        found = []
        for example, parts in items.by_example(outputs):
            probabilities = torch.cat(parts).double().sigmoid()[:, 0].numpy()
            bounds = tuple(sentences(example.text)[: len(probabilities)])
            count = self.count if self.share is None else max(1, round(self.share * len(bounds)))
            chosen = tuple(sorted(np.argsort(-probabilities, kind="stable")[:count].tolist()))
            text = join([example.text[slice(*bounds[place])] for place in chosen])[0]
            found.append(Extracted(text, example.text, bounds, probabilities, chosen))
        return found

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Extracted]) -> dict[str, float]:
        """``rouge_l`` (the score), ``rouge_1`` and ``rouge_2``."""
        expected = [example.target or "" for example in examples]
        figures = texts.figures_of(("rouge_l", "rouge_1", "rouge_2"), expected, [each.text for each in predictions])
        found = {name: float(metric(sums.sum(0))) for name, (sums, metric) in figures.items()}
        return {"score": found["rouge_l"], **found}

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """Takes up how many sentences are chosen; else it is what the targets of training are best made of."""
        self.share = config.sentence_share
        if config.sentences is not None:
            self.count = config.sentences
            return
        numbers = []
        for example in examples[:_LOOKED_AT]:
            parts = [example.text[a:b] for a, b in sentences(example.text)]
            numbers.append(len(best_sentences(parts, example.target or "")))
        self.count = max(1, round(float(np.mean(numbers)))) if numbers else 1

    def settle(self, model: Model) -> None:
        """Nothing is beside the model."""

    def remembered(self) -> dict[str, Any]:
        """How many sentences are chosen."""
        return {"sentences": self.count, "sentence_share": self.share}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """Takes that up again."""
        self.count, self.share = facts.get("sentences", 1), facts.get("sentence_share")


def best_sentences(parts: Sequence[str], target: str, most: int = MOST) -> tuple[int, ...]:
    """The places of the sentences that, one after the other, add most to ROUGE-1 and ROUGE-2 with the target.

    None is taken that adds nothing; they are in the order of the text.
    """
    words = texts.words_of(target)
    wanted: Counter[Any] = Counter(words) + Counter(pairwise(words))
    lines = [texts.words_of(part) for part in parts]
    # Of each sentence what the target has too: words, and pairs of words as tuples.
    shared = [Counter(each for each in (*line, *pairwise(line)) if each in wanted) for line in lines]
    chosen: list[int] = []
    have: Counter[Any] = Counter()
    best, size = 0.0, 0
    left = [place for place, line in enumerate(lines) if shared[place]]
    while left and len(chosen) < most:
        scores = [
            _both(have, shared[place], wanted, size + len(lines[place]), len(chosen) + 1, len(words)) for place in left
        ]
        place = int(np.argmax(scores))
        if scores[place] <= best:
            break
        best, taken = scores[place], left.pop(place)
        have += shared[taken]
        size += len(lines[taken])
        chosen.append(taken)
    return tuple(sorted(chosen))


def _both(have: Counter[Any], more: Counter[Any], wanted: Counter[Any], size: int, count: int, expected: int) -> float:
    """ROUGE-1 and ROUGE-2 of ``count`` sentences of ``size`` words together, no pair of words across two of them."""
    hits = [0, 0]
    for each, often in wanted.items():
        hits[isinstance(each, tuple)] += min(often, have[each] + more[each])
    return 2 * hits[0] / (size + expected) + 2 * hits[1] / max(1, size - count + expected - 1)
