"""NaN in a training, at any step: found within it and named, and the run goes on from before when the cause is gone."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

from . import material
from .command import Ground, finish, go_on_to_the_end, start
from .trials import Outcome, Part

# What is harmed, what of the model, and the name that the error must give it.
_PARTS = ("trunk.embeddings.words", "trunk.embeddings", "trunk.blocks.0.mixer", "trunk.blocks.1.feed_forward")
_PARAMETERS = (
    "trunk.embeddings.words.weight",
    "trunk.blocks.0.mixer.projection.weight",
    "trunk.blocks.1.feed_forward.output.weight",
)
HARMS = (
    *(("output", name, f"the output of {name}") for name in _PARTS),
    *(("weight", name, f"the weight {name}") for name in _PARAMETERS),
    *(("gradient", name, f"the gradient of {name}") for name in _PARAMETERS),
    *((kind, name, f"the optimizer's {name}.{kind}") for name in _PARAMETERS for kind in ("exp_avg", "exp_avg_sq")),
)


def not_a_number(ground: Ground, place: Path, number: int, draw: random.Random) -> Outcome:
    """Makes one thing NaN in a step of a training."""
    kind, name, expected = HARMS[number * 5 % len(HARMS)]
    stage, step, folder = material.TRAININGS[number % 2], draw.randint(2, 28), place / "run"
    shutil.copytree(ground.uncut, folder)
    material.take_back(folder, stage)
    ended = finish(start(ground, folder, 0.0, harm=[kind, name, str(step), stage]))
    wanted = f"{expected} is not a number at step {step} ("
    if ended.code != 1 or len(ended.errors) != 1 or wanted not in ended.errors[0] or ended.errors[0] != ended.said[-1]:
        return Outcome(1, f"{kind} of {name} at step {step}: ended with {ended.code}: {ended.said[-2:]}")
    material.check_artefacts(folder)
    saved = material.saved_step(folder, stage)
    if saved != step - 1:
        return Outcome(1, f"{kind} of {name} at step {step}: the newest checkpoint is of step {saved}")
    return Outcome(1, go_on_to_the_end(ground, folder), Counter({f"named: {kind}": 1}))


PARTS = (
    Part(
        "nan", "NaN in an output, a weight, a gradient, the optimizer's state: named in its step", 40, 8, not_a_number
    ),
)
