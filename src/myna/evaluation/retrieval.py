"""At which place a text finds what belongs to it among all there is: of vectors, and of simple methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna.evaluation.baselines import tfidf, words_manner
from myna.evaluation.metrics import Floats

# Texts compared at a time with all candidates.
_ROWS = 256
# BM25's usual constants (Robertson and Zaragoza 2009, 3.4).
_K1, _B = 1.2, 0.75


@dataclass(frozen=True)
class Pairing:
    """Texts and the different pairs among which they look: ``candidates`` are the numbers of the examples that these
    are of, ``right`` the places among them of each text's own.
    """

    candidates: tuple[int, ...]
    right: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]]) -> Pairing:
        """Of texts with their pairs; all pairs of a text that stands there several times are right for it."""
        places: dict[str, int] = {}
        candidates: list[int] = []
        own: dict[str, dict[int, None]] = {}
        for number, (text, pair) in enumerate(pairs):
            if pair not in places:
                places[pair] = len(candidates)
                candidates.append(number)
            own.setdefault(text, {})[places[pair]] = None
        return cls(tuple(candidates), tuple(tuple(own[text]) for text, _ in pairs))


def found_at(likeness: Callable[[int, int], Floats | NDArray[np.float32]], pairing: Pairing) -> NDArray[np.int64]:
    """The place from 1 at which each text finds the likest of its own, ``(texts,)``; what is as like stands before it.

    ``likeness(first, last)`` is that of the texts ``first … last - 1`` to all candidates, ``(texts, candidates)``.
    """
    found = np.empty(len(pairing.right), np.int64)
    for first in range(0, len(found), _ROWS):
        rows = likeness(first, min(first + _ROWS, len(found)))
        for row, own in zip(rows, pairing.right[first : first + _ROWS], strict=True):
            best = row[list(own)].max()
            found[first] = 1 + int((np.delete(row, own) >= best).sum())
            first += 1
    return found


def by_tfidf(known: Sequence[str], texts: Sequence[str], candidates: Sequence[str], pairing: Pairing) -> Any:
    """The places by the cosine of TF-IDF, whose frequencies are those of ``known`` texts."""
    model = tfidf(known)
    try:
        model.fit(known)
    except ValueError:  # not one feature occurs often enough
        return np.full(len(texts), len(candidates))
    ours, theirs = model.transform(texts), model.transform(candidates).T.tocsc()
    return found_at(lambda first, last: (ours[first:last] @ theirs).toarray(), pairing)


def by_bm25(texts: Sequence[str], candidates: Sequence[str], pairing: Pairing) -> Any:
    """The places by BM25 (Robertson et al. 1994), whose frequencies are those of the candidates."""
    from sklearn.feature_extraction.text import CountVectorizer

    model: Any = CountVectorizer(dtype=np.float32, **{**words_manner(candidates), "min_df": 1})
    try:
        often = model.fit_transform(candidates).tocsr()
    except ValueError:
        return np.full(len(texts), len(candidates))
    asked = (model.transform(texts) > 0).astype(np.float32)
    lengths = np.asarray(often.sum(1)).ravel()
    there = np.bincount(often.indices, minlength=often.shape[1])
    rare = np.log1p((len(candidates) - there + 0.5) / (there + 0.5))
    row = np.repeat(np.arange(len(candidates)), np.diff(often.indptr))
    usual = _K1 * (1 - _B + _B * lengths / lengths.mean())
    often.data = (rare[often.indices] * often.data * (_K1 + 1) / (often.data + usual[row])).astype(np.float32)
    theirs = often.T.tocsc()
    return found_at(lambda first, last: (asked[first:last] @ theirs).toarray(), pairing)
