"""SIGTERM and Ctrl-C in a training: they end it at once, but never in the middle of an update or of a record.

Python delivers a signal between two of its own instructions, so that a long step is left after the operation that it
is at. Whoever trains then saves what is there: the state after the last whole step.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

# What a shell says of a process that ended by SIGTERM: 128 + 15.
TERMINATED = 143


class Interrupts:
    """While it is entered, SIGINT raises a :class:`KeyboardInterrupt` and SIGTERM a :class:`SystemExit`, code 143.

    Only outside of :meth:`held`. Signals reach the main thread alone: in another one nothing changes.
    """

    def __init__(self) -> None:
        self._held = 0
        self._waiting: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def waiting(self) -> int | None:
        """The signal that came in a block that is held, if one did."""
        return self._waiting

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A block that a signal does not break off; one that came in it is raised at its end."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._waiting is not None and not self._held:
            waiting, self._waiting = self._waiting, None
            raise error_of(waiting)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self._held:
            raise error_of(number)
        self._waiting = number


def error_of(number: int) -> BaseException:
    """What a signal raises."""
    return SystemExit(TERMINATED) if number == signal.SIGTERM else KeyboardInterrupt()
