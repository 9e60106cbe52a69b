"""Matrices in whole numbers of 8 bits: a model for use that is a quarter as large, and faster where the processor is.

A weight has a scale for each of its outputs, and what it is multiplied with one for each token, found as it comes
(arXiv:2208.07339 without its outliers). So a token's result depends on that token alone: an answer is the same in any
company. Products are of integers and exact; what is rounded is a 127th of the largest number of a row at most.
Attention, norms, activations, embeddings and heads stay as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from myna.errors import InputError
from myna.model.heads import Model
from myna.model.transformer import Block

# Tokens multiplied at a time: integers, sums and results of so many lie in a processor's cache.
_ROWS = 256


class WholeNumbers(nn.Module):
    """A linear layer in 8 bits: ``weight (inputs, outputs)`` in int8, ``scales (outputs,)``, ``bias`` or None."""

    weight: Tensor
    scales: Tensor
    bias: Tensor | None

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        whole, scales = _whole(plain.weight.detach().float())
        self.register_buffer("weight", whole.T)
        self.register_buffer("scales", scales.squeeze(1))
        self.register_buffer("bias", None if plain.bias is None else plain.bias.detach().float())

    def forward(self, hidden: Tensor, keys: Tensor | None = None) -> Tensor:
        """``(tokens, inputs)`` to ``(tokens, outputs)``; without gradients."""
        result = hidden.new_empty(hidden.shape[0], self.weight.shape[1])
        for start in range(0, hidden.shape[0], _ROWS):
            whole, scales = _whole(hidden[start : start + _ROWS])
            place = result[start : start + _ROWS]
            place.copy_(torch._int_mm(whole, self.weight)).mul_(scales).mul_(self.scales)
            if self.bias is not None:
                place.add_(self.bias)
        return result


def _whole(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Each row in steps of a 127th of its largest number, and that step, ``(rows, 1)``."""
    steps = (
        torch.linalg.vector_norm(rows, float("inf"), 1, keepdim=True)
        .div_(127)
        .clamp_(min=torch.finfo(torch.float32).tiny)
    )
    return rows.div(steps).round_().to(torch.int8), steps


def quantize(model: Model) -> None:
    """Makes the matrices of the layers of a model in float32 whole numbers, in place; it can't be trained any more.

    An encoder-decoder is an :class:`InputError`.
    """
    if model.config.decoder_layers:
        raise InputError("int8 is for models of one stack", remedy="load an encoder-decoder as float32 or bfloat16")
    for block in (part for part in model.trunk.modules() if isinstance(part, Block)):
        for owner in (block.mixer, getattr(block.mixer, "attention", None), block.feed_forward):
            for name, part in list(owner.named_children()) if owner is not None else ():
                if isinstance(part, nn.Linear):
                    setattr(owner, name, WholeNumbers(part))
