"""What is not a number, found in the step in which it came to be, and named.

A step whose loss and gradient are finite can still be wrong: a weight that its batch does not use, or a moment of the
optimizer. So the weights are looked at after every step too, which costs one reading of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from myna.model.heads import Model
from myna.objectives.protocol import Batch, Objective
from myna.training.optimizers import Optimizers

# A run of steps that are skipped one after the other is no accident of a batch.
MOST_SKIPPED_IN_A_ROW = 10


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or an infinity, or None."""
    if not tensors:
        return None
    # A sum shows either; one that is too large of itself is told apart by looking closely.
    sums = torch.stack([tensor.detach().sum().double() for tensor in tensors.values()])
    if bool(torch.isfinite(sums).all()):
        return None
    return next((name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())), None)


def fault_of_weights(optimizer: Optimizers) -> str | None:
    """What is wrong with the weights, looked for after a step; where the optimizer's own state is, that came first."""
    weight = first_not_finite(optimizer.parameters)
    if weight is None:
        return None
    return fault_of_state(optimizer) or f"the weight {weight}"


def fault_of_state(optimizer: Optimizers) -> str | None:
    """What is wrong with what the optimizer remembers."""
    state = first_not_finite(optimizer.state())
    return None if state is None else f"the optimizer's {state}"


def fault_of_step(objective: Objective, model: Model, optimizer: Optimizers, batches: Sequence[Batch]) -> str:
    """What was the first to be no number in a step whose loss or gradient is none, before its update.

    In this order: weights, inputs, the outputs of the model's parts (found by going forward once more), gradients from
    the loss backwards.
    """
    weight = first_not_finite(optimizer.parameters)
    if weight is not None:
        return f"the weight {weight}"
    for batch in batches:
        field = first_not_finite(dict(_float_tensors(batch, "")))
        if field is not None:
            return f"the input {field}"
        part = _first_bad_output(objective, model, batch)
        if part is not None:
            return part
    gradients = {name: p.grad for name, p in reversed(list(optimizer.parameters.items())) if p.grad is not None}
    gradient = first_not_finite(gradients)
    return "the norm of the gradient" if gradient is None else f"the gradient of {gradient}"


def _float_tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield name, value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _float_tensors(getattr(value, field.name), f"{name}.{field.name}".lstrip("."))
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _float_tensors(item, f"{name}.{key}".lstrip("."))


def _first_bad_output(objective: Objective, model: Model, batch: Batch) -> str | None:
    found: list[str] = []

    def watch(name: str, module: nn.Module) -> Any:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if not found and isinstance(output, Tensor) and first_not_finite({name: output}):
                found.append(f"the output of {name}")

        return module.register_forward_hook(look)

    parts = {name: part for name, part in model.named_modules() if name}
    for outer, module in objective.modules().items():
        parts |= {f"{outer}:{name}".rstrip(":"): part for name, part in module.named_modules()}
    hooks = [watch(name, part) for name, part in parts.items()]
    try:
        with torch.no_grad():
            loss = objective.loss(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    found += [f"the loss {term.name}" for term in loss.terms if first_not_finite({term.name: term.sum})]
    return found[0] if found else None


def documents_of(items: Any, chosen: Sequence[int]) -> str:
    """The documents of a step in words, where its items say from which they are; else the items' numbers."""
    documents = getattr(items, "documents", None)
    name = "items" if documents is None else "documents"
    numbers = sorted({int(n if documents is None else documents[n]) for n in chosen})
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"{name} {', '.join(map(str, numbers[:5]))}{more}"
