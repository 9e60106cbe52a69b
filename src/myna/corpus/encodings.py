"""Bytes made text: gzip or plain, an encoding told or found, and a clear error where there is no text.

A file is read twice: once to make sure that every byte of it is text, so that nothing fails half-way and the line of
the fault is known, and once to hand it out. UTF-8 and byte-order marks are certain. Of the wide encodings of Chinese,
Japanese and Korean one is taken where the text it gives is made of that language's most frequent characters, which
mistaken bytes never are. Single-byte encodings can be told apart by nobody, so charset-normalizer's guess is
suggested, not assumed.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TextIO

from myna.errors import InputError

_CHUNK = 1 << 20
_SAMPLE = 1 << 17
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Every text in GBK or GB2312 is one in GB18030. The most frequent characters make up a third of running text; of
# bytes read by the wrong table they are one in a hundred.
_SIMPLIFIED = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
_TRADITIONAL = "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡"
_KANA = "のにはをたがでてとしれさるいなすかんりらもうっこきまよだくけ"
_HANGUL = "이다는의에을를가은고하지로도한사기어그서나라있니자시아"
_FREQUENT = {
    "gb18030": frozenset(_SIMPLIFIED),
    "big5": frozenset(_TRADITIONAL),
    "big5hkscs": frozenset(_TRADITIONAL),
    "cp932": frozenset(_KANA),
    "euc_jp": frozenset(_KANA),
    "cp949": frozenset(_HANGUL),
}
_ENOUGH_SHARE, _ENOUGH = 0.12, 3
ENCODINGS = 'write its name, such as "utf-8" or "gb18030"'
_TELL = 'say which it is with encoding = "…"'


@contextmanager
def open_text(path: Path, encoding: str = "auto", lenient: bool = False) -> Iterator[TextIO]:
    """A file's text, its line ends as they are (``newline=""``), without a byte-order mark.

    Raises an :class:`InputError` for a file that cannot be read, is empty, is damaged or is no text. ``lenient``: what
    is no text stands in it as halves of surrogate pairs, UTF-8 being assumed where nothing else is known.
    """
    try:
        found, errors = _encoding_of(path, encoding, lenient)
        with _open_bytes(path) as raw, io.TextIOWrapper(raw, encoding=found, errors=errors, newline="") as text:
            yield text
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        if str(error).startswith("Not a gzipped file"):
            raise InputError("this is no gzip file", where=path, remedy='take the ".gz" off its name') from error
        raise InputError(f"this gzip file is damaged ({error})", where=path, remedy="fetch it again") from error
    except OSError as error:
        raise InputError(f"this file cannot be read ({(error.strerror or str(error)).lower()})", where=path) from error


def is_encoding(name: str) -> bool:
    """Whether there is an encoding of texts of this name."""
    try:
        codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError):  # a name with a zero byte is no name
        return False
    return True


def begins_with_mark(path: Path) -> bool:
    """Whether a file begins with a byte-order mark, which :func:`open_text` passes over."""
    with _open_bytes(path) as raw:
        sample = raw.read(4)
    return any(sample.startswith(mark) for mark, _ in _MARKS)


def numbered(stream: TextIO) -> Iterator[tuple[int, str]]:
    """Lines without their ends, counted from 1."""
    for number, line in enumerate(stream, 1):
        yield number, line.rstrip("\r\n")


def _open_bytes(path: Path) -> IO[bytes]:
    with open(path, "rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed or path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]


def _encoding_of(path: Path, encoding: str, lenient: bool) -> tuple[str, str]:
    """The encoding of a file, and what becomes of bytes that are none of it."""
    try:
        return _sure_encoding(path, encoding), "strict"
    except InputError as error:
        if not lenient or error.line is None:
            raise
        return ("utf-8-sig" if encoding == "auto" else encoding), "surrogateescape"


def _sure_encoding(path: Path, encoding: str) -> str:
    with _open_bytes(path) as raw:
        sample = raw.read(_SAMPLE)
    if not sample:
        raise InputError("this file is empty", where=path, remedy="take it out, or put text into it")
    if encoding != "auto":
        if not is_encoding(encoding):
            raise InputError(f'there is no encoding "{encoding}"', where=path, remedy=ENCODINGS)
        return _check(path, "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding)
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return _check(path, name)
    try:
        return _check(path, "utf-8")
    except InputError as error:
        if b"\0" in sample:
            raise _no_text(path, error.line) from None
        return _detect(path, error)


def _check(path: Path, encoding: str) -> str:
    """Decodes the whole file once; gives the encoding back, or raises with the line that is no text."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    with _open_bytes(path) as raw:
        while True:
            chunk = raw.read(_CHUNK)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                good = error.object[: error.start].decode(encoding, "ignore")
                raise InputError(
                    f"byte {error.object[error.start]:#04x} is not {encoding.removesuffix('-sig')}",
                    where=path,
                    line=line + good.count("\n"),
                    remedy=_TELL,
                ) from None
            if "\0" in text:
                raise _no_text(path, line + text.count("\n", 0, text.index("\0")))
            line += text.count("\n")
            if not chunk:
                return encoding


def _no_text(path: Path, line: int | None) -> InputError:
    remedy = "it seems to be a binary file; take it out, or name the encoding if it is text"
    return InputError("this is no text (a zero byte)", where=path, line=line, remedy=remedy)


def _detect(path: Path, not_utf8: InputError) -> str:
    with _open_bytes(path) as raw:
        sample = b"".join(islice((line[:_SAMPLE] for line in raw if not line.isascii()), 1000))
    share, name = max((_frequent_share(sample, name), name) for name in _FREQUENT)
    if share >= _ENOUGH_SHARE:
        return _check(path, name)
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None:
        raise InputError("this is no text", where=path, line=not_utf8.line, remedy=_TELL)
    raise InputError(
        f"this is not UTF-8, and its encoding is not certain (perhaps {best.encoding})",
        where=path,
        line=not_utf8.line,
        remedy=f'say which it is: encoding = "{best.encoding}", "gb18030" for most Chinese text, '
        '"cp1252" for most Western European, or another',
    )


def _frequent_share(sample: bytes, encoding: str) -> float:
    """The share of an encoding's most frequent characters among the letters that are not ASCII."""
    text = sample.decode(encoding, "replace")
    letters = sum(character.isalpha() and not character.isascii() for character in text) + text.count("\ufffd")
    hits = sum(character in _FREQUENT[encoding] for character in text)
    return hits / letters if hits >= _ENOUGH else 0.0
