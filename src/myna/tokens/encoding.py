"""Words and pieces: text becomes ids, and of each piece it is known to which word it belongs.

The store, whole-word masking, tagging and scoring all come through here. A *unit* is a word as the tokenizer lets it
stand: where a piece spans two words they are one unit, and that is counted. A piece outside of all words, as white
space that a tokenizer keeps, makes a unit of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from myna.corpus.document import Words
from myna.errors import InputError
from myna.tokens.characters import han, spaced
from myna.tokens.tokenizer import Tokenizer

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Encoding:
    """A text as pieces, without special tokens; all arrays are ``(pieces,)``.

    ``starts`` and ``ends`` are offsets in characters; pieces that are bytes of one character all have its offsets.
    ``words`` is the unit of each piece, from 0 upwards without a gap. ``merged`` counts the borders between words
    that lie within a piece.
    """

    ids: Ints
    starts: Ints
    ends: Ints
    words: Ints
    merged: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def word_starts(self) -> NDArray[np.uint8]:
        """1 where a piece begins a unit, else 0."""
        return np.diff(self.words, prepend=-1).astype(np.uint8)


def encode(tokenizer: Tokenizer, texts: Sequence[str], words: Sequence[Words | None] | None = None) -> list[Encoding]:
    """The pieces of each text and their units: those of ``words``, offsets in characters of the text.

    Where no words are given, a Han character is one, and elsewhere the stretches that the tokenizer never joins.
    Raises :class:`InputError` for a text that holds half of a surrogate pair, which is no character.
    """
    lines = _library(tokenizer, texts)
    counts = np.fromiter(map(len, lines), np.int64, len(lines))
    total = int(counts.sum())
    ids = np.fromiter(chain.from_iterable(line.ids for line in lines), np.int32, total)
    pairs = chain.from_iterable(chain.from_iterable(line.offsets for line in lines))
    offsets = np.fromiter(pairs, np.int32, 2 * total).reshape(total, 2)

    # All texts are laid on one line, so that every step below is one operation on the whole batch.
    given: Sequence[Words | None] = [None] * len(texts) if words is None else words
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    bases = np.cumsum(sizes) - sizes
    text_of = np.repeat(np.arange(len(texts)), counts)
    starts, ends = offsets[:, 0] + bases[text_of], offsets[:, 1] + bases[text_of]
    word_starts = _on_one_line([None if w is None else w.starts for w in given], bases)
    word_ends = _on_one_line([None if w is None else w.ends for w in given], bases)
    if any(w is None for w in given):
        without = np.repeat([w is None for w in given], sizes)
        stretches = np.fromiter(chain.from_iterable(line.word_ids for line in lines), np.int32, total)
        made_starts, made_ends = _made_words("".join(texts), starts, stretches, text_of, bases)
        used = without[made_starts]
        word_starts = _merge(word_starts, made_starts[used])
        word_ends = _merge(word_ends, made_ends[used])

    bounds = np.append(0, np.cumsum(counts))
    units, joined = _units(starts, ends, word_starts, word_ends)
    filled = counts > 0
    units -= np.repeat(units[bounds[:-1][filled]], counts[filled])
    merged = np.bincount(text_of, weights=joined, minlength=len(texts))
    return [
        Encoding(ids[a:b], offsets[a:b, 0], offsets[a:b, 1], units[a:b], int(count))
        for a, b, count in zip(bounds[:-1].tolist(), bounds[1:].tolist(), merged, strict=True)
    ]


def encode_framed(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text between the special tokens that its tokenizer puts there itself, if any."""
    return [line.ids for line in _library(tokenizer, texts, framed=True)]


def encode_words(tokenizer: Tokenizer, words: Sequence[Sequence[str]]) -> list[Encoding]:
    """The pieces of texts that are given as words: unit ``i`` is word ``i``, and each has one piece at least.

    Offsets count within each word. A word of which nothing is left (a control character) becomes the unknown token.
    ``byte_bpe`` writes a word with the space that stands before it in running text, where the two make one piece.
    Raises :class:`InputError` for a word that gives no piece where there is no unknown token, as an empty one.
    """
    forms = [_forms(tokenizer, text) for text in words]
    known = list(dict.fromkeys(chain.from_iterable(forms)))
    lines = _library(tokenizer, [" " * form.space + form.word for form in known])
    table = {form: _pieces(tokenizer, form, line) for form, line in zip(known, lines, strict=True)}
    return [_assemble([table[form] for form in text]) for text in forms]


def _library(tokenizer: Tokenizer, texts: Sequence[str], framed: bool = False) -> list[Any]:
    try:
        lines: list[Any] = tokenizer.backend.encode_batch(list(texts), add_special_tokens=framed)
    except (TypeError, UnicodeEncodeError):
        for number, text in enumerate(texts):
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise InputError(
                    f"text {number + 1} holds half of a surrogate pair, which is no character",
                    remedy="read it with the right encoding",
                ) from None
        raise
    return lines


def _on_one_line(offsets: Sequence[NDArray[np.int32] | None], bases: NDArray[np.int64]) -> NDArray[np.int64]:
    present = [(array, base) for array, base in zip(offsets, bases, strict=True) if array is not None]
    if not present:
        return np.empty(0, np.int64)
    sizes = [len(array) for array, _ in present]
    shifts = np.repeat(np.array([base for _, base in present]), sizes)
    laid: NDArray[np.int64] = np.concatenate([array for array, _ in present]) + shifts
    return laid


def _merge(some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    # Words never overlap: their starts and their ends can be sorted apart from each other.
    return np.sort(np.concatenate([some, others])) if len(some) else others


def _made_words(
    line: str,
    starts: NDArray[np.int64],
    stretches: Ints,
    text_of: NDArray[np.int64],
    bases: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Words of a line of texts: borders around every Han character and before every stretch of the tokenizer's."""
    begins = (np.diff(stretches, prepend=-1) != 0) | (np.diff(text_of, prepend=-1) != 0)
    is_han = han(line)
    border = np.zeros(len(line) + 1, bool)
    border[:-1] |= is_han
    border[1:] |= is_han
    border[starts[begins]] = border[bases] = border[-1] = True
    borders = np.flatnonzero(border)
    return borders[:-1], borders[1:]


def _units(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    word_starts: NDArray[np.int64],
    word_ends: NDArray[np.int64],
) -> tuple[Ints, NDArray[np.int64]]:
    """The unit of each piece on the line of texts, and the borders of words that lie within each piece."""
    first = np.searchsorted(word_ends, starts, side="right")
    last = np.searchsorted(word_starts, ends, side="left") - 1
    inside = first <= last
    # The furthest word that any piece before this one has reached.
    reached = np.append(-1, np.maximum.accumulate(np.where(inside, last, -1)))[:-1]
    goes_on = inside & (first <= reached)
    same_gap = ~inside[1:] & ~inside[:-1] & (first[1:] == first[:-1])
    goes_on[1:] |= same_gap
    return np.cumsum(~goes_on, dtype=np.int32), np.where(inside, last - first, 0)


class _Form(NamedTuple):
    """A word as it is encoded: ``space`` where one stands before it in running text and the tokenizer keeps it."""

    word: str
    space: bool


def _forms(tokenizer: Tokenizer, words: Sequence[str]) -> list[_Form]:
    keeps = tokenizer.kind == "byte_bpe"
    before = chain([""], words)
    return [_Form(word, keeps and spaced(left, word)) for left, word in zip(before, words, strict=False)]


def _pieces(tokenizer: Tokenizer, form: _Form, line: Any) -> Ints:
    """The id, start and end of each piece of a word: ``(pieces, 3)``."""
    ids, offsets = line.ids, line.offsets
    if form.space:
        # A space that is a piece of its own belongs to no word.
        alone = int(tokenizer.piece(ids[0]) == " ")
        ids, offsets = ids[alone:], [(max(start - 1, 0), end - 1) for start, end in offsets[alone:]]
    if not ids:
        if tokenizer.unknown is None:
            raise InputError("an empty word cannot be encoded", remedy="leave it out, and its tag with it")
        ids, offsets = [tokenizer.unknown], [(0, len(form.word))]
    return np.column_stack([np.array(ids, np.int32), np.array(offsets, np.int32)])


def _assemble(pieces: Sequence[NDArray[np.int32]]) -> Encoding:
    columns = np.concatenate([np.empty((0, 3), np.int32), *pieces])
    units = np.repeat(np.arange(len(pieces), dtype=np.int32), [len(part) for part in pieces])
    return Encoding(columns[:, 0], columns[:, 1], columns[:, 2], units, 0)
