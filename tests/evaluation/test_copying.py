"""The longest copy from training text is found exactly, and what is short counts as none."""

from __future__ import annotations

import numpy as np
import pytest

from myna.evaluation import copying, ngrams
from myna.evaluation.copying import Copy, copy_counts, longest_copies


def longest(text: str, training: list[str], shortest: int) -> int:
    found = 0
    for start in range(len(text)):
        while start + found < len(text) and any(text[start : start + found + 1] in each for each in training):
            found += 1
    return found if found >= shortest else 0


@pytest.mark.parametrize(("alphabet", "shortest"), [("天地人", 8), ("ab ", 32)])
def test_copies_are_those_of_a_plain_search(alphabet: str, shortest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "_GATHER", 50)  # training text comes in several parts
    draw = np.random.default_rng(3)

    def text(most: int) -> str:
        return "".join(draw.choice(list(alphabet), draw.integers(0, most)))

    for _ in range(60):
        training = [text(90) for _ in range(5)]
        written = [text(60), training[0][5:70] + text(9), text(5) + training[1][-40:] + training[2][:35], ""]
        for said, copy in zip(written, longest_copies(written, iter(training)), strict=True):
            assert copy.length == longest(said, training, shortest)
            assert any(said[copy.start :][: copy.length] in each for each in training)


def test_what_ends_in_one_text_and_begins_in_the_next_is_no_copy() -> None:
    assert longest_copies(["天地玄黄宇宙洪荒"], ["天地玄黄", "宇宙洪荒"]) == [Copy(0, 0)]
    assert longest_copies(["说天地玄黄宇宙洪荒"], ["天地玄黄宇宙洪荒日月"]) == [Copy(1, 8)]


def test_equal_hashes_of_other_texts_are_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "hashes_of", lambda codes, size: np.zeros(len(codes) - size + 1, np.uint64))
    assert longest_copies(["天地玄黄宇宙洪荒"], ["日月盈昃辰宿列张寒来暑往"]) == [Copy(0, 0)]


def test_nothing_written_or_nothing_learned_has_no_copy() -> None:
    assert longest_copies([], ["天地玄黄宇宙洪荒"]) == []
    assert longest_copies(["天", ""], ["天"]) == [Copy(0, 0)] * 2
    assert longest_copies(["天地玄黄宇宙洪荒"], []) == [Copy(0, 0)]
    assert copy_counts(["天地玄黄宇宙洪荒日月"], [Copy(0, 8)]).tolist() == [[8, 10]]


@pytest.mark.slow
def test_ten_million_characters_of_training_take_seconds() -> None:
    import time

    draw = np.random.default_rng(4)
    text = "".join(map(chr, draw.integers(0x4E00, 0x5E00, 1_000_000)))
    began = time.process_time()
    found = longest_copies([text[500:560]] * 100, (text[n:] for n in range(10)))
    assert found == [Copy(0, 60)] * 100
    assert time.process_time() - began < 20
