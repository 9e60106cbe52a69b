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
from myna.model.pointer import Pointer
from myna.objectives.losses import Product, scaled, target_nats


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
        product, total = Product(hidden, weight, bias, wanted), weight.new_zeros(())
        of_gate, of_copied = (torch.empty_like(each) if wanted else None for each in (gate, copied))
        for chunk in product.chunks():
            ids, logits = targets[chunk].unsqueeze(1), product.logits(chunk)
            normalizers = logits.logsumexp(1, keepdim=True)
            ours = gate[chunk] + (logits.gather(1, ids) - normalizers).squeeze(1)
            nats = -torch.logaddexp(ours, copied[chunk])
            total += nats.sum()
            if of_gate is not None and of_copied is not None:
                share = (ours + nats).exp()
                of_gate[chunk], of_copied[chunk] = -share, share - 1
                # The gradient of the logits takes their place: softmax less one at the target.
                gradient = logits.sub_(normalizers).exp_()
                gradient.scatter_add_(1, ids, gradient.new_full((1, 1), -1.0).expand(ids.shape))
                product.take(chunk, gradient.mul_(share.unsqueeze(1)))
                del gradient
            del logits
        ctx.gradients = *product.gradients, of_gate, of_copied
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, gate, copied = scaled(ctx, upstream)
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
