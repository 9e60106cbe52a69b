"""Where processes meet without an address: a file that ``MYNA_MEET`` names.

The first process makes a store of its own beside that file, ``NAME.PID``, and notes in the file which it is and who it
is itself. The others take a note whose writer is there: one that a killed run left behind is passed over. The first
takes the note away when all have met, and at the end the store.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myna import files
from myna.errors import InputError, RunError

# How long they wait for each other, and how often they look: a process of a busy machine may take minutes to come.
_PATIENCE, _LOOKS = 600.0, 0.05


@dataclass(frozen=True)
class Meeting:
    """The file that was named, the store beside it, and who the first process is, as :func:`who_is` says it."""

    note: Path
    store: Path
    first: str

    def first_is_gone(self) -> bool:
        """Whether the first process no longer runs."""
        return who_is(int(self.first.split()[0])) != self.first

    def wait_for_all(self, store: Any, count: int, patience: float = _PATIENCE) -> None:
        """Waits until all processes have opened the store; one that does not come is a :class:`RunError`."""
        until = time.monotonic() + patience
        store.add("myna/met", 1)
        while store.add("myna/met", 0) < count:
            if time.monotonic() > until:
                raise _alone("not all have come")
            time.sleep(_LOOKS)

    def clear(self) -> None:
        """Takes away what of it is left."""
        for path in (self.note, self.store):
            path.unlink(missing_ok=True)


def meet(rank: int, patience: float = _PATIENCE) -> Meeting | None:
    """The meeting of this run, begun by the process of rank 0 and found by the others; None where no file is named.

    A file in no folder is an :class:`InputError`; a first process that does not come a :class:`RunError`.
    """
    given = os.environ.get("MYNA_MEET")
    if given is None:
        return None
    note = Path(given).absolute()
    if not note.parent.is_dir():
        remedy = "name a file that is not there yet, in a folder that is"
        raise InputError(f"MYNA_MEET = {given} is in no folder", remedy=remedy)
    return _begin(note) if rank == 0 else _find(note, patience)


def _begin(note: Path) -> Meeting:
    for left in note.parent.iterdir():
        # Of a run that was killed.
        if left.name.startswith(f"{note.name}.") and left.suffix[1:].isdecimal():
            left.unlink(missing_ok=True)
    begun = Meeting(note, note.with_name(f"{note.name}.{os.getpid()}"), who_is(os.getpid()))
    files.write_json(note, {"store": begun.store.name, "first": begun.first})
    return begun


def _find(note: Path, patience: float) -> Meeting:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            said: dict[str, Any] = json.loads(note.read_bytes())
            found = Meeting(note, note.with_name(said["store"]), said["first"])
            if not found.first_is_gone():
                return found
        time.sleep(_LOOKS)
    raise _alone(f"the first one is not in {note}")


def _alone(why: str) -> RunError:
    what = f"the processes of this run did not find each other ({why})"
    return RunError(what, remedy="start them all at one time")


def who_is(process: int) -> str:
    """A process by its number and, where the system says it, when it began; nothing where it runs no longer.

    A number alone is given again; and one that ended and that nobody has asked for yet still has its number.
    """
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "" if Path("/proc/self/stat").exists() or not _answers(process) else str(process)
    state, *others = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else f"{process} {others[18]}"


def _answers(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
