"""Text made clean, with the offsets of its words and spans kept right, and every character accounted for.

A cleaning is a row of edits: Unicode normalisation, HTML references, invisible characters, line ends, white space. An
edit that changes a length gives a *map*, an int32 array of ``characters + 1`` new positions that never fall, so that a
word ``[a, b)`` is ``[map[a], map[b])`` afterwards. Words and spans of which nothing is left are dropped and counted.

The quality rules (:func:`flaw`) say why a document is not worth keeping, or nothing.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myna.corpus.document import Span, Words
from myna.corpus.words import HAN

Normalization = Literal["NFC", "NFKC", "none"]
Map = NDArray[np.int32]

# Controls, soft hyphens, zero-width spaces, marks of direction, byte-order marks, halves of surrogate pairs. The
# zero-width joiners stay: Persian and Indic spelling and emoji are made of them.
INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ud800-\udfff]+"
)
_HTML_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z][A-Za-z0-9]{1,31};)")
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SPACE = "[^\\S\n]"
# White space that is too much: at the ends of the text and of its lines, all but one of a run, all empty lines but one.
_SPACES = re.compile(rf"\A\s+|\s+\Z|{_SPACE}+(?=\n)|(?<=\n){_SPACE}+|(?<={_SPACE}){_SPACE}+")
_EMPTY_LINES = re.compile(r"(?<=\n\n)\n+")
_ODD_SPACE = re.compile("[^\\S\n ]")
# Letters and marks that compose with the character before them although they are no combining marks: Hangul.
_JAMO = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff]")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A clean text with its words and spans; ``dropped`` and ``added`` are characters by reason."""

    text: str
    words: Words | None
    spans: tuple[Span, ...] | None
    dropped: Counter[str]
    added: Counter[str]


def clean(
    text: str,
    words: Words | None = None,
    spans: tuple[Span, ...] | None = None,
    *,
    normalize: Normalization = "NFC",
    unescape: bool = False,
) -> Cleaned:
    """Cleans one text; ``unescape`` also resolves HTML's character references, as ``&amp;quot;``.

    For any text: ``len(text) + added.total() == len(cleaned.text) + dropped.total()``. A text that was cleaned comes
    through unchanged (HTML's references aside).
    """
    dropped: Counter[str] = Counter()
    added: Counter[str] = Counter()
    wanted = words is not None or spans is not None
    moved: Map | None = None

    def book(reason: str, new: str, map_: Map | None) -> None:
        nonlocal text, moved
        difference = len(new) - len(text)
        if difference:
            (added if difference > 0 else dropped)[reason] += abs(difference)
        text = new
        if map_ is not None:
            moved = map_ if moved is None else map_[moved]

    if unescape and "&" in text:
        book("HTML references resolved", *_replace(text, _HTML_REFERENCE, lambda m: html.unescape(m[0]), wanted))
    if INVISIBLE.search(text):
        book("invisible characters", *_replace(text, INVISIBLE, _nothing, wanted))
    if normalize != "none" and not unicodedata.is_normalized(normalize, text):
        book("Unicode normalisation", *_normalize(text, normalize, wanted))
    if _LINE_END.search(text):
        book("white space", *_replace(text, _LINE_END, lambda _: "\n", wanted))
    text = _ODD_SPACE.sub(" ", text)
    for excess in (_SPACES, _EMPTY_LINES):
        if excess.search(text):
            book("white space", *_replace(text, excess, _nothing, wanted))
    if moved is not None:
        words, spans = _move_words(words, moved), _move_spans(spans, moved)
    return Cleaned(text, words, spans, dropped, added)


def _nothing(_: re.Match[str]) -> str:
    return ""


def _replace(
    text: str, pattern: re.Pattern[str], by: Callable[[re.Match[str]], str], wanted: bool
) -> tuple[str, Map | None]:
    if not wanted:
        return pattern.sub(by, text), None
    pieces: list[tuple[int, str]] = []
    end = 0
    for match in pattern.finditer(text):
        pieces += [(match.start() - end, text[end : match.start()]), (match.end() - match.start(), by(match))]
        end = match.end()
    pieces.append((len(text) - end, text[end:]))
    return _joined(pieces)


def _joined(pieces: list[tuple[int, str]]) -> tuple[str, Map]:
    """The text made of ``(old length, new text)`` pieces, and its map: a piece's inside goes on as far as it can."""
    steps: list[Map] = []
    place = 0
    for old, new in pieces:
        steps.append(place + np.minimum(np.arange(old, dtype=np.int32), np.int32(len(new))))
        place += len(new)
    steps.append(np.array([place], np.int32))
    return "".join(new for _, new in pieces), np.concatenate(steps).astype(np.int32)


def _normalize(text: str, form: Literal["NFC", "NFKC"], wanted: bool) -> tuple[str, Map | None]:
    new = unicodedata.normalize(form, text)
    if not wanted:
        return new, None
    pieces = [(len(part), unicodedata.normalize(form, part)) for part in _clusters(text)]
    if "".join(piece for _, piece in pieces) != new:  # a composition this module does not know of
        pieces = [(len(text), new)]
    return _joined(pieces)


def _clusters(text: str) -> Iterator[str]:
    """The text in parts that are normalised each on its own: a character with what composes with it."""
    start = 0
    for place in range(1, len(text)):
        if unicodedata.category(text[place])[0] != "M" and not _JAMO.match(text[place]):
            yield text[start:place]
            start = place
    yield text[start:]


def _move_words(words: Words | None, moved: Map) -> Words | None:
    if words is None:
        return None
    starts, ends = moved[words.starts], moved[words.ends]
    left = np.flatnonzero(starts < ends)
    if len(left) == len(words):
        return Words(starts, ends, words.tags)
    return Words(starts[left], ends[left], [words.tags[i] for i in left.tolist()])


def _move_spans(spans: tuple[Span, ...] | None, moved: Map) -> tuple[Span, ...] | None:
    if spans is None:
        return None
    new = (Span(int(moved[span.start]), int(moved[span.end]), span.label) for span in spans)
    return tuple(span for span in new if span.start < span.end)


# Anything but letters, digits, white space and the marks that running text, code and tables are written with.
_UNUSUAL = re.compile(r"[^\w\s!-~\u00a0-\u00bf\u2010-\u205e\u20a0-\u20bf\u2103\u2116\u3000-\u303f\uff01-\uffe6]")
_OF_SCRIPT = {"han": re.compile(f"[{HAN}]"), "latin": re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")}
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
# A table of five lines may repeat itself; a page that does so in most of its lines is machinery.
_LINES_TO_JUDGE, _MOST_REPEATED = 5, 0.5


def flaw(text: str, minimum_characters: int = 1, noise: float = 1.0, script: str = "any") -> str | None:
    """Why a clean text is not worth keeping, or ``None``.

    Empty; without a letter or digit; without a letter of ``script`` ("han", "latin"); shorter than
    ``minimum_characters``; more than the share ``noise`` of its characters neither letters, digits, ordinary
    punctuation nor white space; more than half of its lines repeated.
    """
    if not text:
        return "empty"
    if not _LETTER_OR_DIGIT.search(text):
        return "no letter and no digit"
    if script in _OF_SCRIPT and not _OF_SCRIPT[script].search(text):
        return f"no letter of the script {script}"
    if len(text) < minimum_characters:
        return "too short"
    if (unusual := len(_UNUSUAL.findall(text))) > noise * len(text):
        # Combining marks are letters' parts; counted only where it can matter, as it is slow.
        unusual = sum(unicodedata.category(c)[0] != "M" for c in _UNUSUAL.findall(text))
        if unusual > noise * len(text):
            return "too noisy"
    lines = [line for line in text.split("\n") if line]
    if len(lines) >= _LINES_TO_JUDGE and 1 - len(set(lines)) / len(lines) > _MOST_REPEATED:
        return "repeated lines"
    return None
