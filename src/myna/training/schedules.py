"""The learning rate as a function of the step, and of nothing else.

==============  ===================================================================================================
``constant``    rises over the warm-up, then stays
``linear``      then falls in a line to 0 at the end
``cosine``      then falls along half a cosine to 0 at the end
``inverse_sqrt``  then falls as 1/√step (Vaswani et al. 2017, arXiv:1706.03762, 5.3); the length does not matter to it
``wsd``         then stays, and falls to 0 over the last part only (warm-up–stable–decay: Hu et al. 2024,
                arXiv:2404.06395); a longer run is the same run up to where the stable part of the shorter one ended
==============  ===================================================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from myna.training.settings import Cooldown, Shape, TrainingConfig


@dataclass(frozen=True)
class Schedule:
    """The learning rates of a run of ``steps`` steps: ``highest`` is reached after ``warmup`` steps.

    ``warmup`` need not be whole, as it may be a share of the steps. ``cooldown`` are the last steps, over which ``wsd``
    falls: in a line (``linear``), or fast and then ever slower (``sqrt``: 1 − √ of the way; Hägele et al. 2024,
    arXiv:2405.18392).
    """

    shape: Shape
    steps: int
    highest: float
    warmup: float
    cooldown: int = 0
    cooldown_shape: Cooldown = "linear"

    @property
    def stable_steps(self) -> int:
        """The steps that a longer run of the same settings would begin with too; none where the shape has no such."""
        return self.steps - self.cooldown if self.shape == "wsd" else 0

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.highest * (step + 1) / (math.floor(self.warmup) + 1)
        left = min((self.steps - step) / max(self.steps - self.warmup, 1), 1.0)
        if self.shape == "linear":
            return self.highest * left
        if self.shape == "cosine":
            return self.highest * 0.5 * (1 - math.cos(math.pi * left))
        if self.shape == "inverse_sqrt":
            scale = max(self.warmup, 1.0)
            return self.highest * math.sqrt(scale / (step - self.warmup + scale))
        if self.shape == "wsd" and step > self.stable_steps:
            way = min((step - self.stable_steps) / self.cooldown, 1.0)
            return self.highest * (1 - (math.sqrt(way) if self.cooldown_shape == "sqrt" else way))
        return self.highest


def make_schedule(config: TrainingConfig, steps: int) -> Schedule:
    """The schedule that the settings ask for in a run of ``steps`` steps."""
    cooldown = steps - stable_steps(config, steps) if config.schedule == "wsd" else 0
    return Schedule(
        config.schedule, steps, config.learning_rate, _warmup(config, steps), cooldown, config.cooldown_shape
    )


def stable_steps(config: TrainingConfig, steps: int) -> int:
    """Where the cool-down begins in a run of ``steps`` steps, with any schedule."""
    # A cool-down that would begin within the warm-up begins where that ends.
    longest = max(steps - math.ceil(_warmup(config, steps)), 0)
    return steps - min(round(config.cooldown * steps), longest)


def _warmup(config: TrainingConfig, steps: int) -> float:
    return config.warmup * steps if config.warmup_steps is None else float(config.warmup_steps)
