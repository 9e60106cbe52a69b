"""The simple methods do what they say, each against a count by hand or a closed form."""

import math
import random
from collections import Counter

import numpy as np
import pytest

from myna.evaluation import baselines
from myna.evaluation.linear_crf import linear_crf
from myna.evaluation.metrics import spans_of_tags


def test_majority_is_the_most_frequent_label_and_of_equals_the_first_by_name() -> None:
    assert baselines.majority(["b", "a", "b"], 2) == ["b", "b"]
    assert baselines.majority(["b", "a"], 1) == ["a"]


def test_the_script_of_a_text_is_told() -> None:
    assert baselines.mostly_han(["今天 Python 很好用。"])
    assert not baselines.mostly_han(["The word 好 means good."])
    assert not baselines.mostly_han([])


def test_logistic_regression_learns_what_characters_tell() -> None:
    texts = ["很好很满意", "质量很好", "太差了", "差评太差"] * 3
    labels = ["positive", "positive", "negative", "negative"] * 3
    assert baselines.tfidf_logistic_regression(texts, labels, ["真好", "真差"]) == ["positive", "negative"]


def test_logistic_regression_reads_words_of_other_text_and_their_pairs() -> None:
    texts = ["not good", "very good", "not bad", "very bad"] * 3
    labels = ["negative", "positive", "positive", "negative"] * 3
    new = ["not bad at all", "this is not good"]
    assert baselines.tfidf_logistic_regression(texts, labels, new) == ["positive", "negative"]


def test_words_given_beside_chinese_text_are_used() -> None:
    generator = random.Random(0)
    texts = ["".join(generator.choices("一二三四五六七八九十", k=8)) for _ in range(60)]
    labels = [generator.choice(["a", "b"]) for _ in texts]
    words = [[f"word-{label}"] for label in labels]
    found = baselines.tfidf_logistic_regression(texts, labels, ["一二", "一二"], words, [["word-a"], ["word-b"]])
    assert found == ["a", "b"]


def test_one_label_or_no_feature_at_all_falls_back_to_the_majority() -> None:
    assert baselines.tfidf_logistic_regression(["很好", "不错"], ["a", "a"], ["差"]) == ["a"]
    assert baselines.tfidf_logistic_regression(["好", "差", "中"], ["a", "b", "b"], ["好"]) == ["b"]
    assert baselines.tfidf_logistic_regression(["好", "差"], ["a", "b"], []) == []


def test_the_most_frequent_tag_of_a_unit_and_nothing_for_the_unseen() -> None:
    units, tags = ["京北京", "京人"], [["O", "B-LOC", "I-LOC"], ["I-LOC", "O"]]
    found = baselines.most_frequent_tag(units, tags, ["北京人来"])
    assert found == [["B-LOC", "I-LOC", "O", "O"]]
    assert spans_of_tags(found[0]) == [(0, 2, "LOC")]


def test_known_names_are_found_again_longest_first_where_they_are_mostly_names() -> None:
    texts = ["江泽民在北京", "北京市长", "江边有江", "李在北京市"]
    spans = [[(0, 3, "PER"), (4, 6, "LOC")], [(0, 3, "LOC")], [(0, 1, "LOC")], [(2, 5, "LOC")]]
    found = baselines.known_names(texts, spans, ["江泽民到北京市", "江水", "去北京"])
    # 江 alone was a name once of two times, and 北京 is not seen inside 北京市.
    assert found == [[(0, 3, "PER"), (4, 7, "LOC")], [(0, 1, "LOC")], [(1, 3, "LOC")]]
    assert baselines.known_names(["江江江"], [[(0, 1, "LOC")]], ["江"]) == [[]]


def test_unigram_costs_are_those_of_a_distribution() -> None:
    counts = np.array([5, 0, 3, 0])
    nats = baselines.unigram_nats(counts, np.arange(4))
    assert np.exp(-nats).sum() == pytest.approx(1)
    assert nats[0] == pytest.approx(-math.log((5 + 2 / 4) / (8 + 2)))  # Witten–Bell by hand: T = 2, N = 8
    assert np.exp(-baselines.unigram_nats(np.zeros(4, int), np.arange(4))).tolist() == pytest.approx([0.25] * 4)
    assert Counter(baselines.unigram_nats(counts, np.array([1, 1, 3])).tolist()).total() == 3


def test_a_linear_crf_learns_what_stands_beside_a_unit() -> None:
    """Of the same sign the tag depends on what is before it, which no table of signs can tell."""
    draw = np.random.default_rng(1)
    lines = [list("".join(draw.choice(["ax", "bx", "c", "d"], 12))) for _ in range(120)]
    tags = [["B-A" if (b, c) == ("a", "x") else "O" for b, c in zip(["", *line], line, strict=False)] for line in lines]
    found, read = linear_crf(lines[:80], tags[:80], [*lines[80:], []])
    assert (found, read) == ([*tags[80:], []], 80)
    assert linear_crf(lines[:80], tags[:80], [*lines[80:], []]) == (found, read)
    assert linear_crf([], [], [["a"]]) == ([["O"]], 0)


def test_a_linear_crf_knows_which_tag_followed_which() -> None:
    units, tags = [["x", "x", "x"]] * 20, [["A", "B", "C"]] * 20
    assert linear_crf(units, tags, units[:1])[0] == [["A", "B", "C"]]


def test_a_linear_crf_reads_how_a_word_that_it_never_saw_is_written() -> None:
    units = [["we", f"{n}{word}"] for n in range(40) for word in ("walked", "dogs")]
    found, _ = linear_crf(units, [["PRON", "VERB"], ["PRON", "NOUN"]] * 40, [["we", "hiked"], ["we", "cats"]])
    assert found == [["PRON", "VERB"], ["PRON", "NOUN"]]


def test_of_many_sentences_a_linear_crf_takes_the_first_that_it_has_time_for() -> None:
    units, tags = [["x", "y"]] * 50, [["A", "B"]] * 50
    assert linear_crf(units, tags, [], most=41)[1] == 20
    many = [[f"T{n}", f"U{n}"] for n in range(50)]
    assert 0 < linear_crf(units, many, [], most=100)[1] < 20


def test_a_support_vector_machine_is_scikit_learns() -> None:
    from sklearn.svm import LinearSVC

    features = baselines.weighed_features(["a good bird", "a bad fish", "good fish"] * 3, ["good", "bad"])
    assert features is not None
    labels = ["x", "y", "x"] * 3
    expected = LinearSVC(random_state=0).fit(features[0], labels).predict(features[1]).tolist()
    assert baselines.by_linear_svm(features, labels, 2) == expected == ["x", "y"]
    assert baselines.by_linear_svm(None, labels, 2) == ["x", "x"]
