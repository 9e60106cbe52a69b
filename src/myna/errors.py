"""Errors that a user can act on: what is wrong, where, and how to mend it, on one line.

Everything Myna raises on purpose is a :class:`MynaError`. The command line prints it as one line and leaves with
its exit code; a traceback is a bug.
"""

from __future__ import annotations

from pathlib import Path


class MynaError(Exception):
    """An error with a place and a remedy.

    ``what`` says what is wrong; ``where`` is the file (or the recipe's key, or the folder) and ``line`` its line,
    counted from 1; ``remedy`` says what to do about it. ``str()`` is always one line.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        line: int | None = None,
        remedy: str | None = None,
    ) -> None:
        self.what, self.where, self.line, self.remedy = what, where, line, remedy
        place = "" if where is None else f"{where}:{line}: " if line is not None else f"{where}: "
        message = f"{place}{what}" + (f"; {remedy}" if remedy else "")
        super().__init__(" ".join(message.split()))

    def at(self, where: str | Path) -> MynaError:
        """The same error with another place."""
        return type(self)(self.what, where=where, line=self.line, remedy=self.remedy)


class InputError(MynaError):
    """Wrong use or wrong input: exit code 2."""

    exit_code = 2


class RunError(MynaError):
    """Something failed on the way, as a full disk or a folder in use: exit code 1."""

    exit_code = 1


class ElsewhereError(Exception):
    """Another process of the same run has failed, and says so itself: this one ends with its exit code, silently."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(f"another process has ended with {exit_code}")
