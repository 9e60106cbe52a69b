"""Several processes of one training without torchrun: the environment says who each is, and they meet in a file.

``start(3, command)`` starts a command three times, ``finish`` waits for all of them. What a test wants to be computed
in each is a function of a module: ``call(3, "tests.training.several_runs:compare", folder)``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Started(list["subprocess.Popen[str]"]):
    """Processes by rank, and the folder in which they meet."""

    folder: Path


def start(count: int, command: Sequence[str], **environment: str) -> Started:
    """``count`` processes of one run, one thread each, by rank."""
    meet = Path(tempfile.mkdtemp(prefix="myna-meet-")) / "here"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    shared = {"WORLD_SIZE": str(count), "MYNA_MEET": str(meet), "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    # Gloo asks for the address of the machine's name, which need not have one; this names what it needs.
    shared |= {"GLOO_SOCKET_IFNAME": "lo", **environment}
    started = Started(
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    )
    started.folder = meet.parent
    return started


def finish(started: Started, seconds: float = 300) -> list[tuple[int, str, str]]:
    """The exit code of each, and what it wrote to standard output and to standard error."""
    try:
        said = [process.communicate(timeout=seconds) for process in started]
    finally:
        for process in started:
            process.kill()
        shutil.rmtree(started.folder, ignore_errors=True)
    return [(process.returncode, *texts) for process, texts in zip(started, said, strict=True)]


def call(count: int, function: str, *arguments: Any) -> list[Any]:
    """What a function gives in each of ``count`` processes that have joined; arguments and results are JSON."""
    command = [sys.executable, "-m", "tests.several", function, *map(json.dumps, arguments)]
    ended = finish(start(count, command))
    assert [code for code, _, _ in ended] == [0] * count, [error for _, _, error in ended]
    return [json.loads(out.splitlines()[-1]) for _, out, _ in ended]


def main() -> None:
    from myna.training import processes

    module, _, function = sys.argv[1].partition(":")
    with processes.joined():
        result = getattr(import_module(module), function)(*map(json.loads, sys.argv[2:]))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
