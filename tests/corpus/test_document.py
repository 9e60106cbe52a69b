"""The corpus's folder: what is written comes back, and what is damaged is said."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from myna.corpus.document import Corpus, Document, Span, Words, read_batch, to_batch
from myna.corpus.prepare import CorpusConfig, prepare
from myna.errors import InputError


def plain(document: Document) -> tuple[object, ...]:
    words = document.words
    known = None if words is None else (words.starts.tolist(), words.ends.tolist(), words.tags)
    return (
        *(getattr(document, name) for name in ("id", "text", "source", "group", "split", "label", "labels", "spans")),
        known,
    )


DOCUMENTS = [
    Document("1", "中国", "a", "g", "train", "x", None, Words.of([0, 1], [1, 2], ["n", ""]), ()),
    Document("2", "", "a", "", "train"),
    Document("3", "abc", "b", "g", "train", None, (), Words.of([], [], []), (Span(0, 1, "P"), Span(1, 3, "Q"))),
    Document("4", "d", "b", "g", "train", None, ("p", "q"), Words.of([0], [1], ["m"]), None),
]


def test_nothing_is_told_from_empty() -> None:
    assert [plain(d) for d in read_batch(to_batch(DOCUMENTS), "train")] == [plain(d) for d in DOCUMENTS]


def test_a_slice_of_a_batch_is_read_as_itself() -> None:
    assert [plain(d) for d in read_batch(to_batch(DOCUMENTS)[2:], "train")] == [plain(d) for d in DOCUMENTS[2:]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "a.txt"
    source.write_text("\n".join(f"第{number}篇 text" for number in range(60)))
    folder = tmp_path / "corpus"
    folder.mkdir()
    prepare(CorpusConfig(sources=[{"path": str(source), "format": "lines"}], shard_characters=100), folder)
    return folder


def test_shards_are_read_in_their_order_and_by_columns(folder: Path) -> None:
    corpus = Corpus.open(folder)
    assert len(list(folder.glob("train-*.parquet"))) > 2
    documents = list(corpus.documents("train"))
    assert len(documents) == corpus.count("train")
    assert sum(len(d.text) for d in documents) == corpus.characters("train")
    lines = [int(d.id.rsplit(":", 1)[1]) for d in documents]
    assert lines == sorted(lines)
    some = next(corpus.documents("train", ["text"]))
    assert (some.text, some.words, some.source, some.id) == (documents[0].text, None, "", documents[0].id)
    assert next(corpus.documents("train", ["words"])).words is not None
    assert corpus.has_words
    assert not corpus.has_labels
    assert not corpus.has_spans
    assert corpus.language == "zh"


def test_a_folder_that_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is no corpus"):
        Corpus.open(tmp_path)


def test_a_missing_or_damaged_shard_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = folder / "test-00000.parquet"
    data = shard.read_bytes()
    shard.write_bytes(data[:40] + bytes(len(data) - 40))
    with pytest.raises(InputError, match=r"test-00000\.parquet: this file is damaged"):
        list(Corpus.open(folder).documents("test"))
    denied = PermissionError(errno.EACCES, "Failed to open local file")
    with monkeypatch.context() as patch, pytest.raises(InputError, match=r"cannot be read \(permission denied\)"):
        patch.setattr("pyarrow.parquet.ParquetFile", Mock(side_effect=denied))
        list(Corpus.open(folder).documents("test"))
    shard.unlink()
    with pytest.raises(InputError, match=r"test-00000\.parquet: this file is missing"):
        Corpus.open(folder)


def test_another_format_is_refused(folder: Path) -> None:
    facts = json.loads((folder / "corpus.json").read_text())
    (folder / "corpus.json").write_text(json.dumps({**facts, "format": 99}))
    with pytest.raises(InputError, match="format 99 of a corpus is not known here; prepare the corpus again"):
        Corpus.open(folder)
