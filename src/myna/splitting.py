"""In which split each example of a table will stand, decided before anything is written, as the corpus will decide it.

Copies are dropped, a text that is also judged leaves training, and of what has no split of its own a part is kept for
validation and test. What cannot be trained on for this is told with its file and line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from myna.corpus.document import RawDocument, Split
from myna.corpus.prepare import CorpusConfig
from myna.corpus.selection import Candidate, choose
from myna.errors import InputError
from myna.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Row:
    """What is remembered of an example: hashes of its text, the names of its labels, and where it stands."""

    candidate: Candidate
    names: tuple[str, ...]
    file: Path
    line: int

    @classmethod
    def of(cls, document: RawDocument, names: Sequence[str], file: Path) -> Row:
        """The row of a document; the names of labels are those in it, a name for each time it occurs."""
        place = f"0:{document.source}:{document.line}"
        return cls(Candidate.of(place, document.text, document, 0), tuple(names), file, document.line)


def fates_of(rows: Sequence[Row], config: CorpusConfig) -> list[Split | None]:
    """The split of each row, None for what is dropped; an :class:`InputError` for what gives no splits."""
    candidates = [row.candidate for row in rows]
    return choose(candidates, Ledger(), config.validation, config.test, config.deduplicate, config.stratify)


def check_splits(rows: Sequence[Row], config: CorpusConfig, train: Path, plain: bool) -> Counter[str]:
    """How often each label occurs in what is trained on.

    ``plain`` says that names may be rare in training or unknown to it. Raises an :class:`InputError` where nothing is
    left to train or to validate with, and for a label that training has once or never.
    """
    judged = {row.candidate.key: row.candidate.forced for row in rows if row.candidate.forced not in (None, "train")}
    left = {row.candidate.key for row in rows if row.candidate.forced in (None, "train")} - judged.keys()
    if not left and judged:
        split = next(iter(judged.values()))
        what = f"every text of training is among the examples for {split}: a score on them would say nothing"
        remedy = f"give others, or leave --{split} out, and a part of the training examples is kept for it"
        raise InputError(what, where=train, remedy=remedy)
    wanted = 1 + sum(part > 0 and split not in judged.values() for split, part in _parts(config))
    if len(left) < wanted:
        what = f"there are too few examples (different texts: {len(left)})"
        raise InputError(what, where=train, remedy="give more: dozens of each label, at the least")
    try:
        fates = fates_of(rows, config)
    except InputError as error:
        if error.where is not None:
            raise
        what, remedy = "no example is left: every text stands here with several labels", "keep one label for each text"
        raise InputError(what, where=train, remedy=remedy) from None
    if "validation" not in fates:
        given = next((row for row in rows if row.candidate.forced == "validation"), None)
        what = "there is no example to validate with" if given is None else "every text of it is also one for test"
        where, remedy = (train, "give some with --validation") if given is None else (given.file, "give others")
        raise InputError(what, where=where, remedy=remedy)
    trained = Counter(name for row, fate in zip(rows, fates, strict=True) if fate == "train" for name in row.names)
    if "train" not in fates:
        raise InputError("nothing is left to train on", where=train, remedy="give examples that are not judged on")
    if not plain:
        _check_names(rows, trained)
    return trained


def _parts(config: CorpusConfig) -> Iterable[tuple[Split, int]]:
    return ("validation", config.validation), ("test", config.test)


def _check_names(rows: Sequence[Row], trained: Counter[str]) -> None:
    """A label that training has once or never is an error; first one that the table itself has once."""
    there = Counter(name for row in rows for name in row.names)
    for alone in (True, False):
        for row in rows:
            for name in row.names:
                if trained[name] < 2 and (there[name] == 1) == alone:
                    left = f"{trained[name] or 'no'} example of {name!r} is left to train on"
                    what = f"{name!r} has this one example" if alone else f"{left}, without copies and what is judged"
                    raise InputError(what, where=row.file, line=row.line, remedy="add examples of it, or take it out")
