"""Windows over long texts: every piece is answered for exactly once, by the window where it has most context."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.errors import InputError
from myna.ledger import Ledger
from myna.tasks.windows import fit, windows

lengths, sizes = st.integers(1, 200), st.integers(1, 40)


@given(lengths, sizes)
def test_each_piece_is_answered_for_once_and_within_its_window(length: int, size: int) -> None:
    found = windows(length, size)
    assert [place for w in found for place in range(w.first, w.last)] == list(range(length))
    assert all(w.start <= w.first < w.last <= w.end <= length and w.end - w.start == min(size, length) for w in found)


@given(lengths, sizes)
def test_the_window_that_answers_has_the_most_context(length: int, size: int) -> None:
    found = windows(length, size)
    for window in found:
        for place in range(window.first, window.last):
            contexts = [min(place - w.start, w.end - 1 - place) for w in found if w.start <= place < w.end]
            # At the ends of the text no window has more before or behind.
            assert min(place - window.start, window.end - 1 - place) == max(contexts)


@given(lengths, st.integers(2, 40))
def test_neighbours_overlap_by_half_and_none_is_needless(length: int, size: int) -> None:
    found = windows(length, size)
    assert all(b.start - a.start <= size // 2 for a, b in pairwise(found))
    assert len(found) == 1 or (len(found) - 2) * (size // 2) < length - size


def test_a_text_in_two_windows_is_cut_in_the_middle_of_their_overlap() -> None:
    assert windows(15, 10) == [(0, 10, 0, 8), (5, 15, 8, 15)]


@pytest.mark.parametrize("how, kept, dropped", [("window", 15, 0), ("cut", 10, 5), ("drop", 0, 15)])
def test_what_is_not_read_of_a_long_text_is_counted(how: str, kept: int, dropped: int) -> None:
    ledger = Ledger()
    found = fit(15, 10, how, "text 1", ledger)
    ledger.check()
    plain = ledger.to_dict()
    assert plain["kept"].get("tokens", 0) == kept
    assert sum(counts.get("tokens", 0) for counts in plain["dropped"].values()) == dropped
    assert sum(w.last - w.first for w in found) == kept


def test_a_text_that_must_not_be_long_is_an_error_that_names_it() -> None:
    with pytest.raises(InputError, match=r"text 1: this text has 15 pieces, 5 more than the model takes; .*too_long"):
        fit(15, 10, "error", "text 1", Ledger())


def test_a_text_of_which_everything_would_be_cut_is_an_error() -> None:
    with pytest.raises(InputError, match=r"text 1: .* all of it would be cut"):
        fit(3, 0, "cut", "text 1", Ledger())
    with pytest.raises(InputError, match="text 1: the tokenizer finds nothing to read"):
        fit(0, 8, "window", "text 1", Ledger())
