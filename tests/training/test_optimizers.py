"""Optimizers: each against its reference over some steps, in float64 where it can be; groups; states by name."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from transformers.optimization import Adafactor

from myna.errors import InputError
from myna.model.heads import build
from myna.training.optimizers import Optimizers, make_optimizer
from myna.training.settings import TrainingConfig

from ..objectives.test_losses import BERT

STEPS = 12
SHAPES = {"trunk.blocks.0.inner.weight": (6, 4), "trunk.blocks.0.inner.bias": (6,), "head.weight": (3, 4)}


def parameters(dtype: torch.dtype = torch.float64) -> dict[str, nn.Parameter]:
    draw = torch.Generator().manual_seed(1)
    return {name: nn.Parameter(torch.randn(shape, generator=draw, dtype=dtype)) for name, shape in SHAPES.items()}


def gradients(step: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(100 + step)
    return {name: torch.randn(shape, generator=draw, dtype=dtype) * 0.1 for name, shape in SHAPES.items()}


def rate(step: int) -> float:
    return 0.02 * (step + 1) / STEPS


def config(**settings) -> TrainingConfig:
    return TrainingConfig(steps=STEPS, weight_decay=0.03, **settings)


def trained(settings: TrainingConfig, steps: range = range(STEPS)) -> tuple[dict[str, nn.Parameter], Optimizers]:
    ours = parameters()
    optimizer = make_optimizer(ours, settings)
    advance(optimizer, steps)
    return ours, optimizer


def advance(optimizer: Optimizers, steps: range) -> None:
    for step in steps:
        for name, gradient in gradients(step).items():
            optimizer.parameters[name].grad = gradient
        optimizer.step(rate(step))


def check(ours: dict[str, nn.Parameter], theirs: dict[str, Tensor], tolerance: float = 1e-12) -> None:
    for name, parameter in ours.items():
        assert torch.allclose(parameter.detach(), theirs[name].detach(), rtol=tolerance, atol=tolerance), name


def adamw(weight: Tensor, seen: list[Tensor], decay: float, beta2: float = 0.999) -> Tensor:
    """Algorithm 2 of arXiv:1711.05101 as it stands there."""
    weight, mean, square = weight.detach().clone(), torch.zeros_like(weight), torch.zeros_like(weight)
    for step, gradient in enumerate(seen):
        mean = 0.9 * mean + 0.1 * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        corrected = mean / (1 - 0.9 ** (step + 1)), square / (1 - beta2 ** (step + 1))
        weight = weight - rate(step) * (corrected[0] / (corrected[1].sqrt() + 1e-8) + decay * weight)
    return weight


def sgd(weight: Tensor, seen: list[Tensor], decay: float, momentum: float, nesterov: bool) -> Tensor:
    """Sutskever et al. 2013 in torch's form, with decay in the gradient."""
    weight, buffer = weight.detach().clone(), torch.zeros_like(weight)
    for step, gradient in enumerate(seen):
        gradient = gradient + decay * weight
        buffer = momentum * buffer + gradient
        weight = weight - rate(step) * (gradient + momentum * buffer if nesterov else buffer)
    return weight


def muon(weight: Tensor, seen: list[Tensor], decay: float) -> Tensor:
    """Jordan's post, with the step's size of arXiv:2502.16982, equation 4; the iteration in bfloat16 as there."""
    weight, buffer = weight.detach().clone(), torch.zeros_like(weight)
    for step, gradient in enumerate(seen):
        buffer = 0.95 * buffer + 0.05 * gradient
        x = (0.05 * gradient + 0.95 * buffer).bfloat16()
        x = x.T if weight.shape[0] > weight.shape[1] else x
        x = x / x.norm()
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
        x = x.T if weight.shape[0] > weight.shape[1] else x
        weight = weight * (1 - rate(step) * decay) - rate(step) * 0.2 * math.sqrt(max(weight.shape)) * x.double()
    return weight


def reference(make, **options) -> dict[str, Tensor]:
    """What ``make`` gives for each parameter; only matrices decay."""
    seen = [gradients(step) for step in range(STEPS)]
    return {
        name: make(start, [step[name] for step in seen], 0.03 if start.ndim > 1 else 0.0, **options)
        for name, start in parameters().items()
    }


def test_adamw_is_that_of_the_paper() -> None:
    check(trained(config(beta2=0.98))[0], reference(adamw, beta2=0.98))


@pytest.mark.parametrize("momentum, nesterov", [(0.0, True), (0.9, False), (0.9, True)])
def test_sgd_is_that_of_the_paper(momentum: float, nesterov: bool) -> None:
    settings = config(optimizer="sgd", momentum=momentum, nesterov=nesterov)
    check(trained(settings)[0], reference(sgd, momentum=momentum, nesterov=nesterov and momentum > 0))


def test_fused_optimizers_are_those_of_torch_one_tensor_at_a_time() -> None:
    for name, kind, options in (
        ("adamw", torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8}),
        ("sgd", torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    ):
        theirs = parameters()
        groups = [
            {"params": [p for p in theirs.values() if (p.ndim > 1) == decays], "weight_decay": 0.03 * decays}
            for decays in (True, False)
        ]
        optimizer = kind(groups, lr=0.1, fused=False, foreach=False, **options)
        for step in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            for key, gradient in gradients(step).items():
                theirs[key].grad = gradient
            optimizer.step()
        check(trained(config(optimizer=name))[0], theirs)


def test_adafactor_is_that_of_transformers() -> None:
    theirs = parameters()
    optimizer = Adafactor(theirs.values(), lr=0.1, relative_step=False, scale_parameter=True)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate(step)
        for name, gradient in gradients(step).items():
            theirs[name].grad = gradient
        optimizer.step()
    ours = trained(config(optimizer="adafactor").model_copy(update={"weight_decay": 0.0}))[0]
    check(ours, theirs, 1e-9)


def test_adafactor_learns_from_gradients_as_small_as_those_of_a_large_model_and_from_none() -> None:
    ours = {"head.weight": nn.Parameter(torch.ones(3, 4))}
    optimizer = make_optimizer(ours, config(optimizer="adafactor").model_copy(update={"weight_decay": 0.0}))
    ours["head.weight"].grad = torch.full((3, 4), 1e-6)
    ours["head.weight"].grad[2] = 0
    optimizer.step(0.01)
    assert torch.allclose(ours["head.weight"][:2], torch.tensor(0.99), atol=2e-3)
    assert torch.equal(ours["head.weight"][2], torch.ones(4))


def test_muon_moves_the_matrices_of_the_layers_and_adamw_the_rest() -> None:
    ours, optimizer = trained(config(optimizer="muon"))
    expected = reference(adamw)
    matrix = "trunk.blocks.0.inner.weight"
    expected[matrix] = muon(parameters()[matrix], [gradients(step)[matrix] for step in range(STEPS)], 0.03)
    head = {name: parameter for name, parameter in ours.items() if "blocks.0.inner.weight" not in name}
    check(head, expected)
    # The iteration runs in bfloat16, of 8 bits, wherever it is written down.
    check({name: p for name, p in ours.items() if name not in head}, expected, 0.02)
    assert [type(part).__name__ for part in optimizer.parts] == ["Muon", "AdamW"]


def test_a_step_of_muon_has_singular_values_of_about_one() -> None:
    ours = {"trunk.blocks.0.w": nn.Parameter(torch.zeros(8, 5))}
    ours["trunk.blocks.0.w"].grad = torch.randn(8, 5, generator=torch.Generator().manual_seed(2))
    make_optimizer(ours, config(optimizer="muon")).step(1.0)
    values = torch.linalg.svdvals(ours["trunk.blocks.0.w"].detach()) / (0.2 * math.sqrt(8))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_norms_biases_and_embeddings_do_not_decay() -> None:
    model = build(BERT, "masked")
    named = dict(model.named_parameters())
    (part,) = make_optimizer(named, config()).parts
    decayed = {id(p) for group in part.param_groups if group["weight_decay"] for p in group["params"]}
    assert {name for name, p in named.items() if id(p) in decayed} == {
        name for name, p in named.items() if p.ndim > 1 and "embeddings" not in name
    }


def test_a_layer_learns_more_slowly_than_the_one_above_it() -> None:
    model = build(BERT.model_copy(update={"layers": 2}), "sequence", ("a", "b"))
    named = dict(model.named_parameters())
    optimizer = make_optimizer(named, config(layer_decay=0.5))
    optimizer.zero_grad()
    for parameter in named.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step(1e-3)
    scales = {id(p): group["lr"] for part in optimizer.parts for group in part.param_groups for p in group["params"]}
    found = {name: scales[id(p)] / 1e-3 for name, p in named.items()}
    for name, scale in found.items():
        place = next(p for p in ("embeddings", "blocks.0", "blocks.1", "head") if p in name)
        assert scale == {"embeddings": 0.125, "blocks.0": 0.25, "blocks.1": 0.5, "head": 1.0}[place], name


@pytest.mark.parametrize("name", ["adamw", "sgd", "adafactor", "muon"])
def test_a_state_by_name_goes_on_bit_for_bit(name: str) -> None:
    whole = trained(config(optimizer=name))[0]
    half, optimizer = trained(config(optimizer=name), range(5))
    state = {key: value.clone() for key, value in optimizer.state().items()}
    other = make_optimizer({key: nn.Parameter(p.detach().clone()) for key, p in half.items()}, config(optimizer=name))
    other.load(state)
    advance(other, range(5, STEPS))
    assert all(torch.equal(p, whole[key]) for key, p in other.parameters.items())


def test_the_state_of_another_optimizer_is_refused() -> None:
    state = trained(config(optimizer="adamw"))[1].state()
    with pytest.raises(InputError, match="is no state of this optimizer"):
        make_optimizer(parameters(), config(optimizer="sgd")).load(state)
    lost = {key: value for key, value in state.items() if key != "head.weight.exp_avg"}
    with pytest.raises(InputError, match=r"the state of head\.weight is not one of this optimizer"):
        make_optimizer(parameters(), config()).load(lost)
    narrow = {key: value[:, :2] if key == "head.weight.exp_avg" else value for key, value in state.items()}
    with pytest.raises(InputError, match=r"the state of head\.weight"):
        make_optimizer(parameters(), config()).load(narrow)
