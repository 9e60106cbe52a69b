"""The figures of written texts are those of rouge-score and sacrebleu, and functions of sums."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF

from myna.evaluation import texts
from myna.evaluation.metrics import first_share
from myna.evaluation.significance import bootstrap, difference

ENGLISH = st.text("abcdet 129.,-'\"É_\n", max_size=40)
CHINESE = st.text("天地玄黄的了，。！ab3 \n", max_size=30)
ANY = st.text(max_size=40)
FEW, MANY = settings(max_examples=60, deadline=None), settings(max_examples=1000, deadline=None)


@cache
def rouge_score(by_character: bool) -> Any:
    class Characters:
        def tokenize(self, text: str) -> list[str]:
            return list(text)

    return rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Characters() if by_character else None)


@cache
def sacrebleu(tokenizer: str) -> tuple[Any, Any]:
    return BLEU(tokenize=tokenizer), CHRF()


def rouge_is_that_of_rouge_score(expected: str, written: str) -> None:
    theirs = rouge_score(False).score(expected, written)
    one, two = (re.findall("[a-z0-9]+", text.lower()) for text in (expected, written))
    if not (one or two) or (one == two and len(one) == 1):
        return  # There ROUGE-2 of a word with itself is 0, and so is all ROUGE without a letter.
    found = texts.rouge_counts([expected], [written])[0]
    assert found[:3].tolist() == pytest.approx([theirs[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")])


def rouge_of_characters_is_that_of_rouge_score(expected: str, written: str) -> None:
    theirs = rouge_score(True).score(expected, written)
    if expected != written or len(expected) > 1:
        found = texts.rouge_counts([expected], [written])[0]
        assert found[:3].tolist() == pytest.approx([theirs[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")])


def bleu_and_chrf_are_those_of_sacrebleu(pairs: list[tuple[str, str]], tokenizer: str) -> None:
    expected, written = ([pair[side] for pair in pairs] for side in (0, 1))
    library = sacrebleu(tokenizer)
    bleu = texts.bleu(texts.bleu_counts(expected, written, tokenizer).sum(0))
    assert float(bleu) == pytest.approx(library[0].corpus_score(written, [expected]).score / 100)
    chrf = texts.chrf(texts.chrf_counts(expected, written).sum(0))
    assert float(chrf) == pytest.approx(library[1].corpus_score(written, [expected]).score / 100)


@given(ENGLISH, ENGLISH)
@FEW
def test_english_rouge(expected: str, written: str) -> None:
    rouge_is_that_of_rouge_score(expected, written)


@given(st.text("天地玄黄宇宙", max_size=20), st.text("天地玄黄宇宙", max_size=20))
@FEW
def test_chinese_rouge_is_that_of_characters(expected: str, written: str) -> None:
    rouge_of_characters_is_that_of_rouge_score(expected, written)


@given(st.lists(st.tuples(ENGLISH, ENGLISH), min_size=1, max_size=4))
@FEW
def test_english_bleu_and_chrf(pairs: list[tuple[str, str]]) -> None:
    bleu_and_chrf_are_those_of_sacrebleu(pairs, "13a")


@given(st.lists(st.tuples(CHINESE, CHINESE), min_size=1, max_size=4))
@FEW
def test_chinese_bleu_and_chrf(pairs: list[tuple[str, str]]) -> None:
    bleu_and_chrf_are_those_of_sacrebleu(pairs, "zh")


@pytest.mark.slow
def test_a_thousand_cases_of_each() -> None:
    MANY(given(ENGLISH, ENGLISH)(rouge_is_that_of_rouge_score))()
    MANY(given(ANY, ANY)(rouge_of_any_text_is_a_share))()
    for text, tokenizer in ((ENGLISH, "13a"), (CHINESE, "zh")):
        pairs = st.lists(st.tuples(text, text), min_size=1, max_size=4)
        MANY(given(pairs, st.just(tokenizer))(bleu_and_chrf_are_those_of_sacrebleu))()


def rouge_of_any_text_is_a_share(expected: str, written: str) -> None:
    found = texts.rouge_counts([expected], [written])
    assert ((found >= 0) & (found <= 1)).all()
    assert found.tolist() == texts.rouge_counts([written], [expected]).tolist()


@given(ANY)
@FEW
def test_any_text_with_itself_has_a_rouge_of_one(text: str) -> None:
    rouge_of_any_text_is_a_share(text, text)
    found = texts.rouge_counts([text], [text])[0].tolist()
    assert found == ([1.0] * 4 if text.strip() else [0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize("text", ["the cat sat here", "天地玄黄", "你好，世界", "four , . !"])
def test_a_text_of_four_words_with_itself_has_a_bleu_of_one(text: str) -> None:
    counts = texts.bleu_counts([text], [text], texts.bleu_tokenizer([text]))
    assert float(texts.bleu(counts.sum(0))) == pytest.approx(1)
    assert float(texts.chrf(texts.chrf_counts([text], [text]).sum(0))) == pytest.approx(1)


def test_bleu_without_the_library_follows_its_definition() -> None:
    right, written = [3.0, 2, 1, 0], [4.0, 3, 2, 1]
    # Nothing is right of the fourth order: half the share of one right.
    product = 3 / 4 * 2 / 3 * 1 / 2 * 0.5 / 1
    assert float(texts.bleu(np.array([4, 5, *right, *written]))) == pytest.approx(product**0.25 * np.exp(1 - 5 / 4))
    assert float(texts.bleu(np.array([4.0, 5, 0, 0, 0, 0, *written]))) == 0
    assert float(texts.bleu(np.array([2.0, 2, 2, 1, 0, 0, 2, 1, 0, 0]))) == 0


def test_signatures_tell_how_it_was_counted() -> None:
    found, counted_by = texts.signatures("zh"), version("sacrebleu")
    assert found["bleu"] == f"nrefs:1|case:mixed|eff:no|tok:zh|smooth:exp|version:{counted_by}"
    assert found["chrf"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat's 2nd naïve hat", ["the", "cat", "s", "2nd", "na", "ve", "hat"]),
        ("用BERT做分类，很好。", ["用", "bert", "做", "分", "类", "很", "好"]),
        ("Привет, мир", ["привет", "мир"]),
        ("!? …", ["!", "?", "…"]),
        (" \n", []),
    ],
)
def test_words_are_those_of_rouge_score_and_characters_of_chinese(text: str, words: list[str]) -> None:
    assert texts.words_of(text) == words


def test_the_longest_common_subsequence_is_found() -> None:
    draw = np.random.default_rng(1)
    for _ in range(50):
        first, second = ("".join(draw.choice(list("abc"), draw.integers(1, 90))) for _ in range(2))
        table = np.zeros((len(first) + 1, len(second) + 1), int)
        for i, one in enumerate(first):
            for j, two in enumerate(second):
                table[i + 1, j + 1] = table[i, j] + 1 if one == two else max(table[i, j + 1], table[i + 1, j])
        assert texts.common_subsequence(first, second) == table[-1, -1]


@pytest.mark.parametrize("name", ["rouge_l", "chrf", "exact_match"])
def test_intervals_and_paired_differences_are_of_sums(name: str) -> None:
    draw = np.random.default_rng(2)
    expected = ["".join(draw.choice(list("天地玄黄"), 12)) for _ in range(40)]
    good = [text[:10] + "宇" if place % 4 else text for place, text in enumerate(expected)]
    bad = [text[::-1] for text in expected]
    (counts, metric), (others, _) = (texts.figures_of([name], expected, said)[name] for said in (good, bad))
    whole = bootstrap(counts, metric, 1, 200)
    assert whole.value == pytest.approx(float(metric(counts.sum(0))))
    assert whole.low < whole.value < whole.high
    assert difference(counts, others, metric, 1, 200).low > 0
    assert metric(counts[None].repeat(2, 0).sum(1)).shape == (2,)


def test_repetition_and_variety_are_counted_over_all_texts() -> None:
    assert texts.repetition_counts(["a b c d a b c d", "天地玄", "天地玄黄天地玄黄天地"]).tolist() == [
        [1, 5],
        [0, 0],
        [3, 7],
    ]
    assert texts.distinct(["a b", "a b", "b a"], 2) == pytest.approx(2 / 3)
    assert texts.distinct(["a"], 2) == 0


def test_exact_texts_are_counted_but_for_white_space_at_their_ends() -> None:
    assert texts.exact_counts(["a b", "天"], [" a b\n", "地"]).tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("figure", "size"), [(texts.bleu, 10), (texts.chrf, 18), (first_share, 2), (texts.rouge(0), 4)]
)
def test_nothing_written_is_zero(figure: Callable[[np.ndarray], np.ndarray], size: int) -> None:
    assert float(figure(np.zeros(size))) == 0
