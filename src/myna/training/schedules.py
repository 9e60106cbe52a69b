"""The learning rate as a function of the step, and of nothing else."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, highest: float, warmup: float, schedule: str) -> float:
    """The rate of a step, counted from 0, of ``steps``.

    It rises linearly over the share ``warmup`` of the steps, then stays (``constant``), or falls towards 0 in a line
    (``linear``) or along half a cosine (``cosine``).
    """
    rising = warmup * steps
    if step < rising:
        return highest * (step + 1) / (math.floor(rising) + 1)
    left = (steps - step) / max(steps - rising, 1)
    if schedule == "linear":
        return highest * min(left, 1.0)
    if schedule == "cosine":
        return highest * 0.5 * (1 - math.cos(math.pi * min(left, 1.0)))
    return highest
