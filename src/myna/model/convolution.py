"""Mixers of convolution: a gated one, and span-based dynamic convolution beside attention (ConvBERT).

A convolution runs over all documents at once: they are laid out with ``kernel_size - 1`` rows of zeros between them
(or, in generation, with the last inputs), so that no kernel reaches from one into the next. In a decoder all of these
stand before a document, and no position sees what follows it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from myna.model.cache import Inputs, LayerState
from myna.model.config import ModelConfig
from myna.model.flat import Run, document_lengths, documents_of
from myna.model.layers import Linear
from myna.model.mixers import Heads
from myna.model.positions import Reach


class _Convolve(torch.autograd.Function):
    """``output[n] = sum over j of kernels[j, n] * padded[n + j]``, channel by channel.

    ``padded`` is ``(rows, heads, channels)``. ``kernels`` is ``(kernel_size, outputs or 1, heads, channels or 1)``: the
    same everywhere (a depthwise convolution) or another at each place (a dynamic one). Nothing of the size of
    ``kernel_size`` times the input is made.
    """

    @staticmethod
    def forward(ctx: Any, padded: Tensor, kernels: Tensor) -> Tensor:
        # Where neighbouring channels' weights lie apart, as torch keeps them, a product takes four times as long.
        kernels = kernels.contiguous()
        ctx.save_for_backward(padded, kernels)
        outputs = padded.shape[0] - kernels.shape[0] + 1
        result = padded[:outputs] * kernels[0]
        for j in range(1, kernels.shape[0]):
            result.addcmul_(padded[j : j + outputs], kernels[j])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        padded, kernels = ctx.saved_tensors
        outputs = gradient.shape[0]
        of_padded, of_kernels, product = torch.zeros_like(padded), torch.empty_like(kernels), torch.empty_like(gradient)
        for j in range(kernels.shape[0]):
            of_padded[j : j + outputs].addcmul_(gradient, kernels[j])
            torch.mul(gradient, padded[j : j + outputs], out=product)
            of_kernels[j] = product.sum_to_size(kernels.shape[1:])
        return of_padded, of_kernels


@functools.lru_cache(maxsize=64)
def _places(runs: tuple[Run, ...], gap: int) -> NDArray[np.int64]:
    """Where each token's outputs begin when ``gap`` rows stand between documents, ``(tokens,)``."""
    lengths = np.array(document_lengths(runs))
    return np.arange(int(lengths.sum())) + np.repeat(np.arange(len(lengths)) * gap, lengths)


class Layout:
    """One pass laid out for convolutions: with zeros around each document, or behind what a cache remembers."""

    def __init__(self, runs: Sequence[Run], kernel_size: int, causal: bool, device: torch.device) -> None:
        self.runs, self.gap = tuple(runs), kernel_size - 1
        self.left = self.gap if causal else self.gap // 2
        self.outputs = torch.from_numpy(_places(self.runs, self.gap)).to(device)
        self.rows = sum(run.documents * (run.length + self.gap) for run in self.runs)

    def pad(self, inputs: Tensor, state: Inputs | None) -> Tensor:
        """``(tokens, channels)`` to ``(rows, channels)``."""
        if state is None:
            return inputs.new_zeros(self.rows, inputs.shape[1]).index_copy_(0, self.outputs + self.left, inputs)
        runs = zip(self.runs, documents_of(self.runs), strict=True)
        return torch.cat([state.append(rows, run.of(inputs), self.gap).flatten(0, 1) for run, rows in runs])

    def convolve(self, padded: Tensor, kernels: Tensor) -> Tensor:
        """``padded`` is ``(rows, heads, channels)``, ``kernels`` ``(kernel_size, tokens or 1, heads, channels or 1)``.

        Gives ``(tokens, heads, channels)``.
        """
        if kernels.shape[1] > 1:
            spread = kernels.new_zeros(kernels.shape[0], self.rows - self.gap, *kernels.shape[2:])
            kernels = spread.index_copy_(1, self.outputs, kernels)
        result: Tensor = _Convolve.apply(padded, kernels)  # type: ignore[no-untyped-call]
        return result.index_select(0, self.outputs)


class Depthwise(nn.Module):
    """A convolution of each channel by itself; ``weight`` is ``(channels, 1, kernel_size)``, as torch has it."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, kernel_size))

    def forward(self, padded: Tensor, layout: Layout) -> Tensor:
        """``(rows, channels)`` laid out to ``(tokens, channels)``."""
        return layout.convolve(padded[:, None], self.weight.permute(2, 1, 0)[:, None]).flatten(1)


class Convolution(nn.Module):
    """A gated depthwise convolution (after arXiv:1612.08083): its output, times the sigmoid of a gate, projected."""

    def __init__(self, config: ModelConfig, place: int) -> None:
        super().__init__()
        self.kernel_size, self.causal = config.kernel_size, config.attention == "causal"
        self.projection = nn.Linear(config.hidden_size, 2 * config.hidden_size, bias=config.projection_bias)
        self.depthwise = Depthwise(config.hidden_size, config.kernel_size)
        self.output = Linear(config.hidden_size, config.hidden_size, bias=config.output_bias)

    def forward(self, hidden: Tensor, reach: Reach, state: LayerState | None = None) -> Tensor:
        """``(tokens, hidden)`` to ``(tokens, hidden)``."""
        values, gates = self.projection(hidden).chunk(2, dim=1)
        layout = Layout(reach.runs, self.kernel_size, self.causal, hidden.device)
        mixed = self.depthwise(layout.pad(values, None if state is None else state.convolution), layout)
        result: Tensor = self.output(mixed * torch.sigmoid(gates), reach.keys)
        return result


class ConvolutionAttention(nn.Module):
    """Span-based dynamic convolution beside attention, concatenated (ConvBERT, arXiv:2008.02496, section 3).

    The kernel at a position is a softmax of what its query times the neighbourhood's separable convolution gives; it
    is applied to values of its own. Each side makes half of the channels. With ``side_weights`` each side is
    multiplied with a learned number (twice the softmax of two, so 1 at the start).
    """

    def __init__(self, config: ModelConfig, place: int) -> None:
        super().__init__()
        self.kernel_size, self.causal = config.kernel_size, config.attention == "causal"
        half, heads = config.hidden_size // 2, config.heads // config.convolution_ratio
        self.attention = Heads(config, place, heads, heads, half // heads)
        self.depthwise = Depthwise(config.hidden_size, config.kernel_size)
        self.pointwise = nn.Linear(config.hidden_size, half)
        self.kernels = nn.Linear(half, heads * config.kernel_size)
        self.values = nn.Linear(config.hidden_size, half)
        self.sides = nn.Parameter(torch.zeros(2)) if config.side_weights else None
        self.output = Linear(config.hidden_size, config.hidden_size, bias=config.output_bias)

    def forward(self, hidden: Tensor, reach: Reach, state: LayerState | None = None) -> Tensor:
        """``(tokens, hidden)`` to ``(tokens, hidden)``."""
        queries, keys, values = self.attention.project(hidden, reach)
        attended = self.attention.attend(queries, keys, values, reach, state).flatten(1)
        layout = Layout(reach.runs, self.kernel_size, self.causal, hidden.device)
        padded = layout.pad(hidden, None if state is None else state.convolution)
        spans = self.pointwise(self.depthwise(padded, layout))
        kernels = self.kernels(spans * queries.flatten(1)).view(hidden.shape[0], self.attention.heads, -1).softmax(2)
        # Laid out after their projection: beyond a document's ends there is nothing, not even its bias.
        inside = layout.pad(self.values(hidden), None if state is None else state.convolution_values)
        taps = kernels.permute(2, 0, 1).unsqueeze(3)
        convolved = layout.convolve(inside.view(inside.shape[0], self.attention.heads, -1), taps).flatten(1)
        if self.sides is not None:
            weights = 2 * self.sides.softmax(0)
            attended, convolved = attended * weights[0], convolved * weights[1]
        result: Tensor = self.output(torch.cat((attended, convolved), dim=1), reach.keys)
        return result
