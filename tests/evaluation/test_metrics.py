"""Metrics beside those of scikit-learn and seqeval, on arbitrary labels and tags."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.metrics import precision_score as seqeval_precision
from seqeval.metrics import recall_score as seqeval_recall
from seqeval.metrics.sequence_labeling import get_entities
from sklearn import metrics as reference

from myna.evaluation import metrics

LABELS = ["bad", "good", "so-so"]
pairs = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=40)
tags = st.sampled_from(["O", *(f"{kind}-{name}" for kind in "BIES" for name in ("PER", "LOC-X"))])
bio = st.sampled_from(["O", *(f"{kind}-{name}" for kind in "BI" for name in ("PER", "LOC"))])


@given(pairs)
@settings(deadline=None)
def test_classification_agrees_with_scikit_learn(examples: list[tuple[str, str]]) -> None:
    expected, predicted = [list(column) for column in zip(*examples, strict=True)]
    cells = metrics.confusion(expected, predicted, LABELS)
    assert (cells == reference.confusion_matrix(expected, predicted, labels=LABELS)).all()
    assert metrics.accuracy(cells) == pytest.approx(reference.accuracy_score(expected, predicted))
    assert metrics.macro_f1(cells) == pytest.approx(reference.f1_score(expected, predicted, average="macro"))
    precision, recall, f1, _ = reference.precision_recall_fscore_support(
        expected, predicted, labels=LABELS, zero_division=0
    )
    assert metrics.f1_by_class(cells) == pytest.approx(f1)
    assert metrics.precision_by_class(cells) == pytest.approx(precision)
    assert metrics.recall_by_class(cells) == pytest.approx(recall)


def test_metrics_keep_leading_dimensions() -> None:
    cells = np.random.default_rng(0).integers(0, 9, (5, 3, 3))
    for metric in (metrics.accuracy, metrics.macro_f1, metrics.f1_by_class):
        assert metric(cells) == pytest.approx(np.stack([metric(one) for one in cells]))
    assert metrics.accuracy(np.zeros((2, 3, 3))).tolist() == [0, 0]


def test_an_unknown_label_is_an_error() -> None:
    with pytest.raises(KeyError):
        metrics.confusion(["good"], ["neutral"], LABELS)


@given(st.lists(tags, max_size=20))
def test_spans_are_read_from_tags_as_seqeval_reads_them(line: list[str]) -> None:
    assert metrics.spans_of_tags(line) == [(start, end + 1, label) for label, start, end in get_entities(line)]


@given(st.lists(st.lists(st.tuples(bio, bio), min_size=1, max_size=12), min_size=1, max_size=8))
@settings(deadline=None)
def test_entity_f1_agrees_with_seqeval(documents: list[list[tuple[str, str]]]) -> None:
    expected = [[tag for tag, _ in line] for line in documents]
    predicted = [[tag for _, tag in line] for line in documents]
    spans = [[metrics.spans_of_tags(line) for line in side] for side in (expected, predicted)]
    counts = metrics.entity_counts(*spans).sum(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns where nothing is predicted
        assert metrics.micro_f1(counts) == pytest.approx(seqeval_f1(expected, predicted))
        assert metrics.precision(counts) == pytest.approx(seqeval_precision(expected, predicted))
        assert metrics.recall(counts) == pytest.approx(seqeval_recall(expected, predicted))
    by_label = sum(metrics.entity_counts(*spans, label=label).sum(0) for label in ("PER", "LOC"))
    assert (by_label == counts).all()


def test_right_bounds_with_the_wrong_label_are_wrong() -> None:
    counts = metrics.entity_counts([[(0, 2, "PER")]], [[(0, 2, "LOC")]])
    assert counts.tolist() == [[0, 1, 1]]


def test_bits_and_perplexity_are_shares_of_sums_not_means_of_means() -> None:
    documents = np.array([[8.0, 2.0], [3.0, 30.0]])
    assert metrics.bits_per_character(documents.sum(0)) == pytest.approx(11 / 32)
    assert metrics.perplexity(documents.sum(0)) == pytest.approx(math.exp(11 / 32))
