"""Processes meet in a file: what a run that was killed left there is passed over, and nothing stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from myna.errors import RunError
from myna.training.meeting import meet, who_is


@pytest.fixture
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MYNA_MEET", str(tmp_path / "here"))
    return tmp_path / "here"


def ended_process() -> subprocess.Popen[bytes]:
    """One that has ended, and that nobody has asked for yet."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return process


def test_a_process_that_ended_is_gone_even_where_nobody_has_asked_for_it() -> None:
    with ended_process() as process:
        assert who_is(process.pid) == ""
    assert who_is(process.pid) == ""
    assert who_is(os.getpid()).startswith(f"{os.getpid()} ")


def test_the_note_of_a_killed_run_is_passed_over_and_its_store_taken_away(note: Path) -> None:
    with ended_process() as process:
        note.write_text(json.dumps({"store": f"here.{process.pid}", "first": f"{process.pid} 1"}))
    (note.parent / f"here.{process.pid}").write_text("old keys")
    (note.parent / "here.txt").write_text("somebody's")
    with pytest.raises(RunError, match="did not find each other"):
        meet(1, patience=0.2)
    found = []
    other = threading.Thread(target=lambda: found.append(meet(1, patience=20)))
    other.start()
    first = meet(0)
    other.join()
    assert first is not None
    assert found == [first]
    assert not first.first_is_gone()
    assert first.store == note.with_name(f"here.{os.getpid()}")
    assert sorted(path.name for path in note.parent.iterdir()) == ["here", "here.txt"]
    first.store.write_text("keys")
    first.clear()
    assert [path.name for path in note.parent.iterdir()] == ["here.txt"]


def test_a_number_that_was_given_again_is_another_process(note: Path) -> None:
    note.write_text(json.dumps({"store": "here.1", "first": f"{os.getpid()} 1"}))
    with pytest.raises(RunError, match=r"the first one is not in .*here"):
        meet(1, patience=0.1)


def test_one_that_does_not_come_is_not_waited_for_for_ever(note: Path) -> None:
    first, store = meet(0), Counts()
    assert first is not None
    with pytest.raises(RunError, match="not all have come"):
        first.wait_for_all(store, 2, patience=0.1)
    first.wait_for_all(store, 2)


class Counts(dict[str, int]):
    """A store of numbers."""

    def add(self, key: str, number: int) -> int:
        self[key] = self.get(key, 0) + number
        return self[key]
