"""Answers that stand in a text, as rows have them: a text, or as SQuAD several texts with where each begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from myna.corpus.document import Span

if TYPE_CHECKING:
    from myna.corpus.rows import Row

# What the span of an answer is called.
ANSWER = "answer"


def answers(row: Row, text: str, column: str) -> tuple[Span, ...] | None:
    """Where the answers of a row stand in its text: nowhere where they are empty, ``None`` where there is no value.

    One whose start is not told is where it occurs first. One that is not there is an error with the row's line.
    """
    value: Any = row.find(column, True, "set answer_column to one of them")
    starts: Any = row.values.get(f"{column}_start")
    if isinstance(value, dict):
        value, starts = value.get("text"), value.get("answer_start")
    if value is None:
        return None
    given = value if isinstance(value, list) else [value]
    places = starts if isinstance(starts, list) else [starts] * len(given)
    if not all(isinstance(answer, str) for answer in given):
        row.wrong(f'"{column}" is no text', 'give the words of the text that answer, or "" where none do')
    if len(places) != len(given):
        row.wrong(f'"{column}" has {len(given)} answers and {len(places)} starts', "give each answer its own")
    return tuple(_span(row, text, answer, place) for answer, place in zip(given, places, strict=True) if answer.strip())


def _span(row: Row, text: str, answer: str, place: Any) -> Span:
    answer = answer.strip()
    if isinstance(place, str):
        place = int(place) if place.strip().isdecimal() else None if not place.strip() else place
    if place is None:
        start = text.find(answer)
        if start < 0:
            row.wrong(f'the answer "{_short(answer)}" does not occur in the text', "copy it from there to the letter")
        return Span(start, start + len(answer), ANSWER)
    if not isinstance(place, int) or isinstance(place, bool) or place < 0:
        row.wrong(f"the start of the answer is {place!r}, not a number", "count characters from 0, or leave it out")
    # The white space around an answer is no part of it, and starts are counted with it or without.
    start = place + len(text[place:]) - len(text[place:].lstrip()) if place < len(text) else place
    if not text.startswith(answer, start):
        there = _short(text[start : start + len(answer)])
        row.wrong(
            f'at character {place} stands "{there}", not the answer "{_short(answer)}"', "mend it, or leave it out"
        )
    return Span(start, start + len(answer), ANSWER)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:38]} …"
