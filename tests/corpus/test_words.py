"""Words: Chinese by rjieba, the rest by Unicode, offsets beside the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from myna.corpus.words import join, segment, split_at_spaces, stop_words


def test_chinese_words_have_parts_of_speech() -> None:
    text = "我爱北京天安门。"
    words = segment(text)
    assert dict(zip(words.strings(text), words.tags, strict=True)) == {
        "我": "r", "爱": "v", "北京": "ns", "天安门": "ns", "。": "x",
    }  # fmt: skip


def test_other_text_is_cut_as_unicode_has_it() -> None:
    text = "Don't over-think it: café, e\u0301té, हिन्दी, 3.14 (naïve)."
    assert segment(text).strings(text) == [
        "Don't", "over-think", "it", ":", "café", ",", "e\u0301té", ",", "हिन्दी", ",", "3.14", "(", "naïve", ")", ".",
    ]  # fmt: skip


def test_mixed_text() -> None:
    text = "用Python3写代码，好"
    assert segment(text).strings(text) == ["用", "Python3", "写", "代码", "，", "好"]


@given(st.text("中国人民我 a1b-'.,_e\u0301\n，。\U00020000\U0001f680") | st.text())
def test_every_character_but_white_space_is_in_one_word(text: str) -> None:
    words = segment(text)
    covered = [place for a, b in zip(words.starts, words.ends, strict=True) for place in range(a, b)]
    assert covered == [place for place, character in enumerate(text) if not character.isspace()]
    assert len(words.tags) == len(words.starts)


def test_words_given_by_spaces() -> None:
    text = "ខ្ញុំ ស្រលាញ់  ភាសា"
    assert split_at_spaces(text).strings(text) == ["ខ្ញុំ", "ស្រលាញ់", "ភាសា"]


@given(st.lists(st.text("中a1。,国b", min_size=1, max_size=3)))
def test_joined_tokens_stand_where_their_offsets_say(tokens: list[str]) -> None:
    text, starts, ends = join(tokens)
    assert [text[a:b] for a, b in zip(starts, ends, strict=True)] == tokens


def test_a_space_stands_between_two_tokens_unless_one_is_chinese() -> None:
    assert join(["I", "love", "北京", "very", "much", "。"])[0] == "I love北京very much。"


def test_stop_words() -> None:
    assert "的" in stop_words("zh")
    assert "the" in stop_words("en")
    assert stop_words("no such language") == frozenset()
