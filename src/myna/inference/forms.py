"""A text in a fixed form: so many lines of so many Han characters each, each with its end, as a poem has.

Which pieces may come next is told from the characters written so far. A piece may be several characters, a part of
one, or the end of one and the beginning of another: all are read as bytes of UTF-8. Where one piece fits, another
always fits after it, so that the form is kept to its end whatever the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from myna.errors import InputError
from myna.tokens.characters import unspaced
from myna.tokens.tokenizer import BYTES, Tokenizer

# The Han characters of a line: those that are in use, not all that HAN allows for a text that is read.
_RANGES = ((0x3005, 0x3005), (0x3007, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF))
_BEGUN = frozenset(
    chr(code).encode()[:length]
    for low, high in _RANGES
    for code in {low, *range(low, high + 1, 64)}
    for length in (1, 2)
) | frozenset(chr(high).encode()[:length] for _, high in _RANGES for length in (1, 2))
_BYTE = re.compile("<0x([0-9A-F]{2})>")

# (places filled, bytes of the character that is begun); None: out of the form.
State = tuple[int, bytes] | None


def is_han(character: str) -> bool:
    """Whether a character may stand in a line of a form."""
    return any(low <= ord(character) <= high for low, high in _RANGES)


@dataclass(frozen=True)
class Form:
    """``lines`` are the numbers of Han characters; ``ends`` close the lines in turn, and the last of them the last."""

    lines: tuple[int, ...]
    ends: tuple[str, ...] = ("，", "。")

    def __post_init__(self) -> None:
        if not self.lines or min(self.lines) < 1:
            raise InputError("a form needs lines of 1 character or more", remedy="give it as 4x7, or as 5,7,5")
        if sum(self.lines) > 10_000:
            raise InputError(f"a form of {sum(self.lines)} characters is too long", remedy="give a shorter one")

    @classmethod
    def of(cls, text: str, ends: Sequence[str] | None = None) -> Form:
        """The form written as ``4x7`` (four lines of seven characters), ``5,7,5``, or both: ``2x5,2x7``."""
        lines: list[int] = []
        for part in text.replace(" ", "").lower().replace("×", "x").split(","):
            found = re.fullmatch(r"(?:([1-9]\d{0,3})x)?([1-9]\d{0,3})", part, re.ASCII)
            if found is None:
                what = f"{text[:40]!r} is no form"
                raise InputError(what, remedy="give it as 4x7 (four lines of seven characters), or as 5,7,5")
            lines += [int(found[2])] * int(found[1] or 1)
        return cls(tuple(lines), cls.ends if ends is None else tuple(ends))

    def end_of(self, line: int) -> str:
        """What closes a line, counted from 0."""
        if not self.ends:
            return ""
        return self.ends[-1] if line == len(self.lines) - 1 else self.ends[line % len(self.ends)]

    @property
    def places(self) -> tuple[str | None, ...]:
        """What stands at each place: a character that is given, or None for any Han character."""
        places: list[str | None] = []
        for number, length in enumerate(self.lines):
            places += [*[None] * length, *self.end_of(number)]
        return tuple(places)


class Fitting:
    """A form as a tokenizer can write it: which of ``size`` ids may come next in a state, and what comes of one.

    Raises :class:`InputError` where the tokenizer cannot write what the form asks for.
    """

    begin: State = (0, b"")

    def __init__(self, form: Form, tokenizer: Tokenizer, size: int) -> None:
        self._places, self._size = form.places, size
        self._pieces = bytes_of_pieces(tokenizer, size)
        whole = {piece for piece in self._pieces if piece is not None}
        # A character may be begun where each byte that may go on is a piece.
        self._by_bytes = all(bytes([byte]) in whole for byte in range(0x80, 0xC0))
        given = {character for character in self._places if character is not None}
        # Pieces of one shape (Han characters, given ones, the bytes of one that is begun) fit at the same places.
        self._shapes: dict[tuple[str, bytes], list[int]] = {}
        self._inner: list[int] = []
        for id, piece in enumerate(self._pieces):
            if not piece:
                continue
            if piece[0] & 0xC0 == 0x80:
                self._inner.append(id)
                continue
            text = piece.decode("utf-8", "ignore")
            shape = "".join(c if c in given else "\0" if is_han(c) else "\1" for c in text)
            if "\1" not in shape:
                self._shapes.setdefault((shape, piece[len(text.encode()) :]), []).append(id)
        # "##" is written where nothing stands before it.
        self._joins = (
            []
            if tokenizer.kind != "wordpiece"
            else [id for id in range(min(size, tokenizer.vocabulary_size)) if _name(tokenizer, id).startswith("##")]
        )
        self._found: dict[State, Tensor] = {}
        self._check(form, tokenizer)

    @property
    def tokens(self) -> int:
        """The most tokens that the form can take."""
        lengths = [3 if place is None else len(place.encode()) for place in self._places]
        return sum(lengths) if self._by_bytes else len(lengths)

    def allowed(self, state: State) -> Tensor:
        """Which ids may come next, ``(size,)``."""
        mask = self._found.get(state)
        if mask is None:
            mask = torch.zeros(self._size, dtype=torch.bool)
            if state is not None:
                for ids in [[id] for id in self._inner] if state[1] else self._shapes.values():
                    if self.after(state, ids[0]) is not None:
                        mask[ids] = True
                if state == self.begin and self._joins:
                    mask[self._joins] = False
            self._found[state] = mask
        return mask

    def after(self, state: State, token: int) -> State:
        """The state once a token is written; None where it does not fit."""
        piece = self._pieces[token]
        if state is None or not piece:
            return None
        place, begun = state
        for byte in piece:
            if place == len(self._places):
                return None
            begun += bytes([byte])
            given = self._places[place]
            if given is not None:
                wanted = given.encode()
                if not wanted.startswith(begun):
                    return None
                ended = wanted == begun
            else:
                ended = len(begun) == 3
                if not ended and begun not in _BEGUN:
                    return None
                if ended and not is_han(begun.decode("utf-8", "replace")[0]):
                    return None
            if ended:
                place, begun = place + 1, b""
        return (place, begun) if self._by_bytes or not begun else None

    def complete(self, state: State) -> bool:
        """Whether nothing more may come."""
        return state == (len(self._places), b"")

    def _check(self, form: Form, tokenizer: Tokenizer) -> None:
        if tokenizer.kind == "wordpiece":
            for end in form.ends:
                if len(end) > 1 and not unspaced(end):
                    raise InputError(f"this tokenizer cannot write the end of a line {end!r}", where=tokenizer.folder)
        for place, character in enumerate(self._places):
            if not self.allowed((place, b"")).any():
                what = "no Han characters" if character is None else f"no {character!r}, which ends a line"
                raise InputError(f"this tokenizer writes {what}", where=tokenizer.folder, remedy="take another form")


def bytes_of_pieces(tokenizer: Tokenizer, size: int) -> list[bytes | None]:
    """What each of ``size`` ids adds to a text, in UTF-8; None for those that stand for no text."""
    special = {*tokenizer.special_ids, tokenizer.unknown}
    fallback = tokenizer.kind == "sentencepiece" and "ByteFallback" in str(tokenizer.backend.decoder)
    pieces: list[bytes | None] = []
    for id in range(size):
        name = None if id in special or id >= tokenizer.vocabulary_size else tokenizer.backend.id_to_token(id)
        if name is None:
            pieces.append(None)
        elif tokenizer.kind == "byte_bpe" and set(name) <= BYTES.keys():
            pieces.append(bytes(BYTES[symbol] for symbol in name))
        elif fallback and (found := _BYTE.fullmatch(name)):
            pieces.append(bytes([int(found[1], 16)]))
        else:
            if tokenizer.kind != "byte_bpe":
                name = name.replace("▁", " ") if tokenizer.kind == "sentencepiece" else name.removeprefix("##")
            pieces.append(name.encode("utf-8", "surrogatepass"))
    return pieces


def _name(tokenizer: Tokenizer, id: int) -> str:
    name: str | None = tokenizer.backend.id_to_token(id)
    return name or ""
