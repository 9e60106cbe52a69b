"""Texts that are there more than once: with other labels, on two sides of a split, or again; and nearly the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from myna.corpus.dedup import fold
from myna.corpus.document import SPLITS
from myna.corpus.shingles import alike, signatures

from .findings import Findings
from .table import Entry, Table

_ORDER = {split: place for place, split in enumerate(SPLITS)}
# Texts compared at a time.
_AT_ONCE = 20_000


def find_copies(table: Table, findings: Findings) -> None:
    """Adds texts with different labels, texts in two splits, and texts that are there again."""
    groups: defaultdict[bytes, list[Entry]] = defaultdict(list)
    for entry in table.entries:
        groups[entry.row.candidate.key].append(entry)
    for entries in groups.values():
        if len(entries) > 1:
            _add(entries, findings)


def _add(entries: Sequence[Entry], findings: Findings) -> None:
    first = min(entries, key=lambda entry: _ORDER.get(entry.split or "train", 0))
    labels = {_labels(entry) for entry in entries}
    for entry in entries:
        at, row = first.place, entry.row
        if entry is first:
            continue
        if len(labels) > 1 and _labels(entry) != _labels(first):
            what = f"{_shown(entry)}, and {_shown(first)} at {at}, where the same text stands"
            remedy = "keep the right one of the two: training leaves out both"
            findings.add("contradiction", what, remedy, row.file, row.line, entry.text)
        elif entry.split != first.split and entry.split is not None and first.split is not None:
            what = f"this text of {entry.split} is also one of {first.split}, at {at}"
            findings.add("leak", what, "take it out of one of the two", row.file, row.line, entry.text)
        else:
            findings.add("repeat", f"the same text stands at {at}", "take it out", row.file, row.line, entry.text)


def _labels(entry: Entry) -> tuple[object, ...]:
    """What the row says of its text. The order of tags counts, that of several labels does not."""
    label = entry.row.candidate.label
    return entry.names if label is None else (label[0], label[1], label[2])


def _shown(entry: Entry) -> str:
    label = entry.row.candidate.label
    if label is None:
        return "other tags"
    one, several, value = label
    return repr(one) if one is not None else f"{value:g}" if value is not None else f"[{', '.join(several or ())}]"


def find_near_copies(table: Table, findings: Findings) -> None:
    """Adds texts of validation or test that share four fifths of their runs of 5 characters with one of training."""
    entries = [entry for entry in table.held if entry.split is not None]
    folded = [fold(f"{e.document.text}\n{e.document.pair or ''}") for e in entries if e.document is not None]
    if not entries:
        return
    found = np.concatenate([signatures(folded[i : i + _AT_ONCE]) for i in range(0, len(folded), _AT_ONCE)])
    trained = np.array([entry.split == "train" for entry in entries])
    for first, other, share in alike(found, trained):
        entry, near = entries[other], entries[first]
        what = f"this text of {entry.split} is {100 * share:.0f} % like one of training, at {near.place}"
        findings.add("near leak", what, "keep both in one split", entry.row.file, entry.row.line, entry.text)
