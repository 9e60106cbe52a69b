"""Files that are whole or not there: the only place that writes artefacts and renames them into being.

Every artefact is written beside its place under a hidden name (``.NAME.new``, of a file ``.NAME.PROCESS.new``),
synced, and renamed. A crash at any instant leaves the old artefact or the new one; what it left beside is cleared by
:func:`sweep` at the next start.
A folder that replaces an older one cannot be swapped in one call everywhere, so the old one steps aside as
``.NAME.old`` for the moment between two renames, and :func:`sweep` puts it back where the second never came.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from myna.errors import InputError, RunError

# No description is as large: what is, is something else under its name.
_LARGEST_JSON = 256 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def _told(path: Path, inside: Path | None = None) -> Iterator[None]:
    """Turns what the operating system says of a write into one line that a user understands.

    Where a block reads too, ``inside`` is the folder that it writes to: what is refused elsewhere was to be read.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            remedy = "make room and give the same command again: it goes on where it was"
            raise RunError("the disk is full", where=path, remedy=remedy) from error
        if error.errno in _REFUSED and (inside is None or _is_in(inside, error.filename)):
            raise RunError("this place cannot be written to", where=path, remedy="choose another with --to") from error
        if isinstance(error, (FileExistsError, NotADirectoryError)) and inside is None:
            remedy = "choose another with --to"
            raise InputError("a part of this path is a file, not a folder", where=path, remedy=remedy) from error
        raise


def _is_in(folder: Path, name: Any) -> bool:
    return isinstance(name, (str, os.PathLike)) and Path(name).is_relative_to(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(root, name), os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        _sync_folder(Path(root))


def open_new(path: Path) -> IO[bytes]:
    """A binary file to write inside a folder of :func:`new_folder`, which syncs it at the end."""
    return open(path, "wb")


def copy_folder(source: Path, to: Path) -> None:
    """Copies what is in a folder into another, inside one of :func:`new_folder`.

    What the operating system says is raised as it is: of ``shutil.copytree``'s errors none tells that a disk is full.
    """
    to.mkdir(exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_dir():
            copy_folder(path, to / path.name)
        else:
            shutil.copyfile(path, to / path.name)


def sync(stream: IO[bytes]) -> None:
    """Waits until what was written to a file is on the disk, for one that another process will rename."""
    stream.flush()
    os.fsync(stream.fileno())


@contextlib.contextmanager
def new_folder(path: Path | str) -> Iterator[Path]:
    """Gives a folder to fill beside ``path``; when the block ends well it becomes ``path``, whole.

    Where the block raises, nothing of it is left and an older ``path`` stays as it was.
    """
    path = Path(path)
    beside, aside = path.parent / f".{path.name}.new", path.parent / f".{path.name}.old"
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _hold_empty(beside, path)
    try:
        try:
            with _told(path, inside=beside):
                yield beside
            with _told(path):
                _sync_tree(beside)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        with _told(path):
            if path.exists():
                os.rename(path, aside)
            os.rename(beside, path)
            _sync_folder(path.parent)
            if aside.exists():
                shutil.rmtree(aside)
    finally:
        os.close(held)


def _hold_empty(beside: Path, path: Path) -> int:
    """Makes an empty folder, and gives the descriptor by which no other process fills it meanwhile."""
    beside.mkdir(exist_ok=True)
    held = os.open(beside, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have renamed it before it was held.
            taken = not os.path.samestat(os.fstat(held), os.stat(beside))
        except (BlockingIOError, FileNotFoundError):
            taken = True
        except OSError:  # Some file systems of a network lock no folders.
            taken = False
        if taken:
            remedy = "wait until it ends, or choose another place"
            raise RunError("another process is writing this folder", where=path, remedy=remedy)
        for left in beside.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    except BaseException:
        os.close(held)
        raise
    return held


def write_bytes(path: Path | str, data: bytes) -> None:
    """Writes a single file so that a crash leaves the old content or the new."""
    path = Path(path)
    # Two processes that write the same file at once, outside a run's lock, do so each under a name of its own.
    beside = path.parent / f".{path.name}.{os.getpid()}.new"
    with _told(path):
        if path.is_dir():
            raise InputError("this is a folder, not a file", where=path, remedy="give another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        os.rename(beside, path)
        _sync_folder(path.parent)


def write_text(path: Path | str, text: str) -> None:
    """:func:`write_bytes` in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, value: Any) -> None:
    """:func:`write_bytes` of readable JSON; numbers that are not finite are refused."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """The value in a JSON file of Myna's own; a missing or broken one is an :class:`InputError`."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise InputError("this is no file", where=path)
        if status.st_size > _LARGEST_JSON:
            raise InputError(f"this file is damaged (it has {status.st_size} bytes)", where=path)
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise InputError("this file is missing", where=path) from None
    except OSError as error:
        raise _unread(path, error) from error
    except json.JSONDecodeError as error:
        what = f"this file is damaged ({error.msg} at column {error.colno})"
        raise InputError(what, where=path, line=error.lineno) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"this file is damaged ({error})", where=path) from error


def _unread(path: Path | str, error: OSError) -> InputError:
    return InputError(f"this file cannot be read ({(error.strerror or str(error)).lower()})", where=path)


def read_object(path: Path | str) -> dict[str, Any]:
    """The object in a JSON file of Myna's own, as :func:`read_json`; any other value is an :class:`InputError`."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError("this file is damaged (it holds no JSON object)", where=path)
    return value


def append_text(path: Path | str, text: str) -> None:
    """Adds to the end of a log; a crash can cut its last line, which :func:`truncate` then takes away."""
    with _told(Path(path)), open(path, "ab") as stream:
        stream.write(text.encode("utf-8"))
        stream.flush()
        os.fsync(stream.fileno())


def truncate(path: Path | str, size: int) -> None:
    """Cuts a log to its first ``size`` bytes."""
    with _told(Path(path)), open(path, "r+b") as stream:
        stream.truncate(size)
        stream.flush()
        os.fsync(stream.fileno())


def remove(path: Path | str) -> None:
    """Takes a file or a folder away; a folder first loses its name, so that no half of it is ever read."""
    path = Path(path)
    if path.is_dir():
        aside = path.parent / f".{path.name}.new"
        if aside.exists():
            shutil.rmtree(aside)
        os.rename(path, aside)
        shutil.rmtree(aside)
    elif path.exists():
        path.unlink()


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unread(path, error) from error


def check_folder(path: Path) -> None:
    """Raises an :class:`InputError` where there is no folder."""
    if not path.is_dir():
        raise InputError("this is a file, not a folder" if path.exists() else "there is no such folder", where=path)


def manifest(folder: Path | str) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file below ``folder`` by its relative name, sorted."""
    folder = Path(folder)
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in names}


def verify(folder: Path | str, expected: Any) -> None:
    """Raises an :class:`InputError` that names the first file which is not as the manifest says.

    So does a manifest that is none.
    """
    remedy = "make or fetch the whole folder anew"
    entries = list(expected.values()) if isinstance(expected, dict) else [None]
    if not all(isinstance(entry, dict) and entry.keys() >= {"bytes", "sha256"} for entry in entries):
        raise InputError("the list of this folder's files is damaged", where=folder, remedy=remedy)
    for name, entry in expected.items():
        path = Path(folder) / name
        if ".." in Path(name).parts or not path.is_relative_to(folder) or not name.isprintable():
            raise InputError("the list of this folder's files names others", where=folder, remedy=remedy)
        if not os.path.isfile(path):
            raise InputError("this file is missing", where=path, remedy=remedy)
        if path.stat().st_size != entry["bytes"]:
            what = f"this file has {path.stat().st_size} bytes, not {entry['bytes']}"
            raise InputError(what, where=path, remedy=remedy)
        if sha256(path) != entry["sha256"]:
            raise InputError("this file is damaged: its checksum differs", where=path, remedy=remedy)


def check_room(folder: Path | str, needed: int) -> None:
    """Raises a :class:`RunError` where the disk that holds ``folder`` has less than ``needed`` bytes free."""
    folder = Path(folder)
    free = shutil.disk_usage(folder).free
    if free < needed:
        what = f"the disk has {free / 1e6:,.0f} MB free, and a checkpoint takes {needed / 1e6:,.0f} MB"
        remedy = "make room and give the same command again: it goes on where it was"
        raise RunError(what, where=folder, remedy=remedy)


@contextlib.contextmanager
def lock(folder: Path | str) -> Iterator[None]:
    """Holds ``folder`` for this process; a :class:`RunError` where another one holds it.

    The lock is the operating system's and ends with the process, however that ends.
    """
    folder = Path(folder)
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stream = open(folder / ".lock", "a+b")  # noqa: SIM115  (held open for as long as the lock is)
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().decode(errors="replace").strip() or "unknown"
            remedy = "wait until it ends, or choose another folder with --to"
            raise RunError(f"this folder is in use by process {holder}", where=folder, remedy=remedy) from None
        stream.truncate(0)
        stream.write(str(os.getpid()).encode())
        stream.flush()
        yield


def sweep(folder: Path | str) -> None:
    """Clears what a crash left anywhere below ``folder``, and puts back what had stepped aside.

    Only folders step aside, and nothing that is cleared is a link: what else has such a name is somebody's own.
    """
    for root, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(root, name)
            if not name.startswith(".") or path.is_symlink():
                continue
            if name.endswith(".old") and path.is_dir():
                place = path.parent / name[1:-4]
                if place.exists():
                    shutil.rmtree(path)
                else:
                    os.rename(path, place)
            elif name.endswith(".new"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        folders[:] = [name for name in folders if Path(root, name).is_dir()]
