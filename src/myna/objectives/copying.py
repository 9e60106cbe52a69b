"""The loss of a mixture of two ways to a token: from the vocabulary, or copied (arXiv:1704.04368).

As in :func:`~myna.objectives.losses.linear_cross_entropy` logits are made in chunks of rows with their gradient in the
forward pass, so that those of a batch never exist whole. The gradient of a mixture is that of each of its parts, times
the share that the part has in the probability of the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from myna.model.cache import Memory
from myna.model.flat import Run
from myna.model.layers import logits_of
from myna.model.pointer import Pointer
from myna.objectives.losses import CHUNK_ROWS, target_nats


class _MixedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        gate: Tensor,
        copied: Tensor,
        wanted: bool,
    ) -> Tensor:
        kind = hidden.device.type
        low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        low_weight, low_bias = weight.to(low), None if bias is None else bias.to(low)
        total = weight.new_zeros(())
        of_hidden, of_weight = torch.empty_like(hidden, dtype=low), torch.zeros_like(weight)
        of_bias = None if bias is None else torch.zeros_like(bias)
        of_gate, of_copied = torch.empty_like(gate), torch.empty_like(copied)
        for start in range(0, hidden.shape[0], CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            rows, ids = hidden[chunk].to(low), targets[chunk].unsqueeze(1)
            logits = logits_of(rows, low_weight, low_bias).to(weight.dtype)
            normalizers = logits.logsumexp(1, keepdim=True)
            ours = gate[chunk] + (logits.gather(1, ids) - normalizers).squeeze(1)
            nats = -torch.logaddexp(ours, copied[chunk])
            total += nats.sum()
            if not wanted:
                continue
            share = (ours + nats).exp()
            of_gate[chunk], of_copied[chunk] = -share, share - 1
            # The gradient of the logits takes their place: softmax less one at the target.
            gradient = logits.sub_(normalizers).exp_()
            gradient.scatter_add_(1, ids, gradient.new_full((1, 1), -1.0).expand(ids.shape))
            gradient.mul_(share.unsqueeze(1))
            low_gradient = gradient.to(low)
            torch.mm(low_gradient, low_weight, out=of_hidden[chunk])
            of_weight += low_gradient.T @ rows
            if of_bias is not None:
                of_bias += gradient.sum(0)
            del logits, gradient, low_gradient
        ctx.gradients = of_hidden, of_weight, of_bias, of_gate, of_copied
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, (None,) * 5
        hidden, weight, bias, gate, copied = (None if g is None else g.mul_(upstream) for g in gradients)
        return hidden, weight, bias, None, gate, copied, None


def mixed_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, gate: Tensor, copied: Tensor
) -> Tensor:
    """The sum of the cross-entropies of ``targets (rows,)`` with a mixture, in nats.

    ``gate (rows,)`` are the logarithms of the share of the vocabulary, whose logits are ``hidden @ weight.T + bias``;
    ``copied (rows,)`` those of each target copied, the other share times its probability there.
    """
    apply: Any = _MixedCrossEntropy.apply
    result: Tensor = apply(hidden, weight, bias, targets, gate, copied, torch.is_grad_enabled())
    return result


def mixed_nats(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, gate: Tensor, copied: Tensor
) -> Tensor:
    """The cross-entropy of each row of :func:`mixed_cross_entropy`, ``(rows,)``, without gradients."""
    return -torch.logaddexp(gate - target_nats(hidden, weight, bias, targets), copied)


def copies(
    pointer: Pointer, hidden: Tensor, targets: Tensor, runs: Sequence[Run], memory: Memory
) -> tuple[Tensor, Tensor]:
    """The logarithms of the gate, and of each target copied times the rest, ``(rows,)`` each, for the functions above.

    ``hidden (rows, hidden)`` lies in ``runs``, whose documents read the sources of ``memory`` in order.
    """
    found, gate = pointer.look(hidden, runs, memory)
    pieces = []
    for run, logs, ids in found:
        same = ids.unsqueeze(1) == targets[run.rows].view(run.documents, run.length, 1)
        # What stands nowhere is all but impossible, and no infinity, whose gradient would be no number.
        pieces.append(logs.masked_fill(~same, torch.finfo(logs.dtype).min / 2).logsumexp(2).flatten())
    return F.logsigmoid(gate), torch.cat(pieces) + F.logsigmoid(-gate)
