"""The optimizers, all torch's own, and which parameters each of them moves how far.

AdamW (arXiv:1711.05101), SGD with momentum, Adafactor (arXiv:1804.04235), and Muon
(https://kellerjordan.github.io/posts/muon) for the matrices of the layers with AdamW for all the rest. Norms, biases
and embeddings do not decay. With ``layer_decay`` each layer learns more slowly than the one above it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from myna.errors import InputError
from myna.training.eager import eager
from myna.training.settings import TrainingConfig

_MOMENTUM = {"sgd": 0.9, "muon": 0.95}
# Adafactor's smallest mean square of gradients. Torch's own, 1e-7, is beyond what clipped gradients of a model of some
# millions of parameters have, and would slow it by that; the square of this one is still a float32.
_ADAFACTOR_FLOOR = 1e-15
_LAYER = re.compile(r"(?:^|[.:])trunk\.(?:(encoder|decoder)\.)?blocks\.(\d+)\.")

_BELOW = re.compile(r"(?:^|[.:])trunk\.(?:(?:encoder|decoder)\.)?(?:embeddings|schemes)\.")


class Optimizers:
    """One optimizer or two that move all ``parameters`` of a training, as if they were one."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], parts: Iterable[torch.optim.Optimizer]) -> None:
        self.parameters, self.parts = parameters, tuple(parts)

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def step(self, rate: float | None = None) -> None:
        """Moves the parameters by their gradients at a learning rate (none: the one before)."""
        for part in self.parts:
            for group in part.param_groups if rate is not None else ():
                group["lr"] = rate * group["scale"]
            part.step()

    def state(self) -> dict[str, Tensor]:
        """All that it remembers of its steps, by ``PARAMETER.PART``; not of parameters that never had a gradient."""
        return {
            f"{name}.{part}": value
            for name, parameter in self.parameters.items()
            for part, value in self._state_of(parameter).items()
            if isinstance(value, Tensor)
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes over what :meth:`state` gave. Any name or shape that is not its own is an :class:`InputError`."""
        left, names = dict(state), {id(parameter): name for name, parameter in self.parameters.items()}
        for part in self.parts:
            for parameter in (p for group in part.param_groups for p in group["params"]):
                name, expected = names[id(parameter)], _state_shapes(part, parameter)
                found = {key: left.pop(f"{name}.{key}") for key in expected if f"{name}.{key}" in left}
                if found and {key: tuple(value.shape) for key, value in found.items()} != expected:
                    raise InputError(f"the state of {name} is not one of this optimizer")
                if found:
                    part.state[parameter] = found
        if left:
            raise InputError(f"{next(iter(left))} is no state of this optimizer")

    def state_bytes(self) -> int:
        """The bytes that it remembers, or will, of all parameters that have a gradient."""
        parameters = ((part, p) for part in self.parts for group in part.param_groups for p in group["params"])
        shapes = (_state_shapes(part, p) for part, p in parameters if p.grad is not None)
        # In float32, as the parameters; a step's number takes as much.
        return sum(4 * math.prod(shape) for named in shapes for shape in named.values())

    def _state_of(self, parameter: nn.Parameter) -> dict[str, Any]:
        return next((part.state[parameter] for part in self.parts if parameter in part.state), {})


def make_optimizer(parameters: Mapping[str, nn.Parameter], config: TrainingConfig) -> Optimizers:
    """The optimizer of the settings for parameters by name.

    Its groups hold parameters of one decay and one ``scale``, by which the learning rate is multiplied.
    """
    hidden = {name: p for name, p in parameters.items() if config.optimizer == "muon" and _is_hidden_matrix(name, p)}
    others = {name: p for name, p in parameters.items() if name not in hidden}
    scales = _layer_scales(parameters, config.layer_decay)
    parts = [_muon(_groups(hidden, scales, config), config)] if hidden else []
    makers = {"sgd": _sgd, "adafactor": _adafactor}
    if others:
        parts.append(makers.get(config.optimizer, _adamw)(_groups(others, scales, config), config))
    return Optimizers(parameters, parts)


def _adamw(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    return eager(torch.optim.AdamW)(groups, lr=config.learning_rate, betas=(0.9, config.beta2), eps=1e-8, fused=True)


def _sgd(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    momentum = _momentum(config)
    nesterov = config.nesterov and momentum > 0
    return eager(torch.optim.SGD)(groups, lr=config.learning_rate, momentum=momentum, nesterov=nesterov, fused=True)


def _adafactor(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    return eager(torch.optim.Adafactor)(groups, lr=config.learning_rate, eps=(_ADAFACTOR_FLOOR, 1e-3))


def _muon(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    # Steps of the size of AdamW's (arXiv:2502.16982), so that one learning rate and one decay serve both.
    return eager(torch.optim.Muon)(
        groups,
        lr=config.learning_rate,
        momentum=_momentum(config),
        nesterov=config.nesterov,
        adjust_lr_fn="match_rms_adamw",
    )


def _momentum(config: TrainingConfig) -> float:
    return _MOMENTUM[config.optimizer] if config.momentum is None else config.momentum


def _groups(
    parameters: Mapping[str, nn.Parameter], scales: Mapping[str, float], config: TrainingConfig
) -> list[dict[str, Any]]:
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        # Of what has a matrix's shape, embeddings alone do not decay.
        decays = parameter.ndim > 1 and ".embeddings." not in f".{name}"
        groups.setdefault((not decays, scales[name]), []).append(parameter)
    return [
        {"params": members, "weight_decay": 0.0 if still else config.weight_decay, "scale": scale}
        for (still, scale), members in sorted(groups.items(), key=lambda group: group[0])
    ]


def _is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and _LAYER.search(name) is not None


def _layer_scales(parameters: Iterable[str], decay: float) -> dict[str, float]:
    """``decay`` to the power of how many layers below the head a parameter is; embeddings lie below the first layer."""
    depths = {name: _depth(name) for name in parameters}
    encoder = max((depth for name, depth in depths.items() if ".decoder." not in name and depth is not None), default=0)
    for name, depth in depths.items():
        if ".decoder." in name and depth:
            depths[name] = depth + encoder  # a decoder of two stands on its encoder
    top = max((depth for depth in depths.values() if depth is not None), default=0) + 1
    return {name: decay ** (top - (top if depth is None else depth)) for name, depth in depths.items()}


def _depth(name: str) -> int | None:
    """0 for embeddings and what tells positions, 1 … for the layers, None for what stands on them."""
    layer = _LAYER.search(name)
    if layer:
        return int(layer[2]) + 1
    return 0 if _BELOW.search(name) else None


def _state_shapes(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, tuple[int, ...]]:
    """The parts that an optimizer of torch remembers of a parameter, with their shapes."""
    shape = tuple(parameter.shape)
    if isinstance(optimizer, torch.optim.AdamW):
        return {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
    if isinstance(optimizer, torch.optim.Adafactor):
        if len(shape) < 2:
            return {"step": (), "variance": shape}
        return {"step": (), "row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}
    if isinstance(optimizer, torch.optim.SGD) and optimizer.param_groups[0]["momentum"] == 0:
        return {}
    return {"momentum_buffer": shape}
