"""Threads that spin a little where they wait, as in our runs, beside threads that spin long, or not at all.

    python benchmarks/threads.py [--json] [--row NAME] [--repeats N] [--threads N]

Forward and backward of a training step over 1,024 tokens with all cores (or ``--threads``), in tokens a second.
``alone`` (a bert-mini) and ``alone-small`` (a cnn-tiny): nothing else is done; ``shared`` (a bert-mini): another
process keeps each core busy. Ours has ``GOMP_SPINCOUNT=10000``; one peer spins as torch has it, the other sleeps.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pairs

LENGTH, DOCUMENTS, VOCABULARY = 64, 16, 8_000
ROWS = {"alone": "bert-mini", "alone-small": "cnn-tiny", "shared": "bert-mini"}
PEERS = {
    # What libgomp has where nothing is set (GOMP_SPINCOUNT in its manual): it can't be taken away, but said.
    "spinning": pairs.Peer("spinning, as torch has it", {"GOMP_SPINCOUNT": "300000"}),
    "sleeping": pairs.Peer("sleeping at once", {"GOMP_SPINCOUNT": "0"}),
}


def work(preset: str) -> tuple[Any, Any, Any]:
    """An objective, a model and the batches of a step."""
    from myna.model.heads import build
    from myna.objectives.language import Vocabulary
    from myna.objectives.masked import MaskedLM
    from myna.presets import model_config
    from myna.tokens.pieces import Piece
    from myna.training.batches import make_batches

    class Texts:
        lengths = np.full(DOCUMENTS, LENGTH)

        def __getitem__(self, index: int) -> Piece:
            ids = np.random.default_rng(index).integers(5, VOCABULARY, LENGTH - 2)
            return Piece(ids, np.ones(len(ids), np.uint8), index, None, None)

    objective = MaskedLM(Vocabulary(VOCABULARY, 2, 3, 4, (0, 1, 2, 3, 4)))
    model = build(model_config(preset, VOCABULARY), objective.head)
    return objective, model, make_batches(objective, Texts(), range(DOCUMENTS), 1024, 1)


def side(preset: str) -> Iterator[int]:
    """Steps of the loop, forward and backward, some of them a round."""
    import torch

    from myna.training.batches import backward
    from myna.training.machine import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(int(os.environ["BENCHMARK_THREADS"]))
    objective, model, batches = work(preset)
    steps = 20 if preset == "cnn-tiny" else 4
    while True:
        for _ in range(steps):
            backward(objective, model, batches)
        yield LENGTH * DOCUMENTS * steps


def main() -> None:
    """Runs the rows asked for."""
    from myna.training.arithmetic import useful_flops

    parser = pairs.options(__doc__, ROWS)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of a step (default: all cores)")
    given = parser.parse_args()
    if given.side:
        pairs.serve(partial(side, ROWS[given.row]))
        return
    os.environ.update(OMP_DYNAMIC="FALSE", BENCHMARK_THREADS=str(given.threads))
    for name in [given.row] if given.row else ROWS:
        _, model, batches = work(ROWS[name])
        flops = useful_flops(model, batches) / (LENGTH * DOCUMENTS)
        others = os.cpu_count() or 1 if name == "shared" else 0
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
        try:
            pairs.show(pairs.compare(__file__, name, PEERS, "tokens/s", flops, given.repeats), given.json)
        finally:
            for process in busy:
                process.kill()


if __name__ == "__main__":
    sys.exit(main())
