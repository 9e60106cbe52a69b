"""The simple methods that write, on texts where the right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from myna.evaluation import text_baselines
from myna.evaluation.text_baselines import (
    Dictionary,
    first_sentences,
    nearest_targets,
    textrank,
    usual_sentences,
)


@pytest.mark.parametrize(
    ("text", "count", "first"),
    [("今天很好。明天下雨。", 1, "今天很好。"), ("One. Two. Three.", 2, "One. Two."), ("no end", 3, "no end")],
)
def test_the_first_sentences_are_taken(text: str, count: int, first: str) -> None:
    assert first_sentences(text, count) == first


def test_textrank_takes_what_the_other_sentences_are_like_in_their_order() -> None:
    text = "Rain fell. The river rose in the town. The town feared the river. A cat slept. River and town met."
    assert textrank(text, 2) == "The river rose in the town. The town feared the river."
    assert textrank("甲乙丙。丁戊己。甲丁。", 1) == "甲丁。"
    assert textrank("Only one.", 3) == "Only one."
    assert textrank("!!! ??? !!!", 1)


def test_its_ranks_are_those_of_the_walk() -> None:
    likeness = np.array([[0, 1, 0], [1, 0, 2], [0, 2, 0]], float)
    found = text_baselines._rank(likeness)
    steps = likeness / likeness.sum(1, keepdims=True)
    exact = np.linalg.solve(np.eye(3) - 0.85 * steps.T, np.full(3, 0.05))
    assert found == pytest.approx(exact, abs=1e-3)


def test_a_summary_has_as_many_sentences_as_most_of_training() -> None:
    assert usual_sentences(["One. Two.", "One.", "One. Two."]) == 2
    assert usual_sentences([]) == 1


@pytest.mark.parametrize("han", [False, True])
def test_the_target_of_the_most_similar_source_is_written(han: bool) -> None:
    sources = ["天气很好", "股票大跌", "足球比赛"] if han else ["fine weather", "stocks fall", "football game"]
    asked = ["明天天气很好吗", "足球比赛取消"] if han else ["the weather is fine", "the football game"]
    assert nearest_targets(sources * 2, ["a", "b", "c"] * 2, asked) == ["a", "c"]
    assert nearest_targets(sources, ["a", "b", "c"], []) == []
    assert nearest_targets(["天", "a"], ["x", "y"], ["b"]) == ["x"]


def test_a_dictionary_is_learned_from_pairs_of_texts() -> None:
    words = {"red": "红", "blue": "蓝", "house": "房子", "car": "汽车", "big": "大"}
    draw = np.random.default_rng(5)
    pairs = [draw.choice(list(words), 3, replace=False).tolist() for _ in range(60)]
    sources = [" ".join(line) for line in pairs]
    targets = [" ".join(words[word] for word in draw.permutation(line)) for line in pairs]
    found = Dictionary(sources, targets)
    assert {word: found.best[word] for word in words} == words
    assert found.translate("Big red 42") == "大红42"


def test_a_dictionary_of_nothing_leaves_words_as_they_are() -> None:
    assert Dictionary([], []).translate("a house") == "a house"
    assert Dictionary(["a"], [" "]).translate("a") == "a"


def test_its_first_round_is_expectation_maximization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_baselines, "_ROUNDS", 1)
    # "x" stands beside "a" twice and beside "b" once; each has a third of its target word, with the word for none.
    found = Dictionary(["x y", "x z", "x"], ["a", "a", "b"])
    assert found.best["x"] == "a"  # 1/3 + 1/3 against 1/2
