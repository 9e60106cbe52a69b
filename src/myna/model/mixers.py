"""The part of a layer that mixes positions. It alone sees where documents begin and end.

``MIXERS`` names the kinds; each takes the configuration and gives a module with
``forward(hidden (tokens, hidden), runs, state) -> (tokens, hidden)``.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from myna.model.cache import KeyValues
from myna.model.config import ModelConfig
from myna.model.flat import Run

_FLASH = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_FLASH_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def _by_document(projected: Tensor, run: Run, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a run, ``(documents, heads, length, head_size)`` each, without a copy."""
    parts = projected[run.rows].view(run.documents, run.length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    return parts[0], parts[1], parts[2]


class _AttendRuns(torch.autograd.Function):
    """Attention over all runs as one step of the graph.

    Autograd would keep a node for each slice of each run, and in the backward a tensor of the size of the whole batch
    for each; here the gradients are written straight into their place.
    """

    @staticmethod
    def forward(ctx: Any, projected: Tensor, runs: tuple[Run, ...], heads: int, causal: bool) -> Tensor:
        output = projected.new_empty(projected.shape[0], projected.shape[1] // 3)
        normalizers = []
        for run in runs:
            queries, keys, values = _by_document(projected, run, heads)
            mixed, normalizer = _FLASH(queries, keys, values, 0.0, causal)
            output[run.rows].view(run.documents, run.length, heads, -1).copy_(mixed.transpose(1, 2))
            normalizers.append(normalizer)
        ctx.save_for_backward(projected, output, *normalizers)
        ctx.runs, ctx.heads, ctx.causal = runs, heads, causal
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        projected, output, *normalizers = ctx.saved_tensors
        result = torch.empty_like(projected)
        for run, normalizer in zip(ctx.runs, normalizers, strict=True):
            queries, keys, values = _by_document(projected, run, ctx.heads)
            shape = (run.documents, run.length, ctx.heads, -1)
            mixed = output[run.rows].view(shape).transpose(1, 2)
            upstream = gradient[run.rows].view(shape).transpose(1, 2)
            parts = _FLASH_BACKWARD(upstream, queries, keys, values, mixed, normalizer, 0.0, ctx.causal)
            places = _by_document(result, run, ctx.heads)
            for place, part in zip(places, parts, strict=True):
                place.copy_(part)
        return result, None, None, None


def attend_runs(projected: Tensor, runs: tuple[Run, ...], heads: int, causal: bool) -> Tensor:
    """Softmax attention within each document.

    ``projected`` is ``(tokens, 3 * hidden)``: queries, keys, values of all heads; the result is ``(tokens, hidden)``.
    """
    if projected.device.type == "cpu":
        result: Tensor = _AttendRuns.apply(projected, runs, heads, causal)  # type: ignore[no-untyped-call]
        return result
    pieces = []
    # One split has one backward; a slice for each run would have one of the whole batch's size each.
    for run, rows in zip(runs, torch.split(projected, [r.documents * r.length for r in runs]), strict=True):
        queries, keys, values = _by_document(rows, Run(0, run.documents, run.length), heads)
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=causal)
        pieces.append(mixed.transpose(1, 2).reshape(rows.shape[0], -1))
    return torch.cat(pieces)


class Attention(nn.Module):
    """Multi-head attention; ``projection`` holds queries, keys and values in one product."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.causal = config.attention == "causal"
        self.projection = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, runs: tuple[Run, ...], state: KeyValues | None = None) -> Tensor:
        """``(tokens, hidden)`` to ``(tokens, hidden)``. With ``state`` the runs go on from what it holds."""
        projected = self.projection(hidden)
        if state is None:
            mixed = attend_runs(projected, runs, self.heads, self.causal)
        else:
            mixed = self._attend_with(projected, runs, state)
        result: Tensor = self.output(mixed)
        return result

    def _attend_with(self, projected: Tensor, runs: tuple[Run, ...], state: KeyValues) -> Tensor:
        pieces = []
        row = 0
        for run in runs:
            queries, keys, values = _by_document(projected, run, self.heads)
            keys, values = state.append(row, keys, values)
            before = keys.shape[2] - run.length
            if before and run.length > 1:
                mask = torch.ones(run.length, keys.shape[2], dtype=torch.bool, device=keys.device).tril(before)
                mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
            else:
                mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=run.length > 1)
            pieces.append(mixed.transpose(1, 2).reshape(run.documents * run.length, -1))
            row += run.documents
        return torch.cat(pieces)


MIXERS: dict[str, type[nn.Module]] = {"attention": Attention}
