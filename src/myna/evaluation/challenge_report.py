"""What a challenge found, in words, for the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from myna.evaluation.compared_text import difference_cells, shortened, value_cell
from myna.evaluation.findings import manner
from myna.inspection import columns, score_lines

# Characters shown before a change.
_BEFORE = 12


def describe(found: Mapping[str, Any], name: str) -> str:
    """What :func:`~myna.evaluation.challenge.challenge` gave, for a person."""
    lines = [*score_lines({name: found["scores"]}), ""]
    if found["robustness"]:
        first = found["robustness"][0]
        lines.append(f"Under noise: {first['metric']} on {first['examples']:,} texts, and what the noise changes")
        lines += [*columns([_noise(row) for row in found["robustness"]]), ""]
    if found["checks"]:
        lines.append("Checks: the share that fails, with its 95 % interval")
        lines += columns([_check(row) for row in found["checks"]])
        for row in found["checks"]:
            lines += _failures(row)
    else:
        lines.append("No check fits this data.")
    return "\n".join(lines)


def _noise(row: Mapping[str, Any]) -> list[str]:
    read = manner(row["metric"])
    changed = f"{row['changed']:,} changed"
    shown, verdict = difference_cells(read, row["difference"])
    return [row["noise"], changed, value_cell(read, row), shown, verdict]


def _check(row: Mapping[str, Any]) -> list[str]:
    rate = value_cell(manner("accuracy"), row["rate"])
    return [row["language"], row["expectation"], row["check"], f"{row['failures']:,} of {row['cases']:,}", rate]


def _failures(row: Mapping[str, Any]) -> Iterator[str]:
    if row["examples"]:
        yield ""
        yield f"{row['check']} ({row['language']}), as:"
    for each in row["examples"]:
        if "before" in each:
            before, after = _around(each["before"], each["text"])
            yield f"  {before}  {each['said_before']}"
            yield f"  → {after}  {each['said']}"
        else:
            yield f"  {shortened(each['text'])}  {each['said']}, not {each['expected']}"


def _around(before: str, after: str) -> tuple[str, str]:
    """Two texts from a little before where they part, so that it is seen what was changed."""
    parts = next((n for n, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), len(before))
    start = max(0, min(parts, len(after)) - _BEFORE)
    lead = "…" if start else ""
    return shortened(lead + before[start:]), shortened(lead + after[start:])
