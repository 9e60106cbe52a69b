"""Texts, tokenizers and token stores for pre-training a tiny model by any objective, made once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myna import files
from myna.corpus.document import Corpus
from myna.corpus.prepare import CorpusConfig, prepare
from myna.corpus.sources import SourceConfig
from myna.evaluation.language import evaluate_language_model
from myna.inference.loaded import Loaded, load
from myna.pretraining import PretrainConfig, pretrain
from myna.tokens.store import encode_corpus
from myna.tokens.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer

WORDS = ["今天", "北京", "上海", "天气", "很好", "我们", "投资", "建设", "地铁", "记者", "报道", "经济", "合作"]
SIZES = {"hidden_size": 16, "layers": 1, "heads": 2, "feed_forward_size": 32, "maximum_length": 48}


@dataclass
class Trained:
    """A model, the scores of it, the ledger of its training, and its folder."""

    loaded: Loaded
    scores: dict[str, Any]
    ledger: dict[str, Any]
    folder: Path


@dataclass
class River:
    """A corpus, and a tokenizer of each kind with its store."""

    place: Path

    def train(self, folder: Path, kind: str, preset: str, model: dict[str, Any] | None = None, **table: Any) -> Trained:
        """Three steps of an objective, and the model judged."""
        given = {"corpus": "news", "tokenizer": kind, "preset": preset, "model": {**SIZES, **(model or {})}}
        run = {"steps": 3, "batch_tokens": 200, "micro_batch_tokens": 120, "threads": 1, "log_steps": 1}
        config = PretrainConfig.model_validate({**given, **run, **table})
        store = self.place / f"store-{kind}"
        ledger = pretrain(config, self.place / kind, [store], folder, seed=1)
        ledger.check()
        model_folder, found = folder / "model", folder.parent / f"{folder.name}-scores"
        found.mkdir()
        evaluate_language_model(model_folder, [store], [self.place / "news"], found, 1).check()
        return Trained(load(model_folder), files.read_json(found / "scores.json"), ledger.to_dict(), folder)


@pytest.fixture(scope="session")
def river(tmp_path_factory: pytest.TempPathFactory) -> River:
    place = tmp_path_factory.mktemp("objectives")
    draw = np.random.default_rng(1)
    lines = ["".join(draw.choice(WORDS, 14)) + f"，{n}。" + "".join(draw.choice(WORDS, 9)) + "。" for n in range(60)]
    files.write_text(place / "news.jsonl", "".join(json.dumps({"text": line}) + "\n" for line in lines))
    (place / "news").mkdir()
    prepare(CorpusConfig(sources=[SourceConfig(path=str(place / "news.jsonl"))]), place / "news")
    corpus = Corpus.open(place / "news")
    for kind in ("wordpiece", "byte_bpe"):
        for folder in (place / kind, place / f"store-{kind}"):
            folder.mkdir()
        train_tokenizer([corpus], TokenizerConfig(corpus="news", kind=kind, vocabulary=300), place / kind)  # type: ignore[arg-type]
        encode_corpus(corpus, Tokenizer.open(place / kind), place / f"store-{kind}")
    return River(place)
