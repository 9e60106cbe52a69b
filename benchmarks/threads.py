"""Threads that spin a little where they wait, as in our runs, beside threads that spin long, as torch has them.

    python benchmarks/threads.py [--json] [--row NAME] [--repeats N] [--threads N]

A training step of a bert-mini over 1,024 tokens with all cores (or ``--threads``), in tokens a second. ``alone``
nothing else is done; ``shared`` another process keeps each core busy. Ours has ``GOMP_SPINCOUNT=10000``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pairs

LENGTH, DOCUMENTS, VOCABULARY = 64, 16, 8_000
# Useful arithmetic of a token: 4 layers 256 wide, attention within its document, the head at the masked 15 %.
FLOPS = 6 * 4 * 12 * 256**2 + 12 * 4 * 256 * LENGTH + 0.15 * 6 * (256**2 + 256 * VOCABULARY)
ROWS = ("alone", "shared")
# What libgomp has where nothing is set (GOMP_SPINCOUNT in its manual): it can't be taken away, but said.
SPINNING = pairs.Peer("spinning, as torch has it", {"GOMP_SPINCOUNT": "300000"})


def side() -> Iterator[int]:
    """Steps of the loop, forward and backward."""
    import torch

    from myna.model.heads import build
    from myna.objectives.language import Vocabulary
    from myna.objectives.masked import MaskedLM
    from myna.presets import model_config
    from myna.tokens.pieces import Piece
    from myna.training.batches import backward, make_batches
    from myna.training.machine import keep_freed_memory

    class Texts:
        lengths = np.full(DOCUMENTS, LENGTH)

        def __getitem__(self, index: int) -> Piece:
            ids = np.random.default_rng(index).integers(5, VOCABULARY, LENGTH - 2)
            return Piece(ids, np.ones(len(ids), np.uint8), index, None, None)

    keep_freed_memory()
    torch.set_num_threads(int(os.environ["BENCHMARK_THREADS"]))
    objective = MaskedLM(Vocabulary(VOCABULARY, 2, 3, 4, (0, 1, 2, 3, 4)))
    model = build(model_config("bert-mini", VOCABULARY), objective.head)
    batches = make_batches(objective, Texts(), range(DOCUMENTS), 1024, 1)
    while True:
        backward(objective, model, batches)
        yield LENGTH * DOCUMENTS


def main() -> None:
    """Runs the rows asked for."""
    parser = pairs.options(__doc__, ROWS)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of a step (default: all cores)")
    given = parser.parse_args()
    if given.side:
        pairs.serve(side)
        return
    os.environ.update(OMP_DYNAMIC="FALSE", BENCHMARK_THREADS=str(given.threads))
    for name in [given.row] if given.row else ROWS:
        others = os.cpu_count() or 1 if name == "shared" else 0
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
        try:
            pairs.show(
                pairs.compare(__file__, name, {"spinning": SPINNING}, "tokens/s", FLOPS, given.repeats), given.json
            )
        finally:
            for process in busy:
                process.kill()
                process.wait()


if __name__ == "__main__":
    sys.exit(main())
