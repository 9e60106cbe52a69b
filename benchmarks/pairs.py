"""Two sides measured in turn: each in a process of its own, so that memory is its own, one working while one waits.

A side is a function that warms up and then gives an iterator of work; each ``next`` does one round and gives the
units done (tokens, examples). The driver alternates the sides, measures the machine's matrix rate between the rounds,
and prints medians: these machines are shared, and only what was alternated can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

from myna.training.machine import matrix_gflops

Side = Callable[[], Iterator[int]]


@dataclass(frozen=True)
class Row:
    """A line of results; rates are units a second, ``share`` is ours of the matrix rate in useful arithmetic."""

    name: str
    ours: float
    peer: float
    peer_name: str
    unit: str
    ratio: float
    ours_peak_bytes: int
    peer_peak_bytes: int
    matrix_gflops: float
    share: float


def options(description: str, rows: Iterable[str]) -> argparse.ArgumentParser:
    """What every script with rows can be asked on the command line. ``--side`` is for the workers that it starts."""
    parser = argparse.ArgumentParser(description=description.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="a JSON object a row")
    parser.add_argument("--row", choices=list(rows), help="only this row")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--side", choices=["ours", "peer"], help=argparse.SUPPRESS)
    return parser


def serve(side: Side) -> None:
    """The worker's end: a line on standard input asks for a round, a line on standard output answers."""
    rounds = side()
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        units = next(rounds)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"units": units, "seconds": seconds, "peak": peak}), flush=True)


class _Worker:
    def __init__(self, script: str, row: str, side: str) -> None:
        # A waiting side must not spin on the cores of the working one.
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        self.process = subprocess.Popen(
            [sys.executable, script, "--row", row, "--side", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._answer()

    def _answer(self) -> dict:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"a side of the benchmark ended early: {self.process.args}")

    def round(self) -> dict:
        """One round of work."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()


def compare(script: str, row: str, peer_name: str, unit: str, flops_per_unit: float, repeats: int) -> Row:
    """Alternates the two sides of a row and gives the medians."""
    workers = {side: _Worker(script, row, side) for side in ("ours", "peer")}
    rates: dict[str, list[float]] = {"ours": [], "peer": []}
    peaks = {"ours": 0, "peer": 0}
    matrix = [matrix_gflops()]
    for _ in range(repeats):
        for side, worker in workers.items():
            answer = worker.round()
            rates[side].append(answer["units"] / answer["seconds"])
            peaks[side] = answer["peak"]
            matrix.append(matrix_gflops())
    for worker in workers.values():
        worker.stop()
    ours, peer, rate = (statistics.median(values) for values in (rates["ours"], rates["peer"], matrix))
    ratios = [a / b for a, b in zip(rates["ours"], rates["peer"], strict=True)]
    return Row(
        row,
        round(ours, 1),
        round(peer, 1),
        peer_name,
        unit,
        round(statistics.median(ratios), 2),
        peaks["ours"],
        peaks["peer"],
        round(rate, 1),
        round(ours * flops_per_unit / 1e9 / rate, 3),
    )


def show(row: Row, as_json: bool) -> None:
    """Prints a row, for machines or for people."""
    if as_json:
        print(json.dumps(asdict(row)), flush=True)
        return
    memory = f"{row.ours_peak_bytes / 2**20:,.0f} against {row.peer_peak_bytes / 2**20:,.0f} MiB at most"
    print(
        f"{row.name}: {row.ours:,.0f} {row.unit}, {row.peer_name} {row.peer:,.0f} ({row.ratio:.2f} times as fast); "
        f"{memory}; {row.share:.2f} of the matrix rate ({row.matrix_gflops:.0f} GFLOP/s) in useful arithmetic",
        flush=True,
    )
