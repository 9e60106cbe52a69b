"""Sections of a recipe: only what affects the result enters a fingerprint."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from myna.settings import Section, result_settings, setting
from myna.training.settings import TrainingConfig


class Inner(Section):
    size: int = setting(1, "result")
    threads: int = setting(2, "speed", affects="speed")


class Outer(Section):
    inner: Inner = setting(Inner(), "inner")
    many: list[Inner] = setting([], "many")
    named: dict[str, int] = setting({}, "named")
    chatty: bool = setting(False, "log", affects="log")
    newer: int | None = setting(None, "came later", affects="added")


def test_speed_and_log_are_left_out_of_a_fingerprint() -> None:
    one = Outer(inner=Inner(size=3, threads=8), many=[Inner()], named={"b": 1, "a": 2}, chatty=True)
    assert result_settings(one) == {"inner": {"size": 3}, "many": [{"size": 1}], "named": {"a": 2, "b": 1}}
    assert result_settings(one) == result_settings(
        Outer(inner=Inner(size=3), many=[Inner(threads=5)], named={"a": 2, "b": 1})
    )


def test_what_was_added_later_enters_a_fingerprint_where_it_is_given() -> None:
    assert "newer" not in result_settings(Outer())
    assert result_settings(Outer(newer=0))["newer"] == 0


def test_a_key_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError):
        Inner(sise=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("given", [{}, {"steps": 3, "epochs": 1.0}])
def test_a_training_has_exactly_one_length(given: dict) -> None:
    with pytest.raises(ValidationError, match="exactly one of tokens, steps, epochs and budget"):
        TrainingConfig(**given)
