"""Rows of JSONL, CSV and TSV as documents, with labels, groups and tags by token.

A JSONL row holds a text (``{"text": …, "label": …}``) or tokens with tags (``{"tokens": […], "tags": […]}``, also
``characters`` or ``words`` for ``tokens``). Tags are BIO or BIOES; the text is the tokens joined. Rows with a text may
carry ``"spans": [{"start", "end", "label"}]`` as Myna's own predictions do, a second text (``pair``), a number
(``value``) or several labels; in columns that are named, the text to be written (``target``) or a conversation.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Never, TextIO

from myna.corpus.answers import answers
from myna.corpus.dedup import fingerprint
from myna.corpus.document import RawDocument, Span, Words
from myna.corpus.encodings import numbered
from myna.corpus.messages import messages_of
from myna.corpus.sources import SourceConfig, SourceFile
from myna.corpus.words import join
from myna.errors import InputError
from myna.ledger import Ledger

_TOKENS = ("tokens", "characters", "words")
_BIOES = re.compile(r"O|[BIES]-.+", re.DOTALL)

# The greatest number that there is; infinity and what is not a number are none.
_GREATEST = sys.float_info.max

# Is told of a row that is wrong, which is then passed over; without it the first such row is raised.
Refused = Callable[[InputError], None]


class Row:
    """One row by its columns, with the place that errors name. Repairs are noted in ``ledger``."""

    def __init__(self, values: dict[str, Any], file: SourceFile, line: int, ledger: Ledger | None = None) -> None:
        self.values, self.file, self.line, self.ledger = values, file, line, ledger or Ledger()
        self.there = tuple(values)

    def only(self, columns: Sequence[str] | None) -> None:
        """Leaves these columns alone; None: all."""
        if columns is not None:
            self.values = {column: value for column, value in self.values.items() if column in columns}

    def wrong(self, what: str, remedy: str | None = None) -> Never:
        raise InputError(what, where=self.file.path, line=self.line, remedy=remedy)

    def find(self, column: str, named: bool, remedy: str) -> Any:
        """A column's value; ``None`` where it has none, an error where it was named and is not there."""
        if column not in self.values and named:
            there = ", ".join(self.there) or "none"
            self.wrong(f'there is no column "{column}" (there are: {there})', remedy)
        return self.values.get(column)

    def name(self, column: str, named: bool, setting: str) -> str | None:
        """A label or group as a string; numbers and truth values too."""
        value = self.find(column, named, f"set {setting} to one of them")
        if value is None or (value == "" and not named):
            return None
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, int) and not _is_name(value):
            self.wrong(f'"{column}" is {_shown(value)}, not a name', "give every row its own")
        return str(value)

    def text(self, column: str, setting: str) -> str:
        """A text, which must be there."""
        value = self.find(column, True, f"set {setting} to one of them")
        if not isinstance(value, str):
            self.wrong(f'"{column}" is {_shown(value)}, not a text', "give every row one, or take it out")
        return value

    def number(self, column: str, named: bool) -> float | None:
        """A finite number; of full-width digits, which is noted. What is none is an error where it was named."""
        value = self.find(column, named, "set value_column to one of them")
        if isinstance(value, str):
            narrow = unicodedata.normalize("NFKC", value).strip()
            try:
                found = None if "_" in narrow else float(narrow)  # Python's own "1_000" is nobody's else.
            except ValueError:
                found = None
            if found is not None and narrow != value.strip():
                self.ledger.note("numbers in full-width digits read as plain ones", 1)
            value = value if found is None else found
        if isinstance(value, (int, float)) and not isinstance(value, bool) and -_GREATEST <= value <= _GREATEST:
            return float(value)
        if named:
            said = "empty" if value in (None, "") else _shown(value)
            self.wrong(f'"{column}" is {said}, not a number', "give every row a number, or take the row out")
        return None


def _shown(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace").decode()[:40]
    except (RecursionError, ValueError):  # nested too deeply, or too long a number
        return f"a {type(value).__name__}"


def _is_name(value: Any) -> bool:
    """Whether a value can name a label or a group: text of which nothing is half a surrogate pair."""
    return isinstance(value, str) and value != "" and not re.search("[\ud800-\udfff]", value)


def read_jsonl(
    stream: TextIO,
    file: SourceFile,
    source: SourceConfig,
    ledger: Ledger | None = None,
    refused: Refused | None = None,
) -> Iterator[RawDocument]:
    """A document a line; empty lines are passed over."""
    for number, line in numbered(stream):
        document = attempt(refused, _of_line, line, number, file, source, ledger) if line.strip() else None
        if document is not None:
            yield document


def _of_line(line: str, number: int, file: SourceFile, source: SourceConfig, ledger: Ledger | None) -> RawDocument:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise no_json(error, file.path, number) from None
    row = Row(values if isinstance(values, dict) else {}, file, number, ledger)
    if not isinstance(values, dict):
        row.wrong(f"this is {_shown(values)}, not an object", 'write each line as {"text": …}')
    return document_of(row, source)


def no_json(error: ValueError | RecursionError, path: Path, line: int) -> InputError:
    """What to say of a line that is no JSON."""
    what = "it is nested too deeply" if isinstance(error, RecursionError) else "it holds too long a number"
    if isinstance(error, json.JSONDecodeError):
        what = f"{error.msg} at column {error.colno}"
    remedy = "mend the line: one object a line"
    return InputError(f"this is no JSON: {what}", where=path, line=line, remedy=remedy)


def read_csv(
    stream: TextIO,
    file: SourceFile,
    source: SourceConfig,
    delimiter: str,
    ledger: Ledger | None = None,
    refused: Refused | None = None,
) -> Iterator[RawDocument]:
    """A document a row below the header; quoted fields may hold line ends."""
    csv.field_size_limit(1 << 30)  # a field may be a book; the limit is the module's own, for the whole process
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    header: list[str] = []
    start = 1
    while True:
        line = start
        try:
            fields = next(reader, None)
        except csv.Error as error:
            start = reader.line_num + 1
            if refused is None:
                raise broken(error, file.path, line) from None
            refused(broken(error, file.path, line))
            continue
        if fields is None:
            return
        start = reader.line_num + 1
        if fields and not header:
            header = _header(fields, file, line)
        elif fields:
            document = attempt(refused, _of_fields, header, fields, line, file, source, ledger)
            if document is not None:
                yield document


def _of_fields(
    header: list[str], fields: list[str], line: int, file: SourceFile, source: SourceConfig, ledger: Ledger | None
) -> RawDocument:
    row = Row(dict(zip(header, fields, strict=False)), file, line, ledger)
    if len(fields) != len(header):
        row.wrong(
            f"the header has {len(header)} fields, this row {len(fields)}",
            'put fields that hold the separator or line ends between "quotes"',
        )
    return document_of(row, source)


def broken(error: csv.Error, path: Path, line: int) -> InputError:
    """What to say of a row that is no CSV."""
    remedy = 'a quote within a quoted field is written twice ("")'
    return InputError(f"this row is broken ({error})", where=path, line=line, remedy=remedy)


def attempt(refused: Refused | None, make: Callable[..., RawDocument], *arguments: Any) -> RawDocument | None:
    """The document that ``make`` gives; None for a row that is wrong, where ``refused`` is told of it."""
    try:
        return make(*arguments)
    except InputError as error:
        if refused is None:
            raise
        refused(error)
        return None


def _header(fields: list[str], file: SourceFile, line: int) -> list[str]:
    header = [field.strip() for field in fields]
    for column in header:
        if header.count(column) > 1:
            raise InputError(
                f'two columns are named "{column}"', where=file.path, line=line, remedy="give each its own name"
            )
    return header


def document_of(row: Row, source: SourceConfig) -> RawDocument:
    """What a row holds, by the columns that ``source`` names; an :class:`InputError` for what cannot be that."""
    row.only(source.columns)
    label = value = None
    if source.label is None and source.value_column != (source.label_column or "label"):
        label = row.name(source.label_column or "label", bool(source.label_column), "label_column")
    if label is None or source.value_column:
        value = row.number(source.value_column or "value", bool(source.value_column))
    group = row.name(source.group_column or "group", bool(source.group_column), "group_column")
    labels = _labels(row, source)
    pair = row.values.get("pair") if source.pair_column is None else row.text(source.pair_column, "pair_column")
    if source.messages_column is not None:
        messages = messages_of(row.find(source.messages_column, True, "set messages_column to one of them"), row.wrong)
        text = "\n".join(message.content for message in messages)
        return RawDocument(text, row.file.name, row.line, group=group, label=label, messages=messages)
    kind = _tokens_column(row, source)
    if kind is not None:
        tokens = strings(row, kind)
        tags_column = source.tags_column or "tags"
        named = source.tags_column is not None
        tags = strings(row, tags_column) if named or tags_column in row.values else None
        return tagged_document(row, kind, tokens, tags, source, group=group, label=label, labels=labels, value=value)
    text = row.text(source.text_column, "text_column")
    spans = _spans(row, text)
    if source.answer_column is not None:
        spans = answers(row, text, source.answer_column)
        if group is None and source.split is None:
            group = fingerprint(text).hex()  # Of questions about one text, none is judged where another is learned.
    return RawDocument(
        text=text,
        source=row.file.name,
        line=row.line,
        group=group,
        label=label,
        labels=labels,
        spans=spans,
        pair=pair if isinstance(pair, str) else None,
        value=value,
        target=None if source.target_column is None else row.text(source.target_column, "target_column"),
    )


def tagged_document(
    row: Row,
    kind: str,
    tokens: list[str],
    tags: list[str] | None,
    source: SourceConfig,
    lines: Sequence[int] = (),
    **what: Any,
) -> RawDocument:
    """A document of tokens, joined to its text, with a tag for each: those of spans as BIO.

    ``lines`` are those of the tokens, where each has its own.
    """
    text, starts, ends = join(tokens)
    spans = None
    if tags is not None and len(tags) != len(tokens):
        row.wrong(f'there are {len(tokens)} "{kind}" and {len(tags)} "tags"', "give one tag a token")
    if tags is not None and source.tags == "spans":
        spans, tags = _from_tags(row, tags, starts, ends, lines or [row.line] * len(tags))
    words = Words.of(starts, ends, tags or [""] * len(tokens))
    return RawDocument(text, row.file.name, row.line, words=words, spans=spans, **what)


def bioes(tags: list[str]) -> bool:
    """Whether tags have the form of BIO or BIOES."""
    return all(map(_BIOES.fullmatch, tags))


def _tokens_column(row: Row, source: SourceConfig) -> str | None:
    """The column of tokens, where the row is one of tokens."""
    if source.tokens_column is not None:
        row.find(source.tokens_column, True, "set tokens_column to one of them")
        return source.tokens_column
    kind = next((name for name in _TOKENS if isinstance(row.values.get(name), list)), None)
    tagged = (source.tags_column or "tags") in row.values
    return kind if tagged or source.text_column not in row.values else None


def _labels(row: Row, source: SourceConfig) -> tuple[str, ...] | None:
    column = source.labels_column or "labels"
    if source.labels_column is None and column in (source.label_column, source.value_column, source.tags_column):
        return None  # It is named as something else.
    value = row.find(column, bool(source.labels_column), "set labels_column to one of them")
    if value is None:
        return None
    if isinstance(value, str):
        value = [part.strip() for part in value.split("|") if part.strip()]
    if not isinstance(value, list) or not all(map(_is_name, value)):
        row.wrong(f'"{column}" is {_shown(value)}, not a list of names', 'write it as ["a", "b"], in CSV as a|b')
    return tuple(dict.fromkeys(value))


def strings(row: Row, column: str) -> list[str]:
    """A list of strings, none empty; a string is one that spaces cut."""
    value = row.find(column, True, "name the column that holds them")
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        row.wrong(f'"{column}" is not a list of strings with something in each', 'write it as ["a", "b"]')
    return value


def _spans(row: Row, text: str) -> tuple[Span, ...] | None:
    value = row.values.get("spans")
    if value is None:
        return None
    if not isinstance(value, list):
        row.wrong(f'"spans" is {_shown(value)}, not a list', 'write [{"start": 0, "end": 2, "label": "PER"}]')
    spans = []
    for item in value:
        match item:
            case {"start": int(start), "end": int(end), "label": str(label)} if 0 <= start < end <= len(
                text
            ) and _is_name(label):
                spans.append(Span(start, end, label))
            case _:
                row.wrong(
                    f"{_shown(item)} is no span of this text", "give start < end, both within the text's characters"
                )
    spans.sort()
    if any(a.end > b.start for a, b in pairwise(spans)):
        row.wrong("two spans overlap", "keep one of them")
    return tuple(spans)


def _from_tags(
    row: Row, tags: list[str], starts: list[int], ends: list[int], lines: Sequence[int]
) -> tuple[tuple[Span, ...], list[str]]:
    """Spans of BIO or BIOES tags, and the tags as BIO. A span goes on only over its own label."""
    spans: list[Span] = []
    plain: list[str] = []
    is_open = False
    first = row.line
    for number, (tag, start, end, line) in enumerate(zip(tags, starts, ends, lines, strict=True)):
        row.line = line  # for what is wrong with it
        mark, _, label = tag.partition("-")
        if tag != "O" and (mark not in ("B", "I", "E", "S") or not _is_name(label)):
            row.wrong(f"the tag {_shown(tag)} is not known", "tags are O, B-NAME, I-NAME (and E-NAME, S-NAME)")
        if tag == "O":
            is_open = False
        elif mark in "BS":
            spans.append(Span(start, end, label))
            is_open = mark == "B"
        else:
            if not is_open or spans[-1].label != label:
                row.wrong(f"the tag {_shown(tag)} (token {number + 1}) goes on with nothing", f'begin with "B-{label}"')
            spans[-1] = Span(spans[-1].start, end, label)
            is_open = mark == "I"
        row.line = first
        plain.append("O" if tag == "O" else f"{'B' if mark in 'BS' else 'I'}-{label}")
    return tuple(spans), plain
