"""Sentences and units are functions of the text; spans become tags of units and come back from them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from myna.corpus.document import Span
from myna.tasks.units import sentences, tags_of, units
from myna.tasks.viterbi import spans_of

texts = st.text(st.characters(codec="utf-8") | st.sampled_from("江泽民在北京。！？，；”\n ab1é"), max_size=60)


def strings(text: str) -> list[str]:
    return [text[start:end] for start, end in units(text)]


def test_a_han_character_is_a_unit_and_so_is_a_word_of_letters() -> None:
    assert strings("江泽民1998年在ＷＴＯ说：don't, हिन्दी café") == (
        ["江", "泽", "民", "1998", "年", "在", "ＷＴＯ", "说", "：", "don", "'", "t", ",", "हिन्दी", "café"]
    )


@given(texts)
def test_units_are_all_of_the_text_but_white_space_in_order(text: str) -> None:
    bounds = units(text)
    assert "".join("".join(strings(text)).split()) == "".join(text.split())
    assert all(a < b for a, b in bounds)
    assert all(a[1] <= b[0] for a, b in pairwise(bounds))


@given(texts)
def test_sentences_are_all_of_the_text_but_white_space_in_order(text: str) -> None:
    bounds = sentences(text)
    assert "".join("".join(text[a:b] for a, b in bounds).split()) == "".join(text.split())
    assert all(a[1] <= b[0] for a, b in pairwise(bounds))
    assert all(units(text, a, b) for a, b in bounds)


def test_a_sentence_ends_behind_its_mark_and_the_closing_quote() -> None:
    text = "他说：“好！”真的？！是。\n标题 \n\n end"
    assert [text[a:b] for a, b in sentences(text)] == ["他说：“好！”", "真的？！", "是。", "标题", "end"]


def test_a_sentence_that_has_grown_long_ends_at_a_pause() -> None:
    text = "好" * 100 + "，" + "好" * 200 + "，" + "好" * 100 + "；好"
    assert [b - a for a, b in sentences(text)] == [302, 102]
    assert [b - a for a, b in sentences("好" * 100 + "，" + "好" * 100)] == [201]


def test_a_span_is_never_cut() -> None:
    text = "买了Yahoo! 的股票！好"
    assert [text[a:b] for a, b in sentences(text, [(2, 10)])] == ["买了Yahoo! 的股票！", "好"]


def test_spans_become_tags_and_come_back() -> None:
    text = "老王在北京上海说 abc def"
    marked = [Span(0, 2, "PER"), Span(3, 5, "LOC"), Span(5, 7, "LOC"), Span(9, 16, "X")]
    tags, widened = tags_of(units(text), marked)
    assert tags == ["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "B-LOC", "I-LOC", "O", "B-X", "I-X"]
    assert widened == 0
    assert spans_of(tags, units(text)) == marked


def test_a_span_within_a_unit_is_widened_and_counted_and_an_overlapping_one_is_left_out() -> None:
    tags, widened = tags_of(units("abc 在北京"), [Span(1, 2, "X"), Span(5, 7, "LOC"), Span(6, 7, "PER")])
    assert (tags, widened) == (["B-X", "O", "B-LOC", "I-LOC"], 1)


@given(texts, st.data())
def test_tags_of_any_spans_are_bio(text: str, data: st.DataObject) -> None:
    places = st.integers(0, len(text))
    spans = data.draw(st.lists(st.builds(Span, places, places, st.sampled_from(["PER", "LOC"])), max_size=5))
    spans = [span for span in spans if span.start < span.end]
    bounds = units(text)
    tags, _ = tags_of(bounds, spans)
    assert len(tags) == len(bounds)
    assert tags_of(bounds, spans_of(tags, bounds)) == (tags, 0)
