"""Where the sentences of running text begin and end, in Chinese and in languages that put a space behind a full stop.

A sentence ends behind 。！？ and what closes behind them, behind . ! ? … where white space and no small letter follows,
and at the end of a line. A full stop behind an initial or a usual short form (``Mr.``, ``e.g.``) ends nothing.
"""

from __future__ import annotations

import re

Bounds = tuple[int, int]

_CLOSING = "\"'”’」』）)\\]】》"
_END = re.compile(rf"[。！？]+[{_CLOSING}]*|[.!?…]+[{_CLOSING}]*(?=\s)|[\r\n]+")
_SHORT = re.compile(
    r"(mrs?|ms|dr|prof|st|[sj]r|vs|etc|no|vol|fig|eq|sec|ch|cf|al|approx|inc|ltd|co|corp|dept|e\.g|i\.e|[ap]\.m|u\.s|"
    r"jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|[A-Z])",
    re.IGNORECASE,
)
# What may stand before the letter that begins a sentence.
_OPENING = "\"'“‘(["


def sentences(text: str) -> list[Bounds]:
    """The bounds of each sentence: every character but white space is in exactly one."""
    found: list[Bounds] = []
    start = 0
    for match in _END.finditer(text):
        if match[0][0] in ".!?…" and not _ends(text, start, match):
            continue
        found.append((start, match.end()))
        start = match.end()
    found.append((start, len(text)))
    return [bounds for bounds in (stripped(text, *each) for each in found) if bounds[0] < bounds[1]]


def _ends(text: str, start: int, match: re.Match[str]) -> bool:
    following = text[match.end() : match.end() + 40].lstrip().lstrip(_OPENING)[:1]
    if following.islower():
        return False
    if match[0] != ".":
        return True
    before = text[max(start, match.start() - 12) : match.start()].split()
    word = before[-1].lstrip(_OPENING) if before else ""
    return _SHORT.fullmatch(word) is None


def stripped(text: str, start: int, end: int) -> Bounds:
    """The bounds of ``text[start:end]`` without the white space around it."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
