"""``myna check``: a table of examples looked at before any training, and what is wrong with it, all at once.

Files are read as ``myna finetune`` reads them, but no bad row ends it: all are found, told by kind, and written to a
file that they are mended or dropped from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myna.corpus.document import SPLITS, Split
from myna.errors import InputError

from .copies import find_copies, find_near_copies
from .findings import Findings, write
from .labels import Learned, judge_labels
from .table import Entry, Table, read_table

WINDOW = 512
# The commonest label has so large a share, or so many times the rarest's, where labels are out of balance.
_SHARE, _TIMES = 0.9, 20
_LISTED = 5


@dataclass(frozen=True)
class Checked:
    """What was found: the table's figures by split and by label, how well its labels are told, and the findings."""

    task: str
    said: tuple[str, ...]
    splits: dict[str, dict[str, Any]]
    labels: dict[str, dict[str, int]]
    learned: Learned | None
    bad: int
    findings: Findings

    def to_dict(self) -> dict[str, Any]:
        """The form of ``--json``: all figures, and of each kind how many there are and the first five."""
        kinds = {
            kind: {"count": count, "first": [asdict(finding) for finding in self.findings.of(kind)[:_LISTED]]}
            for kind, count in self.findings.counts.items()
        }
        learned = None if self.learned is None else asdict(self.learned)
        return {
            "task": self.task,
            "said": list(self.said),
            "splits": self.splits,
            "labels": self.labels,
            "cross_validated": learned,
            "rows_not_read": self.bad,
            "findings": kinds,
        }


def check(
    data: Path,
    task: str | None = None,
    validation: Path | None = None,
    test: Path | None = None,
    changes: Sequence[str] = (),
    to: Path | None = None,
    window: int = WINDOW,
) -> Checked:
    """Looks at a table of examples for what would spoil a training on it, and writes all findings to ``to``.

    ``changes`` say how files are read, as ``text_column=review``. Texts of more than ``window`` tokens (about: they are
    counted without a tokenizer) are found too. Raises an :class:`InputError` where there is nothing to check.
    """
    if window < 1:
        raise InputError(f"a window of {window} tokens holds nothing", where="--window", remedy="give 1 or more")
    given: dict[Split, Path | None] = {"train": data, "validation": validation, "test": test}
    if to is not None:
        _check_place(to, [path for path in given.values() if path is not None])
    findings = Findings()
    table = read_table(task, {split: path for split, path in given.items() if path is not None}, changes, findings)
    learned = None
    if table.entries:
        find_copies(table, findings)
        find_near_copies(table, findings)
        _find_labels(table, findings)
        learned = judge_labels(table, findings)
        _find_long(table, findings, window)
    for line in table.said:
        findings.add("columns", line, "name them with --set, or --task, if that is wrong", data)
    checked = Checked(
        table.task,
        tuple(table.said),
        _splits(table.entries, window),
        _labels(table) if table.fields[-1] != "value" else {},
        learned,
        table.bad,
        findings,
    )
    if to is not None:
        write(findings, to)
    return checked


def _check_place(to: Path, given: Sequence[Path]) -> None:
    """Findings never take the place of the examples that they are of, nor lie where they would be read as some."""
    if to.is_dir():
        raise InputError("this is a folder, not a file", where=to, remedy="give --to the name of a file")
    place = to.resolve()
    for path in given:
        if path.resolve() in (place, *place.parents):
            raise InputError("the examples lie here", where=to, remedy="give --to another name, outside of them")


def _by_split(entries: Sequence[Entry]) -> Mapping[str, list[Entry]]:
    found: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    for entry in entries:
        if entry.split is not None:
            found[entry.split].append(entry)
    return {split: some for split, some in found.items() if some}


def _splits(entries: Sequence[Entry], window: int) -> dict[str, dict[str, Any]]:
    """Of each split how many rows it has, how long they are, and how many are longer than the window."""
    found = {}
    for split, some in _by_split(entries).items():
        lengths = np.array([entry.length for entry in some])
        median, most = np.quantile(lengths, [0.5, 0.95]).tolist()
        found[split] = {
            "rows": len(some),
            "characters": int(lengths.sum()),
            "median": median,
            "most": most,
            "longest": int(lengths.max()),
            "tokens": sum(entry.tokens for entry in some),
            "longer_than_window": sum(entry.tokens > window for entry in some),
        }
    return found


def _labels(table: Table) -> dict[str, dict[str, int]]:
    """How often each label stands in each split, the commonest first."""
    counts = {
        split: Counter(name for entry in some for name in entry.names)
        for split, some in _by_split(table.entries).items()
    }
    total: Counter[str] = Counter()
    for count in counts.values():
        total += count
    return {name: {split: count[name] for split, count in counts.items()} for name, _ in total.most_common()}


def _find_labels(table: Table, findings: Findings) -> None:
    """Adds labels that training does not know, labels of one text, and a balance that is none."""
    if table.fields[-1] == "value":
        return
    trained: Counter[str] = Counter()
    for entry in table.entries:
        if entry.split == "train":
            trained.update(entry.names)
    texts = Counter(name for entry in table.held for name in set(entry.names))
    told: set[str] = set()
    for entry in table.entries:
        for name in set(entry.names) - told:
            row = entry.row
            if trained[name] == 0 and entry.split is not None:
                told.add(name)
                what = f"training has no example of {name!r}"
                findings.add("unknown", what, "add some, or take it out", row.file, row.line, entry.text)
            elif texts[name] == 1 and entry.document is not None and table.fields[-1] != "tags":
                told.add(name)
                findings.add(
                    "rare", f"{name!r} has this one text", "add some, or take it out", row.file, row.line, entry.text
                )
    if table.fields[-1] == "label" and len(trained) > 1:
        (common, most), (rarest, least) = trained.most_common()[0], trained.most_common()[-1]
        if most >= _SHARE * trained.total() or most >= _TIMES * least:
            what = f"{common!r} is {100 * most / trained.total():.1f} % of training, {rarest!r} {least} of {most} times"
            remedy = "judge by macro F1, and try --set class_weights=balanced"
            findings.add("balance", what, remedy, table.entries[0].row.file)


def _find_long(table: Table, findings: Findings, window: int) -> None:
    for entry in table.entries:
        if entry.tokens > window:
            beyond = 100 * (1 - window / entry.tokens)
            what = f"about {entry.tokens:,} tokens: {beyond:.0f} % of it lies beyond the first {window}"
            remedy = "it is read in windows; too_long = cut would leave that out"
            findings.add("long", what, remedy, entry.row.file, entry.row.line, entry.text)
