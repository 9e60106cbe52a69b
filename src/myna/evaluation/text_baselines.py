"""Simple methods that write: the first sentences, TextRank, the nearest training example's text, a learned dictionary.

They take what the training split holds and answer for the texts of another, as those of
:mod:`myna.evaluation.baselines` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna.corpus.sentences import sentences
from myna.corpus.words import join, segment
from myna.evaluation.baselines import mostly_han
from myna.evaluation.metrics import Floats

# The share of TextRank's steps that follow a likeness; the others go anywhere (Brin and Page 1998).
_DAMPING, _STEPS = 0.85, 50
# Beyond so many sentences a text's likenesses are not worth their square; those that follow are left out.
_MOST_SENTENCES = 400
# Texts are compared by their beginnings, which tell what they are about.
_COMPARED = 2_000
_AT_ONCE = 200
_MANY = 1_000
# IBM model 1: it has settled by then. Longer texts tell little of which word is which, and cost their square.
_ROUNDS, _MOST_WORDS = 5, 40
# Pairs of words held at once: 6 million take some 300 MB.
_PAIRS = 6_000_000


def first_sentences(text: str, count: int = 1) -> str:
    """The first ``count`` sentences of a text."""
    return joined(text, sentences(text)[:count])


def textrank(text: str, count: int) -> str:
    """The ``count`` sentences of a text that are most like all others, in their order.

    TextRank (Mihalcea and Tarau 2004), with the cosine of TF-IDF vectors as likeness.
    """
    bounds = sentences(text)
    parts = [text[start:end] for start, end in bounds[:_MOST_SENTENCES]]
    if len(parts) <= count:
        return text.strip()
    best = np.argsort(-_rank(_likeness(parts)), kind="stable")[:count]
    return joined(text, [bounds[place] for place in sorted(best.tolist())])


def joined(text: str, bounds: Sequence[tuple[int, int]]) -> str:
    """Sentences of a text as one text, with a space between two that do not touch by themselves."""
    return join([text[start:end] for start, end in bounds])[0]


def _likeness(parts: Sequence[str]) -> Floats:
    from sklearn.feature_extraction.text import TfidfVectorizer

    manner: dict[str, Any] = {"token_pattern": r"(?u)\b\w+\b"}
    if mostly_han(parts):
        manner = {"analyzer": "char", "ngram_range": (1, 2)}
    try:
        vectors: Any = TfidfVectorizer(**manner).fit_transform(parts)
    except ValueError:  # not one word
        return np.zeros((len(parts), len(parts)))
    result: Floats = (vectors @ vectors.T).toarray()
    np.fill_diagonal(result, 0.0)
    return result


def _rank(likeness: Floats) -> Floats:
    """Where a walk along likenesses is most often, ``(sentences,)``."""
    total = likeness.sum(1, keepdims=True)
    count = len(likeness)
    # From a sentence that is like none it goes anywhere.
    steps = np.where(total > 0, likeness / np.where(total > 0, total, 1), 1 / count)
    ranks = np.full(count, 1 / count)
    for _ in range(_STEPS):
        ranks = (1 - _DAMPING) / count + _DAMPING * (ranks @ steps)
    return ranks


def usual_sentences(targets: Sequence[str]) -> int:
    """How many sentences most of the ``targets`` have: the median, one at least."""
    return max(1, int(np.median([len(sentences(text)) for text in targets]))) if targets else 1


def nearest_targets(sources: Sequence[str], targets: Sequence[str], others: Sequence[str]) -> list[str]:
    """For each of ``others`` the target of the training source that is most like it, of equals the first.

    Alike is the cosine of TF-IDF vectors of runs of characters (three; in Chinese one to three) of the first 2,000.
    Runs that a tenth of the sources have tell little and cost most: they are left out.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not others or not sources:
        return [""] * len(others)
    runs = (1, 3) if mostly_han(sources) else (3, 3)
    few = 0.1 if len(sources) >= _MANY else 1.0
    vectorizer: Any = TfidfVectorizer(
        analyzer="char", ngram_range=runs, min_df=2, max_df=few, sublinear_tf=True, dtype=np.float32
    )
    try:
        known = vectorizer.fit_transform([text[:_COMPARED] for text in sources]).T.tocsr()
    except ValueError:  # no run of characters is in two texts
        return [targets[0]] * len(others)
    found: list[str] = []
    for start in range(0, len(others), _AT_ONCE):
        likeness = vectorizer.transform([text[:_COMPARED] for text in others[start : start + _AT_ONCE]]) @ known
        found += [targets[int(place)] for place in np.asarray(likeness.argmax(1)).ravel()]
    return found


class Dictionary:
    """A word for each word, learned from pairs of texts by IBM model 1 (Brown et al. 1993), with a word for none.

    Words are those of a corpus (Chinese ones by rjieba), in small letters; one that training never saw stays as it is.
    """

    def __init__(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        self._sources: dict[str, int] = {"": 0}
        self._targets: dict[str, int] = {}
        pairs = []
        size = 0
        for source, target in zip(sources, targets, strict=True):
            first = [self._sources.setdefault(w, len(self._sources)) for w in _words(source)[: _MOST_WORDS - 1]]
            second = [self._targets.setdefault(w, len(self._targets)) for w in _words(target)[:_MOST_WORDS]]
            size += (len(first) + 1) * len(second)
            if size > _PAIRS:
                break
            pairs.append((np.array([0, *first]), np.array(second, np.int64)))
        self.best = self._learned(pairs)

    def translate(self, text: str) -> str:
        """The text word for word."""
        words = segment(text).strings(text)
        return join([self.best.get(word.lower(), word) for word in words])[0]

    def _learned(self, pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> dict[str, str]:
        """The likeliest word of each, by the shares that expectation-maximization finds."""
        if not self._targets:
            return {}
        kinds = len(self._targets)
        # A place for each source word beside each target word of its pair; ``owners`` is which target word it is.
        keys = np.concatenate([(first[:, None] * kinds + second).ravel() for first, second in pairs])
        sizes = np.cumsum([0, *(len(second) for _, second in pairs)])
        owners = np.concatenate(
            [
                np.tile(np.arange(start, start + len(second)), len(first))
                for start, (first, second) in zip(sizes, pairs, strict=False)
            ]
        )
        known, places = np.unique(keys, return_inverse=True)
        del keys
        sources = known // kinds
        shares = np.ones(len(known))
        for _ in range(_ROUNDS):
            weights = shares[places]
            weights /= np.bincount(owners, weights)[owners]
            expected = np.bincount(places, weights)
            shares = expected / np.bincount(sources, expected)[sources]
        order = np.lexsort((known, -shares, sources))
        firsts = order[np.unique(sources[order], return_index=True)[1]]
        names, written = list(self._sources), list(self._targets)
        return {names[key // kinds]: written[key % kinds] for key in known[firsts].tolist() if key >= kinds}


def _words(text: str) -> list[str]:
    return [word.lower() for word in segment(text).strings(text)]
