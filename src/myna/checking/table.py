"""A table of examples read whole, whatever is wrong with its rows: what is right is kept, what is wrong is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from myna.composing import FIELDS, columns_of, names_of, source_of
from myna.corpus.cleaning import INVISIBLE
from myna.corpus.document import RawDocument, Split
from myna.corpus.guessing import as_tables, sample_of
from myna.corpus.prepare import CorpusConfig
from myna.corpus.readers import file_of, read_file
from myna.corpus.sources import SourceConfig
from myna.errors import InputError
from myna.evaluation.baselines import HAN
from myna.recipe_errors import near
from myna.splitting import Row, fates_of

from .findings import Findings, beginning

# Texts of more characters together are not held: what needs them looks at the first ones, and says so.
CHARACTERS_HELD = 20_000_000
_PAIRS = ("pair", "sentence2", "hypothesis", "question2", "text_pair", "text2", "text_b")
_VALUES = ("value", "score", "rating", "stars", "similarity")


@dataclass(slots=True)
class Entry:
    """A row that can be read: where it stands, its split, and its ``document`` as long as there is room to hold it."""

    row: Row
    split: Split | None
    length: int
    tokens: int
    text: str
    document: RawDocument | None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its labels, each time that they occur."""
        return self.row.names

    @property
    def place(self) -> str:
        """``FILE:LINE``."""
        return f"{self.row.file}:{self.row.line}"


@dataclass
class Table:
    """What was read: the task, its fields, how it was read, and every row that could be."""

    task: str
    real_task: str
    fields: tuple[str, ...]
    said: list[str]
    given: bool
    entries: list[Entry] = field(default_factory=list)
    bad: int = 0

    @property
    def held(self) -> list[Entry]:
        """The entries whose documents are held, without copies of one text."""
        seen: set[bytes] = set()
        found = []
        for entry in self.entries:
            if entry.document is not None and entry.row.candidate.key not in seen:
                seen.add(entry.row.candidate.key)
                found.append(entry)
        return found


def read_table(task: str | None, paths: Mapping[Split, Path], changes: Sequence[str], findings: Findings) -> Table:
    """Reads all rows of all files. What is wrong with one is added to ``findings``.

    Raises an :class:`InputError` for what cannot be checked at all: no such file, no table, no column for a field.
    """
    if task is not None and task not in FIELDS:
        remedy = near(task, FIELDS) or f"choose one of {', '.join(FIELDS)}"
        raise InputError(f"there is no task {task!r} for this command", where="--task", remedy=remedy)
    for path in paths.values():
        if not path.exists():
            raise InputError("there is no such file or folder", where=path)
    columns, rest = columns_of(changes)
    if rest:
        what = f"{rest[0][0].partition('=')[0]} says nothing of how files are read"
        raise InputError(what, where="--set", remedy="name a column, as text_column=review, or an encoding")
    train, said = paths["train"], []
    if task is None:
        task = likely_task(train, columns)
        said.append(f"taken for {task} by its columns (--task says another)")
    source, fields, real_task = source_of(task, train, columns, said, lenient=True)
    table = Table(task, real_task, fields, said, len(paths) > 1)
    room = CHARACTERS_HELD
    for split, path in paths.items():
        forced = split if len(paths) > 1 and split != "train" else None
        one = source.model_copy(update={"path": str(path.absolute()), "split": forced})
        room = _read(one, path, table, findings, room)
    _put_into_splits(table, source, findings)
    return table


def likely_task(train: Path, columns: Mapping[str, str]) -> str:
    """The task that a table is for, by its columns."""
    source = SourceConfig(path=str(train))
    if {file.format for file in as_tables(source)} == {"conll"}:
        return "tagging"
    sample, _ = sample_of(source, 200, lenient=True)
    there: dict[str, Any] = {}
    for row in sample:
        there |= {column: value for column, value in row.items() if value not in (None, "") and column}
    if any(isinstance(there.get(name), list) for name in ("tokens", "words", "characters", "spans")):
        return "tagging"
    if "pair_column" in columns or there.keys() & set(_PAIRS):
        return "pairs"
    if any(isinstance(value, list) for name, value in there.items() if name in ("labels", "tags", "topics", "label")):
        return "multilabel"
    numbers = "value_column" in columns or any(_is_number(there[name]) for name in there.keys() & set(_VALUES))
    return "regression" if numbers and "label" not in there and "label_column" not in columns else "classification"


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and float(value) == float(value)
    except (TypeError, ValueError, OverflowError):
        return False


def _read(source: SourceConfig, path: Path, table: Table, findings: Findings, room: int) -> int:
    """Adds the rows of a file or folder; gives how many more characters can be held."""
    before = findings.counts.total()
    for file in as_tables(source):
        try:
            for document in read_file(file, source, refused=findings.refused):
                entry = _entry(document, path, table.fields, findings)
                if entry is not None:
                    room -= entry.length
                    entry.document = document if room >= 0 else None
                    table.entries.append(entry)
        except InputError as error:
            findings.refused(error)
    table.bad += findings.counts.total() - before
    return room


def _entry(document: RawDocument, path: Path, fields: Sequence[str], findings: Findings) -> Entry | None:
    """The row as it is kept; None, and a finding, for one that nothing can be learned from."""
    file, whole = file_of(path, document), document.text + (document.pair or "")
    broken = [character for character in whole if "\udc80" <= character <= "\udcff" or character == "\0"]
    if broken:
        what = "a zero byte" if broken[0] == "\0" else f"the byte 0x{ord(broken[0]) - 0xDC00:02x} is not UTF-8"
        findings.add(
            "encoding", f"{what} in this row", "save the row as UTF-8, or take it out", file, document.line, whole
        )
        return None
    for text, what in ((document.text, "text"), (document.pair, "second text")):
        if text is not None and not INVISIBLE.sub("", text).strip():
            findings.add("empty", f"the {what} of this row is empty", "take the row out", file, document.line)
            return None
    names = names_of(document, fields)
    if names is None:
        what = f"this row has no {' and '.join(fields[1:])}"
        findings.add("unlabelled", what, "give it one, or take it out", file, document.line, document.text)
        return None
    row = Row.of(document, names, file)
    return Entry(row, row.candidate.forced, len(whole), about_tokens(whole), beginning(document.text), None)


def about_tokens(text: str) -> int:
    """About how many tokens a text has: one for each Han character, one for four others."""
    chinese = 0 if text.isascii() else len(HAN.findall(text))
    return chinese + (len(text) - chinese + 3) // 4


def _put_into_splits(table: Table, source: SourceConfig, findings: Findings) -> None:
    """Gives each entry the split that ``myna finetune`` would give it."""
    if not table.entries:
        return
    if table.given:
        for entry in table.entries:
            entry.split = entry.split or "train"
        return
    config = CorpusConfig(sources=[source], noise=1.0, stratify=True)
    try:
        fates = fates_of([entry.row for entry in table.entries], config)
    except InputError as error:
        findings.add("file", error.what, "give more examples", table.entries[0].row.file)
        fates = ["train"] * len(table.entries)
    for entry, fate in zip(table.entries, fates, strict=True):
        entry.split = fate
