"""How a command ends that went wrong: what is said of an error, in one line, and the exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from pathlib import Path
from typing import Any

from myna.errors import ElsewhereError, InputError, MynaError

# How torch, and the loader of its library, say that there is no memory: neither has a type of error for that.
_NO_MEMORY = re.compile("allocate memory|not enough memory|out of memory|failed to map segment", re.IGNORECASE)


def explain(error: BaseException) -> tuple[str, int]:
    """What to say of an error, in one line, and the exit code."""
    if isinstance(error, MynaError):
        return str(error if error.where is None else error.at(_from_here(error.where))), error.exit_code
    if isinstance(error, ElsewhereError):
        return "", error.exit_code
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return "", 130
    if isinstance(error, SystemExit):
        return "", error.code if isinstance(error.code, int) else 1
    if isinstance(error, BrokenPipeError):
        # Who read the output has had enough; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "", 1
    if isinstance(error, PermissionError):
        # What is written says so itself (files.py): this was to be read.
        return str(InputError("this cannot be read (permission denied)", where=_from_here(error.filename))), 2
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full" if full else (error.strerror or str(error)).lower()
        remedy = "make room and give the same command again" if full else None
        return str(MynaError(what, where=_from_here(error.filename), remedy=remedy)), 1
    if isinstance(error, MemoryError) or (
        isinstance(error, (RuntimeError, ImportError)) and _NO_MEMORY.search(str(error))
    ):
        return "there is not enough memory; lower micro_batch_tokens, or take a smaller model", 1
    message = getattr(error, "format_message", None)
    if message is not None:
        remedy = "see myna --help"
        if getattr(getattr(error, "ctx", None), "info_name", None) == "generate" and hasattr(error, "option_name"):
            from myna.inference.options import remedy_for_option

            remedy = remedy_for_option(error.option_name)
        return f"{_one_line(message()).rstrip('.')}; {remedy}", int(getattr(error, "exit_code", 2))
    return f"a mistake in Myna, please report it ({_one_line(repr(error))}); --debug tells more", 1


def _from_here(where: Any) -> Any:
    """A place as it is best read: a path below the folder where the command was given without that folder."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Path(where).relative_to(Path.cwd())
    return where


def _one_line(text: str) -> str:
    return " ".join(text.split())
