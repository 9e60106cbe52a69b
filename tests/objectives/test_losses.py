"""Losses as sums, against torch in float64; a step's gradient does not depend on how the step is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from myna import randomness
from myna.model.config import ModelConfig
from myna.model.heads import build
from myna.objectives.causal import CausalLM
from myna.objectives.losses import linear_cross_entropy, target_nats
from myna.objectives.masked import MaskedLM
from myna.objectives.protocol import Loss, Objective, Term
from myna.training.loop import backward, make_batches

from ..model.test_transformer import SMALL
from ..stores import VOCABULARY, random_store


@pytest.mark.parametrize("rows", [0, 1, 511, 512, 1300])
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear_cross_entropy_has_the_value_and_gradients_of_torch(rows: int, with_bias: bool) -> None:
    draw = torch.Generator().manual_seed(rows)
    hidden, weight, bias = (torch.randn(s, dtype=torch.float64, generator=draw) for s in ((rows, 8), (30, 8), (30,)))
    targets = torch.randint(0, 30, (rows,), generator=draw)
    ours = [t.clone().requires_grad_() for t in (hidden, weight, bias)]
    theirs = [t.clone().requires_grad_() for t in (hidden, weight, bias)]
    value = linear_cross_entropy(ours[0], ours[1], ours[2] if with_bias else None, targets)
    logits = F.linear(theirs[0], theirs[1], theirs[2] if with_bias else None)
    expected = F.cross_entropy(logits, targets, reduction="sum")
    assert value.item() == pytest.approx(expected.item(), rel=1e-13)
    (value * 0.37).backward()
    (expected * 0.37).backward()
    for one, other in list(zip(ours, theirs, strict=True))[: 3 if with_bias else 2]:
        assert torch.allclose(one.grad, other.grad, rtol=1e-12, atol=1e-14)
    nats = target_nats(hidden, weight, bias if with_bias else None, targets)
    assert torch.allclose(nats, F.cross_entropy(logits, targets, reduction="none"), rtol=1e-12)


def test_the_total_of_a_loss_is_each_sum_over_the_count_of_the_step() -> None:
    loss = Loss((Term("a", torch.tensor(6.0), 2), Term("b", torch.tensor(10.0), 5, weight=0.5)))
    assert loss.total({"a": 4, "b": 10}).item() == pytest.approx(6 / 4 + 0.5 * 10 / 10)


BERT = ModelConfig(**SMALL, segments=2, dropout=0.1)
GPT = ModelConfig(**SMALL, attention="causal", norm_place="pre", dropout=0.1)


@pytest.mark.parametrize("objective, config", [(MaskedLM(VOCABULARY), BERT), (CausalLM(VOCABULARY), GPT)])
def test_gradients_do_not_depend_on_how_a_step_is_cut(objective: Objective, config: ModelConfig) -> None:
    """64 documents at once, as 2×32, as 4×16 and in ragged parts, with dropout on: the same to 1e-12."""
    draw = np.random.default_rng(0)
    store = random_store(draw.integers(1, 28, 64).tolist(), word=2)
    items = objective.items([store], config.maximum_length)
    assert len(items) == 64
    model = build(config, objective.head, seed=3).double()
    key = randomness.key(7, "step", 11)
    whole = make_batches(objective, items, range(64), 10**9, key)
    assert len(whole) == 1

    def parts(*cuts: int) -> list:
        pieces = np.split(np.arange(64), cuts)
        return [objective.batch([items[int(i)] for i in piece], piece, key) for piece in pieces]

    def gradients(batches: list) -> tuple[float, dict[str, torch.Tensor]]:
        model.zero_grad()
        loss = backward(objective, model, batches)
        return loss, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    expected_loss, expected = gradients(whole)
    ragged = make_batches(objective, items, range(64), 100, key)
    assert len(ragged) > 5
    for batches in (parts(32), parts(16, 32, 48), parts(1, 8, 60), ragged):
        loss, found = gradients(batches)
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        for name, gradient in expected.items():
            assert (found[name] - gradient).abs().max() <= 1e-12 * gradient.abs().max(), name


def test_dropout_was_on_in_that() -> None:
    store = random_store([20] * 4)
    objective, model = CausalLM(VOCABULARY), build(GPT, "causal", seed=3)
    items = objective.items([store], 32)
    one, other = (backward(objective, model, make_batches(objective, items, range(4), 10**9, k)) for k in (1, 2))
    assert one != other
