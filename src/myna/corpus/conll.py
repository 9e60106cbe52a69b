"""CoNLL's columns: a word a line with its tag beside it, a blank line between sentences.

Columns stand between tabs, or between spaces where there is no tab. The first is the word and the last its tag, unless
the source names others; in CoNLL-U, known by its ten columns behind a number, the second and the fourth. Lines of
``-DOCSTART-`` are no words, nor those of ``#`` that have not as many columns as the words before them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from myna.corpus.document import RawDocument
from myna.corpus.encodings import numbered
from myna.corpus.rows import Refused, Row, attempt, tagged_document
from myna.corpus.sources import SourceConfig, SourceFile
from myna.ledger import Ledger

_CONLLU_COLUMNS = 10
# What CoNLL-U says by one word, also above its first words.
_MARKS = (["newdoc"], ["newpar"])


def read_conll(
    stream: TextIO,
    file: SourceFile,
    source: SourceConfig,
    ledger: Ledger | None = None,
    refused: Refused | None = None,
) -> Iterator[RawDocument]:
    """A document a sentence. Raises an :class:`~myna.errors.InputError` for a line without its word or tag."""
    for sentence in _sentences(stream, file, ledger):
        document = attempt(refused, _document, sentence, source)
        if document is not None:
            yield document


def _sentences(stream: TextIO, file: SourceFile, ledger: Ledger | None) -> Iterator[list[tuple[Row, list[str]]]]:
    """The columns of each word, sentence by sentence."""
    sentence: list[tuple[Row, list[str]]] = []
    width = 2
    for number, line in numbered(stream):
        if not line.strip() or line.startswith("-DOCSTART-"):
            if sentence:
                yield sentence
            sentence = []
            continue
        columns = line.split("\t") if "\t" in line else line.split()
        if line.startswith("#") and _is_comment(line, columns, width, not sentence):
            continue
        width = len(columns)
        if _is_conllu(columns) and not columns[0].isdigit():
            continue  # "3-4" and "5.1" are no words of their own
        sentence.append((Row({"word": columns}, file, number, ledger), columns))
    if sentence:
        yield sentence


def _is_conllu(columns: list[str]) -> bool:
    return len(columns) == _CONLLU_COLUMNS and columns[0][:1].isdigit()


def _is_comment(line: str, columns: list[str], width: int, above: bool) -> bool:
    """Whether a line of ``#`` is no word: a word has as many columns as those before it.

    What stands above a sentence may have as many by chance.
    """
    by_chance = above and line.startswith("# ") and (len(columns) > 2 or columns[1:] in _MARKS)
    return by_chance or len(columns) != width


def _column(row: Row, named: str | None, usual: int, columns: list[str]) -> str:
    if named is not None and not named.isdecimal():
        row.wrong(f'"{named}" is no column of CoNLL', "give its number, counted from 1")
    number = usual if named is None else int(named)
    if len(columns) < 2 or not 1 <= number <= len(columns) or not columns[number - 1]:
        remedy = "write each line as a word and its tag, with a tab between; put a blank line between sentences"
        row.wrong(f"this line has {len(columns)} column{'s' * (len(columns) > 1)}, no word with its tag", remedy)
    return columns[number - 1]


def _document(sentence: list[tuple[Row, list[str]]], source: SourceConfig) -> RawDocument:
    words, tags = [], []
    for row, columns in sentence:
        conllu = _is_conllu(columns)
        words.append(_column(row, source.tokens_column, 2 if conllu else 1, columns))
        tags.append(_column(row, source.tags_column, 4 if conllu else len(columns), columns))
    return tagged_document(sentence[0][0], "tokens", words, tags, source, [row.line for row, _ in sentence])
