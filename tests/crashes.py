"""Crashes on demand: a piece of work is broken off at each of its file-system calls in turn.

From the call on that fails, every later one fails too, as if the process were gone: what it would clean up in an
``except`` or ``finally`` stays where it is.
"""

from __future__ import annotations

import builtins
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

CALLS = ("open", "fsync", "rename", "replace", "mkdir", "unlink", "remove", "rmdir", "truncate")


class Crash(BaseException):
    """The process is gone."""


class Calls:
    """Counts the calls that write below ``folder``, and fails them all from number ``last`` on."""

    def __init__(self, folder: Path, last: int) -> None:
        self.folder, self.last, self.count = str(folder), last, 0

    def _pass(self) -> None:
        self.count += 1
        if self.count >= self.last:
            raise Crash

    def watch(self, name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def watched(*arguments: object, **options: object) -> object:
            if name in ("fsync", "rmdir") or self._is_ours(arguments[0]):
                self._pass()
            return real(*arguments, **options)

        return watched

    def open(self, *arguments: object, **options: object) -> object:
        mode = str(arguments[1] if len(arguments) > 1 else options.get("mode", "r"))
        if set(mode) & set("wax+") and self._is_ours(arguments[0]):
            self._pass()
            stream = io.FileIO(arguments[0], mode.replace("b", "").replace("t", ""))  # type: ignore[arg-type]
            return _Watched(stream, self)
        return REAL_OPEN(*arguments, **options)  # type: ignore[call-overload]

    def _is_ours(self, path: object) -> bool:
        return isinstance(path, (str, os.PathLike)) and str(os.path.abspath(path)).startswith(self.folder)


class _Watched(io.BufferedRandom):
    """A file whose every write can be the last, and then is cut in half."""

    def __init__(self, stream: io.FileIO, calls: Calls) -> None:
        self._calls, self._raw_file = calls, stream
        super().__init__(_Seekable(stream))  # type: ignore[arg-type]

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            self._calls._pass()
        except Crash:
            self._raw_file.write(bytes(data)[: len(bytes(data)) // 2])
            raise
        written = super().write(data)
        self.flush()
        return written

    def fileno(self) -> int:
        return self._raw_file.fileno()


class _Seekable(io.RawIOBase):
    """The raw file, said to be readable, as a buffer for both ways wants it."""

    def __init__(self, stream: io.FileIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: bytes) -> int | None:  # type: ignore[override]
        return self._stream.write(data)

    def readinto(self, buffer: bytearray) -> int | None:  # type: ignore[override]
        return self._stream.readinto(buffer)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._stream.truncate(size)

    def close(self) -> None:
        self._stream.close()
        super().close()


REAL_OPEN = builtins.open


def run_until(folder: Path, last: int, work: Callable[[], object]) -> bool:
    """Runs ``work`` and crashes at the call number ``last`` below ``folder``; whether it came so far."""
    calls = Calls(folder, last)
    patches = [mock.patch.object(os, name, calls.watch(name)) for name in CALLS]
    patches.append(mock.patch.object(builtins, "open", calls.open))
    try:
        for patch in patches:
            patch.start()
        work()
    except Crash:
        return True
    finally:
        for patch in patches:
            patch.stop()
    return False


def crash_at_every_call(
    folder: Path, start: Callable[[Path], object], work: Callable[[Path], object]
) -> Iterator[Path]:
    """Gives a fresh folder, made by ``start``, for every call at which ``work`` can be broken off, and was."""
    last = 1
    while True:
        place = folder / f"crash-{last}"
        place.mkdir()
        start(place)
        crashed = run_until(place, last, lambda: work(place))  # noqa: B023
        if not crashed:
            return
        yield place
        shutil.rmtree(place)
        last += 1
