"""How a run says how far it is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from myna import progress
from myna.fingerprints import Record
from myna.kinds import KINDS
from myna.stages import Stage, State


def stage(kind: str = "pretrain", state: State = "missing") -> Stage:
    chosen = next(each for each in KINDS if each.name == kind)
    return Stage(f"{kind}.x", chosen, Path("x"), Record(1, {}, None, {}), state, "it was not done yet")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_than_on_a_terminal_a_stage_is_two_lines() -> None:
    stream = io.StringIO()
    observer = progress.observer(stream)
    observer.begin(stage(), 1, 2)
    for step in range(1, 100):
        observer.report(stage(), f"step {step}", step / 100)
    observer.end(stage(), 75)
    observer.close()
    assert stream.getvalue() == "[1/2] pretrain.x: it was not done yet\n      pretrain.x: done in 1 min 15 s\n"


def test_a_line_is_said_when_the_last_was_long_ago() -> None:
    stream = io.StringIO()
    observer = progress.Lines(stream, seconds=0)
    observer.begin(stage(), 1, 1)
    observer.report(stage(), "step 3", 0.25)
    assert stream.getvalue().splitlines()[1:] == ["      pretrain.x: step 3 (25%)"]


def test_what_a_training_remarks_and_where_it_goes_on_are_never_left_out() -> None:
    stream = io.StringIO()
    observer = progress.Lines(stream)
    observer.begin(stage(state="interrupted"), 1, 1)
    observer.report(stage(), "a checkpoint is not whole", 0.0)
    observer.report(stage(), "a checkpoint is not whole", 0.0)
    observer.report(stage(), "goes on at step 7", 0.1)
    observer.report(stage(), "step 8", 0.2)
    assert stream.getvalue().splitlines()[1:] == [
        "      pretrain.x: a checkpoint is not whole",
        "      pretrain.x: goes on at step 7 (10%)",
    ]


def test_a_terminal_gets_a_bar_and_a_line_for_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    observer = progress.observer(stream)
    assert isinstance(observer, progress.Bars)
    observer.begin(stage(), 1, 1)
    observer.report(stage(), "begun with [other] threads", 0.0)
    observer.report(stage(), "step 3", 0.25)
    observer.end(stage(), 3)
    observer.close()
    assert "begun with [other] threads" in stream.getvalue()
    assert "✓ pretrain.x  3.0 s" in stream.getvalue()


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    observer = progress.observer(stream)
    observer.begin(stage(), 1, 1)
    observer.report(stage(), "begun otherwise", 0.0)
    observer.close()
    assert "\x1b[33m" not in stream.getvalue()
