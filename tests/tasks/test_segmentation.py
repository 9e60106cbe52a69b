"""Words cut out of texts: every character is in one, and what is known is found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.corpus.document import Span, Words
from myna.evaluation.simple_methods import gaps
from myna.inference.predict import predict
from myna.model.heads import build
from myna.tasks.examples import Example
from myna.tasks.segmentation import Segmentation, words_of
from myna.tokens.tokenizer import Tokenizer

from .material import document, micro_config, tokenizer_folder


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Segmentation:
    tokenizer = Tokenizer.open(tokenizer_folder(tmp_path_factory.mktemp("tokenizer")))
    return Segmentation(tokenizer, Segmentation.labels_of([]), 24)


def right(task: Segmentation, example: Example) -> list[torch.Tensor]:
    """Logits that say exactly what is right."""
    return [torch.eye(len(task.labels))[torch.from_numpy(item.targets)] * 9 for item in task.items([example])]


def test_the_words_of_a_document_are_learned_and_told_again(task: Segmentation) -> None:
    words = Words.of([0, 2, 3, 5, 6], [2, 3, 5, 6, 10], ["nr", "p", "ns", "w", "x"])
    (example,) = task.examples(document("老王在北京，abcd", words=words))
    assert [task.labels[n] for n in task.items([example])[0].targets] == [
        *("B-W", "E-W", "S-W", "B-W", "E-W", "S-W", "S-W"),
    ]
    (said,) = task.decode(task.items([example]), right(task, example))
    assert said.answer() == {"words": ["老王", "在", "北京", "，", "abcd"]}
    assert task.metrics([example], [said])["word_f1"] == 1.0


def test_no_word_reaches_over_white_space(task: Segmentation) -> None:
    example = Example("老王 北京", "x", spans=(Span(0, 5, "W"),))
    (said,) = task.decode(task.items([example]), right(task, example))
    assert said.answer()["words"] == ["老王", "北京"]


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=80).filter(lambda text: text.strip() and text.isprintable()))
def test_every_character_but_white_space_is_in_one_word(task: Segmentation, text: str) -> None:
    model = build(micro_config(task.tokenizer), "token", task.labels, seed=1)
    (answer,) = predict(model, task, [text])
    assert "".join(answer["words"]) == "".join(text.split())


def test_f1_of_words_by_hand(task: Segmentation) -> None:
    example = Example("老王在北京", "x", spans=(Span(0, 2, "W"), Span(2, 3, "W"), Span(3, 5, "W")))
    other = Example("老王在北京", "x", spans=(Span(0, 2, "W"), Span(2, 5, "W")))
    (said,) = task.decode(task.items([other]), right(task, other))
    assert words_of(said) == list(other.spans or ())
    figures = task.metrics([example], [said])
    assert (figures["word_precision"], figures["word_recall"]) == (1 / 2, 1 / 3)
    assert figures["score"] == pytest.approx(2 / 5)


@given(st.sets(st.integers(0, 30)), st.integers(31, 40))
def test_gaps_are_what_is_left_over(borders: set[int], length: int) -> None:
    ordered = sorted(borders)
    places = list(zip(ordered[::2], ordered[1::2], strict=False))
    inside = {n for start, end in places for n in range(start, end)}
    assert {n for start, end in gaps(places, length) for n in range(start, end)} == set(range(length)) - inside
    assert np.all([start < end for start, end in gaps(places, length)])


def test_a_segmenter_is_trained_judged_and_asked(tmp_path: Path) -> None:
    from tests.test_finetuning_tasks import run

    model, scores, lines, details = run(tmp_path, "segmentation", epochs=6)
    assert scores["word_f1"]["value"] > 0.9
    assert set(scores["word_f1"]["baselines"]) == {"longest_match", "single_characters", "linear_crf"}
    assert scores["word_f1"]["baselines"]["longest_match"]["value"] > 0.7
    assert scores["word_f1"]["baselines"]["linear_crf"]["value"] > 0.7
    assert details["kind"] == "segmentation"
    assert all("".join(line["predicted"]) == line["text"] for line in lines)
    from myna.inference.loaded import load

    loaded = load(model)
    assert loaded.reads == "texts"
    assert loaded.predict("很好，小李3。")[0]["words"][:2] == ["很好", "，"]
