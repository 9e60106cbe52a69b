"""Sides measured in turn: each in a process of its own, so that memory is its own, one working while the others wait.

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
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from myna.training.machine import matrix_gflops

Side = Callable[[], Iterator[int]]
# Where a side finds what it reads, where there is something.
MATERIAL = "MYNA_BENCHMARK_MATERIAL"

# As in any run (cli.py).
OURS = {"GOMP_SPINCOUNT": "10000", "OMP_DYNAMIC": "FALSE", "MKL_DYNAMIC": "FALSE"}


@dataclass(frozen=True)
class Peer:
    """A peer's ``name`` in the results, and what its process finds in the environment beside what there is."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A line of results; rates are units a second, ``share`` is ours of the matrix rate in useful arithmetic.

    ``peer`` is the fastest peer of the row; ``others`` are the rates of all of them by name.
    """

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
    others: dict[str, float]


def options(description: str, rows: Iterable[str]) -> argparse.ArgumentParser:
    """What every script with rows can be asked on the command line. ``--side`` is for the workers that it starts."""
    parser = argparse.ArgumentParser(description=description.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="a JSON object a row")
    parser.add_argument("--row", choices=list(rows), help="only this row")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser


def run(
    script: str,
    description: str,
    unit: str,
    peers: Mapping[str, Mapping[str, Peer] | str],
    side_of: Callable[[str, str], Side],
    flops: Callable[[str], float],
    material: Callable[[Path], None] | None = None,
) -> None:
    """What a script with rows does: the work of one side where it is a worker, else all rows asked for, printed.

    ``peers`` are those of each row (see :func:`compare`), ``side_of(row, side)`` does a side's work, ``flops(row)`` is
    the useful arithmetic of a unit. ``material`` writes what both sides read, in the folder :data:`MATERIAL` names.
    """
    given = options(description, peers).parse_args()
    if given.side:
        serve(side_of(given.row, given.side))
        return
    with tempfile.TemporaryDirectory(prefix="myna-benchmark-") as folder:
        if material is not None:
            material(Path(folder))
            os.environ[MATERIAL] = folder
        for row in [given.row] if given.row else peers:
            show(compare(script, row, peers[row], unit, flops(row), given.repeats), given.json)


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
    def __init__(self, script: str, row: str, side: str, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, script, "--row", row, "--side", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
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


def compare(
    script: str, row: str, peers: Mapping[str, Peer] | str, unit: str, flops_per_unit: float, repeats: int
) -> Row:
    """Alternates the sides of a row and gives the medians. ``peers`` are by side, or one peer's name (side ``peer``).

    The ratio to the fastest peer is the median of those of neighbouring rounds.
    """
    peers = {"peer": Peer(peers)} if isinstance(peers, str) else peers
    workers = {"ours": _Worker(script, row, "ours", OURS)}
    workers |= {side: _Worker(script, row, side, peer.environment) for side, peer in peers.items()}
    rates: dict[str, list[float]] = {side: [] for side in workers}
    peaks, matrix = dict.fromkeys(workers, 0), [matrix_gflops()]
    for _ in range(repeats):
        for side, worker in workers.items():
            answer = worker.round()
            rates[side].append(answer["units"] / answer["seconds"])
            peaks[side] = answer["peak"]
            matrix.append(matrix_gflops())
    for worker in workers.values():
        worker.stop()
    medians = {side: statistics.median(values) for side, values in rates.items()}
    fastest = max(peers, key=lambda side: medians[side])
    rate = statistics.median(matrix)
    return Row(
        row,
        round(medians["ours"], 1),
        round(medians[fastest], 1),
        peers[fastest].name,
        unit,
        round(statistics.median(a / b for a, b in zip(rates["ours"], rates[fastest], strict=True)), 2),
        peaks["ours"],
        peaks[fastest],
        round(rate, 1),
        round(medians["ours"] * flops_per_unit / 1e9 / rate, 3),
        {peer.name: round(medians[side], 1) for side, peer in peers.items()},
    )


def show(row: Row, as_json: bool) -> None:
    """Prints a row, for machines or for people."""
    if as_json:
        print(json.dumps(asdict(row)), flush=True)
        return
    memory = f"{row.ours_peak_bytes / 2**20:,.0f} against {row.peer_peak_bytes / 2**20:,.0f} MiB at most"
    others = "".join(f"; {name} {rate:,.0f}" for name, rate in row.others.items() if name != row.peer_name)
    print(
        f"{row.name}: {row.ours:,.0f} {row.unit}, {row.peer_name} {row.peer:,.0f} ({row.ratio:.2f} times as fast); "
        f"{memory}; {row.share:.2f} of the matrix rate ({row.matrix_gflops:.0f} GFLOP/s) in useful arithmetic{others}",
        flush=True,
    )
