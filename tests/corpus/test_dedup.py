"""What counts as the same text, and on which side it stands."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from myna.corpus.dedup import Repeats, fingerprint, fold, split_of


def test_case_width_spacing_and_punctuation_do_not_count() -> None:
    assert fold("Ｈello，　World！ １") == fold("hello world 1") == "helloworld1"
    assert fingerprint("好！") == fingerprint("好 。")
    assert fingerprint("好") != fingerprint("不好")


def test_text_without_letters_is_compared_as_it_is() -> None:
    assert fold("！！") == "!!"
    assert fingerprint("！") != fingerprint("？")


@given(st.text())
def test_the_fold_is_what_letters_and_digits_are_left(text: str) -> None:
    import unicodedata

    folded = unicodedata.normalize("NFKC", text).lower()
    assert fold(text) == ("".join(c for c in folded if c.isalnum()) or folded)


@given(st.text())
def test_arbitrary_text_has_a_fingerprint_and_a_split(text: str) -> None:
    assert len(fingerprint(text + "\ud800")) == 16
    assert split_of(text, 50, 50) in ("validation", "test")


def test_the_split_is_the_published_function_of_the_group() -> None:
    for group in ("a", "新闻", "Thread 7", "x!"):
        folded = "".join(c for c in group.lower() if c.isalnum())
        bucket = int(hashlib.sha256(folded.encode()).hexdigest()[:12], 16) % 100
        assert split_of(group) == ("test" if bucket < 10 else "validation" if bucket < 20 else "train")


def test_the_shares_are_about_what_was_asked_for() -> None:
    splits = [split_of(f"group {number}", validation=20, test=5) for number in range(4000)]
    assert abs(splits.count("validation") / 4000 - 0.20) < 0.02
    assert abs(splits.count("test") / 4000 - 0.05) < 0.01


def test_repeats_are_seen_from_the_second_time_on() -> None:
    repeats = Repeats()
    assert [repeats.seen(text) for text in ("One.", "two", "ONE", "one!")] == [False, False, True, True]
