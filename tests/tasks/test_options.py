"""Freezing, layer-wise learning rates, adapters and early stopping do for every task what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from myna.corpus.document import Document, Words
from myna.finetuning import FinetuneConfig, finetune
from myna.learner import let_learn
from myna.tasks.examples import Example
from myna.tasks.segmentation import WORD
from myna.tokens.tokenizer import Tokenizer
from myna.training.batches import backward, make_batches
from myna.training.optimizers import make_optimizer

from .material import corpus_folder, document, encoder_folder, tokenizer_folder
from .test_tasks import LABELS, make, random_examples

TASKS = list(LABELS)
# A text's vector needs none.
WITH_A_HEAD = [name for name in TASKS if name != "embeddings"]
USUAL = {"corpus": "c", "start_from": "e", "steps": 1, "weight_decay": 0.0}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.open(tokenizer_folder(tmp_path_factory.mktemp("tokenizer")))


def moved(name: str, tokenizer: Tokenizer, **settings: object) -> dict[str, float]:
    """How far each parameter of a model of two layers goes in one step with a learning rate of 1, at most."""
    config = FinetuneConfig(task=name, **USUAL, **settings)
    task, model = make(name, tokenizer, layers=2)
    examples = random_examples(name, 12)
    task.adjust(config, examples, model)  # type: ignore[attr-defined]
    let_learn(model, config, seed=1)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = make_optimizer(dict(model.named_parameters()), config)
    items = task.items(examples)
    backward(task, model, make_batches(task, items, range(len(items)), 10**6, None))
    optimizer.step(1.0)
    return {n: float((p - before[n]).abs().max().detach()) for n, p in model.named_parameters()}


@pytest.mark.parametrize("name", WITH_A_HEAD)
def test_what_is_frozen_stays_and_the_head_learns(tokenizer: Tokenizer, name: str) -> None:
    far = moved(name, tokenizer, freeze="trunk")
    assert all(distance == 0 for n, distance in far.items() if n.startswith("trunk."))
    assert all(distance > 0 for n, distance in far.items() if n.startswith("head."))


@pytest.mark.parametrize("name", WITH_A_HEAD)
def test_adapters_and_the_head_learn_alone(tokenizer: Tokenizer, name: str) -> None:
    far = moved(name, tokenizer, lora={"of": ["query", "feed_forward"]})
    # What comes behind the adapter's zeros has no gradient in the first step.
    learning = {n for n, distance in far.items() if distance}
    assert learning == {n for n in far if ".up." in n or n.startswith("head.")}


@pytest.mark.parametrize("name", WITH_A_HEAD)
def test_a_layer_learns_with_its_share_of_the_rate_of_the_one_above(tokenizer: Tokenizer, name: str) -> None:
    """AdamW's first step is as long as the rate, whatever the gradient is."""
    far = moved(name, tokenizer, layer_decay=0.5)
    rates = {"head.output.weight": 1.0, "blocks.1.": 0.5, "blocks.0.": 0.25, "embeddings.words": 0.125}
    for part, rate in rates.items():
        assert max(distance for n, distance in far.items() if part in n) == pytest.approx(rate, rel=1e-3), part


def as_document(example: Example, number: int) -> Document:
    words = None
    if example.words is not None:
        tags = [""] * len(example.words) if example.tags is None else list(example.tags)
        words = Words.of([a for a, _ in example.words], [b for _, b in example.words], tags)
    elif example.spans and all(span.label == WORD for span in example.spans):
        words = Words.of([s.start for s in example.spans], [s.end for s in example.spans], [""] * len(example.spans))
    split = ("train", "train", "validation")[number % 3]
    kinds = ("label", "labels", "spans", "pair", "value", "target")
    return document(example.text, split, number, words=words, **{kind: getattr(example, kind) for kind in kinds})


@pytest.mark.parametrize("name", TASKS)
def test_training_ends_when_validation_gets_no_better(tmp_path: Path, name: str) -> None:
    """A rate of next to nothing never betters the first score: two more validations, and it ends."""
    documents = [as_document(each, number) for number, each in enumerate(random_examples(name, 60, longest=20))]
    corpus, start = corpus_folder(tmp_path / "corpus", documents), encoder_folder(tmp_path / "encoder")
    (tmp_path / "run").mkdir()
    settings = {"learning_rate": 1e-12, "epochs": 9, "patience": 2, "batch_tokens": 512, "threads": 1}
    config = FinetuneConfig(task=name, corpus="c", start_from="e", checkpoint_seconds=9, **settings)
    finetune(config, corpus, start, tmp_path / "run", seed=1).check()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    scores = [line["validation"]["score"] for line in lines if "validation" in line]
    assert len(scores) == 3
    assert torch.tensor(scores).isfinite().all()
