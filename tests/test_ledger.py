"""The books balance, or the stage says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.ledger import Ledger


@given(st.lists(st.tuples(st.sampled_from(["kept", "short", "noise"]), st.integers(0, 99)), max_size=30))
def test_what_came_in_is_kept_or_dropped(events: list[tuple[str, int]]) -> None:
    ledger = Ledger()
    for what, count in events:
        ledger.came_in(documents=1, characters=count)
        if what == "kept":
            ledger.kept(documents=1, characters=count)
        else:
            ledger.dropped(what, documents=1, characters=count)
    ledger.check()
    plain = ledger.to_dict()
    assert Ledger.from_dict(plain).to_dict() == plain
    double = ledger + ledger
    double.check()
    assert double.to_dict()["in"].get("characters", 0) == 2 * sum(count for _, count in events)


@pytest.mark.parametrize("unit", ["documents", "characters", "tokens", "labels"])
def test_books_that_do_not_balance_are_an_error(unit: str) -> None:
    ledger = Ledger()
    ledger.came_in(**{unit: 3})
    ledger.kept(**{unit: 2})
    with pytest.raises(AssertionError, match=f"3 {unit} came in, 2"):
        ledger.check()
    ledger.dropped("lost", **{unit: 2})
    with pytest.raises(AssertionError):
        ledger.check()
    ledger.added("made", **{unit: 1})
    ledger.check()


def test_a_unit_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="chars"):
        Ledger().kept(chars=1)
    with pytest.raises(ValueError):
        Ledger().kept(characters=-1)
