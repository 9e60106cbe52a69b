"""torch's optimizers without its compiler.

They import it, for more than a second, only to keep it away from themselves. What is below these wrappers does the
same, to the bit.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar, cast

import torch

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


_MADE: dict[type[Any], type[Any]] = {}


def eager(kind: type[Kind]) -> type[Kind]:
    """A kind of optimizer that computes as ``kind`` does, and leaves ``torch._dynamo`` alone."""
    if kind not in _MADE:
        compute = inspect.unwrap(kind.step)

        def step(self: Kind, closure: Any = None) -> Any:
            with torch.no_grad():
                return compute(self, closure)

        methods = {"add_param_group": inspect.unwrap(torch.optim.Optimizer.add_param_group), "step": step}
        _MADE[kind] = type(kind.__name__, (kind,), methods)
    return cast(type[Kind], _MADE[kind])
