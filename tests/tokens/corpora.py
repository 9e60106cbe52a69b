"""Prepared corpora of a few texts, for tests that need one and no preparation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from myna import files
from myna.corpus.document import FORMAT, SPLITS, Corpus, Document, to_batch
from myna.corpus.words import segment
from myna.ledger import Ledger

NEWS = [
    "中国的改革开放和现代化建设继续向前迈进。国民经济保持了“高增长、低通胀”的良好发展态势。",
    "新华社北京１２月３１日电 国家主席发表1998年新年讲话，祝全国人民新年好！",
    "The quick brown fox jumps over the lazy dog, and doesn't look back: it's 12,345 miles away.",
    "他用Python写了一个GPT模型, then trained it on 2 GPUs in Beijing (北京).",
    "Naïve café façade — ¿qué? Привет, мир! こんにちは、世界。한국어도 됩니다. 😀👩‍👩‍👧 ok😀",
    "第一段。\n\n第二段，有\t制表符。 ",
]


def write_corpus(
    folder: Path,
    train: Sequence[str],
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
    words: bool = True,
) -> Corpus:
    """A real corpus in ``folder``, with the words of :func:`segment` or with none."""
    folder.mkdir(parents=True)
    splits = {}
    for split, texts in zip(SPLITS, (train, validation, test), strict=True):
        documents = [
            Document(f"{split}{i}", text, "here", str(i), split, words=segment(text) if words else None)
            for i, text in enumerate(texts)
        ]
        shard = f"{split}-00000.parquet"
        pq.write_table(pa.Table.from_batches([to_batch(documents)]), folder / shard)
        splits[split] = {"documents": len(texts), "characters": sum(map(len, texts)), "shards": [shard]}
    facts = dict.fromkeys(("has_label", "has_labels", "has_spans"), False) | {"has_words": words}
    scripts = {"han": 0.5, "latin": 0.5}
    files.write_json(
        folder / "corpus.json",
        {"format": FORMAT, "ledger": Ledger().to_dict(), "scripts": scripts, "splits": splits, **facts},
    )
    return Corpus.open(folder)
