"""Where the time of a training step goes beside matrix products, at one thread, by torch's profiler.

    python benchmarks/shares.py [--json] [--row NAME] [--repeats N]

The steps are those of ``benchmarks/pretraining.py``, one process, one thread. Shares are of the time of the profiled
steps by the clock, which other work on the machine stretches alike; what the profiler itself takes is in ``python and
the graph``. ``seconds`` is the processor time of a step without it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pairs
import pretraining

ROWS = ("bert-256x4-grouped", "gpt-384x6-stream")
# The first of these that is in the name of an operation, or of what it is a part of, says where its time belongs.
PLACES = (
    ("_AttendRuns", "attention"),
    ("attention", "attention"),
    ("_LinearCrossEntropy", "loss"),
    ("Optimizer.", "optimizer and clipping"),
    ("_foreach", "optimizer and clipping"),
    ("vector_norm", "optimizer and clipping"),
    ("embedding", "embeddings and their gradient"),
    ("Embedding", "embeddings and their gradient"),
    ("index", "embeddings and their gradient"),
    ("norm", "norms"),
    ("Norm", "norms"),
    ("gelu", "activation"),
    ("Gelu", "activation"),
    ("_DropAndAdd", "dropout and residual sums"),
    ("AccumulateGrad", "gradients added up"),
)
PRODUCTS = ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm", "aten::_addmm_activation")
OTHER, PYTHON = "copies and other elementwise", "python and the graph"


def place_of(event: Any) -> str:
    """Where the time of an operation belongs."""
    if event.name in PRODUCTS:
        return "matrix products"
    for name in names(event):
        for part, place in PLACES:
            if part in name:
                return place
    return OTHER if event.name.startswith("aten::") else PYTHON


def names(event: Any) -> Iterator[str]:
    """Its name, and those of what it is a part of, outwards."""
    while event is not None:
        yield event.name
        event = event.cpu_parent


def measure(name: str, repeats: int) -> dict[str, Any]:
    """The shares of a row's step."""
    import torch

    torch.set_num_threads(1)
    work = replace(pretraining.ROWS[name].work, steps_a_round=1)
    rounds = pretraining.ours(work, best=False)
    next(rounds)
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        tokens = next(rounds)
        seconds.append(time.process_time() - began)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        began = time.perf_counter()
        for _ in range(repeats):
            next(rounds)
        total = time.perf_counter() - began
    found: Counter[str] = Counter()
    for event in profiler.events():
        found[place_of(event)] += event.self_cpu_time_total / 1e6
    found[PYTHON] += total - sum(found.values())
    shares = {place: round(taken / total, 3) for place, taken in found.most_common()}
    return {"name": name, "tokens": tokens, "seconds": round(statistics.median(seconds), 2), "shares": shares}


def main() -> None:
    """Prints a table of shares, a column for each row asked for."""
    given = pairs.options(__doc__ or "", ROWS).parse_args()
    rows = []
    for name in [given.row] if given.row else ROWS:
        rows.append(measure(name, given.repeats))
        if given.json:
            print(json.dumps(rows[-1]), flush=True)
    if given.json:
        return
    print(f"| | {' | '.join(row['name'] for row in rows)} |\n|---|{'---|' * len(rows)}")
    for place in dict.fromkeys(place for row in rows for place in row["shares"]):
        shares = (f"{row['shares'].get(place, 0):.1%}" for row in rows)
        print(f"| {place} | {' | '.join(shares)} |")
    steps = " | ".join(f"{row['seconds']:.2f} s for {row['tokens']:,} tokens" for row in rows)
    print(f"| a step, processor time | {steps} |")


if __name__ == "__main__":
    main()
