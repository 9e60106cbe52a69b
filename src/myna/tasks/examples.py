"""Labelled examples, from a corpus or from a file, and what must be true of them.

No text that was trained on is judged: an example of the validation or test split whose text also stands in an earlier
split is left out, and so is a repeat within a split. Texts are compared by :func:`~myna.corpus.dedup.fold`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myna import randomness
from myna.corpus.dedup import fingerprint
from myna.corpus.document import SPLITS, Corpus, Document, RawDocument, Span, Split
from myna.corpus.readers import SourceConfig, file_of, read
from myna.errors import InputError
from myna.ledger import Ledger

if TYPE_CHECKING:
    from myna.tasks.task import Task

# All but the words, which are most of the bytes; a task that needs them says so (``reads_words``).
_COLUMNS = ("text", "source", "group", "label", "labels", "spans", "pair", "value", "target", "messages")


@dataclass(frozen=True, slots=True)
class Example:
    """A text with its ``label``, its several ``labels``, its ``value``, the ``spans`` that are marked in it or the
    ``tags`` of its ``words``; none of them where they are asked for. ``pair`` is a second text, read beside the first.

    ``target`` is the text to be written: of the text (a summary, a translation), or where ``text`` is empty by itself.
    ``messages`` are a conversation, a (role, content) each; its last answer is what is to be written.

    ``id`` names it in messages, ``source`` is the file it comes from, ``group`` the article or thread.
    """

    text: str
    id: str
    source: str = ""
    group: str = ""
    label: str | None = None
    spans: tuple[Span, ...] | None = None
    labels: tuple[str, ...] | None = None
    pair: str | None = None
    value: float | None = None
    words: tuple[tuple[int, int], ...] | None = None
    tags: tuple[str, ...] | None = None
    target: str | None = None
    messages: tuple[tuple[str, str], ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each label in it: one, several, one for each span, or the tag of each word."""
        if self.label is not None:
            return (self.label,)
        return self.labels or self.tags or tuple(span.label for span in self.spans or ())

    @property
    def whole(self) -> str:
        """All that it says: the text, below it its pair or what is to be written."""
        return "\n".join(filter(None, (self.text, self.pair, self.target)))

    @property
    def place(self) -> str:
        """Where it stands, for errors: its file and line, where the id tells the line."""
        line = re.search(r"(?:^line |:)(\d+)(?:\.\d+)?$", self.id)
        return f"{self.source}:{line[1]}" if line else ", ".join(filter(None, (self.source, self.id)))


@dataclass(frozen=True)
class Splits:
    """The examples of a corpus, and the sorted names of their labels."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    names: tuple[str, ...]


def read_splits(corpus: Corpus, task: type[Task], ledger: Ledger) -> Splits:
    """The examples that a task finds in a corpus. The ledger tells what came in and what was left out.

    Raises an :class:`InputError` where no document has a label, where a label occurs once in training, and where a
    label of the validation or test split is unknown to training.
    """
    seen: set[bytes] = set()
    splits = {split: _read(corpus, split, task, seen, ledger) for split in SPLITS}
    _check(splits)
    names = tuple(sorted({name for example in splits["train"] for name in example.names}))
    return Splits(splits["train"], splits["validation"], splits["test"], names)


def _read(corpus: Corpus, split: Split, task: type[Task], seen: set[bytes], ledger: Ledger) -> tuple[Example, ...]:
    kept, repeats, later = [], set[bytes](), set[bytes]()
    by_source = getattr(task, "apart_by_source", False)
    columns = (*_COLUMNS, "words") if getattr(task, "reads_words", False) else _COLUMNS
    for document in corpus.documents(split, columns):
        examples = task.examples(document)
        if not examples:
            ledger.came_in(examples=1)
            ledger.dropped("without a label", examples=1)
        for example in examples:
            came = counts([example])
            ledger.came_in(**came)
            mark = fingerprint(example.whole)
            source = fingerprint(example.text) if by_source else mark
            if source in seen or mark in repeats:
                reason = "the text is in an earlier split" if source in seen else "the text is a repeat"
                ledger.dropped(f"{split}: {reason}", **came)
                continue
            repeats.add(mark)
            later.add(source)
            kept.append(example)
    seen |= later
    return tuple(kept)


def read_examples(path: Path | str, task: type[Task], source: SourceConfig | None = None) -> list[Example]:
    """The examples in a file (JSONL, CSV, TSV, Parquet, CoNLL): its rows, in their order. ``source`` names columns.

    Raises an :class:`InputError` with file and line for what cannot be read, a row without a label, an empty text.
    """
    found: list[Example] = []
    for row in read(source or SourceConfig(path=str(path))):
        file = file_of(Path(path), row)
        check_text(row, file)
        examples = task.examples(document_of(row, file))
        if not examples:
            remedy = "give a label (or tags, a value, a target, an answer) in every row"
            raise InputError("this row has no label for the model's task", where=file, line=row.line, remedy=remedy)
        found += examples
    if not found:
        raise InputError("there is no example here", where=path, remedy="give a row for each")
    return found


def check_text(row: RawDocument, file: Path) -> None:
    """Raises an :class:`InputError` for a row without a text, or with an empty one beside it."""
    for text, what in ((row.text, "text"), (row.pair, "second text"), (row.target, "target")):
        if text is not None and not text.strip():
            raise InputError(f"the {what} of this row is empty", where=file, line=row.line, remedy="take it out")


def document_of(row: RawDocument, file: Path) -> Document:
    """A row as a document of its own, named by its line."""
    name = f"line {row.line}"
    return Document(
        name,
        row.text,
        str(file),
        row.group or name,
        "test",
        row.label,
        row.labels,
        words=row.words,
        spans=row.spans,
        pair=row.pair,
        value=row.value,
        target=row.target,
        messages=row.messages,
    )


def counts(examples: Iterable[Example]) -> dict[str, int]:
    """How many examples and labels there are, for a ledger; a text to be written counts as a label."""
    each = [len(e.names) + (e.value is not None) + (e.target is not None) for e in examples]
    return {"examples": len(each), "labels": sum(each)}


def _check(splits: Mapping[Split, tuple[Example, ...]]) -> None:
    trained = Counter(name for example in splits["train"] for name in _classes(example))
    if not counts(splits["train"])["labels"]:
        remedy = (
            "name the column that holds it (label_column, target_column, messages_column), or use a format with tags"
        )
        what = "no text for training in this corpus has what this task learns: a label, a target, an answer"
        raise InputError(what, remedy=f"{remedy}, in the corpus's sources")
    if not splits["validation"]:
        remedy = "raise validation in the corpus's table, or add examples"
        raise InputError("there is no labelled text to validate with", remedy=remedy)
    for split, examples in splits.items():
        for example in examples:
            for name in _classes(example):
                if trained[name] > 1:
                    continue
                what = f"the label {name!r} occurs once in training"
                if name not in trained:
                    what = f"the label {name!r} is in the {split} split, and training never saw it"
                raise InputError(what, where=example.place, remedy="add examples of it, or take it out")


def _classes(example: Example) -> Iterable[str]:
    """The names of which there must be enough: not the plain tags of words, some of which are rare in any text."""
    if example.tags is None:
        return example.names
    return (tag[2:] for tag in example.tags if tag.startswith("B-"))


def check_count(splits: Splits, count: int | None) -> None:
    """Raises an :class:`InputError` where training has not so many examples."""
    if count is not None and count > len(splits.train):
        what = f"training has {len(splits.train):,} labelled examples, and {count:,} are asked for"
        raise InputError(what, remedy="ask for no more (training_examples, curve), or add examples")


def choose(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """``count`` of the examples, with each label in the share that it has among all, in an order that depends on their
    texts and the seed alone. A greater count holds what a smaller one does.

    Examples with the same set of labels are one stratum; every stratum is begun before any is gone on with.
    """
    strata: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for place, example in enumerate(examples):
        digest = hashlib.sha256(example.whole.encode("utf-8", "surrogatepass")).digest()
        order = randomness.key(seed, "examples", int.from_bytes(digest[:8], "little"))
        strata.setdefault(tuple(sorted(set(example.names))), []).append((order, place))
    line = [
        (rank / len(members), order, place)
        for members in strata.values()
        for rank, (order, place) in enumerate(sorted(members))
    ]
    return [examples[place] for _, _, place in sorted(line)[:count]]


def fingerprint_of(examples: Iterable[Example]) -> str:
    """A hash of the texts and labels of examples, in their order."""
    total = hashlib.sha256()
    for example in examples:
        plain: tuple[Any, ...] = (example.text, example.label, [tuple(s) for s in example.spans or ()])
        if (example.spans is None and example.label is None) or example.pair is not None:
            plain += (example.pair, example.value, example.labels, example.words, example.tags)
        if example.target is not None:
            plain += (example.target, example.messages)
        total.update(repr(plain).encode("utf-8", "surrogatepass"))
    return total.hexdigest()
