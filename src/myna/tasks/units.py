"""What a tagger tags: sentences and their units, as a function of the text alone.

A unit is one character in scripts that leave no space between words (Chinese, Japanese, Thai …), a run of letters and
digits in all others, and any other sign by itself. Training, evaluation and use cut a text in the same way, so that
what was learned fits what is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from tokenizers import Regex, pre_tokenizers

from myna.corpus.document import Span
from myna.corpus.sentences import Bounds, stripped

# A sentence ends behind its mark and the quotes or brackets that close behind that; past this length, at a pause too.
LONGEST_SENTENCE = 250
_BREAK = re.compile(r"(?P<end>[。！？!?]+[”’）」』】》]*|[\r\n]+)|[；，]")
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_UNIT = rf"[{_UNSPACED}]|[[\p{{L}}\p{{M}}\p{{N}}]&&[^{_UNSPACED}]]+|\S"


def sentences(text: str, whole: Iterable[Bounds] = ()) -> list[Bounds]:
    """Where the sentences of a text begin and end: each character but white space is in one of them.

    None of the stretches in ``whole`` is cut. A sentence is cut behind 。！？!? and at the ends of lines, and behind
    ； or ， where it has grown beyond 250 characters.
    """
    inside = {place for start, end in whole for place in range(start + 1, end)}
    found: list[Bounds] = []
    start = 0
    for match in _BREAK.finditer(text):
        end = match.end()
        if end not in inside and (match["end"] or end - start > LONGEST_SENTENCE):
            found.append((start, end))
            start = end
    found.append((start, len(text)))
    return [bounds for bounds in (stripped(text, *each) for each in found) if bounds[0] < bounds[1]]


@cache
def _splitter() -> pre_tokenizers.Split:
    return pre_tokenizers.Split(Regex(_UNIT), "isolated")


def units(text: str, start: int = 0, end: int | None = None) -> list[Bounds]:
    """Where the units of ``text[start:end]`` begin and end, in characters of ``text``."""
    pieces = _splitter().pre_tokenize_str(text[start:end])
    return [(start + first, start + last) for piece, (first, last) in pieces if not piece.isspace()]


def tags_of(bounds: Sequence[Bounds], spans: Iterable[Span]) -> tuple[list[str], int]:
    """The BIO tags of units, and how many spans had to be widened to whole units.

    ``bounds`` are in the order of the text. Of spans that overlap, the one that begins first (the longer of two that
    begin together) is marked; one without a unit of its own is not.
    """
    tags = ["O"] * len(bounds)
    widened = place = 0
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        while place < len(bounds) and bounds[place][1] <= span.start:
            place += 1
        last = place
        while last < len(bounds) and bounds[last][0] < span.end:
            last += 1
        if last == place or tags[place] != "O":
            continue
        tags[place:last] = [f"B-{span.label}"] + [f"I-{span.label}"] * (last - place - 1)
        widened += bounds[place][0] != span.start or bounds[last - 1][1] != span.end
    return tags, widened
