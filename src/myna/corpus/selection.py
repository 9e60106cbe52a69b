"""Which documents are kept and in which split each one stands, decided over a whole corpus at once.

Of copies one is kept: one of a source that fills the test set by itself before one of the validation set before
any other (a benchmark stays whole, its copies leave the training set), one with a label before one without, else the
first. A text that has two different labels is dropped whole: nobody knows which is right.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from myna.corpus.dedup import fingerprint_of_fold, fold, hash_of_fold, split_of_hash
from myna.corpus.document import SPLITS, RawDocument, Split
from myna.errors import InputError
from myna.ledger import Ledger

# Of fewer groups, one for each split would be more than a tenth.
_FEW = 10
_FORCED_FIRST: dict[Split | None, int] = {"test": 0, "validation": 1, "train": 2, None: 2}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is remembered of a document: hashes of its text and its group, and what the ledger counts."""

    place: str
    key: bytes
    group: bytes
    group_hash: int
    forced: Split | None
    label: tuple[str | None, tuple[str, ...] | None, float | None] | None
    characters: int
    labels: int

    @classmethod
    def of(cls, place: str, text: str, raw: RawDocument, labels: int) -> Candidate:
        """The candidate of a document by its clean text; where it has no group its text is its own.

        Two are copies where a text beside theirs, the pair or the target, is the same too.
        """
        folded = "\n".join(fold(part) for part in (text, raw.pair, raw.target) if part is not None)
        group = folded if raw.group is None else fold(raw.group)
        label = (raw.label, raw.labels and tuple(sorted(raw.labels)), raw.value)
        return cls(
            place=place,
            key=fingerprint_of_fold(folded),
            group=fingerprint_of_fold(group),
            group_hash=hash_of_fold(group),
            forced=raw.split,
            label=None if label == (None, None, None) else label,
            characters=len(text) + len(raw.pair or "") + len(raw.target or ""),
            labels=labels,
        )


def choose(
    candidates: Sequence[Candidate],
    ledger: Ledger,
    validation: int,
    test: int,
    deduplicate: bool = True,
    stratify: bool = False,
) -> list[Split | None]:
    """The split of each candidate, or ``None`` for one that is dropped; all are counted in ``ledger``.

    A split that a source fills by itself takes no group by its hash. With ``stratify`` each label gives its share of
    groups, those of the lowest hashes. A split that hashes leave empty gets one group;
    where every source says its split, none is moved.
    Raises an :class:`InputError` for nothing to choose from, a group that is forced into two splits, or too few groups.
    """
    reasons = _copies(candidates) if deduplicate else [None] * len(candidates)
    kept = [number for number, reason in enumerate(reasons) if reason is None]
    for candidate, reason in zip(candidates, reasons, strict=True):
        counts = {"documents": 1, "characters": candidate.characters, "labels": candidate.labels}
        ledger.kept(**counts) if reason is None else ledger.dropped(reason, **counts)
    if not kept:
        raise InputError(_nothing_left(ledger), remedy="look at the sources, minimum_characters and noise")

    chosen = [candidates[number] for number in kept]
    split_of_group = _forced_groups(chosen)
    shares = {"validation": validation, "test": test}
    shares.update(dict.fromkeys(set(split_of_group.values()) & shares.keys(), 0))
    free = {candidate.group: candidate.group_hash for candidate in chosen if candidate.group not in split_of_group}
    if stratify:
        split_of_group |= _by_label([c for c in chosen if c.group in free], shares["validation"], shares["test"])
    else:
        for group, bucket in free.items():
            split_of_group[group] = split_of_hash(bucket, shares["validation"], shares["test"])
    _fill_empty(split_of_group, free, [split for split in SPLITS if shares.get(split, 1)], ledger)

    fates: list[Split | None] = [None] * len(candidates)
    for number in kept:
        fates[number] = split_of_group[candidates[number].group]
    return fates


def _copies(candidates: Sequence[Candidate]) -> list[str | None]:
    """Why each candidate is dropped as a copy, or ``None``."""
    copies: defaultdict[bytes, list[int]] = defaultdict(list)
    for number, candidate in enumerate(candidates):
        copies[candidate.key].append(number)
    reasons: list[str | None] = [None] * len(candidates)
    for numbers in copies.values():
        if len(numbers) == 1:
            continue
        contradicts = len({candidates[n].label for n in numbers} - {None}) > 1
        best = min(numbers, key=lambda n: (_FORCED_FIRST[candidates[n].forced], candidates[n].label is None, n))
        for number in numbers:
            if contradicts:
                reasons[number] = "same text, other label"
            elif number != best:
                reasons[number] = "copy"
    return reasons


def _nothing_left(ledger: Ledger) -> str:
    plain = ledger.to_dict()
    dropped = {reason: counts["documents"] for reason, counts in plain["dropped"].items() if counts.get("documents")}
    told = ", ".join(f"{reason}: {count}" for reason, count in dropped.items())
    return f"nothing is left of the corpus: {plain['in'].get('documents', 0)} documents came in" + (
        f", all were dropped ({told})" if told else ""
    )


def _forced_groups(candidates: Sequence[Candidate]) -> dict[bytes, Split]:
    splits: dict[bytes, tuple[Split, str]] = {}
    for candidate in candidates:
        if candidate.forced is None:
            continue
        split, place = splits.setdefault(candidate.group, (candidate.forced, candidate.place))
        if split != candidate.forced:
            raise InputError(
                f"this is put into {candidate.forced}, and {_in_file(place)} of the same group into {split}",
                where=_in_file(candidate.place),
                remedy="leave one of the two out, or take the group's column away",
            )
    return {group: split for group, (split, _) in splits.items()}


def _in_file(place: str) -> str:
    """``FILE:LINE`` of a candidate's place, which begins with the number of its source."""
    return place.partition(":")[2]


def _by_label(candidates: Sequence[Candidate], validation: int, test: int) -> dict[bytes, Split]:
    """The split of each group: of the groups whose first document has a label, its per cent go into each split.

    A label of fewer groups gives one to a split where half of one is its share, and always keeps most for training.
    Of several labels each set of them counts as one; sets that hardly come again, as one together.
    """
    strata: defaultdict[Any, dict[bytes, int]] = defaultdict(dict)
    seen: set[bytes] = set()
    for candidate in candidates:
        if candidate.group not in seen:
            seen.add(candidate.group)
            # Of numbers hardly two are alike: they are no strata.
            label = None if candidate.label is None else candidate.label[:2]
            strata[label][candidate.group] = candidate.group_hash
    splits: dict[bytes, Split] = {}
    for groups in _rare_together(strata).values():
        ordered = sorted(groups, key=lambda group: (groups[group], group))
        tested = int(len(ordered) * test / 100 + 0.5)
        validated = tested + int(len(ordered) * validation / 100 + 0.5)
        for place, group in enumerate(ordered):
            splits[group] = "test" if place < tested else "validation" if place < validated else "train"
    return splits


def _rare_together(strata: dict[Any, dict[bytes, int]]) -> dict[Any, dict[bytes, int]]:
    """Sets of labels of few groups as one stratum, but those with a label that is itself rare: training needs these."""
    often: Counter[str] = Counter()
    for label, groups in strata.items():
        often.update({name: len(groups) for name in (label and label[1]) or ()})
    found: defaultdict[Any, dict[bytes, int]] = defaultdict(dict)
    for label, groups in strata.items():
        names = (label and label[1]) or ()
        rare = names and len(groups) < _FEW and min(often[name] for name in names) >= _FEW
        found["rare" if rare else label] |= groups
    return found


def _fill_empty(
    split_of_group: dict[bytes, Split], free: dict[bytes, int], wanted: list[Split], ledger: Ledger
) -> None:
    """Gives each wanted split that is empty the group of the smallest hash from the split that has most."""
    for empty in wanted if free else ():
        members: dict[Split, list[bytes]] = {split: [] for split in SPLITS}
        for group, split in split_of_group.items():
            members[split].append(group)
        if members[empty]:
            continue
        givers = [[g for g in members[s] if g in free] for s in SPLITS if len(members[s]) > 1]
        most = max(givers, key=len, default=[])
        if not most:
            raise InputError(
                f"too few documents for {', '.join(wanted)} (different texts or groups: {len(split_of_group)})",
                remedy='give more, make more of a file with format = "paragraphs" or "lines", or set '
                "validation = 0 and test = 0",
            )
        split_of_group[min(most, key=lambda group: (free[group], group))] = empty
        ledger.note("groups moved to an empty split", 1)
