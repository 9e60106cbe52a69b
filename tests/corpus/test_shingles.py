"""Runs of characters as hashes: equal where the runs are, never over the border of two texts."""

from __future__ import annotations

import random

import numpy as np
import pytest

from myna.corpus.shingles import alike, codes_of, runs_of, signatures


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 12, 24])
def test_runs_are_those_of_each_text(size: int) -> None:
    draw = random.Random(size)
    texts = ["".join(draw.choices("ab好𠀀", k=draw.randrange(40))) for _ in range(60)] + ["", "a", ""]
    hashes, owners = runs_of(*codes_of(texts), size)
    wanted = [(n, text[i : i + size]) for n, text in enumerate(texts) for i in range(len(text) - size + 1)]
    assert owners.tolist() == [number for number, _ in wanted]
    known: dict[str, int] = {}
    assert all(known.setdefault(run, found) == found for (_, run), found in zip(wanted, hashes.tolist(), strict=True))
    assert len(set(known.values())) == len(known)


def test_no_text_has_no_run() -> None:
    for texts in ([], [""], ["ab", "c"]):
        hashes, owners = runs_of(*codes_of(texts), 3)
        assert (len(hashes), len(owners)) == (0, 0)


def test_the_share_of_a_signature_is_that_of_the_runs() -> None:
    """Jaccard's, of texts with more and more in common; to three deviations of 64 draws."""
    draw = random.Random(1)
    text = "".join(draw.choices("的一是不了在人有我他大中到上以要就出可也你生能而子那得于", k=400))
    for cut in (20, 60, 150, 300):
        found = signatures([text, text[cut:], "的一"])
        true = (396 - cut) / 396
        assert (found[0] == found[1]).mean() == pytest.approx(true, abs=3 * (true * (1 - true) / 64) ** 0.5)
        assert not found[2].any()
        pairs = list(alike(found, np.array([True, False, False])))
        assert [pair[:2] for pair in pairs] == ([(0, 1)] if cut == 20 else pairs and [(0, 1)])
