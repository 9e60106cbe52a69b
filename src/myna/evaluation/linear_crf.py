"""A linear conditional random field (Lafferty et al. 2001) over what stands around each unit: the method of the years
before neural networks, which a tagger has to beat.

What it knows of a unit is the unit itself, two neighbours on each side, pairs of these, and how it begins, ends and is
written; and of two tags that one followed the other. CRFsuite (Okazaki 2007) finds the weights by L-BFGS with a penalty
on their sizes and squares, so that the same sentences always give the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from pathlib import Path

# Passes over all sentences: half as many again add 0.2 points of F1.
_PASSES = 100
# Of the sizes and of the squares of weights, by F1 of names on a validation split. Threes of units add nothing there.
_PENALTIES = {"c1": 0.1, "c2": 0.1}
# What occurred once is of no use, and would be most of the memory.
_LEAST = 2
# What it learns from, words or characters: up to five minutes of one processor, and some 900 MB.
MOST_UNITS = 1_600_000
# A pass takes as long for so many tags as for all that is known of a unit, and grows with their square.
_EQUAL_TAGS = 30


def linear_crf(
    units: Sequence[Sequence[str]],
    tags: Sequence[Sequence[str]],
    others: Sequence[Sequence[str]],
    most: int = MOST_UNITS,
) -> tuple[list[list[str]], int]:
    """The tags of ``others`` by what was learned from ``units`` and ``tags``, and from how many sentences that was.

    Of many sentences the first are taken, with ``most`` units at most, and with fewer where there are many tags.
    """
    import pycrfsuite

    params = {**_PENALTIES, "max_iterations": _PASSES, "feature.minfreq": _LEAST}
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", params=params, verbose=False)
    known = _within_reach(units, tags, most)
    if not known:
        return [["O"] * len(line) for line in others], 0
    for n in known:
        trainer.append(list(features(units[n])), tags[n])
    tagger = pycrfsuite.Tagger()
    with tempfile.TemporaryDirectory(prefix="myna-") as folder:
        place = str(Path(folder) / "crf")
        trainer.train(place)
        tagger.open(place)
        found = [tagger.tag(list(features(line))) for line in others]
        tagger.close()
    return found, len(known)


def _within_reach(units: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], most: int) -> list[int]:
    """The sentences that are learned from: no more than end in some minutes."""
    labels = len({tag for line in tags for tag in line})
    room = most / (1 + (labels / _EQUAL_TAGS) ** 2)
    read = accumulate(map(len, units))
    return [n for n, (line, so_far) in enumerate(zip(units, read, strict=True)) if line and so_far <= room]


def features(units: Sequence[str]) -> Iterator[list[str]]:
    """What is known of each unit of a sentence: names of features, each with a mark for what it is of."""
    # Two places on each side, which no unit looks like.
    line = ["\n\n", "\n", *units, "\n", "\n\n"]
    written = {unit: _parts(unit) for unit in dict.fromkeys(units)}
    for a, b, c, d, e in zip(line, line[1:], line[2:], line[3:], line[4:], strict=False):
        yield [
            *(f"a {a}", f"b {b}", f"c {c}", f"d {d}", f"e {e}"),
            *(f"ab {a} {b}", f"bc {b} {c}", f"bd {b} {d}", f"cd {c} {d}", f"de {d} {e}"),
            *written[c],
        ]


def _parts(unit: str) -> list[str]:
    """How a unit is written: the kinds of its characters; of a longer one how it begins and ends, whatever the case."""
    kinds = [
        "X" if c.isupper() else "x" if c.islower() else "0" if c.isdigit() else "w" if c.isalpha() else "-"
        for c in unit
    ]
    found = ["s " + "".join(kind for kind, _ in groupby(kinds))]
    if len(unit) > 1:
        lower = unit.lower()
        found += [f"w {lower}", *(f"p {lower[:n]}" for n in (1, 2, 3)), *(f"q {lower[-n:]}" for n in (1, 2, 3, 4))]
    return found
