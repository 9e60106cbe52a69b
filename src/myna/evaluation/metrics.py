"""Figures of merit, each a function of sums.

What is counted for each example (cells of a confusion matrix, entities, bits, characters) is added up, and a metric
is a function of the sums alone. So a score can be streamed, is never a mean of means, and can be resampled
(:mod:`myna.evaluation.significance`). Each function takes sums with any leading dimensions and keeps them: one row
of sums gives a number, a thousand resampled rows give a thousand numbers.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from myna.corpus.words import HAN

Floats = NDArray[np.float64]
# Of ASCII, what is called punctuation there and is a symbol in Unicode.
_SYMBOLS = frozenset(c for c in string.punctuation if not unicodedata.category(c).startswith("P"))
SpanTuple = tuple[int, int, str]


def confusion(expected: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """How often each label was taken for each, ``(labels, labels)``: rows are what is right, columns what was said.

    Raises a KeyError for a label that is not among ``labels``.
    """
    number = {label: i for i, label in enumerate(labels)}
    rows = np.array([number[label] for label in expected], np.int64)
    columns = np.array([number[label] for label in predicted], np.int64)
    size = len(labels)
    counts: NDArray[np.int64] = np.bincount(rows * size + columns, minlength=size * size)
    return counts.reshape(size, size)


def accuracy(cells: NDArray[np.number]) -> Floats:
    """The share that is right, ``(…)``, of confusion matrices ``(…, labels, labels)``."""
    right = np.trace(cells, axis1=-2, axis2=-1)
    return quotient(right, cells.sum((-2, -1)))


def f1_by_class(cells: NDArray[np.number]) -> Floats:
    """The F1 of each class, ``(…, labels)``; 0 for a class that neither occurs nor is predicted."""
    right = np.diagonal(cells, axis1=-2, axis2=-1)
    return quotient(2 * right, cells.sum(-1) + cells.sum(-2))


def macro_f1(cells: NDArray[np.number]) -> Floats:
    """The mean F1, ``(…)``, of the classes that occur or are predicted (as scikit-learn's)."""
    there = (cells.sum(-1) + cells.sum(-2)) > 0
    return quotient((f1_by_class(cells) * there).sum(-1), there.sum(-1))


def matthews(cells: NDArray[np.number]) -> Floats:
    """Matthews' correlation, ``(…)``, of confusion matrices ``(…, labels, labels)``, as Gorodkin's of several classes.

    1 is all right, 0 no better than chance; 0 too where one side has a single label.
    """
    cells = np.asarray(cells, np.float64)
    return _correlation(np.trace(cells, axis1=-2, axis2=-1), cells.sum(-2), cells.sum(-1))


def matthews_of_labels(counts: NDArray[np.number]) -> Floats:
    """The same, ``(…)``, of :func:`label_counts` of examples with one label each."""
    each = np.asarray(counts, np.float64)[..., :-1, :]
    return _correlation(each[..., 0].sum(-1), each[..., 1], each[..., 2])


def _correlation(right: Floats, predicted: Floats, expected: Floats) -> Floats:
    """Matthews' correlation of how many are right ``(…)``, and of each label predicted and expected ``(…, labels)``."""
    total = expected.sum(-1)
    together = right * total - (predicted * expected).sum(-1)
    spread = (total**2 - (predicted**2).sum(-1)) * (total**2 - (expected**2).sum(-1))
    there = spread > 0
    result: Floats = np.where(there, together / np.sqrt(np.where(there, spread, 1.0)), 0.0)
    return result


def precision_by_class(cells: NDArray[np.number]) -> Floats:
    """Of what was called this class, the share that is it, ``(…, labels)``."""
    return quotient(np.diagonal(cells, axis1=-2, axis2=-1), cells.sum(-2))


def recall_by_class(cells: NDArray[np.number]) -> Floats:
    """Of what is this class, the share that was called so, ``(…, labels)``."""
    return quotient(np.diagonal(cells, axis1=-2, axis2=-1), cells.sum(-1))


def micro_f1(counts: NDArray[np.number]) -> Floats:
    """The F1, ``(…)``, of counts ``(…, 3)``: right, predicted, expected. 0 where there is nothing at all."""
    return quotient(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def precision(counts: NDArray[np.number]) -> Floats:
    """The share, ``(…)``, of what was predicted that is right, of counts as in :func:`micro_f1`."""
    return quotient(counts[..., 0], counts[..., 1])


def recall(counts: NDArray[np.number]) -> Floats:
    """The share, ``(…)``, of what was expected that was found, of counts as in :func:`micro_f1`."""
    return quotient(counts[..., 0], counts[..., 2])


def entity_counts(
    expected: Sequence[Iterable[SpanTuple]], predicted: Sequence[Iterable[SpanTuple]], label: str | None = None
) -> NDArray[np.int64]:
    """Entities of each document, ``(documents, 3)``: found with the right bounds and label, predicted, expected.

    Spans are ``(start, end, label)``. With ``label`` only those of that label are counted. The :func:`micro_f1` of
    the sum is the entity F1 of seqeval.
    """
    rows = []
    for right, said in zip(expected, predicted, strict=True):
        first = {span for span in right if label is None or span[2] == label}
        second = {span for span in said if label is None or span[2] == label}
        rows.append((len(first & second), len(second), len(first)))
    return np.array(rows, np.int64).reshape(-1, 3)


def label_counts(
    expected: Sequence[Iterable[str]], predicted: Sequence[Iterable[str]], labels: Sequence[str]
) -> NDArray[np.int64]:
    """Several labels of each example, ``(examples, labels + 1, 3)``: by label whether it is right, predicted, expected.

    The last row is whether all are right, one, one.
    """
    table = np.zeros((len(expected), len(labels) + 1, 3), np.int64)
    for row, right, said in zip(table, map(set, expected), map(set, predicted), strict=True):
        row[:-1, 1] = [label in said for label in labels]
        row[:-1, 2] = [label in right for label in labels]
        row[:-1, 0] = row[:-1, 1] & row[:-1, 2]
        row[-1] = (right == said, 1, 1)
    return table


def micro_f1_of_labels(counts: NDArray[np.number]) -> Floats:
    """The F1, ``(…)``, of all labels together, of counts ``(…, labels + 1, 3)`` as in :func:`label_counts`."""
    return micro_f1(counts[..., :-1, :].sum(-2))


def macro_f1_of_labels(counts: NDArray[np.number]) -> Floats:
    """The mean F1, ``(…)``, of the labels that occur or are predicted."""
    each = counts[..., :-1, :]
    there = (each[..., 1] + each[..., 2]) > 0
    return quotient((micro_f1(each) * there).sum(-1), there.sum(-1))


def exact_match(counts: NDArray[np.number]) -> Floats:
    """The share of examples, ``(…)``, whose labels are all right and no others."""
    return quotient(counts[..., -1, 0], counts[..., -1, 1])


def answer_match(expected: Sequence[Sequence[str]], said: Sequence[str]) -> Floats:
    """How well answers are matched, ``(examples, 3)``: exactly, by F1 of their words, one.

    As SQuAD counts it (arXiv:1606.05250, 6.1): the best of several answers by hand; case, punctuation and English
    articles aside. A Han character is a word.
    """
    rows = []
    for answers, answer in zip(expected, said, strict=True):
        ours = _words_of_answer(answer)
        exact, overlap = 0.0, 0.0
        for right in map(_words_of_answer, answers):
            exact = max(exact, float(ours == right))
            both = (Counter(ours) & Counter(right)).total()
            overlap = max(overlap, 2 * both / (len(ours) + len(right)) if ours and right else float(ours == right))
        rows.append((exact, overlap, 1.0))
    return np.array(rows, np.float64).reshape(-1, 3)


def _words_of_answer(text: str) -> list[str]:
    kept = "".join(c for c in text.lower() if not unicodedata.category(c).startswith("P") and c not in _SYMBOLS)
    words = re.findall(rf"[{HAN}]|[^\s{HAN}]+", kept)
    return [word for word in words if word not in ("a", "an", "the")]


def first_share(sums: NDArray[np.number]) -> Floats:
    """The first of two sums over the second, ``(…)``, of ``(…, 2)``."""
    return quotient(sums[..., 0], sums[..., 1])


def moments(expected: NDArray[np.number], predicted: NDArray[np.number]) -> Floats:
    """What is counted of each number, ``(examples, 8)``: one, both, their squares and product, their difference.

    Each is taken from its mean, so that nothing is lost where numbers are large; the last two are the squared and the
    absolute difference of the numbers themselves.
    """
    right, said = np.asarray(expected, np.float64), np.asarray(predicted, np.float64)
    apart = said - right
    if len(right):
        right, said = right - right.mean(), said - said.mean()
    parts = (np.ones_like(right), right, said, right**2, said**2, right * said, apart**2, np.abs(apart))
    return np.stack(parts, 1)


def r_squared(sums: NDArray[np.floating]) -> Floats:
    """The share of the variance that is told, ``(…)``, of sums as in :func:`moments`; 0 where there is none to tell."""
    count, right, squares, apart = sums[..., 0], sums[..., 1], sums[..., 3], sums[..., 6]
    variance = squares - quotient(right**2, count)
    there = variance > 1e-12 * np.maximum(squares, 1e-300)
    return np.where(there, 1 - quotient(apart, np.where(there, variance, 1)), 0.0)


def pearson(sums: NDArray[np.floating]) -> Floats:
    """Pearson's correlation, ``(…)``, of sums as in :func:`moments`; 0 where one of both never changes.

    Of :func:`ranks` it is Spearman's.
    """
    count, right, said, right2, said2, product = (sums[..., place] for place in range(6))
    together = product - quotient(right * said, count)
    one, two = right2 - quotient(right**2, count), said2 - quotient(said**2, count)
    there = (one > 1e-12 * right2) & (two > 1e-12 * said2)
    spread = np.sqrt(np.where(there, one * two, 1.0))
    return np.where(there, np.clip(together / spread, -1, 1), 0.0)


def mean_absolute_error(sums: NDArray[np.floating]) -> Floats:
    """The mean absolute difference, ``(…)``, of sums as in :func:`moments`."""
    return quotient(sums[..., 7], sums[..., 0])


def ranks(values: NDArray[np.number]) -> Floats:
    """The rank of each value from 1, ``(values,)``; equal ones share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    result: Floats = ((last - count + 1 + last) / 2)[place]
    return result


def are_bio(tags: Iterable[str]) -> bool:
    """Whether a set of tags is one of BIO: nothing but ``O`` and begin and inside tags, some of which begin."""
    tags = set(tags)
    return any(tag.startswith("B-") for tag in tags) and all(tag == "O" or tag[:2] in ("B-", "I-") for tag in tags)


def spans_of_tags(tags: Sequence[str]) -> list[SpanTuple]:
    """The spans ``(first unit, unit behind the last, label)`` in BIO or BIOES tags, read leniently as seqeval does.

    An inside tag that follows nothing of its label begins a span of its own.
    """
    spans: list[SpanTuple] = []
    start, label = 0, ""
    previous = "O"
    for place, tag in enumerate([*tags, "O"]):
        kind, _, name = tag.partition("-")
        goes_on = kind in ("I", "E") and name == label and previous not in ("O", "E", "S")
        if previous != "O" and not goes_on:
            spans.append((start, place, label))
        if kind != "O" and not goes_on:
            start, label = place, name
        previous = kind
    return spans


def placements(expected: NDArray[np.bool_], scores: NDArray[np.floating]) -> Floats:
    """What each example says of the areas under the curves, ``(examples, labels, 4)``; ``expected`` and ``scores`` are
    ``(examples, labels)``: which labels are right, and how probable each was called.

    Of a label: one for an example that has it, and the share of those without it that it stands above (a tie is half);
    one for an example without it, and that share for it, taken from the area. These are DeLong's (1988) placements,
    among all examples in every draw of them.
    """
    table = np.zeros((*expected.shape, 4))
    for label in range(expected.shape[1]):
        has, score = expected[:, label], scores[:, label]
        count, others = int(has.sum()), int((~has).sum())
        if not (count and others):
            continue
        among, own = ranks(score), np.zeros(len(score))
        own[has], own[~has] = ranks(score[has]), ranks(score[~has])
        beside = among - own  # How many of the other kind stand below, ties as halves.
        table[has, label, 0], table[has, label, 1] = 1, beside[has] / others
        area = beside[has].mean() / others
        table[~has, label, 2], table[~has, label, 3] = 1, 1 - beside[~has] / count - area
    return table


def area_under_curve(sums: NDArray[np.floating]) -> Floats:
    """The mean area under the ROC curve, ``(…)``, of each label against the rest, of sums of :func:`placements`.

    Of the labels that some examples have and others have not; 0 where there is none.
    """
    there = (sums[..., 0] > 0) & (sums[..., 2] > 0)
    each = quotient(sums[..., 1], sums[..., 0]) + quotient(sums[..., 3], sums[..., 2])
    return quotient((np.clip(each, 0, 1) * there).sum(-1), there.sum(-1))


def rate(sums: NDArray[np.number]) -> Floats:
    """The share that is right, ``(…)``, of sums ``(…, 2)``: right, all.

    By it McNemar's test and Wilson's interval are chosen.
    """
    return first_share(sums)


def bits_per_character(sums: NDArray[np.number]) -> Floats:
    """Bits over characters, ``(…)``, of sums ``(…, 2)``: bits of whole documents with their ends, characters."""
    return first_share(sums)


def perplexity(sums: NDArray[np.number]) -> Floats:
    """exp of nats over targets, ``(…)``, of sums ``(…, 2)``: nats, targets."""
    result: Floats = np.exp(quotient(sums[..., 0], sums[..., 1]))
    return result


def quotient(part: NDArray[np.number], whole: NDArray[np.number]) -> Floats:
    """part / whole, and 0 where there is nothing."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    nothing = np.zeros(np.broadcast_shapes(part.shape, whole.shape))
    result: Floats = np.divide(part, whole, out=nothing, where=whole != 0)
    return result
