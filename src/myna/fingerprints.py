"""What a stage's result depends on, as one hash, and in words what of it has changed.

A stage's record says: the version of its kind, the settings that affect its result, its seed, the fingerprints of the
stages it reads, and the hashes of the files from outside that it reads. Two stages with equal records give equal
results; their fingerprint is the hash of the record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from myna import files

# More changes than this are summed up: one line says why a stage runs.
_MOST_REASONS = 3


@dataclass(frozen=True)
class Record:
    """What the result of a stage depends on. ``inputs`` and ``sources`` are hashes by name, in their order."""

    version: int
    settings: Mapping[str, Any]
    seed: int | None
    inputs: Mapping[str, str]
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all of it."""
        # The order of the files decides that of the documents; that of the inputs stands in the settings.
        plain = {**asdict(self), "sources": list(self.sources.items())}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


class KnownFiles:
    """Hashes of files from outside, each remembered by its size, time of change and inode.

    What is remembered stands in ``memory``; :meth:`save` writes down the files that were asked for.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        try:
            self._old: dict[str, list[Any]] = dict(json.loads(memory.read_bytes()))
        except (OSError, ValueError, TypeError):
            self._old = {}  # It is only a memory: what is not in it is computed again.
        self._now: dict[str, list[Any]] = {}

    def sha256(self, path: Path) -> str:
        """The SHA-256 of a file's bytes, without reading a file that has not been touched."""
        name, status = str(path.absolute()), path.stat()
        mark = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._now.get(name) or self._old.get(name)
        if not (isinstance(known, list) and known[:3] == mark and len(known) == 4):
            known = [*mark, files.sha256(path)]
        self._now[name] = known
        return str(known[3])

    def save(self) -> None:
        """Writes the memory, if it has changed."""
        if self._now != self._old:
            files.write_json(self._memory, self._now)
            self._old = dict(self._now)


def difference(old: Mapping[str, Any], new: Record) -> str:
    """What differs between a stage's record on disk and the one it would have now, in words for a line."""
    reasons = list(_reasons(old, new))
    if len(reasons) > _MOST_REASONS:
        reasons[_MOST_REASONS:] = [f"{len(reasons) - _MOST_REASONS} more"]
    return ", ".join(reasons) or "its record differs"


def _reasons(old: Mapping[str, Any], new: Record) -> Iterator[str]:
    if old.get("version") != new.version:
        yield f"this version of Myna does it in another way (version {old.get('version')} before, {new.version} now)"
    yield from _different_settings(old.get("settings") or {}, new.settings)
    if old.get("seed") != new.seed:
        yield f"seed was {old.get('seed')}, is {new.seed}"
    yield from _different(old.get("sources") or {}, new.sources, "the file ")
    yield from _different(old.get("inputs") or {}, new.inputs, "")


def _different_settings(old: Any, new: Any, name: str = "") -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in _union(old, new):
            yield from _different_settings(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, now) in enumerate(zip(old, new, strict=True)):
            yield from _different_settings(before, now, f"{name}.{index}")
    elif old != new:
        yield f"{name} was {_shown(old)}, is {_shown(new)}"


def _different(old: Mapping[str, str], new: Mapping[str, str], what: str) -> Iterator[str]:
    for name in _union(old, new):
        if name not in new:
            yield f"{what}{name} is gone"
        elif name not in old:
            yield f"{what}{name} is new"
        elif old[name] != new[name]:
            yield f"{what}{name} changed"
    if dict(old) == dict(new) and list(old) != list(new):
        yield f"{what or 'the inputs '}come in another order"


def _union(old: Iterable[str], new: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*new, *old]))


def _shown(value: Any) -> str:
    text = "not given" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:40] + " …"
