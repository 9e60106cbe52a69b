"""Fine-tuning beside transformers' Trainer: examples a second and peak memory.

    python benchmarks/finetuning.py [--json] [--row NAME] [--repeats N]

A BERT of width 256, 4 layers and 4 heads learns to tell good reviews from bad ones: 5,000 Chinese reviews of
``examples/data.py reviews`` (fetched into ``data/`` where they are not), in pieces of 8,000, cut to 256. Both sides
read the same texts in the same pieces, have weights of their own at random, take a step on 32 examples with AdamW and a
clipped gradient, and drop 0.1 at embeddings, residual sums and the head; attention drops nothing, or the peer would
leave its fused kernel. Float32. That both learn the same is shown by ``tests/training/test_equal_finetuning.py``.

``reviews-padded``: the peer pads each batch to its longest text, as people run it. ``reviews-grouped``: its batches are
grouped by length too. ``reviews-lora``: the first, ours with adapters of rank 8 beside queries and values.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pairs
import peers

ROOT = Path(__file__).parent.parent
REVIEWS = ROOT / "data/reviews/reviews.train.jsonl"
EXAMPLES, LONGEST, VOCABULARY, BATCH = 5000, 256, 8000, 32
WIDTH, LAYERS, HEADS = 256, 4, 4
STEPS_A_ROUND = 6
LABELS = ("negative", "positive")
TRAINER = "transformers' Trainer"


@dataclass(frozen=True)
class Comparison:
    """A row: the peer by side, and whether ours learns in adapters."""

    peers: dict[str, pairs.Peer]
    lora: bool = False


PADDED = {"trainer": pairs.Peer(TRAINER)}
ROWS = {
    "reviews-padded": Comparison(PADDED),
    "reviews-grouped": Comparison({"trainer-grouped": pairs.Peer(f"{TRAINER}, grouped by length")}),
    "reviews-lora": Comparison(PADDED, lora=True),
}


def material(folder: Path) -> None:
    """Writes 5,000 reviews, shuffled, and a tokenizer trained on them."""
    from tokenizers import BertWordPieceTokenizer

    if not REVIEWS.exists():
        subprocess.run([sys.executable, ROOT / "examples/data.py", "reviews", "--to", ROOT / "data"], check=True)
    rows = [json.loads(line) for line in REVIEWS.read_text(encoding="utf-8").splitlines()]
    chosen = np.random.default_rng(0).permutation(len(rows))[:EXAMPLES]
    reviews = [{"text": rows[n]["text"], "label": rows[n]["label"]} for n in chosen]
    (folder / "reviews.json").write_text(json.dumps(reviews))
    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator((review["text"] for review in reviews), VOCABULARY, show_progress=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "pad_token": "[PAD]"}
    settings = {"tokenizer_class": "BertTokenizerFast", "mask_token": "[MASK]", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def read_material() -> tuple[Path, list[dict[str, str]]]:
    """The tokenizer's folder, and the reviews."""
    folder = Path(os.environ[pairs.MATERIAL])
    return folder, json.loads((folder / "reviews.json").read_text())


def lengths() -> np.ndarray:
    """How many tokens each review has, special ones included."""
    from tokenizers import Tokenizer

    folder, reviews = read_material()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    sizes = [len(line.ids) for line in tokenizer.encode_batch_fast([review["text"] for review in reviews])]
    return np.minimum(sizes, LONGEST)


def flops(counts: np.ndarray) -> float:
    """Useful arithmetic of an example: 6 FLOP a token and parameter of the layers' matrices, and its attention."""
    return float(6 * LAYERS * 12 * WIDTH**2 * counts.mean() + 12 * LAYERS * WIDTH * (counts**2).mean())


def ours(lora: bool) -> Iterator[int]:
    """The loop's own step, as in a run, without its files."""
    import torch

    from myna import randomness
    from myna.finetuning import FinetuneConfig
    from myna.huggingface.families import with_head
    from myna.model.heads import build
    from myna.presets import model_config
    from myna.tasks.classification import Classification
    from myna.tasks.examples import Example
    from myna.tokens.tokenizer import Tokenizer
    from myna.training.batches import backward, make_batches
    from myna.training.lora import adapt
    from myna.training.machine import keep_freed_memory
    from myna.training.measuring import usual_micro_batch
    from myna.training.optimizers import make_optimizer

    keep_freed_memory()
    folder, reviews = read_material()
    examples = [Example(review["text"], str(n), label=review["label"]) for n, review in enumerate(reviews)]
    sizes = {"hidden_size": WIDTH, "layers": LAYERS, "heads": HEADS, "feed_forward_size": 4 * WIDTH}
    described = model_config("bert-mini", VOCABULARY, **sizes, maximum_length=LONGEST, dropout=0.1)
    model = build(with_head(described, "masked", "sequence"), "sequence", LABELS)
    config = FinetuneConfig(task="classification", corpus="reviews", start_from="here", steps=1000, learning_rate=1e-3)
    task = Classification(Tokenizer.open(folder), LABELS, LONGEST)
    task.adjust(config, examples, model)
    if lora:
        adapt(model, ["query", "value"], 8, 16.0, 0.0, seed=1)
    items = task.items(examples, "cut")
    optimizer = make_optimizer(dict(model.named_parameters()), config)
    micro_batch_tokens, step = usual_micro_batch(model), 0

    def train(steps: int) -> int:
        nonlocal step
        for _ in range(steps):
            chosen = np.arange(step * BATCH, (step + 1) * BATCH) % len(items)
            key = randomness.key(1, "step", step)
            batches = make_batches(task, items, chosen.tolist(), micro_batch_tokens, key)
            optimizer.zero_grad(set_to_none=True)
            backward(task, model, batches)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            step += 1
        return steps * BATCH

    return peers.rounds(train, STEPS_A_ROUND)


def trainer(grouped: bool = False) -> Iterator[int]:
    """transformers' Trainer, with texts that were cut into pieces beforehand."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    folder, reviews = read_material()
    tokenizer = transformers.BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    read = tokenizer([review["text"] for review in reviews], truncation=True, max_length=LONGEST)
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=LONGEST,
        hidden_dropout_prob=peers.DROPOUT,
        attention_probs_dropout_prob=0.0,
        num_labels=len(LABELS),
    )
    names = ("input_ids", "attention_mask")
    data = [
        {**{name: read[name][n] for name in names}, "labels": LABELS.index(review["label"])}
        for n, review in enumerate(reviews)
    ]

    def examples(inputs: Any) -> int:
        return len(inputs["labels"])

    return peers.paused(
        STEPS_A_ROUND,
        examples,
        {
            "per_device_train_batch_size": BATCH,
            "train_sampling_strategy": "group_by_length" if grouped else "random",
        },
        model=transformers.BertForSequenceClassification(config),
        train_dataset=data,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
    )


SIDES = {"trainer": trainer, "trainer-grouped": partial(trainer, grouped=True)}


def side_of(row: str, side: str) -> pairs.Side:
    """The work of a side."""
    return partial(ours, ROWS[row].lora) if side == "ours" else SIDES[side]


def main() -> None:
    """Runs the rows asked for."""
    peers_of = {name: row.peers for name, row in ROWS.items()}
    pairs.run(__file__, __doc__, "examples/s", peers_of, side_of, lambda row: flops(lengths()), material)


if __name__ == "__main__":
    sys.exit(main())
