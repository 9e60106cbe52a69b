"""A stage whose output changes must change its ``VERSION``, or old results would pass for new ones.

The hashes are of what a stage makes of the small run's text, kept with the version that made it. A test that fails
here asks for a higher ``VERSION`` in the stage's module, and for its new hash.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from myna.corpus import prepare
from myna.corpus.document import SPLITS, Corpus
from myna.tokens import store, tokenizer

from .faults.small_run import write_recipe

GOLDEN = {
    ("corpus", 1): "e2a9c97790090b66",
    ("tokenizer wordpiece", 1): "46f6f333000268ad",
    ("tokenizer byte_bpe", 1): "b11ced9f6a4a553c",
    ("tokens", 1): "f17f78bff299087c",
}


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]


def corpus_content(corpus: Corpus) -> list:
    def plain(words: object) -> list:
        return [] if words is None else [words.starts.tolist(), words.ends.tolist(), list(words.tags)]  # type: ignore[attr-defined]

    return [
        [d.id, d.text, d.group, d.split, d.label, plain(d.words), [list(s) for s in d.spans or ()]]
        for split in SPLITS
        for d in corpus.documents(split)
    ]


def test_what_the_stages_make_is_what_their_versions_made(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    found: dict[tuple[str, int], str] = {}
    (tmp_path / "corpus").mkdir()
    sources = [{"path": str(tmp_path / "texts.jsonl")}]
    prepare.prepare(prepare.CorpusConfig(sources=sources), tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    found["corpus", prepare.VERSION] = digest(corpus_content(corpus))
    for kind in ("wordpiece", "byte_bpe"):
        (tmp_path / kind).mkdir()
        config = tokenizer.TokenizerConfig(corpus="texts", kind=kind, vocabulary=300)
        tokenizer.train_tokenizer([corpus], config, tmp_path / kind)
        vocabulary = json.loads((tmp_path / kind / "tokenizer.json").read_text())["model"]
        found[f"tokenizer {kind}", tokenizer.VERSION] = digest(vocabulary)
    (tmp_path / "tokens").mkdir()
    store.encode_corpus(corpus, tokenizer.Tokenizer.open(tmp_path / "wordpiece"), tmp_path / "tokens")
    opened = [store.TokenStore.open(tmp_path / "tokens", split) for split in SPLITS]
    arrays = [a for s in opened for a in (s.ids, s.bounds, s.word_starts, s.characters)]
    found["tokens", store.VERSION] = digest([np.asarray(a).tolist() for a in arrays])
    assert found == GOLDEN
