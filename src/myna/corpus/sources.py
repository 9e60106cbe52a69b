"""Where documents come from: one ``[[corpus.NAME.sources]]`` of a recipe, and the files it stands for."""

from __future__ import annotations

import glob
import importlib.util
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import field_validator, model_validator

from myna.corpus.document import Split
from myna.corpus.encodings import ENCODINGS, is_encoding
from myna.errors import InputError
from myna.ledger import Ledger
from myna.settings import Section, setting

Format = Literal["auto", "text", "lines", "paragraphs", "jsonl", "csv", "tsv", "tagged", "conll", "parquet", "arrow"]
Articles = Literal["headline", "file", "line"]

_BY_EXTENSION: dict[str, Format] = {
    **dict.fromkeys((".txt", ".text", ".md", ".rst"), "text"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    ".csv": "csv",
    ".tsv": "tsv",
    **dict.fromkeys((".conll", ".conllu", ".bio"), "conll"),
    ".parquet": "parquet",
    ".arrow": "arrow",
}


class SourceConfig(Section):
    """Files of one kind, and what their parts mean."""

    path: str = setting(description="a file, a folder, or a pattern such as texts/**/*.md")
    package: str | None = setting(None, "the installed Python package in which path is; nothing of it is imported")
    format: Format = setting(
        "auto",
        "auto goes by the extension: .txt .md .rst a document a file; .jsonl .csv .tsv .parquet; .arrow (a folder that "
        "datasets saved); .conll .conllu",
    )
    text_column: str = setting("text", "the column (CSV, TSV, JSONL, Parquet) with the text")
    pair_column: str | None = setting(None, 'the column with a second text; else "pair"')
    target_column: str | None = setting(
        None, "the column with the text that is to be written of the first", affects="added"
    )
    messages_column: str | None = setting(
        None, 'the column with a conversation: a list of {"role", "content"}, in place of a text', affects="added"
    )
    value_column: str | None = setting(None, 'the column with a number to be told; else "value" where it is one')
    tokens_column: str | None = setting(
        None, 'the column with the tokens (in CoNLL its number from 1); else "tokens", "characters" or "words"'
    )
    tags_column: str | None = setting(None, 'the column with a tag for each token (in CoNLL its number); else "tags"')
    tags: Literal["spans", "plain"] = setting(
        "spans", "spans: tags are BIO or BIOES, and mark spans; plain: they are names, as parts of speech"
    )
    label_column: str | None = setting(None, 'the column with one label; "label" is used where there is one')
    answer_column: str | None = setting(
        None,
        "the column with the answer to a question (the pair), which stands in the text; empty where there is none; "
        "where it stands is in the column NAME_start, if there is one",
        affects="added",
    )
    labels_column: str | None = setting(None, 'the column with several labels (in CSV between |); else "labels"')
    group_column: str | None = setting(None, 'the column that says what stays on one side of a split; else "group"')
    columns: list[str] | None = setting(
        None, "read these columns of a table alone (default: all that mean something)", affects="added"
    )
    label: str | None = setting(None, "one label for all of this source")
    encoding: str = setting("auto", "auto, or a name such as utf-8, gb18030, utf-16, latin-1")
    split: Split | None = setting(None, "puts all of this source into one split")
    articles: Articles | None = setting(
        None,
        "what makes a document of lines: line; file; or headline: a short line without a final mark, after one that "
        "has one, begins an article (the default for tagged)",
    )
    entities: dict[str, str] = setting(
        {"nr": "PER", "ns": "LOC", "nt": "ORG"}, "tagged: which parts of speech are entities, and of what kind"
    )

    @field_validator("path")
    @classmethod
    def _path_is_given(cls, path: str) -> str:
        if not path.strip():
            raise ValueError("a path is needed: a file, a folder or a pattern")
        return path

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str) -> str:
        if encoding != "auto" and not is_encoding(encoding):
            raise ValueError(f'there is no encoding "{encoding}"; {ENCODINGS}')
        return encoding

    @model_validator(mode="after")
    def _one_label(self) -> SourceConfig:
        if self.label is not None and (self.label_column or self.labels_column):
            raise ValueError("label is for the whole source, label_column for each row: give one of the two")
        if self.articles is not None and self.format not in ("lines", "tagged"):
            raise ValueError('articles needs format = "lines" or "tagged"')
        return self


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source: ``name`` says where it came from without naming this machine's folders."""

    path: Path
    name: str
    format: Format
    alone: bool  # named by itself, not found in a folder or by a pattern


def source_files(source: SourceConfig, ledger: Ledger | None = None) -> list[SourceFile]:
    """The files of a source, sorted; an :class:`InputError` where there is none.

    A folder gives its files of known extensions, at any depth, without hidden ones; those of other kinds are noted in
    ``ledger``. A file or a pattern, or ``format`` told, gives whatever is there.
    """
    package = _package_folder(source)
    place = Path(source.path) if package is None else package / source.path
    is_pattern = glob.has_magic(source.path) and not place.exists()
    if is_pattern:
        base = _fixed_part(place)
        paths = _visible(base, (Path(name) for name in glob.iglob(str(place), recursive=True)))
    elif place.is_dir():
        base, paths = place, _visible(place, _below(place))
    else:
        base, paths = place.parent, [place] if place.is_file() or _is_dead(place) else []
    if not paths:
        what = "no file matches this pattern" if is_pattern else "there is no such file or folder"
        if place.exists():
            what = "there is no file in this folder" if place.is_dir() else "this is neither a file nor a folder"
        raise InputError(what, where=place, remedy="check the source's path")

    # What "datasets" computed once and kept beside its data is no data.
    paths = [path for path in paths if not (path.suffix == ".arrow" and path.name.startswith("cache-"))]
    chosen = [(path, _format(source, path) or (None if place.is_dir() else "text")) for path in paths]
    if package is None:
        inside, prefix = base, base.name if is_pattern or place.is_dir() else ""
    else:
        inside, prefix = package, str(source.package)
    files = [
        SourceFile(path, _writable(PurePosixPath(prefix, path.relative_to(inside))), form, path == place)
        for path, form in chosen
        if form is not None
    ]
    if not files:
        extensions = sorted({path.suffix or path.name for path in paths})
        raise InputError(
            f"no file here has a known extension (there are {', '.join(extensions[:6])})",
            where=place,
            remedy='say what they are with format = "text", "lines" or another',
        )
    for file in files:
        if _is_dead(file.path):
            raise InputError("this link leads nowhere", where=file.path, remedy="mend it, or take it out")
    if ledger is not None and len(files) < len(paths):
        ledger.note("files of other kinds passed over", len(paths) - len(files))
    return files


def _writable(name: PurePosixPath) -> str:
    """A name that can be written as UTF-8, which a file's own name need not be."""
    return str(name).encode("utf-8", "replace").decode()


def _package_folder(source: SourceConfig) -> Path | None:
    """Where an installed package lies, found without importing anything of it."""
    if source.package is None:
        return None
    name, *inner = source.package.split(".")
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        remedy = f"install it: pip install {name}"
        raise InputError(f'the package "{source.package}" is not installed', where=source.path, remedy=remedy)
    return Path(found.submodule_search_locations[0], *inner)


def _fixed_part(pattern: Path) -> Path:
    """The folder of a pattern above its first part with a ``*``, ``?`` or ``[``."""
    return Path(*takewhile(lambda part: not glob.has_magic(part), pattern.parts))


def _below(folder: Path) -> Iterator[Path]:
    """All that is in a folder, at any depth. One that cannot be read is an error, for its texts would be lost."""

    def refuse(error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"this folder cannot be read ({reason})", where=error.filename) from error

    for root, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(root, name) for name in names)


def _visible(root: Path, paths: Iterable[Path]) -> list[Path]:
    def hidden(path: Path) -> bool:
        return any(part.startswith(".") for part in path.relative_to(root).parts)

    return sorted(path for path in paths if (path.is_file() or _is_dead(path)) and not hidden(path))


def _is_dead(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _format(source: SourceConfig, path: Path) -> Format | None:
    """What a file is read as: told, or by its extension (without .gz); ``None`` for one that is not known."""
    if source.format != "auto":
        return source.format
    name = path.name.lower().removesuffix(".gz")
    return _BY_EXTENSION.get(Path(name).suffix)
