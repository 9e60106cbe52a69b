"""What is found wrong: a line for each finding, by kind, and the file that they are mended or dropped from."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from myna import files
from myna.errors import InputError

# The kinds, the most important first, and what each is in a few words.
KINDS = {
    "file": "files that cannot be read",
    "row": "rows that cannot be read",
    "encoding": "rows with bytes of another encoding",
    "tags": "rows with wrong tags",
    "empty": "empty texts",
    "unlabelled": "rows without a label",
    "leak": "texts of validation or test that training has too",
    "near leak": "texts of validation or test nearly as in training",
    "contradiction": "the same text with different labels",
    "no signal": "labels that the texts do not tell",
    "unknown": "labels that training does not have",
    "rare": "labels of one text",
    "balance": "labels out of balance",
    "suspicious": "labels that look wrong",
    "repeat": "texts that are there again",
    "long": "texts longer than the window",
    "columns": "columns that were guessed",
}
# So many of a kind are kept; the others are counted.
MOST = 20_000
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: ``what`` it is and a ``suggestion``; of what is wrong with no one row ``line`` is None.

    ``text`` is the beginning of the row's text, where it has one.
    """

    file: str
    line: int | None
    kind: str
    what: str
    suggestion: str
    text: str = ""


class Findings:
    """Collects findings by kind, in the order in which they are added; beyond 20,000 of a kind they are counted."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._kept: dict[str, list[Finding]] = {kind: [] for kind in KINDS}

    def add(
        self, kind: str, what: str, suggestion: str, file: Path | str, line: int | None = None, text: str = ""
    ) -> None:
        """Adds a finding of one of ``KINDS``."""
        self.counts[kind] += 1
        kept = self._kept[kind]
        if len(kept) < MOST:
            kept.append(Finding(str(file), line, kind, " ".join(what.split()), suggestion, beginning(text)))

    def of(self, kind: str) -> list[Finding]:
        """Those of a kind, as far as they are kept."""
        return self._kept[kind]

    def __iter__(self) -> Iterator[Finding]:
        """All that are kept, the most important kind first."""
        return (finding for kept in self._kept.values() for finding in kept)

    def refused(self, error: InputError) -> None:
        """Adds a row that cannot be read, by its error."""
        kind = "tags" if "tag" in error.what and error.line is not None else "row" if error.line else "file"
        self.add(kind, error.what, error.remedy or "take the row out", error.where or "", error.line)


def beginning(text: str) -> str:
    """The first characters of a text, on one line."""
    line = " ".join(text[: 2 * _SHOWN].split())
    shown = line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
    return shown.encode("utf-8", "replace").decode()


def write(findings: Findings, path: Path) -> None:
    """Writes all findings to a file: CSV where it is called so, else JSONL; a line each, the most important first."""
    rows = [asdict(finding) for finding in findings]
    if path.suffix.lower() == ".csv":
        stream = io.StringIO()
        table = csv.DictWriter(stream, list(Finding.__dataclass_fields__), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        files.write_text(path, stream.getvalue())
    else:
        files.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
