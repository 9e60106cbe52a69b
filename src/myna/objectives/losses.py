"""Losses as sums, computed so that the logits of a batch never exist whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from myna.model.layers import logits_of

# 512 rows of a vocabulary of 30,000 are 60 MB in float32: large enough for the product, small beside the model.
CHUNK_ROWS = 512


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, wanted: bool) -> Tensor:
        total = hidden.new_zeros(())
        hidden_gradient = torch.empty_like(hidden) if wanted else None
        weight_gradient = torch.empty_like(weight) if wanted else None
        bias_gradient = torch.zeros_like(bias) if wanted and bias is not None else None
        # Once even without rows, for the gradient of the weight to be zero then.
        for start in range(0, max(hidden.shape[0], 1), CHUNK_ROWS):
            rows = hidden[start : start + CHUNK_ROWS]
            wanted_ids = targets[start : start + CHUNK_ROWS].unsqueeze(1)
            logits = logits_of(rows, weight, bias)
            scored = logits.gather(1, wanted_ids)
            highest = logits.amax(1, keepdim=True)
            exponentials = logits.sub_(highest).exp_()
            sums = exponentials.sum(1, keepdim=True)
            total += (sums.log() + highest - scored).sum()
            if hidden_gradient is None or weight_gradient is None:
                continue
            # The gradient of the logits takes their place: softmax less one at the target.
            gradient = exponentials.div_(sums)
            gradient.scatter_add_(1, wanted_ids, gradient.new_full((1, 1), -1.0).expand(wanted_ids.shape))
            torch.mm(gradient, weight, out=hidden_gradient[start : start + CHUNK_ROWS])
            weight_gradient.addmm_(gradient.T, rows, beta=1 if start else 0)
            if bias_gradient is not None:
                bias_gradient += gradient.sum(0)
        ctx.gradients = hidden_gradient, weight_gradient, bias_gradient
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        # They are nobody else's, so they are scaled in place; a second backward has nothing left to scale.
        gradients, ctx.gradients = ctx.gradients, (None, None, None)
        return *(None if g is None else g.mul_(upstream) for g in gradients), None, None


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """The sum of the cross-entropies of ``hidden @ weight.T + bias`` with ``targets``, in nats.

    ``hidden`` is ``(rows, hidden)``, ``weight`` ``(classes, hidden)``, ``bias`` ``(classes,)`` or None, ``targets``
    ``(rows,)``. Logits are made in chunks of rows, and their gradient in the forward pass, so that the product with
    the weight is made once and never kept.
    """
    apply: Any = _LinearCrossEntropy.apply
    result: Tensor = apply(hidden, weight, bias, targets, torch.is_grad_enabled())
    return result


def target_nats(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """The cross-entropy of each row, ``(rows,)`` in nats, in chunks and without gradients: for evaluation."""
    pieces = []
    with torch.no_grad():
        for start in range(0, hidden.shape[0], CHUNK_ROWS):
            rows = hidden[start : start + CHUNK_ROWS]
            logits = logits_of(rows, weight, bias)
            pieces.append(
                torch.nn.functional.cross_entropy(logits, targets[start : start + CHUNK_ROWS], reduction="none")
            )
    return torch.cat(pieces) if pieces else hidden.new_empty(0)
