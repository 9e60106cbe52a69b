"""Trials: what does not hold is counted, said and kept to be looked at; what was made is not made again."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .command import Ground
from .flips import flip
from .trials import Outcome, Part, do_part

GROUND = Ground(Path(), Path())


def tried(folder: Path, trial, count: int = 6, source: str = "a") -> dict:
    folder.mkdir(exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        return do_part(Part("p", "what is done", 6, 2, trial), lambda: GROUND, folder, 1, count, pool, source)


def test_what_did_not_hold_is_counted_and_its_place_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def trial(ground: Ground, place: Path, number: int, draw: random.Random) -> Outcome:
        if number == 2:
            raise ValueError("broke")
        return Outcome(5, "weights differ" if number == 4 else "", {"kills": 5})

    found = tried(tmp_path, trial)
    assert (found["held"], found["faults"]) == (20, 26)
    assert found["figures"] == {"kills": 25}
    assert found["wrong"] == ["ValueError: broke", "weights differ"]
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["2", "4"]
    assert "p: 20 of 26 held" in capsys.readouterr().out


def test_a_part_that_was_broken_off_goes_on_and_other_code_begins_anew(tmp_path: Path) -> None:
    made: list[tuple[int, float]] = []

    def trial(ground: Ground, place: Path, number: int, draw: random.Random) -> Outcome:
        made.append((number, draw.random()))
        return Outcome(1)

    tried(tmp_path, trial, 3)
    with open(tmp_path / "p.jsonl", "a") as stream:
        stream.write('{"number": 5, "fau')
    assert tried(tmp_path, trial)["held"] == 6
    assert tried(tmp_path, trial)["held"] == 6
    assert sorted(number for number, _ in made) == [0, 1, 2, 3, 4, 5]
    tried(tmp_path, trial, source="b")
    assert sorted(made[6:]) == sorted(made[:6])


def test_what_cannot_be_tried_here_is_said(tmp_path: Path) -> None:
    part = Part("p", "what is done", 6, 2, lambda *a: Outcome(1), lambda: "there is no such disk")
    assert do_part(part, lambda: GROUND, tmp_path, 1, 6, ThreadPoolExecutor(1), "a") == {
        "what": "what is done",
        "not_tried": "there is no such disk",
    }


def test_a_flip_changes_one_bit(tmp_path: Path) -> None:
    path, draw = tmp_path / "file", random.Random(1)
    for _ in range(50):
        path.write_bytes(bytes(9))
        flip(path, draw)
        assert sum(byte.bit_count() for byte in path.read_bytes()) == 1
