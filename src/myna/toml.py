"""What the standard library's reader of TOML leaves out: the line on which each key stands, and writing."""

from __future__ import annotations

import json
import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

# A place in the values of a recipe: ("corpus", "news", "sources", 0, "path").
KeyPath = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_KEY_PART = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s.=\]\"']+")
_STRING = re.compile(
    "|".join((r'"""(?:[^\\]|\\.)*?"{3,5}(?!")', r"'''.*?'{3,5}(?!')", r'"(?:[^"\\]|\\.)*"', r"'[^']*'")), re.DOTALL
)
_SCALAR = re.compile(r"[^,\]}\n#]*")


def lines_of(text: str) -> dict[KeyPath, int]:
    """The line, counted from 1, of every key, table and item of an array in a TOML text that ``tomllib`` reads.

    A table that is opened several times has the line of the first.
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    """Goes over a text that is known to be right, so that it only has to tell keys from values."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.ends = [match.start() for match in re.finditer("\n", text)]
        self.lines: dict[KeyPath, int] = {}
        self.arrays: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip(_SPACE)
        while self.at < len(self.text):
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._assignment(table)
            self._skip(_SPACE)
        return self.lines

    def _header(self) -> KeyPath:
        start, repeated = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if repeated else 1
        keys = self._key()
        self.at += 2 if repeated else 1
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._newest((*path, key))
            self._mark(path, start)
        path = (*path, keys[-1])
        if repeated:
            self._mark(path, start)
            self.arrays[path] = self.arrays.get(path, -1) + 1
        path = self._newest(path)
        self._mark(path, start)
        return path

    def _newest(self, path: KeyPath) -> KeyPath:
        """The table that a name stands for: the last one of an array of tables."""
        return (*path, self.arrays[path]) if path in self.arrays else path

    def _assignment(self, table: KeyPath) -> None:
        start = self.at
        path = table
        for key in self._key():
            path = (*path, key)
            self._mark(path, start)
        self.at += 1  # the equals sign
        self._skip(_BLANK)
        self._value(path)

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip(_BLANK)
            part = self._take(_KEY_PART)
            parts.append(str(tomllib.loads(f"key = {part}")["key"]) if part[:1] in ("'", '"') else part)
            self._skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        first = self.text[self.at : self.at + 1]
        if first in ("'", '"'):
            self._take(_STRING)
        elif first == "[":
            self._items("]", path)
        elif first == "{":
            self._items("}", path)
        else:
            self._take(_SCALAR)

    def _items(self, end: str, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while True:
            self._skip(_SPACE)
            if self.text.startswith(end, self.at):
                break
            if end == "}":
                self._assignment(path)
            else:
                self._mark((*path, index), self.at)
                self._value((*path, index))
            index += 1
            self._skip(_SPACE)
            if self.text.startswith(",", self.at):
                self.at += 1
        self.at += 1

    def _mark(self, path: KeyPath, position: int) -> None:
        self.lines.setdefault(path, bisect_right(self.ends, position - 1) + 1)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._take(pattern)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match is not None, f"not TOML at character {self.at}"
        self.at = match.end()
        return match.group()


def parse_value(text: str) -> Any:
    """One value as TOML writes it; what is no TOML is the text itself."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text


def parse_key(text: str) -> KeyPath:
    """The parts of a dotted key, quoted or not; numbers are the places in an array."""
    parts = _KEY_PART.findall(text)
    if ".".join(parts) != text:
        raise ValueError(f"{text!r} is no key")
    return tuple(int(p) if p.isdecimal() else p if p[0] not in "'\"" else p[1:-1] for p in parts)


def write(table: Mapping[str, Any]) -> str:
    """A TOML text of plain values. Keys whose value is None are left out, as TOML has no word for it."""
    return "\n".join(_table((), table)).lstrip("\n") + "\n"


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    inner = {key: value for key, value in table.items() if _is_table(value) or _is_tables(value)}
    for key, value in table.items():
        if key not in inner and value is not None:
            yield f"{_name(key)} = {inline(value)}"
    for key, value in inner.items():
        name = ".".join(map(_name, (*path, key)))
        for one in [value] if _is_table(value) else value:
            header = f"[{name}]" if _is_table(value) else f"[[{name}]]"
            lines = list(_table((*path, key), one))
            # A table of tables alone needs no line of its own.
            if not lines or lines[0] != "" or not _is_table(value):
                yield from ("", header)
            yield from lines


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 0


def _is_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(_is_table(item) for item in value)


def _name(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else inline(key)


def inline(value: Any) -> str:
    """A value on one line. Raises a :class:`TypeError` for what TOML cannot hold."""
    if isinstance(value, str):
        # A string of JSON is one of TOML, but for the one control character that JSON takes as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, Mapping):
        pairs = (f"{_name(key)} = {inline(item)}" for key, item in value.items() if item is not None)
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    raise TypeError(f"TOML has no {type(value).__name__}")
