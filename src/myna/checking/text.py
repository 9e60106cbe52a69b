"""What a check found, for a person: the figures in a few lines, then the findings by kind, the first of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from myna.errors import InputError
from myna.inspection import columns

from .check import Checked
from .findings import KINDS, Finding

_SHOWN = 3
_MOST_LABELS = 12


def describe(checked: Checked, to: Path | None = None) -> str:
    """What :func:`~myna.checking.check.check` found, the most important first; ``to`` is the file of all findings."""
    lines = [f"task: {checked.task}", *checked.said, ""]
    lines += _splits(checked) if checked.splits else ["no row can be read"]
    lines += ["", *_labels(checked)] if checked.labels else []
    lines += ["", *_learned(checked), ""]
    total = checked.findings.counts.total() - checked.findings.counts["columns"]
    lines += _findings(checked) if total else ["Nothing was found."]
    if total and to is not None:
        lines.append(f"All of this is in {to}, a line each, to mend the rows from or to drop them (docs/checking.md).")
    elif total:
        lines.append("--to findings.jsonl writes all of them into a file, a line each.")
    return "\n".join(lines)


def _splits(checked: Checked) -> list[str]:
    rows = [["", "rows", "characters", "median", "95 %", "longest", "tokens (about)", "beyond the window"]]
    for split, one in checked.splits.items():
        figures = ("rows", "characters", "median", "most", "longest", "tokens", "longer_than_window")
        rows.append([split, *(f"{one[name]:,.0f}" for name in figures)])
    return columns(rows)


def _labels(checked: Checked) -> list[str]:
    splits = list(checked.splits)
    totals = {split: max(1, sum(counts.get(split, 0) for counts in checked.labels.values())) for split in splits}
    rows = [["label", *splits]]
    for name, counts in list(checked.labels.items())[:_MOST_LABELS]:
        rows.append([name, *(f"{counts[split]:,} ({100 * counts[split] / totals[split]:.1f} %)" for split in splits)])
    found = columns(rows)
    left = len(checked.labels) - _MOST_LABELS
    return found if left <= 0 else [*found, f"  and {left} more"]


def _learned(checked: Checked) -> list[str]:
    learned = checked.learned
    if learned is None:
        return ["too few examples, or labels, to see whether texts tell their labels"]
    ours, simplest, gain = learned.model, learned.simplest, learned.gain
    rows = [
        [learned.metric.replace("_", " "), "", "95 % interval"],
        ["simple model of the other texts", f"{ours['value']:.3f}", f"{ours['low']:.3f} – {ours['high']:.3f}"],
        ["the simplest answer", f"{simplest['value']:.3f}", f"{simplest['low']:.3f} – {simplest['high']:.3f}"],
        ["difference", f"{gain['value']:.3f}", f"{gain['low']:.3f} – {gain['high']:.3f}"],
    ]
    return columns(rows)


def _findings(checked: Checked) -> Iterator[str]:
    for kind, about in KINDS.items():
        count = checked.findings.counts[kind]
        if not count or kind == "columns":
            continue
        yield f"{kind}: {about}: {count:,}"
        for finding in checked.findings.of(kind)[:_SHOWN]:
            yield f"  {_line(finding)}"
        if count > _SHOWN:
            yield f"  and {count - _SHOWN:,} more"
        yield ""


def _line(finding: Finding) -> str:
    from myna.explaining import explain

    error = InputError(finding.what, where=finding.file, line=finding.line, remedy=finding.suggestion)
    said, _ = explain(error)
    return f"{said} · {finding.text}" if finding.text else said
