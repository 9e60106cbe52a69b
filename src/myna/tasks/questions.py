"""Questions that a text answers: the stretch of the text that is the answer, or none.

Question and text are read together, as ``start, question, end, text, end``; a long text in windows, beside each of
which the whole question stands. Each window says where the answer begins and where it ends, or, by its first token,
that it is not there (Devlin et al. 2018, arXiv:1810.04805, 4.2 and 4.3). The answer is the best stretch of all windows,
by the product of both probabilities within its window; where training had questions without an answer, there is none
if every window says so more surely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from myna.corpus.document import Document
from myna.corpus.sentences import stripped
from myna.errors import InputError
from myna.evaluation.metrics import answer_match
from myna.ledger import Ledger
from myna.model.flat import flatten
from myna.model.heads import FIXED_LABELS, Model
from myna.objectives.protocol import Batch, Loss, Term
from myna.tasks.examples import Example, counts
from myna.tasks.task import Item, TaskItems, encoded, framed
from myna.tasks.whole import EXAMPLE, WeighedBatch
from myna.tasks.windows import TooLong, fit_pair
from myna.tokens.encoding import Encoding
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

# Pieces of an answer at most, where no training says how long answers are.
LONGEST = 64


@dataclass(frozen=True, slots=True)
class QuestionItem(Item):
    """A window. Its first output is for no answer, the others for the pieces of the text.

    ``targets`` are ``(outputs, 2)``: one where the answer begins, one where it ends. ``starts`` and ``ends``,
    ``(outputs - 1,)``, are where the pieces stand in the text.
    """

    starts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    ends: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, eq=False)
class Answered:
    """The answer in characters of the text; ``start`` and ``end`` are equal where there is none.

    ``probabilities``, ``(2,)``, are those of the best stretch, and of no answer, each by the window that says so best.
    """

    text: str
    start: int
    end: int
    probabilities: NDArray[np.float64]

    @property
    def words(self) -> str:
        """The answer itself, empty where there is none."""
        return self.text[self.start : self.end]

    def answer(self) -> dict[str, Any]:
        """``{"answer", "start", "end", "probability"}``; of no answer ``start`` and ``end`` are null."""
        there = self.end > self.start
        place = {"start": self.start, "end": self.end} if there else {"start": None, "end": None}
        return {"answer": self.words, **place, "probability": float(self.probabilities[0 if there else 1])}


class Questions:
    """See :class:`~myna.tasks.task.Task`. An example is a text, its question as ``pair``, its answers as ``spans``."""

    head = "span"
    asks = "questions"

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        self.tokenizer, self.labels, self.room = tokenizer, tuple(labels), maximum_length - 3
        self.longest, self.may_be_none = LONGEST, False

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The document with its question and its answers, of which there may be none."""
        if document.pair is None or document.spans is None:
            return []
        where = document.id, document.source, document.group
        return [Example(document.text, *where, pair=document.pair, spans=document.spans)]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """Start and end."""
        return FIXED_LABELS["span"]

    def items(
        self, examples: Sequence[Example], too_long: TooLong = "window", ledger: Ledger | None = None
    ) -> TaskItems:
        """The windows of each text with its question."""
        ledger = Ledger() if ledger is None else ledger
        items: list[Item] = []
        found = 0
        for number, example, (text, question) in encoded(self.tokenizer, examples, both=True):
            mine = self._windows(number, example, text, question, too_long, ledger)
            items += mine
            read = any(item.targets[1:].any() for item in mine)
            found += len(example.spans or ()) if read else 0
        ledger.kept_of("beyond what is read", labels=(found, counts(examples)["labels"]))
        return TaskItems(examples, items, ledger)

    def _windows(
        self, number: int, example: Example, text: Encoding, question: Encoding, too_long: TooLong, ledger: Ledger
    ) -> list[QuestionItem]:
        if example.pair is None:
            raise InputError("this text has no question", where=example.place, remedy="give one beside it (pair)")
        items = []
        fitted = fit_pair((len(text), len(question)), self.room, too_long, example.place, ledger)
        for one, two in fitted:
            before = framed(self.tokenizer, question.ids[two.start : two.end])
            after = np.append(text.ids[one.start : one.end], self.tokenizer.end).astype(np.int64)
            starts, ends = (side[one.start : one.end].astype(np.int64) for side in (text.starts, text.ends))
            # Without a token that begins every text, the last one says that there is no answer: it has seen all.
            none = 0 if self.tokenizer.start is not None else len(before) + len(after) - 1
            items.append(
                QuestionItem(
                    number,
                    np.concatenate([before, after]),
                    _targets(example, starts, ends),
                    np.append(none, len(before) + np.arange(len(starts))),
                    len(fitted),
                    np.repeat(np.arange(2, dtype=np.int64), [len(before), len(after)]),
                    starts=starts,
                    ends=ends,
                )
            )
        return items

    def batch(self, items: Sequence[QuestionItem], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`; the count is of shares of examples."""
        shares = torch.tensor([round(EXAMPLE / item.windows) for item in items])
        tokens = flatten([item.ids for item in items], numbers, key)
        segments = torch.from_numpy(np.concatenate([item.segments for item in items if item.segments is not None]))
        places = np.cumsum([0, *(len(item.ids) for item in items)])
        rows = [item.rows + place for item, place in zip(items, places, strict=False) if item.rows is not None]
        return WeighedBatch(
            replace(tokens, segments=segments),
            torch.from_numpy(np.concatenate([item.targets for item in items])),
            {"questions": int(shares.sum())},
            torch.from_numpy(np.concatenate(rows)),
            owners=np.repeat(np.arange(len(items)), [len(item.targets) for item in items]),
            shares=shares,
        )

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Logits of start and end at the first token and at every piece of the text, ``(outputs, 2)``."""
        tokens = batch.tokens if model.config.segments > 1 else replace(batch.tokens, segments=None)
        result: Tensor = model(tokens)[batch.positions]
        return result

    def loss(self, model: Model, batch: Batch) -> Loss:
        """The mean of the cross-entropies of start and end within each window, weighed by its share of its example."""
        assert isinstance(batch, WeighedBatch)
        assert batch.shares is not None
        assert batch.owners is not None
        sizes = np.bincount(batch.owners).tolist()
        logits, targets = self.outputs(model, batch), batch.targets
        parts = zip(torch.split(logits, sizes), torch.split(targets, sizes), strict=True)
        nats = torch.stack([-(part.log_softmax(0) * right).sum() / 2 for part, right in parts])
        return Loss((Term("questions", nats @ batch.shares.to(nats.dtype), batch.counts["questions"]),))

    def modules(self) -> Mapping[str, nn.Module]:
        """Nothing beside the model."""
        return {}

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """Takes up how long answers are, in characters, and whether some questions have none."""
        self.longest = max((end - start for example in examples for start, end, _ in example.spans or ()), default=1)
        self.may_be_none = any(not example.spans for example in examples)

    def settle(self, model: Model) -> None:
        """Nothing is beside the model."""

    def remembered(self) -> dict[str, Any]:
        """How long answers are, and whether there may be none."""
        return {"longest": self.longest, "may_be_none": self.may_be_none}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """Takes that up again."""
        longest = facts.get("longest")
        self.longest = longest if isinstance(longest, int) and longest > 0 else LONGEST
        self.may_be_none = facts.get("may_be_none") is True

    def decode(self, items: TaskItems, outputs: Sequence[Tensor]) -> list[Answered]:
        """The best answer in all windows of each text."""
        best = [(-np.inf, 0, 0)] * len(items.examples)
        none = np.full(len(items.examples), np.inf)
        for item, logits in zip(items, outputs, strict=True):
            assert isinstance(item, QuestionItem)
            scores = logits.double().log_softmax(0).numpy()
            none[item.example] = min(none[item.example], scores[0].sum())
            score, first, last = best_stretch(scores[1:, 0], scores[1:, 1], self.longest)
            if score > best[item.example][0]:
                best[item.example] = score, int(item.starts[first]), int(item.ends[last])
        found = []
        for example, (score, start, end), without in zip(items.examples, best, none, strict=True):
            if self.may_be_none and without > score:
                start = end = 0
            # A piece can hold the space before it.
            start, end = stripped(example.text, start, end)
            found.append(Answered(example.text, start, max(start, end), np.exp([score, without])))
        return found

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Answered]) -> dict[str, float]:
        """``answer_f1`` (the score) and ``answer_exact``; see :func:`~myna.evaluation.metrics.answer_match`."""
        sums = answer_match([answers_of(example) for example in examples], [p.words for p in predictions]).sum(0)
        exact, overlap = (float(part / max(sums[2], 1)) for part in sums[:2])
        return {"score": overlap, "answer_f1": overlap, "answer_exact": exact}


def answers_of(example: Example) -> list[str]:
    """The answers by hand; the one empty one where there is none."""
    return [example.text[start:end] for start, end, _ in example.spans or ()] or [""]


def best_stretch(starts: NDArray[np.float64], ends: NDArray[np.float64], longest: int) -> tuple[float, int, int]:
    """The greatest sum of a start and an end that is no earlier, and where both are; up to ``longest`` pieces."""
    best = -np.inf, 0, 0
    for further in range(min(longest, len(starts))):
        sums = starts[: len(starts) - further] + ends[further:]
        place = int(sums.argmax())
        if sums[place] > best[0]:
            best = float(sums[place]), place, place + further
    return best


def _targets(example: Example, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in a window the first answer begins and ends, ``(outputs, 2)``; nowhere, where none is known."""
    targets = np.zeros((len(starts) + 1, 2), np.int64)
    if example.spans is None:
        return targets
    answer = next(iter(example.spans), None)
    inside: Sequence[int] = []
    if answer is not None:
        inside = np.flatnonzero((ends > answer.start) & (starts < answer.end)).tolist()
    first = last = 0
    if answer is not None and inside:
        # What of it lies before the window's first piece, or behind its last one; white space is in no piece.
        beyond = example.text[answer.start : starts[0]] + example.text[ends[-1] : answer.end]
        first, last = (0, 0) if beyond.strip() else (inside[0] + 1, inside[-1] + 1)
    targets[first, 0] = targets[last, 1] = 1
    return targets
