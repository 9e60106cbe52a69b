"""The simple methods that a network has to beat: computed on the same splits, in seconds.

Each takes what the training split holds and answers for the texts of another. None is tuned on what it is judged by.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
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
    """Labels of ``others`` by logistic regression over :func:`weighed_features` of the training ``texts``.

    A single label in training is everybody's label.
    """
    return by_logistic_regression(weighed_features(texts, others, words, other_words), labels, len(others))


def by_logistic_regression(features: tuple[Any, Any] | None, labels: Sequence[str], count: int) -> list[str]:
    """The labels of ``count`` texts by logistic regression, of the features of training and of theirs."""
    from sklearn.linear_model import LogisticRegression

    return _by_linear(lambda: LogisticRegression(C=10.0, max_iter=300), features, labels, count)


def by_linear_svm(features: tuple[Any, Any] | None, labels: Sequence[str], count: int) -> list[str]:
    """The labels of ``count`` texts by a linear support vector machine, one label against the rest."""
    from sklearn.svm import LinearSVC

    return _by_linear(lambda: LinearSVC(random_state=0), features, labels, count)


def _by_linear(
    make: Callable[[], Any], features: tuple[Any, Any] | None, labels: Sequence[str], count: int
) -> list[str]:
    if features is None or len(set(labels)) < 2:
        return majority(labels, count)
    model = make().fit(features[0], np.array(labels, dtype=object))
    return [str(label) for label in model.predict(features[1])]


def weighed_features(
    texts: Sequence[str],
    others: Sequence[str],
    words: Sequence[Sequence[str]] | None = None,
    other_words: Sequence[Sequence[str]] | None = None,
) -> tuple[Any, Any] | None:
    """TF-IDF of the training ``texts`` and of ``others``, sparse; None where not one feature occurs often enough.

    Chinese text is read as runs of 1–3 characters, and where ``words`` are given (for each text its words without
    stop words) as those too; other text as runs of 1–2 words.
    """
    from scipy.sparse import hstack

    if not others:
        return None
    features: list[tuple[float, Any, Sequence[Any], Sequence[Any]]] = [(1.0, tfidf(texts), texts, others)]
    if words is not None and other_words is not None and mostly_han(texts):
        features.append((_WORDS, tfidf(texts, analyzer=_as_it_is, ngram_range=(1, 1)), words, other_words))
    known, asked = [], []
    for weight, vectorizer, seen, new in features:
        try:
            known.append(weight * vectorizer.fit_transform(seen))
        except ValueError:  # not one feature occurs often enough
            continue
        asked.append(weight * vectorizer.transform(new))
    return (hstack(known).tocsr(), hstack(asked).tocsr()) if known else None


def tfidf(texts: Sequence[str], **manner: Any) -> Any:
    """scikit-learn's vectorizer, not fitted, for such ``texts``; what ``manner`` says is otherwise."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **{**words_manner(texts), **manner})


def words_manner(texts: Sequence[str]) -> dict[str, Any]:
    """How scikit-learn's vectorizers shall read texts: Chinese as runs of 1–3 characters, others of 1–2 words."""
    if mostly_han(texts):
        return {"analyzer": "char", "ngram_range": (1, 3), "min_df": 2}
    return {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}


def most_frequent_labels(labels: Sequence[Collection[str]], count: int) -> list[list[str]]:
    """The labels that at least half of the training examples have, else the commonest one, ``count`` times."""
    counts = Counter(label for line in labels for label in set(line))
    often = sorted(label for label, times in counts.items() if 2 * times >= len(labels))
    return [often or majority(counts.elements(), 1)] * count if counts else [[]] * count


def tfidf_one_against_rest(
    texts: Sequence[str], labels: Sequence[Collection[str]], others: Sequence[str]
) -> list[list[str]]:
    """The labels of ``others``, each by a logistic regression of its own over TF-IDF of the training ``texts``."""
    from sklearn.linear_model import LogisticRegression

    features = weighed_features(texts, others)
    if features is None:
        return most_frequent_labels(labels, len(others))
    found: list[list[str]] = [[] for _ in others]
    for label in sorted({label for line in labels for label in line}):
        there = np.array([label in line for line in labels])
        said = np.full(len(others), there[0])
        if there.any() and not there.all():
            model: Any = LogisticRegression(C=10.0, max_iter=300)
            said = model.fit(features[0], there).predict(features[1])
        for line, yes in zip(found, said, strict=True):
            if yes:
                line.append(label)
    return found


def tfidf_ridge(texts: Sequence[str], values: NDArray[np.floating], others: Sequence[str]) -> Floats:
    """The numbers of ``others``, ``(others,)``, by ridge regression over TF-IDF of the training ``texts``."""
    from sklearn.linear_model import Ridge

    features = weighed_features(texts, others)
    if features is None:
        return np.full(len(others), float(np.mean(values)))
    model: Any = Ridge(alpha=1.0)
    result: Floats = np.asarray(model.fit(features[0], values).predict(features[1]), np.float64)
    return result


def overlap(pairs: Iterable[tuple[str, str]]) -> Floats:
    """What two texts have in common, ``(pairs, 5)``: of their characters and pairs of characters the share of all that
    is in both; of their characters the share of each that is in the other; and how alike their lengths are.
    """
    rows = []
    for first, second in pairs:
        one, two = Counter(first.lower()), Counter(second.lower())
        both = (one & two).total()
        runs = [Counter(map("".join, zip(text.lower(), text.lower()[1:], strict=False))) for text in (first, second)]
        lengths = len(first), len(second)
        rows.append(
            (
                both / max((one | two).total(), 1),
                (runs[0] & runs[1]).total() / max((runs[0] | runs[1]).total(), 1),
                both / max(one.total(), 1),
                both / max(two.total(), 1),
                min(lengths) / max(*lengths, 1),
            )
        )
    return np.array(rows, np.float64).reshape(-1, 5)


def overlap_labels(
    pairs: Sequence[tuple[str, str]], labels: Sequence[str], others: Sequence[tuple[str, str]]
) -> list[str]:
    """Labels of ``others`` by logistic regression over the :func:`overlap` of the training ``pairs``."""
    from sklearn.linear_model import LogisticRegression

    if len(set(labels)) < 2 or not others:
        return majority(labels, len(others))
    model: Any = LogisticRegression(C=10.0, max_iter=300)
    model.fit(overlap(pairs), np.array(labels, dtype=object))
    return [str(label) for label in model.predict(overlap(others))]


def overlap_values(
    pairs: Sequence[tuple[str, str]], values: NDArray[np.floating], others: Sequence[tuple[str, str]]
) -> Floats:
    """Numbers of ``others``, ``(others,)``, by ridge regression over the :func:`overlap` of the training ``pairs``."""
    from sklearn.linear_model import Ridge

    if not others:
        return np.zeros(0)
    model: Any = Ridge(alpha=1e-3)
    result: Floats = np.asarray(model.fit(overlap(pairs), values).predict(overlap(others)), np.float64)
    return result


def _as_it_is(words: Sequence[str]) -> Sequence[str]:
    return words


def most_frequent_tag(
    units: Iterable[Sequence[str]], tags: Iterable[Sequence[str]], others: Sequence[Sequence[str]], unseen: str = "O"
) -> list[list[str]]:
    """The tag that each unit (a character, or a word) of ``others`` had most often in training; else ``unseen``."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line, line_tags in zip(units, tags, strict=True):
        for unit, tag in zip(line, line_tags, strict=True):
            counts[unit][tag] += 1
    best = {unit: min(seen, key=lambda tag: (-seen[tag], tag)) for unit, seen in counts.items()}
    return [[best.get(unit, unseen) for unit in line] for line in others]


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


def likest_sentence(
    texts: Iterable[str], asked: Iterable[tuple[Sequence[str], str]], cut: Callable[[str], Sequence[str]]
) -> list[str]:
    """Of each text, given as its sentences, the one that shares most with its question.

    A word that both have counts as much as it is rare: the logarithm of its share of the training ``texts``. ``cut``
    gives the words of a text. Of sentences that share as much the shortest is taken.
    """
    cuts = [set(cut(text)) for text in texts]
    seen = Counter(word for words in cuts for word in words)

    def likeness(sentence: str, question: set[str]) -> tuple[float, int]:
        both = question & set(cut(sentence))
        return sum(np.log((len(cuts) + 1) / (seen[word] + 0.5)) for word in sorted(both)), -len(sentence)

    found = []
    for sentences, question in asked:
        wanted = set(cut(question))
        found.append(max(sentences, key=lambda sentence: likeness(sentence, wanted), default=""))
    return found


def longest_match(words: Iterable[Sequence[str]], others: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Where known words stand in each of ``others``, by the longest match from the left. The rest is in none of them.

    ``words`` are those of each training text.
    """
    return [places for _, places in _matches(others, {word for line in words for word in line})]


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
