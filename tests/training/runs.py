"""Trainings of a few steps of a tiny model, and what of them must not depend on how they came about."""

from __future__ import annotations

import json
from pathlib import Path

from myna.model.heads import Model, build
from myna.objectives.causal import CausalLM
from myna.objectives.masked import MaskedLM
from myna.training.loop import train
from myna.training.settings import TrainingConfig

from ..objectives.test_losses import BERT, GPT
from ..stores import VOCABULARY, random_store

CONFIG = TrainingConfig(steps=9, batch_tokens=120, micro_batch_tokens=50, log_steps=2, checkpoint_seconds=0, threads=1)
STORE = random_store([20, 31, 5, 17, 29, 3, 30] * 3, word=2)


def run(
    folder: Path,
    *,
    causal: bool = False,
    config: TrainingConfig = CONFIG,
    seed: int = 1,
    objective: MaskedLM | CausalLM | None = None,
    **options,
) -> Model:
    """Trains in ``folder``, as far as it is not done, and gives the model."""
    objective = objective or (CausalLM(VOCABULARY) if causal else MaskedLM(VOCABULARY))
    model = build(GPT if causal else BERT, objective.head, seed=seed)
    folder.mkdir(exist_ok=True)
    items = objective.items([STORE], 32)
    train(model, objective, items, config, folder, seed, identity=options.pop("identity", {}), **options)
    return model


def weights(model: Model) -> bytes:
    """All of them."""
    return b"".join(p.detach().numpy().tobytes() for p in model.parameters())


def metrics(folder: Path) -> list[dict]:
    """The lines of the log, but for the clock."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def steps(folder: Path) -> list[int]:
    """The steps of the checkpoints that are there."""
    return [int(place.name.removeprefix("step-")) for place in sorted((folder / "checkpoints").glob("step-*"))]
