"""The simple methods that a network has to beat: computed on the same splits, in seconds.

Each takes what the training split holds and answers for the texts of another. None is tuned on what it is judged by.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna.evaluation.metrics import Floats, SpanTuple

HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
# The weight of words beside runs of characters: the best of 0, 0.3, 0.5 and 1 on the demo's validation split.
_WORDS = 0.5


def majority(labels: Iterable[str], count: int) -> list[str]:
    """The most frequent label, ``count`` times; of equals the first by name."""
    counts = Counter(labels)
    return [min(counts, key=lambda label: (-counts[label], label))] * count


def mostly_han(texts: Iterable[str]) -> bool:
    """Whether at least a third of the characters that are no white space are Han characters."""
    characters = han = 0
    for text in texts:
        characters += sum(map(len, text.split()))
        han += len(HAN.findall(text))
    return 3 * han >= characters > 0


def tfidf_logistic_regression(
    texts: Sequence[str],
    labels: Sequence[str],
    others: Sequence[str],
    words: Sequence[Sequence[str]] | None = None,
    other_words: Sequence[Sequence[str]] | None = None,
) -> list[str]:
    """Labels of ``others`` by logistic regression over TF-IDF of the training ``texts``.

    Chinese text is read as runs of 1–3 characters, and where ``words`` are given (for each text its words without
    stop words) as those too; other text as runs of 1–2 words. A single label in training is everybody's label.
    """
    from scipy.sparse import hstack  # type: ignore[import-untyped]
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    if len(set(labels)) < 2 or not others:
        return majority(labels, len(others))
    features: list[tuple[float, dict[str, Any], Sequence[Any], Sequence[Any]]] = []
    if mostly_han(texts):
        features.append((1.0, {"analyzer": "char", "ngram_range": (1, 3), "min_df": 2}, texts, others))
        if words is not None and other_words is not None:
            features.append((_WORDS, {"analyzer": _as_it_is, "min_df": 2}, words, other_words))
    else:
        features.append((1.0, {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}, texts, others))
    known, asked = [], []
    for weight, manner, seen, new in features:
        vectorizer: Any = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **manner)
        try:
            known.append(weight * vectorizer.fit_transform(seen))
        except ValueError:  # not one feature occurs often enough
            continue
        asked.append(weight * vectorizer.transform(new))
    if not known:
        return majority(labels, len(others))
    model: Any = LogisticRegression(C=10.0, max_iter=300)
    model.fit(hstack(known).tocsr(), np.array(labels, dtype=object))
    return [str(label) for label in model.predict(hstack(asked).tocsr())]


def _as_it_is(words: Sequence[str]) -> Sequence[str]:
    return words


def most_frequent_tag(
    units: Iterable[Sequence[str]], tags: Iterable[Sequence[str]], others: Sequence[Sequence[str]]
) -> list[list[str]]:
    """The tag that each unit (a character, or a word) of ``others`` had most often in training; ``O`` if never seen."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line, line_tags in zip(units, tags, strict=True):
        for unit, tag in zip(line, line_tags, strict=True):
            counts[unit][tag] += 1
    best = {unit: min(seen, key=lambda tag: (-seen[tag], tag)) for unit, seen in counts.items()}
    return [[best.get(unit, "O") for unit in line] for line in others]


def known_names(
    texts: Sequence[str], spans: Sequence[Collection[SpanTuple]], others: Sequence[str]
) -> list[list[SpanTuple]]:
    """Names that training saw, found again by the longest match from the left, with the label they had most often.

    A string counts as a name where at least half of its occurrences in training were marked as one. Spans are
    ``(start, end, label)`` in characters.
    """
    labels: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text, marked in zip(texts, spans, strict=True):
        for start, end, label in marked:
            labels[text[start:end]][label] += 1
    names = {name: min(seen, key=lambda label: (-seen[label], label)) for name, seen in labels.items() if name}
    occurrences = Counter(text[start:end] for text, places in _matches(texts, names) for start, end in places)
    sure = {name: label for name, label in names.items() if 2 * labels[name].total() >= occurrences[name]}
    return [[(start, end, sure[text[start:end]]) for start, end in places] for text, places in _matches(others, sure)]


def _matches(texts: Iterable[str], names: Collection[str]) -> Iterable[tuple[str, list[tuple[int, int]]]]:
    """Each text with where names stand in it, from the left, the longest first."""
    sizes: defaultdict[str, set[int]] = defaultdict(set)
    for name in names:
        sizes[name[0]].add(len(name))
    lengths = {first: sorted(some, reverse=True) for first, some in sizes.items()}
    for text in texts:
        found, place = [], 0
        while place < len(text):
            longest = (n for n in lengths.get(text[place], ()) if text[place : place + n] in names)
            length = next((n for n in longest if place + n <= len(text)), 0)
            if length:
                found.append((place, place + length))
            place += length or 1
        yield text, found


def unigram_nats(counts: NDArray[np.integer], targets: NDArray[np.integer]) -> Floats:
    """The cost of each target token, ``(targets,)`` in nats, by the frequencies ``(vocabulary,)`` of training.

    Smoothed as Witten and Bell (1991) do: a share T / (N + T) for T different tokens among N is spread evenly over
    the vocabulary.
    """
    kinds, total, size = int((counts > 0).sum()), int(counts.sum()), len(counts)
    shares = (counts + max(kinds, 1) / size) / (total + max(kinds, 1))
    result: Floats = -np.log(shares)[targets]
    return result
