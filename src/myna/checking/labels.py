"""Labels that look wrong, and whether the texts tell them at all: by simple models that never saw what they judge.

The examples are cut into five parts by the hash of their text; each part is judged by a linear model of the other four
(TF-IDF and logistic or ridge regression; of tags, the tag that a word has elsewhere). A label is suspicious where the
model gives another one with at least the probability that it gives that one on average where it stands (confident
learning, Northcutt et al. 2021, arXiv:1911.00068). What such a model doubts is often right and hard: it is a list to
read, the surest first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna.evaluation import metrics
from myna.evaluation.baselines import overlap, tfidf
from myna.evaluation.significance import bootstrap, difference, share
from myna.tasks.units import tags_of, units

from .findings import Findings
from .table import Entry, Table

Floats = NDArray[np.float64]

FOLDS = 5
# Of fewer examples, parts are too small to say anything.
FEWEST = 25
# Labels of several that are judged each by a model of its own, the commonest.
_MOST_LABELS = 50
# A word's tag is known where it stands so often elsewhere, nearly always with the same one.
_TIMES, _SURE = 8, 0.95
# Deviations from which a number is far from what its text says, as robust as the median's.
_FAR = 4.0
_SEED = 1


@dataclass(frozen=True)
class Learned:
    """How well simple models told the labels of texts that they had not seen, beside always saying the commonest.

    Each is ``{"value", "low", "high"}``; ``gain`` is their difference, on the same draws of examples.
    """

    metric: str
    examples: int
    model: dict[str, float]
    simplest: dict[str, float]
    gain: dict[str, float]

    @property
    def tells(self) -> bool:
        """Whether the texts surely tell something of their labels."""
        return self.gain["low"] > 0


def judge_labels(table: Table, findings: Findings) -> Learned | None:
    """Adds the labels that look wrong; says how well they were told. None for too few examples, or no labels."""
    entries = [entry for entry in table.held if entry.document is not None]
    judge = _JUDGES.get(table.fields[-1])
    if judge is None or len(entries) < FEWEST:
        return None
    learned = judge(entries, findings)
    if learned is not None and not learned.tells:
        model, simplest = learned.model, learned.simplest
        what = (
            f"cross-validated {learned.metric.replace('_', ' ')} {model['value']:.3f} ({model['low']:.3f} to "
            f"{model['high']:.3f}) is no better than {simplest['value']:.3f} of the simplest answer"
        )
        remedy = "see whether labels belong to their texts: rows out of order, or a column of something else"
        findings.add("no signal", what, remedy, entries[0].row.file)
    return learned


def _folds(entries: Sequence[Entry]) -> NDArray[np.int64]:
    """The part of each entry, by the hash of its text."""
    return np.array([int.from_bytes(entry.row.candidate.key[:8], "little") % FOLDS for entry in entries], np.int64)


def _features(entries: Sequence[Entry]) -> Any:
    """TF-IDF of each text (of both of a pair, with what they have in common), sparse."""
    from scipy.sparse import csr_matrix, hstack

    documents = [entry.document for entry in entries if entry.document is not None]
    sides = [[document.text for document in documents]]
    if any(document.pair is not None for document in documents):
        sides.append([document.pair or "" for document in documents])
    parts: list[Any] = []
    for texts in sides:
        try:
            parts.append(tfidf(texts, min_df=2).fit_transform(texts))
        except ValueError:  # not one feature occurs twice
            parts.append(csr_matrix((len(texts), 1), dtype=np.float32))
    if len(sides) == 2:
        parts.append(csr_matrix(overlap(zip(*sides, strict=True)).astype(np.float32)))
    return hstack(parts).tocsr()


def _probabilities(features: Any, targets: NDArray[np.int64], classes: int, folds: NDArray[np.int64]) -> Floats:
    """The probability of each class, ``(examples, classes)``, by models of the other parts."""
    from sklearn.linear_model import LogisticRegression

    found = np.zeros((len(targets), classes))
    for fold in range(FOLDS):
        asked, known = folds == fold, folds != fold
        there = np.unique(targets[known])
        if len(there) < 2:
            found[np.ix_(asked, there)] = 1.0
        elif asked.any():
            two = {"solver": "liblinear"} if len(there) == 2 else {"max_iter": 100}
            model: Any = LogisticRegression(C=10.0, **two)
            found[np.ix_(asked, there)] = model.fit(features[known], targets[known]).predict_proba(features[asked])
    return found


def _judge_label(entries: Sequence[Entry], findings: Findings) -> Learned | None:
    labels = [entry.names[0] for entry in entries]
    names = sorted(set(labels))
    if len(names) < 2:
        return None
    number = {name: place for place, name in enumerate(names)}
    targets = np.array([number[label] for label in labels], np.int64)
    folds = _folds(entries)
    probabilities = _probabilities(_features(entries), targets, len(names), folds)
    for place in _suspicious(probabilities, targets):
        entry, said = entries[place], int(probabilities[place].argmax())
        what = (
            f"labelled {labels[place]!r}, and a linear model of the other texts gives {names[said]!r} "
            f"{probabilities[place, said]:.3f}"
        )
        findings.add("suspicious", what, f"read it: {names[said]!r}?", entry.row.file, entry.row.line, entry.text)
    right = probabilities.argmax(1) == targets
    common = Counter(labels).most_common(1)[0][0]
    simplest = np.array([label == common for label in labels])
    return _learned("accuracy", right, simplest)


def _learned(metric: str, right: NDArray[np.bool_], simplest: NDArray[np.bool_]) -> Learned:
    """Of answers that are right or not: shares with their intervals."""
    ones = np.ones(len(right))
    both = [np.stack([each.astype(np.float64), ones], 1) for each in (right, simplest)]
    gain = difference(both[0], both[1], metrics.first_share, _SEED)
    shares = [share(int(each.sum()), len(each)).to_dict() for each in (right, simplest)]
    return Learned(metric, len(right), shares[0], shares[1], gain.to_dict())


def _suspicious(probabilities: Floats, targets: NDArray[np.int64]) -> list[int]:
    """The examples whose label is doubted, the most doubtful first."""
    rows = np.arange(len(targets))
    given = probabilities[rows, targets]
    classes = probabilities.shape[1]
    usual = np.array([given[targets == c].mean() if (targets == c).any() else 1.0 for c in range(classes)])
    said = probabilities.argmax(1)
    best = probabilities[rows, said]
    doubted = np.flatnonzero((said != targets) & (best >= usual[said]))
    order = np.argsort((given - best)[doubted], kind="stable")
    return [int(place) for place in doubted[order]]


def _judge_labels(entries: Sequence[Entry], findings: Findings) -> Learned | None:
    """Several labels: each is there or not, by a model of its own."""
    often = Counter(name for entry in entries for name in set(entry.names))
    names = [name for name, count in often.most_common(_MOST_LABELS) if 10 <= count <= len(entries) - 10]
    if not names:
        return None
    folds, features = _folds(entries), _features(entries)
    there = np.array([[name in entry.names for name in names] for entry in entries], np.int64)
    said = np.zeros(there.shape)
    doubts: list[tuple[float, int, int]] = []
    for column in range(len(names)):
        probabilities = _probabilities(features, there[:, column], 2, folds)
        said[:, column] = probabilities[:, 1]
        places = _suspicious(probabilities, there[:, column])
        doubts += [(float(probabilities[p, there[p, column]]), p, column) for p in places]
    for given, place, column in sorted(doubts):
        entry, has = entries[place], bool(there[place, column])
        what = (
            f"{names[column]!r} is {'' if has else 'not '}among its labels, and a linear model gives that {given:.3f}"
        )
        suggestion = f"read it: {'without' if has else 'with'} {names[column]!r}?"
        findings.add("suspicious", what, suggestion, entry.row.file, entry.row.line, entry.text)
    usual = np.tile(2 * there.sum(0) >= len(entries), (len(entries), 1))
    return _learned("label_accuracy", ((said >= 0.5) == there).ravel(), (usual == there).ravel())


def _judge_values(entries: Sequence[Entry], findings: Findings) -> Learned | None:
    """Numbers: those that are far from what ridge regression says of their text."""
    from sklearn.linear_model import Ridge

    values = np.array([entry.document.value for entry in entries if entry.document is not None], np.float64)
    if values.std() == 0:
        return None
    folds, features = _folds(entries), _features(entries)
    said, mean = np.zeros(len(values)), np.zeros(len(values))
    for fold in range(FOLDS):
        asked, known = folds == fold, folds != fold
        if asked.any() and known.any():
            model: Any = Ridge(alpha=1.0)
            said[asked] = model.fit(features[known], values[known]).predict(features[asked])
            mean[asked] = values[known].mean()
    apart = values - said
    middle = np.median(apart)
    deviations = np.abs(apart - middle) / max(1.4826 * float(np.median(np.abs(apart - middle))), 1e-12)
    far = np.flatnonzero(deviations >= _FAR)
    for place in far[np.argsort(-deviations[far], kind="stable")].tolist():
        entry = entries[place]
        what = f"the value is {values[place]:g}, and a linear model of the other texts gives {said[place]:.3g}"
        findings.add("suspicious", what, "read it: a slip?", entry.row.file, entry.row.line, entry.text)
    sums = metrics.moments(values, said), metrics.moments(values, mean)
    both = [bootstrap(each, metrics.r_squared, _SEED).to_dict() for each in sums]
    gain = difference(sums[0], sums[1], metrics.r_squared, _SEED)
    return Learned("r2", len(values), both[0], both[1], gain.to_dict())


def _judge_tags(entries: Sequence[Entry], findings: Findings) -> Learned | None:
    """Tags: where a word has another than nearly always elsewhere."""
    folds = _folds(entries)
    lines = [_words_and_tags(entry) for entry in entries]
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for words, tags in lines:
        for word, tag in zip(words, tags, strict=True):
            counts[word][tag] += 1
    of_fold: list[defaultdict[str, Counter[str]]] = [defaultdict(Counter) for _ in range(FOLDS)]
    for fold, (words, tags) in zip(folds.tolist(), lines, strict=True):
        for word, tag in zip(words, tags, strict=True):
            of_fold[fold][word][tag] += 1
    everything = Counter(tag for _, tags in lines for tag in tags)
    if len(everything) < 2:
        return None
    common = everything.most_common(1)[0][0]
    right, simplest = np.zeros((len(lines), 2)), np.zeros((len(lines), 2))
    doubts: list[tuple[float, int, str]] = []
    for place, (fold, (words, tags)) in enumerate(zip(folds.tolist(), lines, strict=True)):
        for word, tag in zip(words, tags, strict=True):
            elsewhere = counts[word] - of_fold[fold][word]
            total = elsewhere.total()
            best, times = elsewhere.most_common(1)[0] if total else (common, 0)
            right[place] += (best == tag, 1)
            simplest[place] += (common == tag, 1)
            if best != tag and total >= _TIMES and times >= _SURE * total:
                doubt = f'"{word}" has the tag {tag}, and elsewhere {times} times of {total} {best}'
                doubts.append((-times / (total + 2), place, doubt))
    for _, place, doubt in sorted(doubts):
        entry = entries[place]
        findings.add("suspicious", doubt, "read it", entry.row.file, entry.row.line, entry.text)
    both = [bootstrap(each, metrics.first_share, _SEED).to_dict() for each in (right, simplest)]
    gain = difference(right, simplest, metrics.first_share, _SEED)
    return Learned("word_accuracy", int(right[:, 1].sum()), both[0], both[1], gain.to_dict())


def _words_and_tags(entry: Entry) -> tuple[list[str], list[str]]:
    """The words of a row with their tags; of a text with spans its units, as a tagger tags them."""
    document = entry.document
    assert document is not None
    if document.words is not None:
        return document.words.strings(document.text), document.words.tags
    bounds = units(document.text)
    return [document.text[a:b] for a, b in bounds], tags_of(bounds, document.spans or ())[0]


# By the field that holds the labels. A task of another field gets no judge, and all other findings.
_JUDGES: dict[str, Callable[[Sequence[Entry], Findings], Learned | None]] = {
    "label": _judge_label,
    "labels": _judge_labels,
    "value": _judge_values,
    "tags": _judge_tags,
    "spans": _judge_tags,
}
