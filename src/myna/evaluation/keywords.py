"""Words that tell a part of a text from the rest: for the report's table of key words.

The score of a word is its log-odds ratio between the part and the rest, with the whole as an informative Dirichlet
prior, over its standard deviation (Monroe, Colaresi and Quinn 2008, "Fightin' Words", equations 16, 20 and 22): a rare
word needs a large difference to be sure of, so that neither chance nor the everyday leads the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from myna.corpus.document import Corpus, Document

# A word of the prior weighs as in a text of this many words.
PRIOR_WORDS = 1000
# What is read of one corpus; a sample of this size already has the leaders of the list.
MOST_CHARACTERS = 5_000_000


@dataclass(frozen=True)
class Keyword:
    """A word, how often it stands in the part and in the rest, and how sure the difference is, in deviations."""

    word: str
    count: int
    elsewhere: int
    score: float


def content_words(document: Document, stop: frozenset[str]) -> list[str]:
    """The words of a document without stop words, numbers, marks and single Han characters; in lower case."""
    if document.words is None:
        return []
    words = [word.lower() for word in document.words.strings(document.text)]
    return [word for word in words if len(word) > 1 and word not in stop and any(map(str.isalpha, word))]


def count_words(corpus: Corpus) -> dict[str, Counter[str]]:
    """The content words of the training split by label ("" where there is none), of at most ``MOST_CHARACTERS``."""
    from myna.corpus.words import stop_words

    stop = stop_words(corpus.language)
    counts: dict[str, Counter[str]] = {}
    read = 0
    for document in corpus.documents("train", ["text", "words", "label"]):
        counts.setdefault(document.label or "", Counter()).update(content_words(document, stop))
        read += len(document.text)
        if read >= MOST_CHARACTERS:
            break
    return counts


def keywords(part: Mapping[str, int], rest: Mapping[str, int], most: int = 15) -> list[Keyword]:
    """The words that lean most to ``part`` (and do lean to it), the surest first; without a rest, the most frequent."""
    words = sorted(part)
    here = np.array([part[word] for word in words], np.float64)
    there = np.array([rest.get(word, 0) for word in words], np.float64)
    if not words or not sum(rest.values()):
        scores = here
    else:
        size, other = sum(part.values()), sum(rest.values())
        prior = PRIOR_WORDS * (here + there) / (size + other)
        first, second = here + prior, there + prior
        sizes = size + PRIOR_WORDS, other + PRIOR_WORDS
        # A word that is all of both has no others beside it, and leans to neither.
        others = [np.maximum(n - own, 1e-9 * n) for n, own in zip(sizes, (first, second), strict=True)]
        odds = np.log(first / others[0]) - np.log(second / others[1])
        scores = odds / np.sqrt(1 / first + 1 / second)
    order = np.argsort(-scores, kind="stable")[:most]
    return [Keyword(words[n], int(here[n]), int(there[n]), float(scores[n])) for n in order if scores[n] > 0]


def total(counts: Iterable[Counter[str]]) -> Counter[str]:
    """All counts together."""
    result: Counter[str] = Counter()
    for one in counts:
        result.update(one)
    return result
