"""Sentences are chosen by what comes nearest a summary, over all windows of a text, each answered for once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from myna.corpus.sentences import sentences
from myna.evaluation import texts
from myna.finetuning import FinetuneConfig
from myna.inference.predict import predictions
from myna.ledger import Ledger
from myna.model.heads import Model, build
from myna.tasks.examples import Example
from myna.tasks.extraction import Extraction, best_sentences
from myna.tokens.tokenizer import Tokenizer

from .material import micro_config, tokenizer_folder

CONFIG = FinetuneConfig(task="extraction", corpus="c", start_from="e")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.open(tokenizer_folder(tmp_path_factory.mktemp("tokenizer")))


def make(tokenizer: Tokenizer) -> tuple[Extraction, Model]:
    config = micro_config(tokenizer, dropout=0.0)
    task = Extraction(tokenizer, Extraction.labels_of([]), config.maximum_length)
    return task, build(config, task.head, task.labels, seed=1)


def long_text(seed: int, count: int = 12) -> str:
    draw = np.random.default_rng(seed)
    return "".join("".join(draw.choice(list("天气很好今天明"), draw.integers(2, 9))) + "。" for _ in range(count))


def test_the_labels_are_those_of_the_greedy_search() -> None:
    parts = ["The cat sat.", "A dog ran far away.", "It was a sunny day.", "The cat ran."]
    assert best_sentences(parts, "the cat sat on a sunny day") == (0, 2)
    assert best_sentences(parts, "nothing here fits") == ()
    assert best_sentences(["今天很好。", "明天下雨。"], "明天雨") == (1,)
    assert best_sentences(parts, "the cat sat on a sunny day", most=1) == (0,)


def test_the_first_label_is_the_best_single_sentence() -> None:
    draw = np.random.default_rng(7)
    for _ in range(30):
        parts = ["".join(draw.choice(list("天地玄黄宇宙"), draw.integers(1, 8))) for _ in range(5)]
        target = "".join(draw.choice(list("天地玄黄宇宙"), 6))
        single = [sum(texts.rouge_of(texts.words_of(part), texts.words_of(target))[:2]) for part in parts]
        found = best_sentences(parts, target, most=1)
        assert found == ((int(np.argmax(single)),) if max(single) else ())


def test_every_sentence_is_an_output_once_and_its_tokens_are_its_own(tokenizer: Tokenizer) -> None:
    task, _ = make(tokenizer)
    ledger = Ledger()
    examples = [Example(long_text(seed), str(seed), target="今天很好") for seed in range(4)]
    ledger.came_in(examples=4, labels=4)
    items = task.items(examples, "window", ledger)
    ledger.check()
    assert len(items) > 8  # several windows each
    for number, example in enumerate(examples):
        shown = []
        for item in (item for item in items if item.example == number):
            for row, end in zip(item.rows, item.ends, strict=True):
                shown.append(tokenizer.backend.decode(item.ids[row:end].tolist()).replace(" ", ""))
        expected = [example.text[start:end] for start, end in sentences(example.text)]
        assert all(one.startswith(two) and two for one, two in zip(expected, shown, strict=True))
        targets = np.concatenate([item.targets for item in items if item.example == number])
        assert tuple(np.flatnonzero(targets)) == best_sentences(expected, "今天很好")


def test_a_sentence_is_scored_by_the_mean_of_its_tokens(tokenizer: Tokenizer) -> None:
    task, model = make(tokenizer)
    (item,) = task.items([Example("今天很好。明天不好。", "1")])
    batch = task.batch([item], np.zeros(1, np.int64), None)
    with torch.inference_mode():
        hidden = model.trunk(batch.tokens)
        wanted = model.head.label(torch.stack([hidden[1:6].mean(0), hidden[6:11].mean(0)]), None)
        assert torch.allclose(task.outputs(model, batch), wanted, atol=1e-6)


def test_as_many_sentences_are_chosen_as_was_set(tokenizer: Tokenizer) -> None:
    task, model = make(tokenizer)
    example = Example(long_text(3, 10), "1", target="今天")
    for settings, count in (({"sentences": 3}, 3), ({"sentence_share": 0.5}, 5), ({}, 1), ({"sentences": 99}, 10)):
        task.adjust(CONFIG.model_copy(update=settings), [example], model)
        again = Extraction(tokenizer, task.labels, 24)
        again.recall(task.remembered())
        (said,) = predictions(model, again, again.items([example]))
        assert len(said.chosen) == count
        assert said.chosen == tuple(sorted(said.chosen))
        assert min(said.probabilities[list(said.chosen)]) >= max(
            [p for place, p in enumerate(said.probabilities) if place not in said.chosen], default=0
        )
        answer = said.answer()
        assert answer["text"] == "".join(each["text"] for each in answer["sentences"])
        assert all(example.text[each["start"] : each["end"]] == each["text"] for each in answer["sentences"])


def test_answers_do_not_depend_on_the_other_texts(tokenizer: Tokenizer) -> None:
    task, model = make(tokenizer)
    examples = [Example(long_text(seed, 3 + seed), str(seed)) for seed in range(5)]
    together = predictions(model, task, task.items(examples))
    for example, said in zip(examples, together, strict=True):
        (alone,) = predictions(model, task, task.items([example]), 64)
        assert alone.probabilities == pytest.approx(said.probabilities, abs=1e-6)


def test_a_model_learns_which_sentences_to_choose(tokenizer: Tokenizer) -> None:
    task, model = make(tokenizer)
    draw = np.random.default_rng(1)
    examples = []
    for number in range(24):
        parts = [
            "北京很好。" if place == number % 4 else "".join(draw.choice(list("说不在和"), 4)) + "。"
            for place in range(4)
        ]
        examples.append(Example("".join(parts), str(number), target="北京很好"))
    task.adjust(CONFIG, examples, model)
    assert task.count == 1
    items = task.items(examples)
    batch = task.batch(list(items), np.arange(len(items)), None)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        task.loss(model, batch).total(batch.counts).backward()
        optimizer.step()
    figures = task.metrics(examples, predictions(model, task, items))
    assert figures["score"] == figures["rouge_l"] == 1


def test_bad_settings_are_told() -> None:
    for settings, told in (
        ({"sentences": 2, "sentence_share": 0.5}, "one of the two"),
        ({"sentences": 0}, "greater than 0"),
        ({"task": "classification", "sentences": 2}, "sentences is not for task = classification"),
        ({"read": "first"}, "read is not for task = extraction"),
        ({"task": "classification", "read": "summary"}, "go together"),
        ({"task": "classification", "summarizer": "brief"}, "go together"),
    ):
        with pytest.raises(ValueError, match=told):
            FinetuneConfig.model_validate({"task": "extraction", "corpus": "c", "start_from": "e", **settings})
