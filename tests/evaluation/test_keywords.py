"""Key words lean to their part, and neither chance nor the everyday leads the list."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from myna.corpus.document import Corpus, Document
from myna.corpus.words import segment
from myna.evaluation.keywords import PRIOR_WORDS, content_words, count_words, keywords

from .made_up_run import make_corpora


def test_the_score_is_the_formula_of_monroe_colaresi_and_quinn() -> None:
    part = Counter(good=30, the=150, of=300, dull=3)
    rest = Counter(good=5, the=140, of=340, dull=40)
    found = {each.word: each for each in keywords(part, rest)}
    assert list(found) == ["good", "the"]  # the others lean the other way
    size, other, prior = 483, 525, PRIOR_WORDS * 35 / 1008
    first, second = 30 + prior, 5 + prior
    odds = math.log(first / (size + PRIOR_WORDS - first)) - math.log(second / (other + PRIOR_WORDS - second))
    assert found["good"].score == pytest.approx(odds / math.sqrt(1 / first + 1 / second))
    assert (found["good"].count, found["good"].elsewhere) == (30, 5)


def test_a_word_seen_once_does_not_lead_although_its_ratio_is_infinite() -> None:
    part, rest = Counter({"often": 200, "once": 1, "same": 1000}), Counter({"often": 40, "same": 1100})
    assert keywords(part, rest)[0].word == "often"


def test_without_a_rest_words_go_by_their_count() -> None:
    found = keywords(Counter(a=3, b=9), Counter())
    assert [(each.word, each.score) for each in found] == [("b", 9), ("a", 3)]
    assert keywords(Counter(), Counter(a=1)) == []


@pytest.mark.filterwarnings("error")
def test_the_only_word_of_a_small_corpus_leans_to_neither_part() -> None:
    assert keywords(Counter(a=5), Counter(a=7)) == []
    assert [each.word for each in keywords(Counter(a=5, b=2), Counter(a=7))] == ["b"]


def test_content_words_are_whole_words_without_stop_words_numbers_and_marks() -> None:
    text = "我们的 Python 程序在 1998 年很好！"
    document = Document("1", text, "s", "g", "train", words=segment(text))
    assert content_words(document, frozenset({"我们", "的"})) == ["python", "程序"]
    assert content_words(Document("1", text, "s", "g", "train"), frozenset()) == []


def test_words_are_counted_by_label_in_the_training_split_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_corpora(tmp_path)
    corpus = Corpus.open(tmp_path / "corpus" / "reviews")
    counts = count_words(corpus)
    assert set(counts) == {"positive", "negative"}
    wanted = dict.fromkeys(counts, 0)
    for document in corpus.documents("train"):
        wanted[str(document.label)] += len([w for w in content_words(document, frozenset()) if w == "方便"])
    assert {label: words["方便"] for label, words in counts.items()} == wanted
    assert np.sum(list(wanted.values())) > 0
    monkeypatch.setattr("myna.evaluation.keywords.MOST_CHARACTERS", 1)
    assert sum(words.total() for words in count_words(corpus).values()) < sum(w.total() for w in counts.values())
