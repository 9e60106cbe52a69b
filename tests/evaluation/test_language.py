"""Language models and n-grams pay for the same strings: whole documents of the test split, with their ends."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from myna import files
from myna.corpus.document import Corpus
from myna.corpus.prepare import CorpusConfig, prepare
from myna.corpus.sources import SourceConfig
from myna.errors import InputError
from myna.evaluation import language
from myna.evaluation.baselines import unigram_nats
from myna.evaluation.language import evaluate_language_model, judge_text
from myna.evaluation.ngrams import CharacterNgrams
from myna.huggingface.folder import write_model_folder
from myna.inference.loaded import load
from myna.model.heads import build
from myna.presets import model_config
from myna.tokens.encoding import encode
from myna.tokens.store import TokenStore, encode_corpus
from myna.tokens.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer

SIZES = {"hidden_size": 32, "layers": 1, "heads": 2, "feed_forward_size": 64, "maximum_length": 48}
WORDS = ["今天", "北京", "上海", "天气", "很好", "我们", "投资", "建设", "地铁", "记者", "报道", "经济", "合作"]


@pytest.fixture(scope="module")
def river(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora, a tokenizer of each kind, the stores, and an untrained model of each kind."""
    place = tmp_path_factory.mktemp("river")
    draw = np.random.default_rng(1)
    for name, count in (("news", 50), ("notes", 30)):
        lines = ["".join(draw.choice(WORDS, 14)) + f"，{n}。\n" + "".join(draw.choice(WORDS, 9)) for n in range(count)]
        rows = "".join(json.dumps({"text": line}) + "\n" for line in lines)
        files.write_text(place / f"{name}.jsonl", rows)
        (place / name).mkdir()
        prepare(CorpusConfig(sources=[SourceConfig(path=str(place / f"{name}.jsonl"))]), place / name)
    corpora = [Corpus.open(place / name) for name in ("news", "notes")]
    for kind, head in (("wordpiece", "masked"), ("byte_bpe", "causal")):
        folder = place / kind
        folder.mkdir()
        train_tokenizer(corpora, TokenizerConfig(corpus=["news", "notes"], kind=kind, vocabulary=400), folder)  # type: ignore[arg-type]
        tokenizer = Tokenizer.open(folder)
        for corpus in corpora:
            store = place / f"{corpus.folder.name}-{kind}"
            store.mkdir()
            encode_corpus(corpus, tokenizer, store)
        config = model_config("bert-mini" if head == "masked" else "gpt-mini", tokenizer.vocabulary_size, **SIZES)
        write_model_folder(place / head, build(config, head, seed=3), folder, {"task": "language model"})
    return place


def judged(river: Path, tmp_path: Path, head: str, kind: str) -> tuple[Any, Any, Any, Any]:
    names = ("news", "notes")
    ledger = evaluate_language_model(
        river / head, [river / f"{n}-{kind}" for n in names], [river / n for n in names], tmp_path, seed=1
    )
    ledger.check()
    return ledger.to_dict(), *(files.read_json(tmp_path / f"{n}.json") for n in ("scores", "details", "samples"))


def test_a_decoder_and_the_ngrams_pay_for_whole_documents_with_their_ends(river: Path, tmp_path: Path) -> None:
    ledger, scores, details, samples = judged(river, tmp_path, "causal", "byte_bpe")
    corpora = [Corpus.open(river / name) for name in ("news", "notes")]
    texts, known = ([d.text for c in corpora for d in c.documents(split)] for split in ("test", "train"))  # type: ignore[arg-type]
    characters = sum(map(len, texts))
    loaded = load(river / "causal")
    nats, tokens = 0.0, 0
    for encoding in encode(loaded.tokenizer, texts):
        line = [loaded.tokenizer.start, *encoding.ids.tolist(), loaded.tokenizer.end]
        assert len(line) <= SIZES["maximum_length"] + 1  # one window, so that the sum below is the whole story
        logits = loaded.logits([line[:-1]])[0].double().log_softmax(-1)
        nats -= float(logits[torch.arange(len(line) - 1), line[1:]].sum())
        tokens += len(line) - 1
    bits = scores["bits_per_character"]
    assert bits["value"] == pytest.approx(nats / math.log(2) / characters, rel=1e-5)
    assert scores["perplexity"]["value"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert bits["examples"] == len(texts)
    counts = np.zeros(loaded.tokenizer.vocabulary_size, np.int64)
    for encoding in encode(loaded.tokenizer, known):
        np.add.at(counts, [*encoding.ids.tolist(), loaded.tokenizer.end], 1)
    lines = [np.append(encoding.ids, loaded.tokenizer.end) for encoding in encode(loaded.tokenizer, texts)]
    frequent = np.exp(unigram_nats(counts, np.concatenate(lines)).mean())
    assert scores["perplexity"]["baselines"]["unigram"]["value"] == pytest.approx(frequent)
    for order, name in ((2, "character_bigram"), (3, "character_trigram")):
        wanted = CharacterNgrams(order, known).bits(texts).sum() / characters
        assert bits["baselines"][name]["value"] == pytest.approx(wanted)
        paired = details["differences"]["bits_per_character"][name]
        assert paired["low"] <= paired["value"] == pytest.approx(bits["value"] - wanted)
    assert ledger["kept"] == {"documents": len(texts), "characters": characters, "tokens": tokens - len(texts)}
    assert details["kind"] == "causal"
    assert samples
    assert all(sample["prompt"] in "\n".join(texts) and sample["tokens"] <= 100 for sample in samples)


def test_an_encoder_is_judged_at_masked_positions_beside_frequencies(river: Path, tmp_path: Path) -> None:
    _, scores, details, samples = judged(river, tmp_path, "masked", "wordpiece")
    entry = scores["perplexity"]
    size = Tokenizer.open(river / "wordpiece").vocabulary_size
    assert 0.5 * size < entry["value"] < 2 * size  # untrained: as unsure as can be
    frequent = entry["baselines"]["unigram"]
    assert 1 < frequent["value"] < entry["value"]
    assert details["differences"]["perplexity"]["unigram"]["low"] > 0
    assert entry["low"] < entry["value"] < entry["high"]
    for sample in samples:
        for blank in sample["blanks"]:
            assert sample["text"][blank["start"] : blank["end"]].isalpha()
            shares = [guess["probability"] for guess in blank["guesses"]]
            assert shares == sorted(shares, reverse=True)
            assert len(shares) == 3


def test_what_is_written_is_the_same_every_time(river: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        judged(river, tmp_path / name, "causal", "byte_bpe")
    assert files.manifest(tmp_path / "one") == files.manifest(tmp_path / "two")


def test_of_a_large_test_split_the_first_part_is_judged_and_the_rest_is_counted(
    river: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for head, kind in (("causal", "byte_bpe"), ("masked", "wordpiece")):
        stores = [TokenStore.open(river / f"{name}-{kind}", "test") for name in ("news", "notes")]
        monkeypatch.setattr(language, "JUDGED_CHARACTERS", 100)
        ledger, scores, _, _ = judged(river, tmp_path, head, kind)
        assert ledger["kept"]["documents"] < sum(store.documents for store in stores)
        assert next(iter(scores.values()))["examples"] == ledger["kept"]["documents"]
        assert ledger["dropped"]["beyond 100 characters to judge"]["documents"] > 0


def test_texts_of_ones_own_are_judged_by_a_decoder_alone(river: Path) -> None:
    found = judge_text(river / "causal", ["今天北京", "我们投资地铁。"])
    assert found["bits_per_character"]["examples"] == 2
    assert found["bits_per_character"]["baselines"] == {}
    with pytest.raises(InputError, match="decoder"):
        judge_text(river / "masked", ["今天"])
    with pytest.raises(InputError, match="no text"):
        judge_text(river / "causal", [])


def test_without_a_test_split_the_scores_are_empty(river: Path, tmp_path: Path) -> None:
    config = CorpusConfig(sources=[SourceConfig(path=str(river / "news.jsonl"))], test=0)
    for name in ("corpus", "store", "found"):
        (tmp_path / name).mkdir()
    prepare(config, tmp_path / "corpus")
    encode_corpus(Corpus.open(tmp_path / "corpus"), Tokenizer.open(river / "byte_bpe"), tmp_path / "store")
    ledger = evaluate_language_model(
        river / "causal", [tmp_path / "store"], [tmp_path / "corpus"], tmp_path / "found", 1
    )
    ledger.check()
    assert files.read_json(tmp_path / "found" / "scores.json") == {}
    assert files.read_json(tmp_path / "found" / "samples.json") == []
