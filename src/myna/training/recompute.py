"""Less memory for more arithmetic: what is inside of a layer is computed once more when its gradient is due.

Only the output of each layer is kept (Chen et al. 2016, arXiv:1604.06174), for a third more arithmetic. What a dropout
drops depends on nothing but its place, so that the second time is as the first, and gradients are the same to the bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from myna.model.transformer import Block


@contextlib.contextmanager
def recomputing(modules: Iterable[nn.Module]) -> Iterator[None]:
    """While it is entered, the layers of ``modules`` keep nothing but their outputs for the backward pass."""
    blocks = [part for module in modules for part in module.modules() if isinstance(part, Block)]
    for block in blocks:
        block.forward = partial(_twice, block.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _twice(forward: Callable[..., Any], *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False)
