"""Recomputed layers have the same gradients to the bit, dropout on, and hold less meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from myna import randomness
from myna.model.config import ModelConfig
from myna.model.heads import build
from myna.objectives.causal import CausalLM
from myna.objectives.masked import MaskedLM
from myna.training.batches import backward, make_batches
from myna.training.recompute import recomputing

from ..objectives.test_losses import BERT, GPT
from ..stores import VOCABULARY
from .runs import CONFIG, STORE, run, weights

MIXED = BERT.model_copy(update={"mixer": ["convolution+attention", "convolution"], "heads": 4})


@pytest.mark.parametrize("config, objective", [(BERT, MaskedLM(VOCABULARY)), (GPT, CausalLM(VOCABULARY))])
def test_gradients_are_the_same_to_the_bit_and_less_is_held(
    config: ModelConfig, objective: MaskedLM | CausalLM
) -> None:
    model = build(config, objective.head, seed=2)
    items = objective.items([STORE], 32)
    batches = make_batches(objective, items, range(12), 10_000, randomness.key(1, "step", 1))
    found, held = [], []
    for recompute in (False, True):
        model.zero_grad()
        sizes: list[int] = []

        def keep(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        with recomputing([model] if recompute else []), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            loss = objective.loss(model, batches[0]).total(batches[0].counts)
            held.append(sum(sizes))
            loss.backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert held[1] < 0.5 * held[0]
    assert "forward" not in vars(model.trunk.blocks[0])


def test_a_run_is_the_same_with_and_without(tmp_path: Path) -> None:
    plain = weights(run(tmp_path / "plain"))
    assert weights(run(tmp_path / "again", config=CONFIG.model_copy(update={"recompute": True}))) == plain


def test_a_step_is_the_same_for_a_model_of_convolutions() -> None:
    objective = MaskedLM(VOCABULARY)
    gradients = []
    for recompute in (False, True):
        model = build(MIXED, "masked", seed=2)
        batches = make_batches(objective, objective.items([STORE], 32), range(12), 60, randomness.key(1, "step", 1))
        with recomputing([model] if recompute else []):
            backward(objective, model, batches)
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
