"""Which copy is kept, and where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.corpus.dedup import fingerprint, split_of
from myna.corpus.document import RawDocument, Split
from myna.corpus.selection import Candidate, choose
from myna.errors import InputError
from myna.ledger import Ledger


def candidate(
    text: str, label: str | None = None, group: str | None = None, forced: Split | None = None, place: str = "a.txt:1"
) -> Candidate:
    return Candidate.of(place, text, RawDocument(text, "a.txt", 1, group, forced, label), labels=label is not None)


def all_in(*candidates: Candidate, validation: int = 0, test: int = 0) -> list[Split | None]:
    return choose(candidates, Ledger(), validation, test)


def test_the_first_of_copies_is_kept() -> None:
    assert all_in(candidate("Good!"), candidate("good"), candidate("bad")) == ["train", None, "train"]


def test_a_labelled_copy_goes_before_one_without_label() -> None:
    assert all_in(candidate("good"), candidate("good", "x"), candidate("good", "x")) == [None, "train", None]


def test_a_text_with_two_labels_is_dropped_whole() -> None:
    ledger = Ledger()
    copies = [candidate("so", "x"), candidate("so!", "y"), candidate("so"), candidate("other", "x")]
    assert choose(copies, ledger, 0, 0) == [None, None, None, "train"]
    assert ledger.to_dict()["dropped"] == {"same text, other label": {"documents": 3, "characters": 7, "labels": 2}}


def test_the_test_set_keeps_its_copy_and_training_loses_it() -> None:
    copies = [
        candidate("same", "x", forced="train"),
        candidate("same", "x", forced="validation"),
        candidate("same", forced="test"),
    ]
    assert all_in(*copies) == [None, None, "test"]


def test_copies_stay_where_they_are_wanted() -> None:
    assert choose([candidate("a"), candidate("a")], Ledger(), 0, 0, deduplicate=False) == ["train", "train"]


def test_a_split_that_a_source_fills_takes_nothing_else() -> None:
    texts = [candidate(f"text {number}") for number in range(300)]
    fates = all_in(*texts, candidate("the test", forced="test"), validation=10, test=10)
    assert fates.count("test") == 1
    assert 10 <= fates.count("validation") <= 60


def test_a_group_follows_its_members_that_are_put_somewhere() -> None:
    fates = all_in(candidate("a", group="g", forced="test"), candidate("b", group="G!"), candidate("c"))
    assert fates == ["test", "test", "train"]


def test_a_group_put_into_two_splits_is_an_error() -> None:
    copies = [
        candidate("a", group="g", forced="test", place="0:a.txt:1"),
        candidate("b", group="g", forced="train", place="1:b.txt:7"),
    ]
    with pytest.raises(
        InputError, match=r"^b\.txt:7: this is put into train, and a\.txt:1 of the same group into test"
    ):
        all_in(*copies)


def test_no_split_is_empty_as_soon_as_there_are_three_groups() -> None:
    for number in range(20):
        copies = [candidate(f"{number} {letter}") for letter in "abc"]
        ledger = Ledger()
        assert set(choose(copies, ledger, 10, 10)) == {"train", "validation", "test"}
        assert ledger.notes["groups moved to an empty split"] in (1, 2)


def test_sources_that_all_say_their_split_are_left_alone() -> None:
    assert all_in(candidate("a", forced="test"), candidate("b", forced="test"), validation=10, test=10) == ["test"] * 2


def test_too_few_groups_are_an_error_with_a_remedy() -> None:
    with pytest.raises(InputError, match=r'too few documents .* groups: 2\); give more, .* format = "paragraphs"'):
        all_in(candidate("a"), candidate("b"), validation=10, test=10)
    with pytest.raises(InputError, match="or groups: 1"):
        all_in(candidate("a", group="g"), candidate("b", group="g"), candidate("c", group="g"), test=10)


def test_nothing_left_is_an_error_that_says_why() -> None:
    ledger = Ledger()
    ledger.came_in(documents=3)
    ledger.dropped("too short", documents=3)
    with pytest.raises(InputError, match=r"3 documents came in, all were dropped \(too short: 3\)"):
        choose([], ledger, 10, 10)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh甲乙"), st.sampled_from([None, "g1", "G1!", "g2", "g3"])),
        min_size=12,
        max_size=60,
    )
)
def test_no_text_and_no_group_is_on_two_sides(rows: list[tuple[str, str | None]]) -> None:
    copies = [candidate(text * 3, group=group) for text, group in rows]
    try:
        fates = choose(copies, Ledger(), 30, 30)
    except InputError:
        return
    sides: dict[bytes, set[str]] = {}
    for (text, group), fate in zip(rows, fates, strict=True):
        if fate is not None:
            for name in (b"t" + fingerprint(text * 3), b"g" + fingerprint(group or text * 3)):
                sides.setdefault(name, set()).add(fate)
    assert all(len(side) == 1 for side in sides.values())


def test_the_split_depends_on_nothing_but_the_group() -> None:
    copies = [candidate(f"text {number}", group=f"group {number % 50}") for number in range(200)]
    fates = choose(copies, Ledger(), 20, 20)
    assert fates == [split_of(f"group {number % 50}", 20, 20) for number in range(200)]
