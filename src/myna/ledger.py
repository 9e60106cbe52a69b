"""The ledger: what came in, what was kept, what was dropped and why. Nothing is lost in silence.

For every unit (documents, characters, tokens, labels) the books must balance::

    in + added = kept + dropped, summed over the reasons

``added`` is for what a stage makes more of, as a Unicode normalisation that writes one character as two.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

UNITS = ("documents", "characters", "tokens", "labels", "examples", "words")


class Ledger:
    """Counts by unit and by reason. Each method takes counts by unit: ``kept(documents=1, characters=12)``."""

    def __init__(self) -> None:
        self._in: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._dropped: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._added: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.notes: dict[str, int | float] = {}

    def came_in(self, **counts: int) -> None:
        """Counts what the stage was given."""
        _count(self._in, counts)

    def kept(self, **counts: int) -> None:
        """Counts what the stage hands on."""
        _count(self._kept, counts)

    def dropped(self, reason: str, **counts: int) -> None:
        """Counts what the stage leaves out, and why."""
        _count(self._dropped[reason], counts)

    def kept_of(self, reason: str, **counts: tuple[int, int]) -> None:
        """Counts what the stage hands on among all that there was, ``labels=(kept, all)``, and why not the rest."""
        self.kept(**{unit: kept for unit, (kept, _) in counts.items()})
        self.dropped(reason, **{unit: total - kept for unit, (kept, total) in counts.items()})

    def added(self, reason: str, **counts: int) -> None:
        """Counts what the stage puts in that was not there, and why."""
        _count(self._added[reason], counts)

    def note(self, what: str, count: int | float) -> None:
        """Adds to a figure that is neither in nor out, as the number of shards."""
        self.notes[what] = self.notes.get(what, 0) + count

    def check(self) -> None:
        """Raises an :class:`AssertionError` that names the unit whose books do not balance."""
        for unit in UNITS:
            came = self._in[unit] + sum(counts[unit] for counts in self._added.values())
            went = self._kept[unit] + sum(counts[unit] for counts in self._dropped.values())
            if came != went:
                raise AssertionError(f"the ledger does not balance: {came} {unit} came in, {went} are accounted for")

    def __add__(self, other: Ledger) -> Ledger:
        total = Ledger()
        for ledger in (self, other):
            total._in.update(ledger._in)
            total._kept.update(ledger._kept)
            for reason, counts in ledger._dropped.items():
                total._dropped[reason].update(counts)
            for reason, counts in ledger._added.items():
                total._added[reason].update(counts)
            for what, count in ledger.notes.items():
                total.note(what, count)
        return total

    def to_dict(self) -> dict[str, Any]:
        """A plain form for JSON, without empty reasons."""
        return {
            "in": dict(self._in),
            "kept": dict(self._kept),
            "dropped": {reason: dict(counts) for reason, counts in sorted(self._dropped.items()) if counts.total()},
            "added": {reason: dict(counts) for reason, counts in sorted(self._added.items()) if counts.total()},
            "notes": self.notes,
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Ledger:
        """The ledger that :meth:`to_dict` wrote."""
        ledger = cls()
        ledger._in.update(plain["in"])
        ledger._kept.update(plain["kept"])
        for reason, counts in plain["dropped"].items():
            ledger._dropped[reason].update(counts)
        for reason, counts in plain["added"].items():
            ledger._added[reason].update(counts)
        ledger.notes = dict(plain["notes"])
        return ledger


def _count(into: Counter[str], counts: dict[str, int]) -> None:
    for unit, count in counts.items():
        if unit not in UNITS or count < 0:
            raise ValueError(f"not a count: {unit}={count}")
        into[unit] += count
