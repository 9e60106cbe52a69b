"""Files read as documents, one at a time: plain text, lines, paragraphs, tagged text, and rows (see ``rows.py``).

Each reader turns the text of a file into :class:`RawDocument`: the text as it stands, the line it begins at, and what
the file says of it. What counts as a character that came in is said by each: all of a plain text; a line without its
end; a paragraph; the words of tagged text as they are joined; the text column of a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import numpy as np

from myna.corpus.columns import read_columns
from myna.corpus.conll import read_conll
from myna.corpus.dedup import Repeats
from myna.corpus.document import RawDocument, Span, Words
from myna.corpus.encodings import begins_with_mark, numbered, open_text
from myna.corpus.rows import Refused, read_csv, read_jsonl
from myna.corpus.sources import Articles, Format, SourceConfig, SourceFile, source_files
from myna.corpus.words import join
from myna.errors import InputError
from myna.ledger import Ledger

__all__ = ["RawDocument", "SourceConfig", "SourceFile", "file_of", "read", "read_file", "source_files"]


def read(source: SourceConfig, ledger: Ledger | None = None, repeats: Repeats | None = None) -> Iterator[RawDocument]:
    """The documents of all files of a source; see :func:`read_file`."""
    for file in source_files(source, ledger):
        yield from read_file(file, source, ledger, repeats)


def file_of(path: Path, document: RawDocument) -> Path:
    """The file of a document that was read from ``path``, a file or a folder."""
    return path.parent / document.source if path.is_dir() else path


def read_file(
    file: SourceFile,
    source: SourceConfig,
    ledger: Ledger | None = None,
    repeats: Repeats | None = None,
    refused: Refused | None = None,
) -> Iterator[RawDocument]:
    """The documents of one file, as a stream.

    What comes in is counted in ``ledger``. Of articles, paragraphs that ``repeats`` has seen are dropped, before
    borders are looked for. Raises an :class:`InputError` with file and line for what cannot be read as its format;
    of a table, ``refused`` is told of rows that are wrong instead, and they are passed over. Bytes that are no text
    then stand in it as halves of surrogate pairs.
    """
    ledger = Ledger() if ledger is None else ledger
    readers: dict[Format, Callable[[TextIO], Iterator[RawDocument]]] = {
        "text": lambda stream: _whole(stream, file),
        "paragraphs": lambda stream: _paragraphs(stream, file),
        "lines": lambda stream: _articles(
            _lines(stream, file), source.articles or "line", ledger, repeats or Repeats()
        ),
        "tagged": lambda stream: _articles(
            _tagged(stream, file, source.entities), source.articles or "headline", ledger, repeats or Repeats()
        ),
        "jsonl": lambda stream: read_jsonl(stream, file, source, ledger, refused),
        "csv": lambda stream: read_csv(stream, file, source, ",", ledger, refused),
        "tsv": lambda stream: read_csv(stream, file, source, "\t", ledger, refused),
        "conll": lambda stream: read_conll(stream, file, source, ledger, refused),
    }
    if not file.alone and file.path.exists() and file.path.stat().st_size == 0:
        ledger.note("empty files passed over", 1)
        return
    empty = file.format not in ("text", "lines", "tagged")
    with ExitStack() as stack:
        if file.format in ("parquet", "arrow"):
            documents = read_columns(file, source, ledger, refused)
        else:
            documents = readers[file.format](
                stack.enter_context(open_text(file.path, source.encoding, lenient=refused is not None))
            )
            if begins_with_mark(file.path):
                ledger.note("byte-order marks passed over", 1)
        for document in documents:
            empty = False
            if source.split is not None or source.label is not None:
                split = source.split or document.split
                document = replace(document, split=split, label=source.label or document.label)
            ledger.came_in(documents=1, characters=document.characters, labels=document.label_count)
            yield document
    if empty and file.alone:
        raise InputError("there is no text in this file", where=file.path, remedy="take it out, or put text into it")


def _whole(stream: TextIO, file: SourceFile) -> Iterator[RawDocument]:
    yield RawDocument(stream.read(), file.name, 1)


def _lines(stream: TextIO, file: SourceFile) -> Iterator[RawDocument]:
    for number, line in numbered(stream):
        yield RawDocument(line, file.name, number)


def _paragraphs(stream: TextIO, file: SourceFile) -> Iterator[RawDocument]:
    block: list[str] = []
    start = 1
    for number, line in numbered(stream):
        if line.strip():
            start = start if block else number
            block.append(line)
        elif block:
            yield RawDocument("\n".join(block), file.name, start)
            block = []
    if block:
        yield RawDocument("\n".join(block), file.name, start)


# ------------------------------------------------------------------------------------------------ tagged text

_DOUBLE_SURNAMES = re.compile(
    "欧阳|司马|上官|诸葛|司徒|东方|独孤|南宫|夏侯|皇甫|尉迟|公孙|慕容|令狐|西门|端木|呼延|闻人"
)


def _tagged(stream: TextIO, file: SourceFile, entities: dict[str, str]) -> Iterator[RawDocument]:
    """A document a line of ``word/tag word/tag``; names and places by their tags."""
    for number, line in numbered(stream):
        tokens: list[str] = []
        tags: list[str] = []
        for item in line.split():
            word, _, tag = item.rpartition("/")
            if not word or not tag:
                raise InputError(
                    f'"{item[:40]}" is not word/tag',
                    where=file.path,
                    line=number,
                    remedy='mend the line, or read the file with format = "lines"',
                )
            tokens.append(word)
            tags.append(tag)
        text, starts, ends = join(tokens)
        spans = _entities(tokens, tags, starts, ends, entities)
        yield RawDocument(text, file.name, number, words=Words.of(starts, ends, tags), spans=spans)


def _entities(
    tokens: list[str], tags: list[str], starts: list[int], ends: list[int], entities: dict[str, str]
) -> tuple[Span, ...]:
    """An entity a tagged word; a surname (tag ``nr``) and the given name of one or two characters after it are one."""
    spans: list[Span] = []
    surname_before = False
    for token, tag, start, end in zip(tokens, tags, starts, ends, strict=True):
        label = entities.get(tag)
        if label is not None and surname_before and tag == "nr" and len(token) <= 2:
            spans[-1] = Span(spans[-1].start, end, label)
            surname_before = False
            continue
        if label is not None:
            spans.append(Span(start, end, label))
        surname_before = (
            tag == "nr" and label is not None and (len(token) == 1 or bool(_DOUBLE_SURNAMES.fullmatch(token)))
        )
    return tuple(spans)


# --------------------------------------------------------------------------------------------------- articles

_FINAL_MARKS = "。！？；：…」』”’）》.!?"
# A headline is short: nearly all of People's Daily's have fewer characters.
_LONGEST_HEADLINE = 40


def _articles(
    lines: Iterable[RawDocument], articles: Articles, ledger: Ledger, repeats: Repeats
) -> Iterator[RawDocument]:
    """Lines put together; of a headline's articles, a paragraph seen before anywhere in the corpus is dropped."""
    if articles == "line":
        yield from lines
        return
    article: list[RawDocument] = []
    ended = True
    for line in lines:
        if not line.text.strip():
            ledger.came_in(characters=len(line.text))
            ledger.dropped("white space", characters=len(line.text))
            continue
        if articles == "headline":
            if repeats.seen(line.text):
                ledger.came_in(characters=len(line.text), labels=line.label_count)
                ledger.dropped("repeated paragraph", characters=len(line.text), labels=line.label_count)
                ledger.note("repeated paragraphs", 1)
                continue
            text = line.text.rstrip()
            headline = text[-1] not in _FINAL_MARKS and len(text) <= _LONGEST_HEADLINE
            if article and headline and ended:
                yield _article(article, grouped=True)
                article = []
            ended = not headline
        article.append(line)
    if article:
        yield _article(article, grouped=articles == "headline")


def _article(lines: list[RawDocument], grouped: bool) -> RawDocument:
    """One document of lines; where it is an article, its first and last line say which one it is."""
    shifts = np.cumsum([0, *(len(line.text) + 1 for line in lines)])[:-1].tolist()
    text = "\n".join(line.text for line in lines)
    words = spans = None
    if all(line.words is not None for line in lines):
        known = [line.words for line in lines if line.words is not None]
        words = Words(
            np.concatenate([w.starts + np.int32(s) for w, s in zip(known, shifts, strict=True)]),
            np.concatenate([w.ends + np.int32(s) for w, s in zip(known, shifts, strict=True)]),
            [tag for w in known for tag in w.tags],
        )
    if all(line.spans is not None for line in lines):
        spans = tuple(
            Span(span.start + s, span.end + s, span.label)
            for line, s in zip(lines, shifts, strict=True)
            for span in line.spans or ()
        )
    group = lines[0].text + lines[-1].text if grouped else None
    return RawDocument(text, lines[0].source, lines[0].line, group=group, words=words, spans=spans)
