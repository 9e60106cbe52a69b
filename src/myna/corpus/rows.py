"""Rows of JSONL, CSV and TSV as documents, with labels, groups and tags by token.

A JSONL row holds a text (``{"text": …, "label": …}``) or tokens with tags (``{"tokens": […], "tags": […]}``, also
``characters`` or ``words`` for ``tokens``). Tags are BIO or BIOES; the text is the tokens joined. Rows with a text may
carry ``"spans": [{"start", "end", "label"}]`` as Myna's own predictions do.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Never, TextIO

from myna.corpus.document import RawDocument, Span, Words
from myna.corpus.encodings import numbered
from myna.corpus.sources import SourceConfig, SourceFile
from myna.corpus.words import join
from myna.errors import InputError

_TOKENS = ("tokens", "characters", "words")


class _Row:
    """One row by its columns, with the place that errors name."""

    def __init__(self, values: dict[str, Any], file: SourceFile, line: int) -> None:
        self.values, self.file, self.line = values, file, line

    def wrong(self, what: str, remedy: str | None = None) -> Never:
        raise InputError(what, where=self.file.path, line=self.line, remedy=remedy)

    def find(self, column: str, named: bool, remedy: str) -> Any:
        """A column's value; ``None`` where it has none, an error where it was named and is not there."""
        if column not in self.values and named:
            there = ", ".join(self.values) or "none"
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


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()[:40]


def _is_name(value: Any) -> bool:
    """Whether a value can name a label or a group: text of which nothing is half a surrogate pair."""
    return isinstance(value, str) and value != "" and not re.search("[\ud800-\udfff]", value)


def read_jsonl(stream: TextIO, file: SourceFile, source: SourceConfig) -> Iterator[RawDocument]:
    """A document a line; empty lines are passed over."""
    for number, line in numbered(stream):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise no_json(error, file.path, number) from None
        row = _Row(values if isinstance(values, dict) else {}, file, number)
        if not isinstance(values, dict):
            row.wrong(f"this is {_shown(values)}, not an object", 'write each line as {"text": …}')
        yield _document(row, source)


def no_json(error: ValueError | RecursionError, path: Path, line: int) -> InputError:
    """What to say of a line that is no JSON."""
    what = "it is nested too deeply" if isinstance(error, RecursionError) else "it holds too long a number"
    if isinstance(error, json.JSONDecodeError):
        what = f"{error.msg} at column {error.colno}"
    remedy = "mend the line: one object a line"
    return InputError(f"this is no JSON: {what}", where=path, line=line, remedy=remedy)


def read_csv(stream: TextIO, file: SourceFile, source: SourceConfig, delimiter: str) -> Iterator[RawDocument]:
    """A document a row below the header; quoted fields may hold line ends."""
    csv.field_size_limit(1 << 30)  # a field may be a book; the limit is the module's own, for the whole process
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    header: list[str] = []
    start = 1
    try:
        for fields in reader:
            line, start = start, reader.line_num + 1
            if not fields:
                continue
            if not header:
                header = _header(fields, file, line)
                continue
            row = _Row(dict(zip(header, fields, strict=False)), file, line)
            if len(fields) != len(header):
                row.wrong(
                    f"the header has {len(header)} fields, this row {len(fields)}",
                    'put fields that hold the separator or line ends between "quotes"',
                )
            yield _document(row, source)
    except csv.Error as error:
        remedy = 'a quote within a quoted field is written twice ("")'
        raise InputError(f"this row is broken ({error})", where=file.path, line=start, remedy=remedy) from None


def _header(fields: list[str], file: SourceFile, line: int) -> list[str]:
    header = [field.strip() for field in fields]
    for column in header:
        if header.count(column) > 1:
            raise InputError(
                f'two columns are named "{column}"', where=file.path, line=line, remedy="give each its own name"
            )
    return header


def _document(row: _Row, source: SourceConfig) -> RawDocument:
    label = (
        None if source.label else row.name(source.label_column or "label", bool(source.label_column), "label_column")
    )
    group = row.name(source.group_column or "group", bool(source.group_column), "group_column")
    labels = _labels(row, source)
    kind = next((name for name in _TOKENS if isinstance(row.values.get(name), list)), None)
    if kind is not None and ("tags" in row.values or source.text_column not in row.values):
        tokens = _strings(row, kind)
        text, starts, ends = join(tokens)
        spans = _from_tags(row, _strings(row, "tags"), kind, starts, ends) if "tags" in row.values else None
        words = Words.of(starts, ends, [""] * len(tokens))
    else:
        text = row.find(source.text_column, True, "set text_column to one of them")
        if not isinstance(text, str):
            row.wrong(f'"{source.text_column}" is {_shown(text)}, not a text', "give every row one, or take it out")
        spans, words = _spans(row, text), None
    return RawDocument(text, row.file.name, row.line, group, None, label, labels, words, spans)


def _labels(row: _Row, source: SourceConfig) -> tuple[str, ...] | None:
    column = source.labels_column or "labels"
    value = row.find(column, bool(source.labels_column), "set labels_column to one of them")
    if value is None:
        return None
    if isinstance(value, str):
        value = [part.strip() for part in value.split("|") if part.strip()]
    if not isinstance(value, list) or not all(map(_is_name, value)):
        row.wrong(f'"{column}" is {_shown(value)}, not a list of names', 'write it as ["a", "b"], in CSV as a|b')
    return tuple(dict.fromkeys(value))


def _strings(row: _Row, column: str) -> list[str]:
    value = row.values[column]
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        row.wrong(f'"{column}" is not a list of strings with something in each', 'write it as ["a", "b"]')
    return value


def _spans(row: _Row, text: str) -> tuple[Span, ...] | None:
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


def _from_tags(row: _Row, tags: list[str], kind: str, starts: list[int], ends: list[int]) -> tuple[Span, ...]:
    """Spans of BIO or BIOES tags. A span goes on only over its own label."""
    if len(tags) != len(starts):
        row.wrong(f'there are {len(starts)} "{kind}" and {len(tags)} "tags"', "give one tag a token")
    spans: list[Span] = []
    is_open = False
    for number, (tag, start, end) in enumerate(zip(tags, starts, ends, strict=True)):
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
    return tuple(spans)
