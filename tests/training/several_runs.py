"""Trainings that several processes, or one, do in the same way: what they learn is compared."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from myna.model.heads import Model
from myna.objectives.masked import MaskedLM
from myna.objectives.protocol import Batch, Loss
from myna.training import machine
from myna.training.loop import train
from myna.training.processes import processes
from myna.training.settings import TrainingConfig

from ..objectives.test_all import CASES, made
from ..stores import random_store
from .runs import metrics

CONFIG = TrainingConfig(
    steps=6,
    batch_tokens=120,
    micro_batch_tokens=40,
    learning_rate=3e-3,
    log_steps=1,
    checkpoint_seconds=1e6,
    keep_every=100,
    threads=1,
)


class Apart(MaskedLM):
    """Trains beside the model a matrix that long documents alone use, one whose gradient is always zero, and one that
    nothing uses. With momentum and decay the three fare differently.
    """

    def __init__(self, of: MaskedLM) -> None:
        vars(self).update(vars(of))
        self.matrices = nn.ParameterDict({name: torch.ones(2, 2) for name in ("seldom", "zero", "never")})

    def modules(self) -> dict[str, nn.Module]:
        return {"apart": self.matrices}

    def loss(self, model: Model, batch: Batch) -> Loss:
        first, *others = super().loss(model, batch).terms
        more = 0.0 * self.matrices["zero"].sum()
        long = sum(run.documents for run in batch.tokens.runs if run.length > 26)
        if long:
            more = more + long * self.matrices["seldom"].square().sum()
        return Loss((replace(first, sum=first.sum + more), *others))


class Stop(Exception):
    """A training is broken off here."""


def learn(folder: Path, name: str, single: bool = False, stop: int | None = None, **settings: Any) -> dict[str, Any]:
    """Trains in ``folder`` by an objective, in float64 or ``single`` precision, and gives what there is to compare.

    With ``stop`` it is broken off behind that step.
    """
    machine.matrix_gflops = lambda: 100.0  # Measuring would take longer than the training.
    objective, model = made("masked" if name == "apart" else name)
    objective = Apart(objective) if name == "apart" else objective
    for module in (model, *objective.modules().values()):
        module.float() if single else module.double()
    draw = np.random.default_rng(0)
    items = objective.items([random_store(draw.integers(1, 28, 60).tolist(), word=2)], 32)

    def report(what: str, share: float) -> None:
        if stop is not None and what.startswith(f"step {stop} of"):
            raise Stop

    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(Stop):
        train(model, objective, items, CONFIG.model_copy(update=settings), folder, 5, identity={}, report=report)
    parameters = [p for module in (model, *objective.modules().values()) for p in module.parameters()]
    if stop:
        return {}  # The first process may be writing its last line while another reads.
    processes().together(lambda: None)  # Nor before it has closed its log.
    return {"lines": metrics(folder), "sums": [float(p.detach().double().square().sum()) for p in parameters]}


def learn_all(folder: str, runs: Sequence[dict[str, Any]]) -> list[Any]:
    """Several trainings, each in a folder of its own below ``folder``."""
    return [learn(Path(folder) / run.pop("to"), **run) for run in [dict(run) for run in runs]]


def every_objective(parallel: str, optimizer: str = "adamw") -> list[dict[str, Any]]:
    """A run for each objective."""
    return [{"to": f"{name}-{parallel}", "name": name, "parallel": parallel, "optimizer": optimizer} for name in CASES]
