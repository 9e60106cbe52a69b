"""The token store: what is written is what is read, and what is damaged is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from myna.errors import InputError
from myna.tokens import store as store_module
from myna.tokens.encoding import encode
from myna.tokens.pieces import Pieces
from myna.tokens.store import TokenStore, encode_corpus
from myna.tokens.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer
from tests.tokens.corpora import NEWS, write_corpus

KINDS = ("wordpiece", "byte_bpe")


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder = tmp_path_factory.mktemp("tokenizers")
    corpus = write_corpus(folder / "corpus", NEWS * 3)
    for kind in KINDS:
        (folder / kind).mkdir()
        train_tokenizer([corpus], TokenizerConfig(corpus="news", kind=kind, vocabulary=1000), folder / kind)
    return {kind: Tokenizer.open(folder / kind) for kind in KINDS}


@pytest.fixture
def written(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> Path:
    corpus = write_corpus(tmp_path / "corpus", [*NEWS, ""], [NEWS[0]])
    folder = tmp_path / "store"
    folder.mkdir()
    encode_corpus(corpus, tokenizers["wordpiece"], folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", [True, False])
def test_every_document_comes_back(
    tokenizers: dict[str, Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, words: bool
) -> None:
    monkeypatch.setattr(store_module, "_BATCH_CHARACTERS", 60)  # several batches
    tokenizer = tokenizers[kind]
    texts = {"train": ["", *NEWS, "", "\u200b", "的", "国"], "validation": [NEWS[2], NEWS[3]], "test": []}
    corpus = write_corpus(tmp_path / "corpus", *texts.values(), words=words)
    folder = tmp_path / "store"
    folder.mkdir()
    encode_corpus(corpus, tokenizer, folder)
    for split in texts:
        store = TokenStore.open(folder, split)
        documents = list(corpus.documents(split))
        encodings = encode(tokenizer, [d.text for d in documents], [d.words for d in documents])
        assert store.documents == len(documents) == len(store.bounds) - 1
        assert store.tokens == len(store.ids) == len(store.word_starts)
        assert store.characters.tolist() == [len(d.text) for d in documents]
        for number, encoding in enumerate(encodings):
            start, end = store.bounds[number : number + 2]
            assert store.document(number).tolist() == encoding.ids.tolist()
            assert store.word_starts[start:end].tolist() == encoding.word_starts.tolist()
    assert TokenStore.open(folder, "test").ids.shape == (0,)
    assert (store.vocabulary_size, store.dtype) == (tokenizer.vocabulary_size, np.dtype("<u2"))


def test_the_books_of_a_store(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", ["中 国", ""], ["鑫的"])
    folder = tmp_path / "store"
    folder.mkdir()
    reported: list[float] = []
    ledger = encode_corpus(corpus, tokenizers["wordpiece"], folder, lambda what, share: reported.append(share))
    assert ledger.to_dict() == {
        "in": {"documents": 3, "characters": 5},
        "kept": {"documents": 3, "characters": 5, "tokens": 4},
        "dropped": {},
        "added": {"encoded": {"tokens": 4}},
        "notes": {
            "unknown pieces": 1,
            "documents without a piece": 1,
            "characters that no piece stands for": 1,
            "borders of words within a piece": 0,
        },
    }
    assert reported == sorted(reported)
    assert reported[-1] == 1.0
    facts = json.loads((folder / "store.json").read_text())
    assert facts["splits"]["validation"] == {"documents": 1, "tokens": 2, "characters": 2, "unknown": 1}


@pytest.mark.parametrize(("size", "dtype"), [(65_536, "<u2"), (65_537, "<u4")])
def test_ids_take_four_bytes_once_two_are_too_few(
    tokenizers: dict[str, Tokenizer], tmp_path: Path, size: int, dtype: str
) -> None:
    tokenizer = Tokenizer.open(tokenizers["wordpiece"].folder)
    tokenizer.backend.add_tokens([f"龘{number}" for number in range(size - tokenizer.vocabulary_size)])
    tokenizer.vocabulary_size = size
    corpus = write_corpus(tmp_path / "corpus", [f"龘{size - tokenizers['wordpiece'].vocabulary_size - 1}"])
    folder = tmp_path / "store"
    folder.mkdir()
    encode_corpus(corpus, tokenizer, folder)
    store = TokenStore.open(folder, "train")
    assert store.dtype == np.dtype(dtype)
    assert store.ids.tolist() == [size - 1]


def test_a_training_text_that_is_largely_unknown_is_refused(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    strange = write_corpus(tmp_path / "strange", ["鑫" * 3 + "的" * 997])
    rare = write_corpus(tmp_path / "rare", ["鑫" + "的" * 999], ["鑫"])
    folder = tmp_path / "store"
    folder.mkdir()
    with pytest.raises(InputError, match=r"0\.30% of the pieces of this text are unknown.*byte_bpe"):
        encode_corpus(strange, tokenizers["wordpiece"], folder)
    encode_corpus(strange, tokenizers["wordpiece"], folder, allow_unknown=0.01)
    encode_corpus(rare, tokenizers["wordpiece"], folder)
    encode_corpus(strange, tokenizers["byte_bpe"], folder)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def beyond(path: Path) -> None:
    ids = np.fromfile(path, "<u2")
    ids[-1] = 60_000
    ids.tofile(path)


def crossed(path: Path) -> None:
    bounds = np.fromfile(path, "<i8")
    bounds[1], bounds[2] = bounds[2], bounds[1]
    bounds.tofile(path)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("train.ids", cut, "this file has .* bytes, not"),
        ("train.bounds", cut, "this file has .* bytes, not"),
        ("train.word_starts", cut, "this file has .* bytes, not"),
        ("train.characters", cut, "this file has .* bytes, not"),
        ("train.ids", Path.unlink, "missing"),
        ("store.json", Path.unlink, "missing"),
        ("store.json", lambda path: path.write_text('{"format": 0}'), "no token store of format 1"),
        ("train.ids", beyond, "id 60000 lies outside of the vocabulary"),
        ("train.bounds", crossed, "do not cut the ids into documents"),
    ],
)
def test_a_damaged_store_is_refused_by_the_files_name(
    written: Path, name: str, damage: Callable[[Path], None], message: str
) -> None:
    damage(written / name)
    with pytest.raises(InputError, match=message) as caught:
        TokenStore.open(written, "train")
    assert str(written / name) in str(caught.value)


def test_an_id_of_a_large_store_is_looked_at_when_it_is_read(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beyond(written / "train.ids")
    monkeypatch.setattr(store_module, "_SCANNED_TOKENS", 0)
    store = TokenStore.open(written, "train")
    pieces = Pieces([store], 8)
    assert len(pieces[0].ids)
    with pytest.raises(InputError, match="id 60000 lies outside of the vocabulary"):
        pieces[len(pieces) - 1]


def test_an_unknown_split_is_refused(written: Path) -> None:
    with pytest.raises(InputError, match="there is no split 'dev'; there are train, validation, test"):
        TokenStore.open(written, "dev")


def test_a_store_is_mapped_not_read(written: Path) -> None:
    store = TokenStore.open(written, "train")
    assert isinstance(store.ids.base, np.memmap)
    assert not store.ids.flags.writeable
