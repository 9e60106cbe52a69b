"""Which columns of a table hold what a task needs, where nobody has said so.

A column is taken by its usual name; else the text is the column with the longest texts, and the label the one with the
fewest values where these are few. What was taken without being named is told.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from myna.corpus.encodings import numbered, open_text
from myna.corpus.rows import bioes, broken, no_json
from myna.corpus.sources import SourceConfig, SourceFile, source_files
from myna.errors import InputError

# Fewer classes than this and each seen twice: a column that is a label.
MOST_CLASSES = 50
SAMPLE_ROWS = 2_000
# Usual names of columns, the first that is there is taken.
_NAMES = {
    "text": (
        *(
            "text",
            "context",
            "sentence",
            "content",
            "review",
            "comment",
            "sentence1",
            "premise",
            "question1",
            "query",
            "anchor",
            "text_a",
        ),
        *("text1", "title", "文本", "句子", "内容", "评论", "正文", "文本1", "句子1"),
    ),
    "pair": (
        "pair",
        "text_pair",
        "sentence2",
        "hypothesis",
        "question2",
        "question",
        "text_b",
        "positive",
        "text2",
        "second",
        "文本2",
        "句子2",
        "问题",
    ),
    "answer": ("answer", "answers", "answer_text", "答案", "回答"),
    "label": ("label", "class", "category", "sentiment", "labels", "target", "gold_label", "标签", "类别", "情感"),
    "labels": ("labels", "tags", "categories", "topics", "classes", "label", "标签", "类别"),
    "value": ("value", "score", "rating", "stars", "similarity", "target", "label", "分数", "评分", "得分"),
    "tokens": ("tokens", "words", "characters"),
    "tags": ("tags", "ner_tags", "pos_tags", "upos", "labels", "pos", "ner"),
}


def guess_columns(
    source: SourceConfig,
    fields: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
    where: Path,
    remedy: str = "name it with --set {field}_column=COLUMN",
) -> tuple[SourceConfig, dict[str, str]]:
    """The source with a column for each field (``text``, ``label``, …), and those taken that have another name.

    ``sample`` are rows of the table. A field without a column is an :class:`InputError` that names the columns there,
    and the ``remedy``.
    """
    there = list(dict.fromkeys(column for row in sample for column in row if column))
    taken: dict[str, str] = {}
    for field in fields:
        setting = f"{field}_column"
        if setting in source.model_fields_set:
            taken[field] = getattr(source, setting)
            continue
        # What is a label by its name is no text.
        others = () if field == "label" else {name for other in fields[1:] if other != field for name in _NAMES[other]}
        free = [column for column in there if column not in taken.values()]
        found = next((name for name in _NAMES[field] if name in free), None)
        if found is None and field in ("text", "pair"):
            found = longest_texts(sample, [column for column in free if column not in others])
        if found is None and field == "label":
            found = fewest_values(sample, free)
        if found is None:
            what = f"there is no column for the {field} (there are: {', '.join(there) or 'none'})"
            raise InputError(what, where=where, remedy=remedy.format(field=field))
        taken[field] = found
    said = {field: column for field, column in taken.items() if column != field}
    settings = {f"{field}_column": column for field, column in taken.items()}
    return source.model_copy(update=settings), said


# Of tasks that write: usual names of what is read, and of what is written.
_SIDES = {
    "summarization": (
        ("source", "text", "document", "article", "content", "body", "原文", "正文", "文本", "内容"),
        ("target", "summary", "abstract", "highlights", "headline", "title", "摘要", "标题"),
    ),
    "translation": (("source", "src", "text", "原文"), ("target", "tgt", "translation", "译文")),
    "generation": (("source", "prompt"), ("target", "completion", "response")),
}
_SIDES["extraction"] = _SIDES["summarization"]
_MESSAGES = ("messages", "conversations", "conversation", "对话")
_ALONE = ("text", "content", "body", "正文", "文本", "内容")


def guess_sides(
    source: SourceConfig, task: str, sample: Sequence[Mapping[str, Any]], where: Path
) -> tuple[SourceConfig, tuple[str, ...], dict[str, str]]:
    """The source with the columns of a task that writes, the fields that are there, and those taken by another name.

    Fields are ``text`` and ``target``, or ``messages``; of ``generation``, where no column has the name of what is
    written of a source, ``text`` alone. A field without a column is an :class:`InputError`.
    """
    there = list(dict.fromkeys(column for row in sample for column in row if column))
    names: dict[str, Sequence[str]] = {"messages": _MESSAGES}
    if task != "instructions":
        names = dict(zip(("text", "target"), _SIDES[task], strict=True))
    found: dict[str, str] = {}
    for field, usual in names.items():
        setting = f"{field}_column"
        free = [column for column in there if column not in found.values()]
        if setting in source.model_fields_set:
            found[field] = getattr(source, setting)
        elif (column := next((name for name in usual if name in free), None)) is not None:
            found[field] = column
    if task == "generation" and "target" not in found:
        alone = next((name for name in _ALONE if name in there), None) or longest_texts(sample, there)
        names, found = {"text": _ALONE}, {"text": alone} if alone and "text" not in found else found
    missing = next((field for field in names if field not in found), None)
    if missing is not None:
        what = f"there is no column for the {missing} (there are: {', '.join(there) or 'none'})"
        raise InputError(what, where=where, remedy=f"name it with --set {missing}_column=COLUMN")
    plain = {"text": ("text", "source"), "target": ("target",), "messages": ("messages",)}
    said = {field: column for field, column in found.items() if column not in plain[field]}
    return source.model_copy(update={f"{f}_column": c for f, c in found.items()}), tuple(names), said


def guess_source(source: SourceConfig, reads: str) -> SourceConfig:
    """The source with its column of conversations, where ``reads`` is ``messages``, or of what is to be read."""
    sample, _ = sample_of(source, 100)
    there = {column for row in sample for column in row}
    messages = next((name for name in _MESSAGES if name in there), None)
    if reads == "messages" and messages is not None:
        return source.model_copy(update={"messages_column": messages})
    usual = dict.fromkeys(name for sides in _SIDES.values() for name in sides[0])
    return source.model_copy(update={"text_column": next((name for name in usual if name in there), "text")})


def about_columns(others: Mapping[str, str]) -> list[str]:
    """A line on the columns that were taken without being named, if there are any."""
    told = ", ".join(f'the {field} from "{column}"' for field, column in others.items())
    return [f"reading {told}"] if told else []


def with_these_alone(source: SourceConfig, fields: Sequence[str]) -> SourceConfig:
    """The source with nothing read but the columns of some fields, and of groups: what is in others is no mistake."""
    columns = [getattr(source, f"{field}_column", None) or field for field in (*fields, "group")]
    columns += [f"{source.answer_column}_start"] if "answer" in fields else []
    return source.model_copy(update={"columns": columns})


def columns_for(source: SourceConfig, fields: Sequence[str], alone: bool = True) -> tuple[SourceConfig, list[str]]:
    """How a table is read for a model that is there, which needs these fields, and what is to be said of it.

    ``alone``: nothing else is read. Files that are no tables, and rows of tokens, are read as they are. A field
    without a column is an :class:`InputError`.
    """
    tables = {file.format for file in source_files(source)} <= {"jsonl", "csv", "tsv", "parquet", "arrow"}
    sample, where = sample_of(source) if tables else ([], Path(source.path))
    tokens = any(isinstance(row.get(name), list) for row in sample for name in _NAMES["tokens"])
    if not sample or tokens:
        return source, []
    _, others = guess_columns(source, fields, sample, where, 'call it "{field}"')
    found = {"answer": "answer"} if "answer" in fields else {}  # An answer is read only where its column is named.
    source = source.model_copy(update={f"{field}_column": column for field, column in (found | others).items()})
    return with_these_alone(source, fields) if alone else source, about_columns(others)


def kind_of_tags(tags: Sequence[str]) -> str:
    """``spans`` where nine of ten tags have the form of BIO or BIOES and some begin, else ``plain``."""
    fit = sum(bioes([tag]) for tag in tags)
    return "spans" if any(tag[:2] in ("B-", "S-") for tag in tags) and 10 * fit >= 9 * len(tags) else "plain"


def longest_texts(rows: Sequence[Mapping[str, Any]], among: Sequence[str] | None = None) -> str | None:
    """The column whose texts are longest, one line with another; None where none holds texts."""
    lengths: Counter[str] = Counter()
    for row in rows:
        texts = {column: len(value) for column, value in row.items() if isinstance(value, str) and column}
        lengths.update({column: n for column, n in texts.items() if among is None or column in among})
    return lengths.most_common(1)[0][0] if lengths else None


def fewest_values(rows: Sequence[Mapping[str, Any]], among: Sequence[str]) -> str | None:
    """The column with the fewest values where these are few and each comes twice; None where there is none."""
    values = {
        column: Counter(str(row.get(column)) for row in rows)
        for column in among
        if all(isinstance(row.get(column), (str, int, bool)) for row in rows)
    }
    fit = {c: len(v) for c, v in values.items() if 2 <= len(v) <= MOST_CLASSES and min(v.values()) >= 2}
    return min(fit, key=lambda column: fit[column], default=None)


def sample_of(
    source: SourceConfig, most: int = SAMPLE_ROWS, lenient: bool = False
) -> tuple[list[dict[str, Any]], Path]:
    """The first rows of the tables of a source, and the first file; none where its files are no tables."""
    files = source_files(source)
    rows = (row for file in files for row in rows_of_file(file, source.encoding, lenient))
    return list(islice(rows, most)), files[0].path


def rows_of_file(file: SourceFile, encoding: str = "auto", lenient: bool = False) -> Iterator[dict[str, Any]]:
    """The rows of a table as plain values; of CoNLL its lines, with the last column as ``tags``.

    ``lenient``: what is broken is passed over.
    """
    if file.format in ("parquet", "arrow"):
        from myna.corpus.columns import rows_of

        yield from rows_of(file)
        return
    with open_text(file.path, encoding, lenient) as stream:
        if file.format in ("csv", "tsv"):
            yield from _csv_rows(stream, file, lenient)
        elif file.format == "conll":
            for _, line in numbered(stream):
                columns = line.split("\t") if "\t" in line else line.split()
                if len(columns) > 1 and not line.startswith("-DOCSTART-"):
                    yield {"tokens": columns[:1], "tags": columns[3:4] if len(columns) == 10 else columns[-1:]}
        elif file.format == "jsonl":
            for number, line in numbered(stream):
                try:
                    row = json.loads(line) if line.strip() else {}
                except (ValueError, RecursionError) as error:
                    if lenient:
                        continue
                    raise no_json(error, file.path, number) from None
                if isinstance(row, dict) and row:
                    yield row


def _csv_rows(stream: Any, file: SourceFile, lenient: bool = False) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(1 << 30)
    reader = csv.DictReader(stream, delimiter="\t" if file.format == "tsv" else ",")
    try:
        for row in reader:
            # Fields beyond the header have no column; the reader of documents says so with their line.
            yield {column.strip(): value for column, value in row.items() if column is not None}
    except csv.Error as error:
        if lenient:
            return
        raise broken(error, file.path, reader.line_num) from None


def as_tables(source: SourceConfig) -> list[SourceFile]:
    """The files of a source that is a table; those of another kind are an :class:`InputError`."""
    files = source_files(source)
    for file in files:
        if file.format not in ("jsonl", "csv", "tsv", "conll", "parquet", "arrow"):
            remedy = "give JSONL, CSV, TSV, CoNLL, Parquet or a folder that datasets saved"
            raise InputError("this is no table of examples", where=file.path, remedy=remedy)
    return files
