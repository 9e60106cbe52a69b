"""A comparison in words, for the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from myna.evaluation.findings import PERCENT, Manner, manner
from myna.inspection import columns, plain

# So many settings are listed; what differs in more than these is another recipe.
_MOST_SETTINGS = 12
# A line of a terminal.
_CHARACTERS = 44
_SIDES = ("the first is better", "the second is better")


def describe(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """What :func:`~myna.evaluation.comparing.compare` gave, for a person."""
    return "\n\n".join("\n".join(_lines(compared)) for compared in comparisons)


def _lines(compared: Mapping[str, Any]) -> list[str]:
    texts = compared["texts"]
    lines = [f"{compared['name']}, on the same {texts:,} texts" if texts else str(compared["name"])]
    lines += [f"  {side:<8}{', '.join(compared[side])}" for side in ("first", "second")]
    several = any("runs" in entry["first"] for entry in compared["scores"].values())
    interval = "95 % of the runs' mean, range" if several else "95 % interval"
    rows = [["", f"first ({interval})", f"second ({interval})", "second - first", ""]]
    for name, entry in compared["scores"].items():
        read = manner(name)
        cells = [value_cell(read, entry["first"]), value_cell(read, entry["second"])]
        rows.append(
            [name, *cells, *difference_cells(read, entry["difference"], "over texts" if several else "", _SIDES)]
        )
        if "over_runs" in entry:
            rows.append(["", "", "", *difference_cells(read, entry["over_runs"], "over runs", _SIDES)])
    lines += ["", *columns(rows)]
    settings = list(compared["settings"].items())
    if settings:
        shown = [[key, f"{shortened(one)} | {shortened(other)}"] for key, (one, other) in settings[:_MOST_SETTINGS]]
        more = len(settings) - len(shown)
        lines += ["", "  What differs in the recipes:", *(f"  {line}" for line in columns(shown))]
        lines += [f"    and {more} more settings (--json has all)"] if more else []
    if "answers" in compared:
        lines += _answers(compared)
    return lines


def _answers(compared: Mapping[str, Any]) -> list[str]:
    counts = compared["answers"]
    told = (("both", "both"), ("the first alone", "first"), ("the second alone", "second"), ("neither", "neither"))
    lines = ["", "  Right: " + ", ".join(f"{who} {counts[name]:,}" for who, name in told)]
    for side, other in (("first", "second"), ("second", "first")):
        examples = compared["examples"][side]
        if examples:
            lines.append(f"  The {side} alone is right, as of:")
            lines += [
                f"    {shortened(each['text'])}  {_of(each['truth'])}, not {_of(each[other])}" for each in examples
            ]
    return lines


def value_cell(read: Manner, entry: Mapping[str, Any]) -> str:
    """A value with its interval, and with the range of several runs."""
    if "low" not in entry:
        return plain(read.text(entry["value"]))
    ends = [plain(read.text(entry[end])).removesuffix(" %") for end in ("low", "high")]
    shown = f"{plain(read.text(entry['value']))} ({' – '.join(ends)})"
    if "runs" in entry:
        shown += f", {' … '.join(plain(read.text(entry[end])) for end in ('least', 'most'))}"
    return shown


def difference_cells(
    read: Manner, entry: Mapping[str, Any], over: str = "", sides: tuple[str, str] = ("worse", "better")
) -> list[str]:
    """The difference with its interval and p, and what that says."""
    scale, digits = (100, 1) if read.unit == "percent" else (1, 3)
    gap, *ends = (f"{scale * entry[key]:+.{digits}f}" for key in ("value", "low", "high") if key in entry)
    gap += " points" if read.unit == "percent" else ""
    if "low" not in entry:
        return [gap, "no figures of each text are kept to test it by"]
    shown = f"{gap} ({' to '.join(ends)})"
    if "p" in entry:
        shown += ", p < 0.001" if entry["p"] < 0.001 else f", p = {entry['p']:.3f}"
    if entry["low"] <= 0 <= entry["high"]:
        verdict = "can be chance"
    else:
        verdict = sides[(entry["value"] > 0) == read.higher]
    return [shown, f"{verdict}, {over}" if over else verdict]


def _of(answer: Any) -> str:
    """An answer on a line: of spans their labels and places."""
    if isinstance(answer, list) and any(isinstance(each, Mapping) for each in answer):
        return "[" + " ".join(f"{each['label']} {each['start']}-{each['end']}" for each in answer) + "]"
    return shortened(answer) if answer != [] else "[]"


def shortened(value: Any) -> str:
    """A value on part of a line."""
    if value is None:
        return "–"
    text = " ".join(str(value).split()).replace(PERCENT, " %")
    return text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 1]}…"
