"""Predictions: one answer a text, in order, with offsets in the text as it was given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from myna.errors import InputError
from myna.inference.predict import predict
from myna.model.heads import build
from myna.tasks.classification import Classification
from myna.tasks.tagging import Tagging
from myna.tokens.tokenizer import Tokenizer

from ..tasks.material import micro_config, tokenizer_folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.open(tokenizer_folder(tmp_path_factory.mktemp("tokenizer")))


def tagger(tokenizer: Tokenizer) -> tuple:
    """A tagger of random weights, large enough for its tags to differ from place to place."""
    config = micro_config(tokenizer, initializer_range=0.7)
    task = Tagging(tokenizer, Tagging.labels_of(["PER", "LOC"]), config.maximum_length)
    return build(config, "token", task.labels, seed=4), task


def classifier(tokenizer: Tokenizer) -> tuple:
    config = micro_config(tokenizer, initializer_range=0.7)
    task = Classification(tokenizer, ["bad", "good"], config.maximum_length)
    return build(config, "sequence", task.labels, seed=4), task


texts = st.text(st.characters(codec="utf-8") | st.sampled_from("江泽民在北京。！\n，  ab1é"), max_size=90).filter(
    lambda text: bool(text.strip())
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts)
def test_spans_are_stretches_of_any_text_as_it_was_given(tokenizer: Tokenizer, text: str) -> None:
    model, task = tagger(tokenizer)
    (answer,) = predict(model, task, [text])
    place = 0
    for span in answer["spans"]:
        assert place <= span["start"] < span["end"] <= len(text)
        assert span["text"] == text[span["start"] : span["end"]] == span["text"].strip()
        place = span["end"]


def test_a_tagger_answers_for_every_unit_of_a_long_text(tokenizer: Tokenizer) -> None:
    model, task = tagger(tokenizer)
    text = "\n 江泽民在北京，" * 40
    from myna.inference.predict import predictions, unlabelled

    (prediction,) = predictions(model, task, task.items(unlabelled([text])))
    assert [text[a:b] for a, b in prediction.units] == list("江泽民在北京，" * 40)
    assert len(prediction.tags) == 280
    assert prediction.probabilities.shape == (280, 5)
    np.testing.assert_allclose(prediction.probabilities.sum(1), 1)
    assert len(prediction.spans) > 10


@pytest.mark.parametrize("make", [tagger, classifier])
def test_answers_are_in_order_whatever_else_is_asked(tokenizer: Tokenizer, make) -> None:
    model, task = make(tokenizer)
    model.double()
    lines = ["好" * n + "江泽民" for n in (30, 2, 75, 1, 2, 9)]
    together = predict(model, task, lines, batch_tokens=64)
    for line, answer in zip(lines, together, strict=True):
        (alone,) = predict(model, task, [line])
        if "scores" in alone:
            assert answer["label"] == alone["label"]
            assert answer["scores"] == pytest.approx(alone["scores"], rel=1e-12)
        else:
            assert answer == alone
    assert predict(model, task, []) == []


@pytest.mark.parametrize(
    "lines, message",
    [
        (["a", " \n"], "text 2 of 2 is empty"),
        (["a", None], "text 2 of 2 is no text but NoneType"),
        (["a\udce4"], "text 1 of 1 holds bytes that are no text"),
    ],
)
@pytest.mark.parametrize("make", [tagger, classifier])
def test_a_text_that_is_none_is_named(tokenizer: Tokenizer, make, lines: list, message: str) -> None:
    model, task = make(tokenizer)
    with pytest.raises(InputError, match=message):
        predict(model, task, lines)


def test_a_text_of_which_the_tokenizer_reads_nothing_is_named(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, task = classifier(tokenizer)
    with pytest.raises(InputError, match="text 2 of 2: the tokenizer finds nothing to read"):
        predict(model, task, ["a", "\x00"])
    model, task = tagger(tokenizer)
    assert len(predict(model, task, ["a", "\x00"])) == 2
