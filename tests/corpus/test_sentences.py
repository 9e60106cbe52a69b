"""Sentences of running text, in Chinese and in English."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.corpus.sentences import sentences


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("今天很好。“明天呢？”他问！对", ["今天很好。", "“明天呢？”", "他问！", "对"]),
        ("It works. Does it? Yes!", ["It works.", "Does it?", "Yes!"]),
        ('He said "no." She left.\nA new line', ['He said "no."', "She left.", "A new line"]),
        ("Dr. J. Evans of the U.S. team, e.g. Mr. Who, paid 3.5 vs. 4. Done.", None),
        ("see www.example.org for more... or ask. Then go", ["see www.example.org for more... or ask.", "Then go"]),
        ("   ", []),
    ],
)
def test_sentences_end_where_a_reader_would_say(text: str, parts: list[str] | None) -> None:
    if parts is None:
        parts = ["Dr. J. Evans of the U.S. team, e.g. Mr. Who, paid 3.5 vs. 4.", "Done."]
    assert [text[start:end] for start, end in sentences(text)] == parts


@given(st.text('a B.。!？\n"”… ', max_size=30))
def test_every_character_but_white_space_is_in_one_sentence(text: str) -> None:
    bounds = sentences(text)
    inside = [place for start, end in bounds for place in range(start, end)]
    assert inside == sorted(set(inside))
    assert {place for place, character in enumerate(text) if not character.isspace()} <= set(inside)
    assert all(text[start:end] == text[start:end].strip() for start, end in bounds)
