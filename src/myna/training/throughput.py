"""How fast a training is, in words: tokens a second, the share of the machine's matrix rate, memory, time left."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from torch import nn

from myna.model.heads import Model
from myna.objectives.protocol import Batch
from myna.training.arithmetic import useful_flops
from myna.training.machine import peak_bytes

# So many steps back the speed is looked at: it follows what the machine does, and does not jump.
_STEPS = 20


class Throughput:
    """Watches the steps of a training; ``matrix_gflops`` is what the machine's matrix products reach.

    ``beside`` are the modules that the objective trains beside the model.
    """

    def __init__(self, model: Model, matrix_gflops: float, beside: Iterable[nn.Module] = ()) -> None:
        self._model, self._matrix, self._beside = model, matrix_gflops * 1e9, tuple(beside)
        self._steps: deque[tuple[float, int, float]] = deque(maxlen=_STEPS)
        # Of a token, as the last batches had them.
        self._flops: float | None = None

    def step(self, batches: Sequence[Batch], seconds: float, tokens: int) -> None:
        """Notes a step and how long it took.

        Of its ``tokens`` these ``batches``, one process's, are as good as any; where it had none, those of before.
        """
        own = sum(batch.size for batch in batches)
        if own:
            self._flops = useful_flops(self._model, batches, self._beside) / own
        self._steps.append((seconds, tokens, (self._flops or 0.0) * tokens))

    def describe(self, steps_left: int) -> str:
        """The speed over the last steps, memory, and the time for the steps that are left, for a line on the screen."""
        seconds, tokens, flops = (sum(step[n] for step in self._steps) for n in range(3))
        if not seconds:
            return ""
        left = in_words(steps_left * seconds / len(self._steps))
        share = "" if self._flops is None else f"{flops / seconds / self._matrix:.0%} of the matrix rate, "
        return f"{tokens / seconds:,.0f} tokens/s, {share}{peak_bytes() / 1e9:.1f} GB, {left}"


def in_words(seconds: float) -> str:
    """How long is left, as ``12 min left``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} left"
    return f"{seconds:.0f} s left"
