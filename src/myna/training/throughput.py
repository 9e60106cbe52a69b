"""How fast a training is, in words: tokens a second, the share of the machine's matrix rate, memory, time left."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from torch import nn

from myna.model.heads import LANGUAGE_KINDS, Model
from myna.objectives.protocol import Batch
from myna.training.machine import peak_bytes

# So many steps back the speed is looked at: it follows what the machine does, and does not jump.
_STEPS = 20


class Throughput:
    """Watches the steps of a training; ``matrix_gflops`` is what the machine's matrix products reach."""

    def __init__(self, model: Model, matrix_gflops: float) -> None:
        self._model, self._matrix = model, matrix_gflops * 1e9
        self._steps: deque[tuple[float, int, float]] = deque(maxlen=_STEPS)

    def step(self, batches: Sequence[Batch], seconds: float, tokens: int) -> None:
        """Notes a step and how long it took. Of its ``tokens`` these ``batches``, one process's, are as good as any."""
        own = sum(batch.size for batch in batches)
        self._steps.append((seconds, tokens, useful_flops(self._model, batches) * tokens / max(own, 1)))

    def describe(self, steps_left: int) -> str:
        """The speed over the last steps, memory, and the time for the steps that are left, for a line on the screen."""
        seconds, tokens, flops = (sum(step[n] for step in self._steps) for n in range(3))
        if not seconds:
            return ""
        left = in_words(steps_left * seconds / len(self._steps))
        share = flops / seconds / self._matrix
        return f"{tokens / seconds:,.0f} tokens/s, {share:.0%} of the matrix rate, {peak_bytes() / 1e9:.1f} GB, {left}"


def useful_flops(model: Model, batches: Sequence[Batch]) -> float:
    """The useful arithmetic of a step, forward and backward: 6 FLOP for each weight of a matrix and token (of the
    head: each target), and that of attention within each document. Padding and recomputation would be no use.
    """
    config, kinds = model.config, model.kind in LANGUAGE_KINDS
    repeated = config.layers / max(config.layer_groups or config.layers, 1)
    trunk = sum(p.numel() * (repeated if ".blocks." in f".{name}" else 1) for name, p in _matrices(model.trunk))
    vocabulary = model.trunk.embeddings.words.weight.numel() if kinds and config.tied else 0
    head = vocabulary + sum(p.numel() for _, p in _matrices(model.head))
    # A causal token sees half of its document.
    seen = 6 if config.attention == "causal" else 12
    total = 0.0
    for batch in batches:
        squares = sum(run.documents * run.length**2 for run in batch.tokens.runs)
        total += 6 * trunk * batch.size + seen * config.layers * config.hidden_size * squares
        total += 6 * head * len(batch.targets)
    return total


def _matrices(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in module.named_parameters() if p.ndim > 1 and "embeddings" not in name]


def in_words(seconds: float) -> str:
    """How long is left, as ``12 min left``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} left"
    return f"{seconds:.0f} s left"
