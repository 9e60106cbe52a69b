"""The processes of one training: who they are, what they agree on, and how they end together.

``torchrun`` starts them and says of each in the environment who it is (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``,
``LOCAL_WORLD_SIZE``, ``MASTER_ADDR``, ``MASTER_PORT``); anything that sets these can start them, and where
``MYNA_MEET`` names a file they meet in it, without a network address. The first process does a run as one process
would; the others wait for its trainings and take part in them.

What they agree on goes as JSON over Gloo, a few hundred bytes at a time, whatever the gradients go over. An error in
one ends all: it is told once, by the process that has it, and all leave with its exit code. It writes that code into
the store before it closes its connections, by which the others notice that it has ended. Where it is gone without a
word, they say so themselves. This module imports torch only where there are several.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

from myna.errors import ElsewhereError, InputError, RunError
from myna.training.interrupts import error_of
from myna.training.meeting import Meeting, meet

Result = TypeVar("Result")

# Longer than a validation or a checkpoint takes; a process that is gone is noticed by its connection, not by this.
_PATIENCE = timedelta(hours=6)
# How often the others look whether a training begins.
_LOOKS = 0.05
# How the libraries say that nobody is at the other end: there is no type of error for that.
_GONE = re.compile("gloo|nccl|connection|broken pipe|store|socket|no longer there", re.IGNORECASE)
# What is agreed on seldom has more bytes; where it has, a second message carries it.
_USUAL_BYTES = 1024
# The longest that a process waits for its connections to be closed when it ends.
_SECONDS_TO_CLOSE = 5.0
# In the store: which process has an error to tell, and its exit code.
_CAUSE = "myna/cause"


def rank() -> int:
    """The number of this process among those of the run, from 0; 0 where it is alone."""
    return _number("RANK", 0)


def count() -> int:
    """How many processes the run has."""
    return _number("WORLD_SIZE", 1)


def local_count() -> int:
    """How many of them are on this machine."""
    return _number("LOCAL_WORLD_SIZE", count())


def _number(name: str, otherwise: int) -> int:
    given = os.environ.get(name, "")
    if given and not given.isdecimal():
        raise InputError(f"{name} = {given} is no number", remedy=f"unset {name}, or start with torchrun")
    return int(given) if given else otherwise


class _GoneError(RunError):
    """Another process has ended, and this one has found it so."""


class Processes:
    """All processes of a training, seen from one of them. This one is alone: it agrees with itself at no cost."""

    rank, count = 0, 1

    @contextlib.contextmanager
    def answering(self, waiting: Callable[[], int | None]) -> Iterator[None]:
        """A block in which ``waiting`` tells the signal that this process has received; only one is answered."""
        yield

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank; plain ones, as JSON has them."""
        return [value]

    def from_first(self, value: Any) -> Any:
        """The value that the first process has."""
        return self.gather(value if self.first else None)[0]

    def together(self, work: Callable[[], Result]) -> list[Result]:
        """What ``work`` gives in each process, by rank; plain values.

        Where it raises in one, or one has received a signal, all leave here: the error is raised in its process, an
        :class:`ElsewhereError` in the others, the interrupt of the signal in all.
        """
        return [work()]


ALONE = Processes()


class Joined(Processes):
    """Several processes, over torch.distributed."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self._waiting: Callable[[], int | None] = lambda: None
        self._answered = False

    @contextlib.contextmanager
    def answering(self, waiting: Callable[[], int | None]) -> Iterator[None]:
        self._waiting, self._answered = waiting, False
        try:
            yield
        finally:
            self._waiting = lambda: None

    def gather(self, value: Any) -> list[Any]:
        data = json.dumps(value).encode()
        with noticing():
            found, lengths = self._exchange(data, _USUAL_BYTES)
            if max(lengths) > _USUAL_BYTES:
                found, _ = self._exchange(data, max(lengths))
        return [json.loads(part) for part in found]

    def _exchange(self, data: bytes, room: int) -> tuple[list[bytes], list[int]]:
        import torch
        import torch.distributed as dist

        sent = len(data).to_bytes(8, "little") + data[:room].ljust(room, b" ")
        mine = torch.frombuffer(bytearray(sent), dtype=torch.uint8)
        received = [torch.empty_like(mine) for _ in range(self.count)]
        dist.all_gather(received, mine)
        parts = [part.numpy().tobytes() for part in received]
        return [part[8:] for part in parts], [int.from_bytes(part[:8], "little") for part in parts]

    def together(self, work: Callable[[], Result]) -> list[Result]:
        result, own = None, None
        try:
            result = work()
        except ElsewhereError:
            raise
        except Exception as error:
            own = error
            _claim(error)
        signal = None if self._answered else self._waiting()
        said = self.gather({"result": result, "error": None if own is None else _code(own), "signal": signal})
        if own is not None:
            raise own
        codes = [part["error"] for part in said if part["error"] is not None]
        if codes:
            raise ElsewhereError(codes[0])
        signals = [part["signal"] for part in said if part["signal"] is not None]
        if signals:
            # The checkpoint that is made now is broken off neither by this signal nor by the one that often follows it.
            self._answered = True
            raise error_of(signals[0])
        return [part["result"] for part in said]


def processes() -> Processes:
    """The processes of this run: those that :func:`joined` has joined, or this one alone."""
    return _Current.processes


class _Current:
    """What holds for this process as a whole, as its process group does in torch."""

    processes: Processes = ALONE
    store: Any = None
    meeting: Meeting | None = None
    # Whether it has ever been one of several.
    joined = False
    # Whether an error is this process's to tell; None as long as there is none.
    told: bool | None = None
    announced = 0


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Joins the other processes that the environment speaks of; where it speaks of none, nothing happens.

    An error that leaves the block is claimed: only the first process that has one tells it (:func:`tells`).
    """
    if count() == 1 or _Current.store is not None:
        yield _Current.processes
        return
    import torch
    import torch.distributed as dist

    backend = "gloo"
    if torch.cuda.is_available() and dist.is_nccl_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(_number("LOCAL_RANK", rank()) % torch.cuda.device_count())
    meeting = meet(rank())
    try:
        # By a store and not by an address, in which some characters of a path mean something else.
        store = None if meeting is None else dist.FileStore(str(meeting.store), count())  # type: ignore[attr-defined]
        if meeting is not None:
            meeting.wait_for_all(store, count())
        dist.init_process_group(backend, store=store, rank=rank(), world_size=count(), timeout=_PATIENCE)
    except (RuntimeError, ValueError, RunError) as error:
        if meeting is not None and rank() == 0:
            meeting.clear()
        if isinstance(error, RunError):
            raise
        what = f"the processes of this run did not find each other ({str(error).splitlines()[0]})"
        raise RunError(what, remedy="start them with torchrun, all at one time") from error
    if meeting is not None and rank() == 0:
        meeting.note.unlink(missing_ok=True)
    _Current.processes, _Current.meeting, _Current.joined = Joined(), meeting, True
    _Current.store = dist.distributed_c10d._get_default_store()
    _Current.announced, _Current.told = 0, None
    ended: BaseException | None = None
    try:
        yield _Current.processes
    except BaseException as error:
        ended = _first_cause(error)
        if not isinstance(ended, ElsewhereError):
            _claim(ended)
        if ended is error:
            raise
        raise ended from error
    finally:
        if rank() == 0:
            _announce({"end": 0 if ended is None else _code(ended)})
        _leave(ended, _close_connections(ended))
        _Current.processes, _Current.store, _Current.meeting = ALONE, None, None


def end(code: int) -> NoReturn:
    """Ends this process with an exit code. One that was one of several does so at once, when all is told: threads of
    Gloo that still wait for another would abort it as it takes itself apart, with a code of their own.
    """
    if _Current.joined:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)


def _first_cause(error: BaseException) -> BaseException:
    """What this process ends by: where it only found another one gone, by what that one had to tell, if it did."""
    if isinstance(error, _GoneError):
        with contextlib.suppress(RuntimeError):
            if _Current.store.check([_CAUSE]):
                return ElsewhereError(int(_Current.store.get(_CAUSE).split()[1]))
    return error


def _close_connections(ended: BaseException | None) -> bool:
    """Leaves the group, so that the others notice, and says whether that could be done.

    What is under way, and holds a connection open, is let go of; where it waits for an answer that does not come, this
    process has to end for its connections to be closed.
    """
    import torch.distributed as dist

    def close() -> None:
        found = ended
        while found is not None:
            traceback.clear_frames(found.__traceback__)
            found = found.__cause__ or found.__context__
        gc.collect()
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(_SECONDS_TO_CLOSE)
    return not closing.is_alive()


def _leave(ended: BaseException | None, closed: bool) -> None:
    """Says that this process has closed its connections. The first one, which may hold the store, goes last."""
    if rank() != 0:
        with contextlib.suppress(RuntimeError):
            _Current.store.add("myna/left", 1)
    # Who is gone without a word does not say that it has left.
    elif closed and not isinstance(ended, _GoneError) and _all_have_left() and _Current.meeting is not None:
        _Current.meeting.clear()


def _all_have_left(seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    with contextlib.suppress(RuntimeError):
        while _Current.store.add("myna/left", 0) < count() - 1:
            if time.monotonic() > until:
                return False
            time.sleep(_LOOKS)
        return True
    return False


def tells(error: BaseException) -> bool:
    """Whether this process is the one that tells an error with which all end. Before they have joined it is the first;
    later the one that had the error, for the others were told of it.
    """
    if isinstance(error, ElsewhereError):
        return False
    return rank() == 0 if _Current.told is None else _Current.told


@contextlib.contextmanager
def first_before_others() -> Iterator[None]:
    """A block that the first process does before the others do it: what it writes, they find."""
    all_processes = processes()
    if not all_processes.first:
        all_processes.together(lambda: None)
    yield
    if all_processes.first:
        all_processes.together(lambda: None)


@contextlib.contextmanager
def noticing() -> Iterator[None]:
    """A block in which processes speak to each other; one that is gone is a :class:`RunError`."""
    try:
        yield
    except RuntimeError as error:
        if not _GONE.search(str(error)):
            raise
        remedy = "see what it said, and give the same command again: it goes on where it was"
        raise _GoneError("another process of this run has ended", remedy=remedy) from error


def announce(stage: str) -> None:
    """Calls the others to a training."""
    if count() > 1:
        _announce({"stage": stage})


def announced() -> str | None:
    """Waits until the first process calls to a training, and gives its key; None when the run is done.

    Where it ended otherwise, an :class:`ElsewhereError`.
    """
    key = f"myna/{_Current.announced}"
    with noticing():
        while not _Current.store.check([key]):
            if _Current.meeting is not None and _Current.meeting.first_is_gone():
                raise RuntimeError("the first process is no longer there")
            time.sleep(_LOOKS)
        found = json.loads(_Current.store.get(key))
    _Current.announced += 1
    if found.get("end"):
        raise ElsewhereError(found["end"])
    stage: str | None = found.get("stage")
    return stage


def _announce(what: Any) -> None:
    with contextlib.suppress(RuntimeError):
        _Current.store.set(f"myna/{_Current.announced}", json.dumps(what))
    _Current.announced += 1


def _claim(error: BaseException) -> None:
    """Takes it upon this process to tell of an error, unless another one has done so before."""
    if _Current.told is not None:
        return
    said = f"{rank()} {_code(error)}".encode()
    try:
        _Current.told = _Current.store.compare_set(_CAUSE, "", said.decode()) == said
    except RuntimeError:
        # The store went with the first process, which may have had no time to speak: the next one speaks.
        _Current.told = rank() == 1


def _code(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, KeyboardInterrupt):
        return 130
    code = getattr(error, "exit_code", 1)
    return code if isinstance(code, int) else 1
