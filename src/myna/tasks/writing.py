"""The tasks whose answer is a text: a summary, a translation, what goes on from a beginning.

An encoder-decoder reads the source and writes the target: a long source is read in windows, all of which the decoder
sees (arXiv:2007.01282). A decoder reads ``start, the source, end`` and goes on with ``the target, end``; what has no
room in its window is left out, and counted. The loss is on the target alone, and every token of it counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from myna import files
from myna.corpus.document import Document
from myna.errors import InputError
from myna.inference.generate import Beams, Sampling, write_all
from myna.inference.manner import Manner
from myna.inference.rows import Limits
from myna.ledger import Ledger
from myna.model.config import ModelConfig
from myna.model.heads import LanguageHead, Model
from myna.model.transformer import EncoderDecoder
from myna.objectives.copying import copies, mixed_cross_entropy, mixed_nats
from myna.objectives.language import rows_of_table
from myna.objectives.losses import linear_cross_entropy, target_nats
from myna.objectives.protocol import Batch, Loss, Term
from myna.tasks.examples import Example, counts
from myna.tasks.passages import Fitting, Ids, Passage, Passages, batch_of
from myna.tasks.task import portions
from myna.tasks.windows import TooLong
from myna.tokens.encoding import encode
from myna.tokens.sampler import micro_batches
from myna.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

# What is written where nobody has said how much: until training has shown how long a target is.
_NEW_TOKENS = 100
# Texts that are written at a time.
_ROWS = 64


@dataclass(frozen=True)
class Written:
    """The ``text`` that a model wrote, how many ``tokens`` it took, and why it ended: ``stop`` or ``length``.

    ``unread`` tokens of what it should have read had no room in its window. Where the text that was to be written is
    known, its ``targets`` tokens had a cross-entropy of ``nats``; where it had no room in the window, it is ``cut``,
    and these are of its beginning alone.
    """

    text: str
    tokens: int
    finish: str
    unread: int = 0
    nats: float = 0.0
    targets: int = 0
    cut: bool = False

    def answer(self) -> dict[str, Any]:
        """The prediction as a user reads it: plain values for JSON."""
        plain = {"text": self.text, "tokens": self.tokens, "finish": self.finish}
        return plain | {"unread": self.unread} if self.unread else plain


class Writing:
    """The parts of a :class:`~myna.tasks.task.Task` that all share which write a text; itself a source and a target.

    ``apart_by_source``: what is judged has another source than all that is trained on, whatever the target.
    """

    head = "language"
    labels: tuple[str, ...] = ()
    reads = "sources"
    name = "writing"
    apart_by_source = True

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str], maximum_length: int) -> None:
        self.tokenizer, self.maximum_length = tokenizer, maximum_length
        self.two_stacks, self.beams, self.smoothing = False, 1, 0.0
        self.new_tokens: int | None = None
        self.longest = 0
        self.start = decoder_start(tokenizer)

    @property
    def goes_on(self) -> bool:
        """Whether what is written goes on from the prompt of ``generate``."""
        return False

    @classmethod
    def examples(cls, document: Document) -> list[Example]:
        """The text with its target."""
        if document.target is None:
            return []
        return [example_of(document, document.text, document.target)]

    @classmethod
    def labels_of(cls, names: Iterable[str]) -> tuple[str, ...]:
        """None: what is written has no labels."""
        return ()

    # ------------------------------------------------------------------------------------------- what is read

    def arranged(self, examples: Sequence[Example]) -> list[Example]:
        """The examples as this model is asked them: one may become several."""
        return list(examples)

    def items(
        self, examples: Sequence[Example], too_long: TooLong = "window", ledger: Ledger | None = None
    ) -> Passages:
        """The passages of examples, whose targets are known or not; ``examples`` of it are the arranged ones."""
        ledger, arranged = Ledger() if ledger is None else ledger, self.arranged(examples)
        more = {unit: count - counts(examples)[unit] for unit, count in counts(arranged).items()}
        ledger.added("the other direction", **more)
        passages: list[Passage] = []
        fitting = Fitting(self.tokenizer, self.maximum_length, too_long, ledger)
        for start, some in portions(arranged):
            passages += self._passages(some, start, fitting)
        self.longest = max([self.longest, *(len(passage.target) for passage in passages)])
        return Passages(arranged, passages, ledger)

    def _passages(self, examples: Sequence[Example], first: int, fitting: Fitting) -> list[Passage]:
        sources = encode(self.tokenizer, [example.text for example in examples])
        targets = encode(self.tokenizer, [example.target or "" for example in examples])
        found = []
        for number, (example, source, written) in enumerate(zip(examples, sources, targets, strict=True), first):
            target = None if example.target is None else written.ids
            if self.two_stacks:
                found += fitting.for_encoder(number, example, source.ids, target)
            else:
                found += fitting.for_decoder(number, example, source.ids, target, self._most())
        return found

    def _most(self) -> int:
        """The most tokens that are written."""
        return self.new_tokens or self.longest or _NEW_TOKENS

    # --------------------------------------------------------------------------------------------- its loss

    def batch(self, items: Sequence[Passage], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`; the count is of the tokens to be written."""
        return batch_of(self.name, items, numbers, key, self.start if self.two_stacks else None)

    def loss(self, model: Model, batch: Batch) -> Loss:
        """The cross-entropy of the tokens to be written, in nats."""
        rows, head, mixture = self._rows(model, batch)
        if mixture is None:
            total = linear_cross_entropy(rows, head.weight, head.bias, batch.targets, self.smoothing)
        else:
            total = mixed_cross_entropy(rows, head.weight, head.bias, batch.targets, *mixture)
        return Loss((Term(self.name, total, batch.counts[self.name]),))

    def _rows(self, model: Model, batch: Batch) -> tuple[Tensor, LanguageHead, tuple[Tensor, Tensor] | None]:
        """What the output matrix is multiplied with, ``(targets, width)``; with a pointer what it says of each."""
        assert isinstance(model.head, LanguageHead)
        with rows_of_table(model):
            if model.pointer is None or batch.target is None:
                both = (batch.tokens,) if batch.target is None else (batch.tokens, batch.target)
                hidden = model.trunk(*both)
                rows = hidden if batch.positions is None else hidden[batch.positions]
                return model.head.features(rows), model.head, None
            assert isinstance(model.trunk, EncoderDecoder)
            memory = model.trunk.read(batch.tokens)
            hidden = model.trunk.decoder(batch.target, None, memory)
        mixture = copies(model.pointer, hidden, batch.targets, batch.target.runs, memory)
        return model.head.features(hidden), model.head, mixture

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """The logits of every token to be written, ``(targets, vocabulary)``, whole: for looking at few."""
        if batch.target is not None:
            result: Tensor = model(batch.tokens, batch.target)
            return result
        logits: Tensor = model(batch.tokens)
        return logits[batch.positions]

    def modules(self) -> Mapping[str, nn.Module]:
        """Nothing beside the model."""
        return {}

    # --------------------------------------------------------------------------------------- what it writes

    def costs(self, model: Model, items: Passages, batch_tokens: int) -> NDArray[np.float64]:
        """The cross-entropy in nats of what was to be written of each example, and its tokens: ``(examples, 2)``."""
        totals = np.zeros((len(items.examples), 2))
        known = np.array([number for number in range(len(items)) if len(items[number].target)], np.int64)
        with torch.inference_mode():
            for places in micro_batches(items.lengths[known], batch_tokens) if len(known) else ():
                chosen = known[places]
                batch = self.batch([items[i] for i in chosen], chosen, None)
                rows, head, mixture = self._rows(model, batch)
                if mixture is None:
                    nats = target_nats(rows, head.weight, head.bias, batch.targets)
                else:
                    nats = mixed_nats(rows, head.weight, head.bias, batch.targets, *mixture)
                owners = np.array([items[i].example for i in chosen])[batch.owners]
                np.add.at(totals[:, 0], owners, nats.double().numpy())
                np.add.at(totals[:, 1], owners, 1)
        return totals

    def validate(self, model: Model, items: Passages, batch_tokens: int) -> dict[str, float]:
        """The cross-entropy of a token to be written, in nats; nothing is written, which takes long."""
        nats, tokens = self.costs(model, items, batch_tokens).sum(0)
        return _figures(nats, tokens)

    def write(self, model: Model, items: Passages, batch_tokens: int) -> list[Written]:
        """What the model writes of each example, at most as many tokens as was set, or as a target of training has.

        Texts of about equal length are written together, each as it would be alone.
        """
        asked = self.asked(items)
        costs = self.costs(model, items, batch_tokens)
        limits = Limits(self._most(), self.manner(), self._allowed(model))
        choice = Sampling(temperature=0) if self.beams == 1 else Beams(self.beams)
        lines: list[list[int]] = [[] for _ in asked]
        sizes = np.array([passage.source.size for passage in asked], np.int64)
        for places in micro_batches(sizes, batch_tokens):
            for few in np.split(places, range(_ROWS, len(places), _ROWS)):
                written = write_all(model, [asked[i].source for i in few], limits, choice, 1)
                for i, (line,) in zip(few, written, strict=True):
                    lines[i] = line
        ends = limits.manner.ends
        passages = [items[number] for number in range(len(items))]
        whole = {passage.example for passage in passages if len(passage.target) and passage.target[-1] in ends}
        return [
            Written(
                self._text(passage, line[:-1] if line[-1] in ends else line),
                len(line),
                "stop" if line[-1] in ends else "length",
                passage.unread,
                float(nats),
                int(count),
                cut=count > 0 and passage.example not in whole,
            )
            for passage, line, (nats, count) in zip(asked, lines, costs, strict=True)
        ]

    def asked(self, items: Passages) -> list[Passage]:
        """What is read of each example before it is written, one passage for each, as if no target were known."""
        asked = [replace(example, target=None) for example in items.examples]
        return self._passages(asked, 0, Fitting(self.tokenizer, self.maximum_length, "window", Ledger()))

    @property
    def begin(self) -> int:
        """The id that a text of a decoder begins with."""
        return self.tokenizer.end if self.tokenizer.start is None else self.tokenizer.start

    def manner(self) -> Manner:
        """How texts of the model begin and end."""
        return Manner((self.tokenizer.end,), start=self.start, read=self.prompts, goes_on=self.goes_on)

    def prompts(self, texts: Sequence[str]) -> list[Ids]:
        """What is read of texts that ``generate`` is given, as examples are."""
        items = self.items([Example(text, f"prompt {number}") for number, text in enumerate(texts, 1)])
        asked = self.asked(items)
        for text, passage in zip(texts, asked, strict=True):
            if passage.unread:
                what = f"the prompt {text[:20]!r} … has {passage.unread} tokens more than the model reads"
                raise InputError(what, remedy="shorten it")
        return [passage.source for passage in asked]

    def _allowed(self, model: Model) -> Tensor:
        """Ids that may be written: text, and what ends it."""
        allowed = torch.zeros(model.config.vocabulary_size, dtype=torch.bool)
        allowed[: self.tokenizer.vocabulary_size] = True
        allowed[[id for id in self.tokenizer.special_ids if id not in self.manner().ends]] = False
        return allowed

    def _text(self, passage: Passage, line: Sequence[int]) -> str:
        return self.tokenizer.decode(line).rstrip("\ufffd").strip()

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Written]) -> dict[str, float]:
        """The cross-entropy of a token, and the share of texts that are written exactly."""
        nats, tokens = (sum(getattr(each, name) for each in predictions) for name in ("nats", "targets"))
        same = sum(said.text == (example.target or "") for example, said in zip(examples, predictions, strict=True))
        return {**_figures(nats, tokens), "exact_match": same / max(1, len(examples))}

    # ------------------------------------------------------------------------------------------ its options

    def adjust(self, config: FinetuneConfig, examples: Sequence[Example], model: Model) -> None:
        """See :class:`~myna.tasks.task.Adjustable`."""
        self.take_up(config, examples, model.config)

    def take_up(self, config: FinetuneConfig, examples: Sequence[Example], described: ModelConfig) -> None:
        """:meth:`adjust` for a model of which the description is enough."""
        if described.pointer and config.label_smoothing:
            raise InputError("label_smoothing does not go with a pointer", remedy="leave one of the two out")
        self.two_stacks, self.smoothing = bool(described.decoder_layers), config.label_smoothing
        self.beams, self.new_tokens = config.beams or 1, config.new_tokens
        if self.two_stacks and self.start is None:
            what = "nothing says what a text of the decoder begins with"
            raise InputError(what, where=self.tokenizer.folder, remedy="name bos_token in tokenizer_config.json")

    def settle(self, model: Model) -> None:
        """See :class:`~myna.tasks.task.Adjustable`."""

    def remembered(self) -> dict[str, Any]:
        """See :class:`~myna.tasks.task.Adjustable`."""
        names = ("two_stacks", "beams", "start")
        return {**{name: getattr(self, name) for name in names}, "new_tokens": self._most()}

    def recall(self, facts: Mapping[str, Any]) -> None:
        """See :class:`~myna.tasks.task.Adjustable`."""
        for name in self.remembered():
            if name in facts:
                setattr(self, name, facts[name])


class Summarization(Writing):
    """A text and its summary."""

    name = "summarization"


def example_of(document: Document, text: str, target: str | None, **what: Any) -> Example:
    """A document as an example to be written."""
    return Example(text, document.id, document.source, document.group, target=target, **what)


def decoder_start(tokenizer: Tokenizer) -> int | None:
    """The id that texts of an encoder-decoder begin with: as its folder says, else that of all texts."""
    path: Path = tokenizer.folder / "config.json"
    told = files.read_object(path).get("decoder_start_token_id") if path.is_file() else None
    return told if isinstance(told, int) else tokenizer.pad if tokenizer.start is None else tokenizer.start


def _figures(nats: float, tokens: float) -> dict[str, float]:
    mean = float(nats / max(1, tokens))
    return {"nats_per_token": mean, "score": -mean}
