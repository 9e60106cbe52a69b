"""What is asked of a model on the command line, and its answers in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myna.errors import InputError

if TYPE_CHECKING:
    from myna.corpus.sources import Format

_TABLES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".conll", ".conllu")
_NO_TEXT = re.compile("[\ud800-\udfff]")


def texts_of(
    path: Path, otherwise: Format, reads: str = "texts", tell: Callable[[str], None] = lambda line: None
) -> Iterator[Any]:
    """The texts of a file or folder in their order: of a table its text column; other files are read as told.

    For a model that ``reads`` pairs, words or messages they are these, where the table has them; for one that writes of
    sources the text column is looked for by its usual names. ``tell`` is told which columns were taken that have other
    names.
    """
    from myna.corpus.guessing import columns_for, guess_source
    from myna.corpus.readers import file_of, read
    from myna.corpus.sources import SourceConfig

    if not path.exists():
        raise InputError("there is no such file", where=path)
    table = any(suffix in _TABLES for suffix in path.suffixes)
    source = SourceConfig(path=str(path), format="auto" if table else otherwise, tags="plain")
    if table and reads in ("sources", "messages"):
        source = guess_source(source, reads)
    elif table:
        source, said = columns_for(source, ("text", "pair") if reads in ("pairs", "questions") else ("text",))
        for line in said:
            tell(line)
    document = None
    for document in read(source):
        check_text(document.text, file_of(path, document), document.line)
        if reads in ("pairs", "questions") and document.pair is not None:
            yield document.text, document.pair
        elif reads == "words" and document.words is not None:
            yield document.words.strings(document.text)
        elif document.messages is not None:
            yield [message._asdict() for message in document.messages]
        else:
            yield document.text
    if document is None:
        raise InputError("there is no text here", where=path, remedy="put one into it")


def check_text(text: str, where: Path | str, line: int | None = None, blank: bool = False) -> None:
    """Raises an :class:`InputError` for a text that is empty (but where it may be ``blank``) or is none."""
    if not (blank or text.strip()):
        remedy = "give one" if line is None else "take the line out"
        raise InputError("this text is empty", where=where, line=line, remedy=remedy)
    if not text.isascii() and _NO_TEXT.search(text):
        raise InputError("this holds bytes that are no text", where=where, line=line, remedy="give it as UTF-8")


def in_words(answer: dict[str, Any]) -> str:
    """An answer of a task on one line."""
    if "text" in answer:
        return " ".join(answer["text"].split()) or "–"
    if None in (answer.get("label", ""), answer.get("labels", "")):
        return "abstains"
    if "label" in answer:
        return f"{answer['label']} {answer['scores'][answer['label']]:.3f}"
    if "labels" in answer:
        return "  ".join(f"{label} {answer['scores'][label]:.3f}" for label in answer["labels"]) or "–"
    if "value" in answer:
        return f"{answer['value']:.4g}"
    if "tags" in answer:
        return " ".join(f"{token}/{tag or '–'}" for token, tag in zip(answer["tokens"], answer["tags"], strict=True))
    if "answer" in answer and "probability" in answer:
        return f"{answer['answer'] or '–'} {answer['probability']:.3f}"
    if "vector" in answer:
        return " ".join(f"{number:.4f}" for number in answer["vector"])
    if isinstance(answer.get("words"), list):
        return " ".join(answer["words"])
    if "spans" in answer:
        spans = answer["spans"]
        return "  ".join(f"{span['text']} {span['label']} {span['start']}-{span['end']}" for span in spans) or "–"
    # Of a task of somebody's own.
    return "  ".join(f"{name} {value}" for name, value in answer.items())
