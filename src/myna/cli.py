"""The command line: the verbs of :mod:`myna.commands`, and how a command ends."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from myna.commands import app, training, using, viewing
from myna.explaining import explain

__all__ = ["app", "main", "training", "using", "viewing"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and leaves: 0 done, 1 failed on the way, 2 wrong use or input, 130 and 143 interrupted."""
    from myna.training import processes

    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    debug = "--debug" in given
    # Read when torch is imported: as many threads as were asked for compute each time, and so the same sums.
    os.environ.update(OMP_DYNAMIC="FALSE", MKL_DYNAMIC="FALSE")
    # Threads that wait spin, by default so long that they burn the time of others on a shared machine; without
    # spinning at all, small models lose a third on a quiet one (docs/performance.md).
    if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}:
        os.environ["GOMP_SPINCOUNT"] = "10000"
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app([word for word in given if word != "--debug"], prog_name="myna", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        if debug:
            traceback.print_exc()
        line, code = explain(error)
        if line and processes.tells(error):
            print(f"myna: {line}", file=sys.stderr)
    # Typer makes its own code of an interrupt; a training that was ended by SIGTERM has saved itself.
    if code in (130, 143) and processes.rank() == 0:
        print("myna: interrupted; the same command goes on where it was", file=sys.stderr)
    processes.end(code if isinstance(code, int) else 0)
