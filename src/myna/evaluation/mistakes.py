"""The mistakes worth reading: those that a model was surest of, with their text."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from myna.evaluation.texts import rouge_of, words_of

# A reader looks at about so many, and reads about so much of each.
MOST = 8
MOST_CHARACTERS = 280
# An entity is read within its sentence; a longer one drowns it.
MOST_SENTENCE = 100


@dataclass(frozen=True)
class Mistake:
    """A text with a wrong label. ``cut`` is how many characters at its end are not shown."""

    text: str
    cut: int
    expected: str
    predicted: str
    share: float


@dataclass(frozen=True)
class Piece:
    """A stretch of a text; a span has a label and is ``right``, ``wrong`` or ``missed``."""

    text: str
    label: str = ""
    state: str = ""


@dataclass(frozen=True)
class MarkedSentence:
    """A sentence with the spans by hand and by the model."""

    expected: tuple[Piece, ...]
    predicted: tuple[Piece, ...]


def wrong_labels(predictions: Iterable[Mapping[str, Any]], most: int = MOST) -> tuple[list[Mistake], int]:
    """The surest wrong answers, no right label having more than its share of the places, and how many there are in all.

    Predictions are lines of ``predictions.jsonl``: ``text``, ``label``, ``predicted``, ``scores``.
    """
    by_label: defaultdict[str, list[tuple[float, int, Mapping[str, Any]]]] = defaultdict(list)
    wrong = 0
    for number, line in enumerate(predictions):
        if line["label"] == line["predicted"]:
            continue
        wrong += 1
        sure = float(line["scores"][line["predicted"]])
        _keep(by_label[line["label"]], (sure, -number, line), most)
    places = max(1, most // max(1, len(by_label)))
    chosen = [row for rows in by_label.values() for row in heapq.nlargest(places, rows)]
    mistakes = []
    for sure, _, line in heapq.nlargest(most, chosen):
        text = line["text"].strip()
        # A few characters more are shown rather than cut.
        shown = text if len(text) <= MOST_CHARACTERS + 20 else text[:MOST_CHARACTERS]
        mistakes.append(Mistake(shown, len(text) - len(shown), line["label"], line["predicted"], sure))
    return mistakes, wrong


@dataclass(frozen=True)
class WrittenText:
    """What a model read, what was expected and what it wrote, each cut to what a reader looks at; ``score`` is its
    ROUGE-L.
    """

    source: str
    expected: str
    written: str
    score: float | None


def written_texts(
    predictions: Iterable[Mapping[str, Any]], scored: bool = True, most: int = MOST // 2
) -> tuple[list[WrittenText], list[WrittenText], int]:
    """The texts with the best ROUGE-L, those with the worst, and how many there are.

    Where they are not ``scored``, the first texts and none. Predictions are lines of ``predictions.jsonl``: ``source``,
    ``target``, ``predicted``. None is shown twice.
    """
    best: list[tuple[float, int, WrittenText]] = []
    worst: list[tuple[float, int, WrittenText]] = []
    count = 0
    for number, line in enumerate(predictions):
        count += 1
        source, expected, written = line["source"], line["target"] or "", line["predicted"]
        score = rouge_of(words_of(expected), words_of(written))[-1] if scored else None
        text = WrittenText(_cut(source), _cut(expected), _cut(written), score)
        _keep(best, (score or 0.0, -number, text), most)
        if scored:
            _keep(worst, (-(score or 0.0), -number, text), most)
    firsts = [row[-1] for row in heapq.nlargest(most, best)]
    lasts = [row[-1] for row in heapq.nlargest(most, worst)]
    return firsts, [text for text in lasts if text not in firsts], count


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= MOST_CHARACTERS + 20 else f"{text[:MOST_CHARACTERS]} …"


def wrong_spans(predictions: Iterable[Mapping[str, Any]], most: int = MOST) -> tuple[list[MarkedSentence], int]:
    """Sentences with the surest wrong spans, and how many have a wrong or a missed span in all.

    Predictions are lines of ``predictions.jsonl``: ``text``, ``spans`` by hand, ``predicted`` with ``probability``.
    Long sentences are counted, and shown only where there are no shorter ones.
    """
    kept: list[tuple[bool, float, int, Mapping[str, Any]]] = []
    wrong = 0
    for number, line in enumerate(predictions):
        right = {_key(span) for span in line["spans"]}
        said = {_key(span) for span in line["predicted"]}
        if right == said:
            continue
        wrong += 1
        sure = max((s.get("probability", 0.0) for s in line["predicted"] if _key(s) not in right), default=0.0)
        short = len(line["text"]) <= MOST_SENTENCE
        _keep(kept, (short, float(sure), -number, line), most)
    return [marked(row[-1]) for row in heapq.nlargest(most, kept)], wrong


def marked(line: Mapping[str, Any]) -> MarkedSentence:
    """A line of ``predictions.jsonl`` cut into pieces for both sides."""
    right = {_key(span) for span in line["spans"]}
    said = {_key(span) for span in line["predicted"]}
    return MarkedSentence(
        _pieces(line["text"], line["spans"], said, "missed"), _pieces(line["text"], line["predicted"], right, "wrong")
    )


def _pieces(
    text: str, spans: Sequence[Mapping[str, Any]], others: set[tuple[int, int, str]], unlike: str
) -> tuple[Piece, ...]:
    pieces, place = [], 0
    for start, end, label in sorted(map(_key, spans)):
        if start < place:  # overlaps the one before, which is shown
            continue
        if start > place:
            pieces.append(Piece(text[place:start]))
        pieces.append(Piece(text[start:end], label, "right" if (start, end, label) in others else unlike))
        place = end
    if place < len(text):
        pieces.append(Piece(text[place:]))
    return tuple(pieces)


def _key(span: Mapping[str, Any]) -> tuple[int, int, str]:
    return span["start"], span["end"], span["label"]


def _keep(rows: list[Any], row: Any, most: int) -> None:
    if len(rows) < most:
        heapq.heappush(rows, row)
    else:
        heapq.heappushpop(rows, row)
