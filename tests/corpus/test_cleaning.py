"""Cleaning: what is taken out, that all of it is counted, and that offsets follow."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.corpus.cleaning import clean, flaw
from myna.corpus.document import Span, Words

# Text in which everything that cleaning looks at occurs often, beside arbitrary text.
AWKWARD = st.text(
    "ab e\u0301\u0323\u1100\u1161\u11a8\uac00ﬁ①Å１　\u200b\ufeff\u00ad\t \r\n\x0b\x85\u2028\x00中。&amp;\ud800",
    max_size=40,
)
TEXT = AWKWARD | st.text(max_size=40)


@given(TEXT, st.sampled_from(["NFC", "NFKC", "none"]), st.booleans())
def test_every_character_is_accounted_for(text: str, form: str, unescape: bool) -> None:
    cleaned = clean(text, normalize=form, unescape=unescape)
    assert len(text) + cleaned.added.total() == len(cleaned.text) + cleaned.dropped.total()


@given(TEXT, st.sampled_from(["NFC", "NFKC", "none"]))
def test_clean_text_stays_as_it_is(text: str, form: str) -> None:
    once = clean(text, normalize=form)
    again = clean(once.text, normalize=form)
    assert again.text == once.text
    assert not again.dropped
    assert not again.added


@given(TEXT, st.sampled_from(["NFC", "NFKC", "none"]), st.booleans())
def test_the_text_is_the_same_with_offsets_and_without(text: str, form: str, unescape: bool) -> None:
    nothing = Words.of([], [], [])
    assert (
        clean(text, nothing, normalize=form, unescape=unescape).text
        == clean(text, normalize=form, unescape=unescape).text
    )


@given(TEXT, st.sampled_from(["NFC", "NFKC"]))
def test_clean_text_is_normal_and_has_no_excess(text: str, form: str) -> None:
    cleaned = clean(text, normalize=form).text
    assert unicodedata.is_normalized(form, cleaned)
    assert cleaned == cleaned.strip()
    assert "  " not in cleaned
    assert " \n" not in cleaned
    assert "\n\n\n" not in cleaned
    assert not {"\0", "\u200b", "\ufeff", "\r", "\t", "\ud800"} & set(cleaned)


@given(st.lists(st.text("abc中文国", min_size=1, max_size=4), min_size=1, max_size=8), st.data())
def test_words_are_found_again_whatever_stands_between_them(words: list[str], data: st.DataObject) -> None:
    between = st.text(" \t\u200b\u3000\ufeff\r\n\x00", max_size=4)
    text, starts, ends = "", [], []
    for word in words:
        text += data.draw(between)
        starts.append(len(text))
        text += word
        ends.append(len(text))
    text += data.draw(between)
    spans = tuple(Span(a, b, "X") for a, b in zip(starts, ends, strict=True))
    cleaned = clean(text, Words.of(starts, ends, words), spans)
    assert cleaned.words is not None
    assert cleaned.words.strings(cleaned.text) == words
    assert cleaned.words.tags == words
    assert [cleaned.text[a:b] for a, b, _ in cleaned.spans or ()] == words


@given(TEXT, st.sampled_from(["NFC", "NFKC", "none"]), st.booleans())
def test_words_never_overlap_nor_leave_the_text(text: str, form: str, unescape: bool) -> None:
    characters = np.arange(len(text))
    words = Words.of(characters, characters + 1, ["x"] * len(text))
    cleaned = clean(text, words, (), normalize=form, unescape=unescape)
    assert cleaned.words is not None
    assert len(cleaned.words.starts) == len(cleaned.words.ends) == len(cleaned.words.tags)
    assert (cleaned.words.starts < cleaned.words.ends).all()
    assert (cleaned.words.ends[:-1] <= cleaned.words.starts[1:]).all()
    assert not len(cleaned.words) or 0 <= cleaned.words.starts[0] < cleaned.words.ends[-1] <= len(cleaned.text)


def test_offsets_follow_a_composition() -> None:
    cleaned = clean("cafe\u0301 au lait", Words.of([0, 6, 9], [5, 8, 13], ["n", "p", "n"]), (Span(6, 8, "X"),))
    assert cleaned.words is not None
    assert cleaned.words.strings(cleaned.text) == ["caf\u00e9", "au", "lait"]
    assert cleaned.spans == (Span(5, 7, "X"),)
    assert cleaned.dropped == {"Unicode normalisation": 1}


def test_offsets_follow_an_expansion() -> None:
    cleaned = clean("ﬁne㈱x", Words.of([0, 3, 4], [3, 4, 5], ["a", "b", "c"]), normalize="NFKC")
    assert cleaned.words is not None
    assert cleaned.words.strings(cleaned.text) == ["fine", "(株)", "x"]
    assert cleaned.added == {"Unicode normalisation": 3}


def test_a_span_of_nothing_but_removed_characters_is_dropped() -> None:
    cleaned = clean("a\u200b\ufeffb", spans=(Span(0, 1, "A"), Span(1, 3, "B"), Span(3, 4, "C")))
    assert cleaned.spans == (Span(0, 1, "A"), Span(1, 2, "C"))


def test_white_space_and_invisible_characters() -> None:
    cleaned = clean(" \ufeff甲\u3000 \u200b乙\r\n\r\n \n\n丙\t丁 \n")
    assert cleaned.text == "甲 乙\n\n丙 丁"
    assert cleaned.dropped["invisible characters"] == 2


def test_joiners_stay_because_spelling_needs_them() -> None:
    assert clean("می\u200cخواهم 👩\u200d🚀").text == "می\u200cخواهم 👩\u200d🚀"


def test_html_references_are_resolved_where_asked_for() -> None:
    text = "好&quot;x&nbsp;&#20013;&copy &AT&T"
    assert clean(text).text == text
    assert clean(text, unescape=True).text == '好"x 中&copy &AT&T'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("！！！…", "no letter and no digit"),
        ("好", "too short"),
        ("好的 ☃☃☃☃☃☃", "too noisy"),
        ("\n".join(["menu", "menu", "menu", "home", "menu", "menu"]), "repeated lines"),
        ("这家饭店不错！", None),
        ("if (x[0] != {}) { return `${a}`; } // 好", None),
        ("हिन्दी में लिखा हुआ एक छोटा सा वाक्य", None),
        ("one\ntwo\nthree\nfour\nfour\nfour", None),
    ],
)
def test_flaws(text: str, reason: str | None) -> None:
    assert flaw(text, minimum_characters=2, noise=0.3) == reason


def test_a_script_can_be_asked_for() -> None:
    assert flaw("very good", script="han") == "no letter of the script han"
    assert flaw("very 好", script="han") is None
