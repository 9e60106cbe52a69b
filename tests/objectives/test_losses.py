"""Losses as sums, against torch in float64; a step's gradient does not depend on how the step is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from myna import randomness
from myna.model.config import ModelConfig
from myna.model.flat import document_lengths, flatten
from myna.model.heads import Model, build
from myna.objectives import losses
from myna.objectives.causal import CausalLM
from myna.objectives.losses import linear_cross_entropy, target_nats
from myna.objectives.masked import MaskedLM
from myna.objectives.protocol import Batch, Loss, Objective, Term
from myna.training.batches import backward, make_batches

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


@pytest.mark.parametrize("smoothing, z_loss", [(0.1, 0.0), (0.0, 1e-2), (0.2, 1e-2)])
def test_smoothed_and_z_losses_in_chunks_are_those_of_whole_logits(smoothing: float, z_loss: float) -> None:
    draw = torch.Generator().manual_seed(5)
    hidden, weight, bias = (torch.randn(s, dtype=torch.float64, generator=draw) for s in ((700, 6), (20, 6), (20,)))
    targets = torch.randint(0, 20, (700,), generator=draw)
    ours = [t.clone().requires_grad_() for t in (hidden, weight, bias)]
    theirs = [t.clone().requires_grad_() for t in (hidden, weight, bias)]
    value = linear_cross_entropy(*ours, targets, smoothing, z_loss)
    logits = F.linear(*theirs)
    expected = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)
    expected = expected + z_loss * logits.logsumexp(1).square().sum()
    assert value.item() == pytest.approx(expected.item(), rel=1e-13)
    assert losses.cross_entropy(logits, targets, None, smoothing, z_loss).item() == pytest.approx(expected.item())
    (value * 0.37).backward()
    (expected * 0.37).backward()
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-11, atol=1e-13)


# Each loss by a plain loop over rows and classes, in its paper's own words.


def shares(row: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp(x / temperature) for x in row]
    return [x / sum(powers) for x in powers]


def divergence(one: list[float], other: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(one, other, strict=True))


def slow_focal(rows, targets):
    right = [shares(row)[t] for row, t in zip(rows, targets, strict=True)]
    return sum((1 - p) ** 2 * -math.log(p) for p in right)


def slow_weighted(rows, targets):
    return sum([0.5, 2, 1][t] * -math.log(shares(row)[t]) for row, t in zip(rows, targets, strict=True))


def slow_huber(rows, others):
    apart = [abs(a - b) for row, other in zip(rows, others, strict=True) for a, b in zip(row, other, strict=True)]
    return sum(d * d / 2 if d <= 0.7 else 0.7 * (d - 0.35) for d in apart)


def slow_divergence(rows, others):
    pairs = [(shares(row), shares(other)) for row, other in zip(rows, others, strict=True)]
    return sum((divergence(a, b) + divergence(b, a)) / 2 for a, b in pairs)


def slow_distillation(rows, others):
    return 4 * sum(divergence(shares(o, 2), shares(r, 2)) for r, o in zip(rows, others, strict=True))


def slow_many_labels(rows, others):
    chances = [[1 / (1 + math.exp(-x)) for x in row] for row in rows]
    wanted = [[float(x > 0) for x in row] for row in others]
    return -sum(
        w * math.log(p) + (1 - w) * math.log(1 - p)
        for row, want in zip(chances, wanted, strict=True)
        for p, w in zip(row, want, strict=True)
    )


def slow_contrastive(rows, others, groups):
    total = 0.0
    for i, query in enumerate(rows):
        likeness = []
        for j, key in enumerate(others):
            if groups[i] == groups[j]:
                cosine = sum(a * b for a, b in zip(query, key, strict=True)) / math.dist(query, [0] * 3)
                likeness.append((j, cosine / math.dist(key, [0] * 3) / 0.5))
        total -= math.log(dict(zip([j for j, _ in likeness], shares([x for _, x in likeness]), strict=True))[i])
    return total


def test_every_loss_is_that_of_its_paper() -> None:
    draw = torch.Generator().manual_seed(2)
    rows, others = (torch.randn(7, 3, dtype=torch.float64, generator=draw) for _ in range(2))
    targets, groups = torch.tensor([0, 2, 1, 1, 0, 2, 2]), torch.tensor([0, 0, 0, 1, 1, 2, 2])
    a, b, t = rows.tolist(), others.tolist(), targets.tolist()
    apart = [x - y for one, two in zip(a, b, strict=True) for x, y in zip(one, two, strict=True)]
    weights = torch.tensor([0.5, 2, 1], dtype=torch.float64)
    pairs = {
        "focal": (losses.focal(rows, targets), slow_focal(a, t)),
        "weighted": (losses.cross_entropy(rows, targets, weights), slow_weighted(a, t)),
        "focal without focus": (losses.focal(rows, targets, 0.0, weights), slow_weighted(a, t)),
        "many labels": (losses.many_labels(rows, others > 0), slow_many_labels(a, b)),
        "squared": (losses.squared(rows, others), sum(d * d for d in apart)),
        "absolute": (losses.absolute(rows, others), sum(map(abs, apart))),
        "huber": (losses.huber(rows, others, 0.7), slow_huber(a, b)),
        "R-Drop": (losses.divergence(rows, others), slow_divergence(a, b)),
        "distillation": (losses.distillation(rows, others, 2.0), slow_distillation(a, b)),
        "contrastive": (losses.contrastive(rows, others, groups, 0.5), slow_contrastive(a, b, groups.tolist())),
    }
    for name, (ours, slow) in pairs.items():
        assert ours.item() == pytest.approx(slow, rel=1e-12), name


def test_losses_add_up_over_any_cut_of_the_rows_and_teach_the_student_alone() -> None:
    draw = torch.Generator().manual_seed(3)
    rows, others = (torch.randn(8, 3, dtype=torch.float64, generator=draw, requires_grad=True) for _ in range(2))
    for loss in (losses.squared, losses.absolute, losses.huber, losses.divergence, losses.distillation):
        parts = sum(loss(rows[i : i + 3], others[i : i + 3]) for i in (0, 3, 6))
        assert parts.item() == pytest.approx(loss(rows, others).item(), rel=1e-13)
    losses.distillation(rows, others).backward()
    assert rows.grad is not None
    assert others.grad is None


def test_class_weights_are_one_in_the_mean_over_the_rows() -> None:
    weights = losses.class_weights_of([90, 10, 0])
    assert (90 * weights[0] + 10 * weights[1]).item() == pytest.approx(100)
    assert weights[1] / weights[0] == pytest.approx(9)


class Pairs:
    """A contrastive objective: the two halves of a text belong together, told apart from three other texts."""

    group = 4

    def batch(self, items: list, numbers: np.ndarray, key: int | None) -> Batch:
        tokens = flatten([item.ids for item in items], numbers, key)
        return Batch(tokens, torch.from_numpy(numbers // self.group), {"pairs": len(items)})

    def loss(self, model: Model, batch: Batch) -> Loss:
        hidden = model.trunk(batch.tokens)
        lines = torch.split(hidden, document_lengths(batch.tokens.runs))
        first, second = (torch.stack([part(x) for x in lines]) for part in (lambda x: x[0], lambda x: x[1:].mean(0)))
        total = losses.contrastive(first, second, batch.targets)
        return Loss((Term("pairs", total, batch.counts["pairs"]),))

    def modules(self) -> dict:
        return {}


def test_a_group_is_never_cut_so_that_a_contrastive_loss_does_not_depend_on_the_cut() -> None:
    store = random_store(np.random.default_rng(1).integers(2, 20, 22).tolist())
    objective, model = Pairs(), build(BERT, "masked", seed=3).double()
    items = CausalLM(VOCABULARY).items([store], 32)
    found = []
    for most in (10**9, 100, 1):
        batches = make_batches(objective, items, range(22), most, 77)
        assert sorted(n for b in batches for n in np.unique(b.targets)) == list(range(6))
        model.zero_grad()
        loss = backward(objective, model, batches)
        found.append((loss, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])))
    assert len(make_batches(objective, items, range(22), 1, 77)) == 6
    for loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-12)
        assert (gradient - found[0][1]).abs().max() <= 1e-12 * found[0][1].abs().max()
