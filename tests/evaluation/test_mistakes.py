"""The mistakes that are shown are the surest, whole or with what was cut said, and their marks are right."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from myna.evaluation.mistakes import MOST_CHARACTERS, marked, wrong_labels, wrong_spans


def answer(text: str, label: str, predicted: str, share: float) -> dict[str, Any]:
    return {"text": text, "label": label, "predicted": predicted, "scores": {predicted: share}}


def test_the_surest_mistakes_come_first_and_right_answers_not_at_all() -> None:
    lines = [answer(f"t{n}", "a", "b" if n % 2 else "a", n / 100) for n in range(60)]
    mistakes, wrong = wrong_labels(lines)
    assert wrong == 30
    assert [mistake.text for mistake in mistakes] == [f"t{n}" for n in range(59, 43, -2)]
    assert (mistakes[0].expected, mistakes[0].predicted, mistakes[0].share) == ("a", "b", 0.59)


def test_no_label_takes_the_places_of_another() -> None:
    lines = [answer(f"a{n}", "a", "b", 0.9) for n in range(20)] + [answer("b0", "b", "a", 0.5)]
    assert [mistake.expected for mistake in wrong_labels(lines)[0]] == ["a"] * 4 + ["b"]


def test_a_long_text_is_cut_and_what_is_cut_is_counted() -> None:
    (mistake,), _ = wrong_labels([answer("字" * 500, "a", "b", 0.9)])
    assert len(mistake.text) == MOST_CHARACTERS
    assert mistake.cut == 500 - MOST_CHARACTERS


def span(start: int, end: int, label: str, **more: float) -> dict[str, Any]:
    return {"start": start, "end": end, "label": label, **more}


def test_spans_are_marked_as_right_wrong_and_missed() -> None:
    line = {
        "text": "江泽民在北京",
        "spans": [span(0, 3, "PER"), span(4, 6, "LOC")],
        "predicted": [span(0, 3, "PER"), span(4, 5, "LOC", probability=0.9)],
    }
    sentence = marked(line)
    assert [(p.text, p.label, p.state) for p in sentence.expected] == [
        ("江泽民", "PER", "right"),
        ("在", "", ""),
        ("北京", "LOC", "missed"),
    ]
    assert [(p.text, p.state) for p in sentence.predicted][2:] == [("北", "wrong"), ("京", "")]


def test_sentences_with_the_surest_wrong_spans_come_first_and_short_ones_before_long() -> None:
    def line(name: str, sure: float, text: str = "") -> dict[str, Any]:
        return {"text": name + text, "spans": [], "predicted": [span(0, 1, "PER", probability=sure)]}

    lines = [line("b", 0.5), line("a", 0.9), line("c", 0.99, "x" * 300), {"text": "d", "spans": [], "predicted": []}]
    sentences, wrong = wrong_spans(lines)
    assert wrong == 3
    assert [sentence.predicted[0].text for sentence in sentences] == ["a", "b", "c"]
    missed = {"text": "e", "spans": [span(0, 1, "PER")], "predicted": []}
    assert wrong_spans([missed])[1] == 1


bounds = st.lists(st.integers(0, 30), min_size=2, max_size=2, unique=True).map(sorted)


@given(st.text(min_size=30, max_size=30), st.lists(bounds, max_size=5), st.lists(bounds, max_size=5))
def test_the_pieces_make_up_the_text_whatever_the_spans(
    text: str, first: list[list[int]], second: list[list[int]]
) -> None:
    sides = [[span(start, end, "X") for start, end in side] for side in (first, second)]
    sentence = marked({"text": text, "spans": sides[0], "predicted": sides[1]})
    for pieces in (sentence.expected, sentence.predicted):
        assert "".join(piece.text for piece in pieces) == text
