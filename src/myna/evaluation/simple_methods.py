"""The simple methods of each task, set to what a model was trained on and asked what the model is asked.

The methods themselves are in :mod:`myna.evaluation.baselines`; here each is given the texts and labels that it needs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from myna.corpus.document import Corpus, Span
from myna.corpus.sentences import Bounds
from myna.evaluation import baselines, metrics, text_baselines
from myna.evaluation.linear_crf import MOST_UNITS, linear_crf
from myna.evaluation.ngrams import CharacterNgrams
from myna.evaluation.retrieval import Pairing, by_bm25, by_tfidf
from myna.ledger import Ledger
from myna.tasks.examples import Example
from myna.tasks.segmentation import WORD
from myna.tasks.units import sentences, tags_of, units
from myna.tasks.viterbi import in_bio, in_bioes, spans_of
from myna.tasks.words import words_of

# How many times the sentences the linear CRF learns from where it may take some minutes.
_THOROUGH = 4


class Simple:
    """The simple methods, which have seen the training examples. Each function gives what each says, by its name.

    ``all_trained`` are those that the model was trained on where the simple methods did with fewer. ``thorough``: one
    that takes long learns from more. What is to be told of them goes into ``ledger``, and into ``learned_from`` of how
    many sentences one has learned that does not take all.
    """

    def __init__(
        self,
        trained: Sequence[Example],
        corpus: Corpus,
        all_trained: Sequence[Example] = (),
        ledger: Ledger | None = None,
        thorough: bool = False,
    ) -> None:
        self.trained, self.corpus, self.all_trained = trained, corpus, all_trained or trained
        self.ledger, self.thorough = ledger or Ledger(), thorough
        self.learned_from: dict[str, int] = {}

    def labels(self, examples: Sequence[Example]) -> dict[str, list[str]]:
        """What each method says of each text, or pair of texts."""
        known = [example.label or "" for example in self.trained]
        first = {"majority": baselines.majority(known, len(examples))}
        if any(example.pair is not None for example in examples):
            pairs = _pairs(self.trained), _pairs(examples)
            return {**first, "overlap": baselines.overlap_labels(pairs[0], known, pairs[1])}
        words = _words_without_stop_words(self.corpus)
        both: tuple[Sequence[Example], Sequence[Example]] = (self.trained, examples)
        bags = [[words.get(e.id, []) for e in some] for some in both] if words else [None, None]
        texts = [[e.text for e in some] for some in both]
        features = baselines.weighed_features(texts[0], texts[1], *bags)
        return {
            **first,
            "tfidf_logistic_regression": baselines.by_logistic_regression(features, known, len(examples)),
            "tfidf_linear_svm": baselines.by_linear_svm(features, known, len(examples)),
        }

    def several_labels(self, examples: Sequence[Example]) -> dict[str, list[list[str]]]:
        """The labels that each method gives each text."""
        known = [example.labels or () for example in self.trained]
        texts = [[e.text for e in some] for some in (self.trained, examples)]
        return {
            "most_frequent_labels": baselines.most_frequent_labels(known, len(examples)),
            "tfidf_one_against_rest": baselines.tfidf_one_against_rest(texts[0], known, texts[1]),
        }

    def values(self, examples: Sequence[Example]) -> dict[str, metrics.Floats]:
        """The number that each method says of each text, or pair of texts, ``(texts,)``."""
        known = np.array([example.value for example in self.trained], np.float64)
        found = {
            "mean": np.full(len(examples), known.mean()),
            "median": np.full(len(examples), float(np.median(known))),
        }
        if any(example.pair is not None for example in examples):
            return {**found, "overlap": baselines.overlap_values(_pairs(self.trained), known, _pairs(examples))}
        texts = [[e.text for e in some] for some in (self.trained, examples)]
        return {**found, "tfidf_ridge": baselines.tfidf_ridge(texts[0], known, texts[1])}

    def tags(self, examples: Sequence[Example]) -> dict[str, list[list[str]]]:
        """The tag that each method gives each word; of a word never seen, the commonest of all."""
        cut = [[[e.text[a:b] for a, b in words_of(e)] for e in some] for some in (self.trained, examples)]
        tags = [example.tags or () for example in self.trained]
        (commonest,) = baselines.majority((tag for line in tags for tag in line), 1)
        told = {"most_frequent_tag_of_word": baselines.most_frequent_tag(cut[0], tags, cut[1], commonest)}
        return {**told, "linear_crf": self._linear_crf(cut, tags)}

    def _linear_crf(self, cut: Sequence[Sequence[Sequence[str]]], tags: Sequence[Sequence[str]]) -> list[list[str]]:
        """The tags that a linear CRF gives the units of the second of two, which has learned from the first."""
        most = MOST_UNITS * (_THOROUGH if self.thorough else 1)
        found, self.learned_from["linear_crf"] = linear_crf(cut[0], tags, cut[1], most)
        self.ledger.note("sentences that the linear CRF learned from", self.learned_from["linear_crf"])
        return found

    def _units(self, examples: Sequence[Example]) -> tuple[list[list[list[Bounds]]], list[list[list[str]]]]:
        """The bounds of the units of the trained and of the asked examples, and these as strings."""
        both = (self.trained, examples)
        bounds = [[units(e.text) for e in some] for some in both]
        cut = [
            [[e.text[a:b] for a, b in line] for e, line in zip(some, lines, strict=True)]
            for some, lines in zip(both, bounds, strict=True)
        ]
        return bounds, cut

    def words(self, examples: Sequence[Example]) -> dict[str, list[list[Span]]]:
        """The words that each method finds in each text; what is in no known word is cut into units."""
        known = ([e.text[start:end] for start, end, _ in e.spans or ()] for e in self.trained)
        matched = baselines.longest_match(known, [e.text for e in examples])
        found = [
            sorted([*places, *(unit for gap in gaps(places, len(e.text)) for unit in units(e.text, *gap))])
            for e, places in zip(examples, matched, strict=True)
        ]
        (learned, every), cut = self._units(examples)
        tags = [in_bioes(tags_of(line, e.spans or ())[0]) for e, line in zip(self.trained, learned, strict=True)]
        tagged = self._linear_crf(cut, tags)
        by_crf = [spans_of(in_bio(line), places) for line, places in zip(tagged, every, strict=True)]
        return {
            **{
                name: [[Span(start, end, WORD) for start, end in line] for line in lines]
                for name, lines in (("longest_match", found), ("single_characters", every))
            },
            "linear_crf": by_crf,
        }

    def answers(self, examples: Sequence[Example]) -> dict[str, list[str]]:
        """The answer that each method gives each question."""
        asked = [([e.text[a:b] for a, b in sentences(e.text)], e.pair or "") for e in examples]
        return {"likest_sentence": baselines.likest_sentence([e.text for e in self.trained], asked, _cut)}

    def places(self, examples: Sequence[Example], pairing: Pairing) -> dict[str, NDArray[np.int64]]:
        """At which place each method finds the pair of each text."""
        known = [text for e in self.trained for text in (e.text, e.pair or "")]
        texts, candidates = [e.text for e in examples], [examples[n].pair or "" for n in pairing.candidates]
        return {
            "tfidf_cosine": by_tfidf(known, texts, candidates, pairing),
            "bm25": by_bm25(texts, candidates, pairing),
        }

    def spans(self, examples: Sequence[Example]) -> dict[str, Sequence[Collection[metrics.SpanTuple]]]:
        """The spans that each method finds in each text."""
        bounds, cut = self._units(examples)
        tags = [tags_of(line, e.spans or ())[0] for e, line in zip(self.trained, bounds[0], strict=True)]
        tagged = baselines.most_frequent_tag(cut[0], tags, cut[1])
        marked = [e.spans or () for e in self.trained]
        names = baselines.known_names([e.text for e in self.trained], marked, [e.text for e in examples])
        told = {"most_frequent_tag": tagged, "linear_crf": self._linear_crf(cut, tags)}
        found: dict[str, Sequence[Collection[metrics.SpanTuple]]] = {
            name: [spans_of(line, places) for line, places in zip(lines, bounds[1], strict=True)]
            for name, lines in told.items()
        }
        return {**found, "known_names": names}

    def summaries(self, examples: Sequence[Example], counts: Sequence[int] | None = None) -> dict[str, list[str]]:
        """A short text for each; of so many sentences each as ``counts`` says, or else as most of training have."""
        usual = text_baselines.usual_sentences([example.target or "" for example in self.trained])
        counts = [usual] * len(examples) if counts is None else counts
        both = list(zip([example.text for example in examples], counts, strict=True))
        first = "first_sentence" if set(counts) == {1} else "first_sentences"
        return {
            first: [text_baselines.first_sentences(text, count) for text, count in both],
            "textrank": [text_baselines.textrank(text, count) for text, count in both],
            **self.nearest(examples),
        }

    def translations(self, examples: Sequence[Example]) -> dict[str, list[str]]:
        """A translation of each text."""
        sources, targets = [e.text for e in self.trained], [e.target or "" for e in self.trained]
        dictionary = text_baselines.Dictionary(sources, targets)
        return {**self.nearest(examples), "dictionary": [dictionary.translate(example.text) for example in examples]}

    def nearest(self, examples: Sequence[Example]) -> dict[str, list[str]]:
        """What training has for the text that is most like each."""
        sources, targets = [e.text for e in self.trained], [e.target or "" for e in self.trained]
        asked = [example.text for example in examples]
        return {"nearest_source": text_baselines.nearest_targets(sources, targets, asked)}

    def bits(self, texts: Sequence[str]) -> dict[str, metrics.Floats]:
        """The cost of each text with its end, ``(texts,)`` in bits, by the texts that training writes."""
        model = CharacterNgrams(5, (example.target or example.text for example in self.trained))
        return {"character_5gram": model.bits(texts)}


def _cut(text: str) -> list[str]:
    return [text[start:end].lower() for start, end in units(text)]


def gaps(places: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """What lies between stretches of a text of some ``length``, before the first and behind the last."""
    borders = [(0, 0), *places, (length, length)]
    return [(end, start) for (_, end), (start, _) in pairwise(borders) if end < start]


def _pairs(examples: Sequence[Example]) -> list[tuple[str, str]]:
    return [(example.text, example.pair or "") for example in examples]


def _words_without_stop_words(corpus: Corpus) -> dict[str, list[str]]:
    from myna.corpus.words import stop_words

    stop = stop_words(corpus.language)
    found: dict[str, list[str]] = {}
    for split in ("train", "test"):
        for document in corpus.documents(split, ["text", "words"]) if corpus.has_words else ():
            if document.words is not None:
                found[document.id] = [w for w in document.words.strings(document.text) if w not in stop]
    return found
