"""The parts of a layer that mix positions. They alone see where documents begin and end.

A mixer has ``forward(hidden (tokens, hidden), reach, state) -> (tokens, hidden)``; ``MIXERS`` in ``transformer.py``
names the kinds. Here is attention, within a document and from a document to its source.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from myna.model.cache import LayerState, Memory
from myna.model.config import ModelConfig
from myna.model.flat import Run, documents_of
from myna.model.layers import Dropout, Linear, make_norm
from myna.model.positions import Reach, rotate

_FLASH = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_FLASH_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def by_document(heads: Tensor, run: Run) -> Tensor:
    """The rows of a run, ``(tokens, heads, channels)``, as ``(documents, heads, length, channels)``, not copied."""
    return run.of(heads).transpose(1, 2)


def by_token(heads: Tensor) -> Tensor:
    """The way back: ``(documents, heads, length, channels)`` as ``(tokens, heads, channels)``."""
    return heads.transpose(1, 2).flatten(0, 1)


class _AttendRuns(torch.autograd.Function):
    """Attention over all runs as one step of the graph.

    Autograd would keep a node for each slice of each run, and in the backward a tensor of the size of the whole batch
    for each; here the gradients of all runs are put together once.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, reach: Reach, scale: float) -> Tensor:
        pieces, normalizers = [], []
        for run, mask in zip(reach.runs, reach.masks, strict=True):
            parts = (by_document(part, run) for part in (queries, keys, values))
            causal = reach.causal and mask is None
            mixed, normalizer = _FLASH(*parts, 0.0, causal, attn_mask=mask, scale=scale)
            pieces.append(by_token(mixed))
            normalizers.append(normalizer)
        output = torch.cat(pieces)
        ctx.save_for_backward(queries, keys, values, output, *normalizers)
        ctx.reach, ctx.scale = reach, scale
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, output, *normalizers = ctx.saved_tensors
        pieces = []
        reach: Reach = ctx.reach
        for run, mask, normalizer in zip(reach.runs, reach.masks, normalizers, strict=True):
            upstream, *parts, mixed = (by_document(p, run) for p in (gradient, queries, keys, values, output))
            causal = reach.causal and mask is None
            found = _FLASH_BACKWARD(upstream, *parts, mixed, normalizer, 0.0, causal, attn_mask=mask, scale=ctx.scale)
            pieces.append([by_token(part) for part in found])
        return *(torch.cat(parts) for parts in zip(*pieces, strict=True)), None, None


class Heads(nn.Module):
    """Multi-head attention within each document, before its output layer.

    ``projection`` holds queries, keys and values in one product. With fewer heads of keys and values than of queries,
    several queries share one (arXiv:2305.13245).
    """

    def __init__(self, config: ModelConfig, place: int, heads: int, kv_heads: int, channels: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.width = heads, kv_heads, heads * channels
        self.sizes = [heads, kv_heads, kv_heads]
        self.projection = Linear(config.hidden_size, sum(self.sizes) * channels, bias=config.projection_bias)
        self.scale = 1 / math.sqrt(channels) if config.attention_scale is None else config.attention_scale
        self.query_norm = make_norm(config, channels) if config.query_key_norm else None
        self.key_norm = make_norm(config, channels) if config.query_key_norm else None
        self.dropout = Dropout(config.attention_dropout, heads * config.maximum_length, place)

    def project(self, hidden: Tensor, reach: Reach) -> tuple[Tensor, Tensor, Tensor]:
        """Queries ``(tokens, heads, channels)``, keys and values ``(tokens, kv_heads, channels)``."""
        projected = self.projection(hidden, reach.keys).view(hidden.shape[0], sum(self.sizes), -1)
        queries, keys, values = projected.split(self.sizes, dim=1)
        if self.query_norm is not None and self.key_norm is not None:
            queries, keys = _normed(self.query_norm, queries), _normed(self.key_norm, keys)
        if reach.rotation is not None:
            queries, keys = rotate(queries, reach.rotation), rotate(keys, reach.rotation)
        # Under autocast norms and rotations give float32, and a kernel takes all of one type.
        return queries.to(values.dtype), keys.to(values.dtype), values

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, reach: Reach, state: LayerState | None) -> Tensor:
        """Softmax attention, ``(tokens, heads, channels)``."""
        dropping = reach.keys if self.dropout.rate > 0 else None
        learned = any(mask is not None and mask.requires_grad for mask in reach.masks)
        if state is None and queries.device.type == "cpu" and dropping is None and not learned:
            shared = (self._for_all_heads(part) for part in (keys, values))
            mixed: Tensor = _AttendRuns.apply(queries, *shared, reach, self.scale)  # type: ignore[no-untyped-call]
            return mixed
        pieces = []
        sizes = [run.documents * run.length for run in reach.runs]
        # One split has one backward; a slice for each run would have one each.
        parts = zip(*(torch.split(part, sizes) for part in (queries, keys, values)), strict=True)
        stretches = zip(reach.runs, documents_of(reach.runs), reach.before, reach.masks, parts, strict=True)
        for run, rows, before, mask, own in stretches:
            of_queries, of_keys, of_values = (by_document(part, run._replace(start=0)) for part in own)
            if state is not None:
                of_keys = state.keys.append(rows, before, of_keys)
                of_values = state.values.append(rows, before, of_values)
            dropped = None if dropping is None else dropping[run.rows]
            found = self.look_up(of_queries, of_keys, of_values, mask, reach.causal and run.length > 1, dropped)
            pieces.append(by_token(found))
        return torch.cat(pieces)

    def _for_all_heads(self, heads: Tensor) -> Tensor:
        """Keys or values, of which the second dimension counts the heads, repeated for the queries that share one."""
        shared = self.heads // self.kv_heads
        return heads if shared == 1 else heads.repeat_interleave(shared, 1)

    def look_up(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool, dropped: Tensor | None
    ) -> Tensor:
        """Attention of ``(documents, heads, length, channels)`` to keys and values of perhaps another length.

        ``dropped`` are the keys for dropout of the queries' tokens, ``(documents * length,)``.
        """
        keys, values = self._for_all_heads(keys), self._for_all_heads(values)
        if dropped is None:
            causal = causal and mask is None
            return F.scaled_dot_product_attention(queries, keys, values, mask, is_causal=causal, scale=self.scale)
        scores = (queries @ keys.transpose(2, 3)) * self.scale
        if mask is None and causal:
            length, total = scores.shape[2:]
            future = torch.ones(length, total, dtype=torch.bool, device=scores.device).triu(total - length + 1)
            scores = scores.masked_fill(future, -torch.inf)
        shares = (scores if mask is None else scores + mask).softmax(3)
        documents, heads, length, total = shares.shape
        shares = self.dropout(by_token(shares).flatten(1), dropped)
        shares = shares.view(documents, length, heads, total).transpose(1, 2)
        result: Tensor = shares @ values
        return result


def _normed(norm: nn.LayerNorm | nn.RMSNorm, heads: Tensor) -> Tensor:
    """The norm of heads, in the type of its weight: under autocast they come in another."""
    result: Tensor = norm(heads.to(norm.weight.dtype))
    return result


class Attention(Heads):
    """The mixer of attention: heads and their output layer."""

    def __init__(self, config: ModelConfig, place: int) -> None:
        super().__init__(config, place, config.heads, config.kv_heads, config.head_channels)
        self.output = Linear(self.width, config.hidden_size, bias=config.output_bias)

    def forward(self, hidden: Tensor, reach: Reach, state: LayerState | None = None) -> Tensor:
        """``(tokens, hidden)`` to ``(tokens, hidden)``. With ``state`` the runs go on from what it holds."""
        mixed = self.attend(*self.project(hidden, reach), reach, state).flatten(1)
        result: Tensor = self.output(mixed, reach.keys)
        return result


class CrossAttention(Attention):
    """Attention from each document to its source (Vaswani et al. 2017): queries from one, keys and values of both."""

    def cross(self, hidden: Tensor, reach: Reach, memory: Memory) -> Tensor:
        """``(tokens, hidden)`` of documents that read the rows of ``memory`` in order."""
        queries = self._part(hidden, slice(0, self.width))
        made = None if memory.projected is None else memory.projected.get(self)
        if made is None:
            both = self._part(memory.hidden, slice(self.width, None))
            made = both[:, : self.kv_heads], both[:, self.kv_heads :]
            if memory.projected is not None:
                memory.projected[self] = made
        dropping = reach.keys if self.dropout.rate > 0 else None
        pieces = []
        for run, source in pairs_of(reach.runs, memory.spans):
            keys, values = (by_document(part, source) for part in made)
            if source.documents == 1 < run.documents:  # rows that share one source
                keys, values = (part.expand(run.documents, -1, -1, -1) for part in (keys, values))
            dropped = None if dropping is None else dropping[run.rows]
            found = self.look_up(by_document(queries, run), keys, values, None, False, dropped)
            pieces.append(by_token(found))
        result: Tensor = self.output(torch.cat(pieces).flatten(1))
        return result

    def _part(self, hidden: Tensor, rows: slice) -> Tensor:
        """What these rows of the projection make, ``(tokens, heads, channels)``."""
        bias = None if self.projection.bias is None else self.projection.bias[rows]
        made = F.linear(hidden, self.projection.weight[rows], bias)
        return made.view(hidden.shape[0], -1, self.width // self.heads)


def pairs_of(runs: Sequence[Run], spans: Sequence[tuple[int, int]]) -> Iterator[tuple[Run, Run]]:
    """Stretches of documents of one length whose sources have one length too and lie side by side, or are the same."""
    for run, rows in zip(runs, documents_of(runs), strict=True):
        first, mine = 0, spans[rows]
        while first < run.documents:
            start, length = mine[first]
            count = 1
            while first + count < run.documents and mine[first + count] == (start + count * length, length):
                count += 1
            sources = count
            while sources == 1 and first + count < run.documents and mine[first + count] == (start, length):
                count += 1
            yield Run(run.start + first * run.length, count, run.length), Run(start, sources, length)
            first += count
