"""Small tokenizers, models, documents and corpora to fine-tune with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from myna.corpus.document import SPLITS, Document, Span, to_batch
from myna.huggingface.folder import write_model_folder
from myna.ledger import Ledger
from myna.model.config import ModelConfig
from myna.model.heads import build
from myna.tokens.tokenizer import Tokenizer

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789，。！？；、（）江泽民在北京和上海说好天气不很今明老王小李"


def tokenizer_folder(folder: Path) -> Path:
    """A WordPiece tokenizer whose pieces are single characters: a word of three letters has three."""
    vocabulary = [*SPECIALS, *ALPHABET, *(f"##{c}" for c in ALPHABET)]
    model = models.WordPiece(
        {piece: number for number, piece in enumerate(vocabulary)}, unk_token="[UNK]", max_input_chars_per_word=100
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(SPECIALS))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "BertTokenizer", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"pad_token": "[PAD]", "mask_token": "[MASK]"}))
    return folder


def micro_config(tokenizer: Tokenizer, **changes: object) -> ModelConfig:
    """A BERT of width 32 with one layer."""
    sizes = {"hidden_size": 32, "layers": 1, "heads": 2, "feed_forward_size": 64, "maximum_length": 24, "segments": 2}
    return ModelConfig(
        **{"vocabulary_size": tokenizer.vocabulary_size, **sizes, "initializer_range": 0.1, "dropout": 0.1, **changes}
    )


def encoder_folder(folder: Path, kind: str = "masked", **changes: object) -> Path:
    """An encoder (or a model of another kind) that was never trained, as a pre-training stage leaves one."""
    tokenizer = Tokenizer.open(tokenizer_folder(folder.parent / f"{folder.name}-tokenizer"))
    model = build(micro_config(tokenizer, **changes), kind, seed=5)
    write_model_folder(
        folder, model, tokenizer.folder, {"name": "encoder", "task": "masked language model", "steps": 0}
    )
    return folder


def document(text: str, split: str = "train", number: int = 0, **what: object) -> Document:
    return Document(f"{split}-{number}", text, "data.jsonl", text, split, **what)  # type: ignore[arg-type]


def corpus_folder(folder: Path, documents: Iterable[Document]) -> Path:
    """A corpus of these documents, as ``prepare`` writes one."""
    folder.mkdir(parents=True)
    documents = list(documents)
    splits = {}
    for split in SPLITS:
        mine = [each for each in documents if each.split == split]
        shard = f"{split}-00000.parquet"
        pq.write_table(pa.Table.from_batches([to_batch(mine)]), folder / shard)
        characters = sum(len(each.text) for each in mine)
        splits[split] = {"documents": len(mine), "characters": characters, "shards": [shard]}
    facts = {
        "format": 1,
        "ledger": Ledger().to_dict(),
        "has_label": any(d.label for d in documents),
        "has_labels": any(d.labels for d in documents),
        "has_words": False,
        "has_spans": any(d.spans is not None for d in documents),
        "scripts": {"han": 1.0, "latin": 0.0},
        "splits": splits,
    }
    (folder / "corpus.json").write_text(json.dumps(facts))
    return folder


def spans(text: str, names: dict[str, str]) -> tuple[Span, ...]:
    """A span at each place where one of the names stands."""
    found = []
    for name, label in names.items():
        place = text.find(name)
        while place >= 0:
            found.append(Span(place, place + len(name), label))
            place = text.find(name, place + 1)
    return tuple(sorted(found))


NAMES = {"江泽民": "PER", "老王": "PER", "小李": "PER", "北京": "LOC", "上海": "LOC"}


def news(count: int) -> list[str]:
    """Sentences of names and other words, most of them longer than a window of 24, no two alike."""
    words = [*NAMES, "今天", "明天", "很好", "天气", "在", "和", "说", "不", "，"]
    draw = np.random.default_rng(1)
    return ["".join(draw.choice(words, 16)) + f"{number}。" for number in range(count)]


def parts(total: int) -> Sequence[Sequence[int]]:
    """Ways to cut a batch of ``total`` items: halves, quarters, a ragged cut."""
    return [
        [total // 2] * 2,
        [total // 4] * 4,
        [1, total // 3, total - 1 - total // 3],
    ]
