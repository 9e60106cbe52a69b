"""The token-wise parts: embeddings, dropout by counting, feed-forward. All work on ``(tokens, hidden)``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from myna import randomness
from myna.model.config import ModelConfig
from myna.model.flat import Flat


class _DropAndAdd(torch.autograd.Function):
    """``residual + mask * update``, with the mask computed from the tokens' keys and kept as one byte an element."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, update: Tensor, hashes: Tensor, threshold: int, scale: float) -> Tensor:
        kept = hashes >= threshold
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return torch.addcmul(residual, update, kept, value=scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        (kept,) = ctx.saved_tensors
        return gradient, (gradient * kept).mul_(ctx.scale), None, None, None


class Dropout(nn.Module):
    """Dropout that depends on nothing but the token's key and the channel.

    Torch's generator on a CPU is sequential, and what it drops depends on everything drawn before. Here an element
    is kept where the 32-bit product of its token's key and an odd number of its channel is above a threshold.
    Without keys (evaluation) nothing is dropped. ``place`` tells one dropout of a model from another.
    """

    multipliers: Tensor

    def __init__(self, rate: float, channels: int, place: int) -> None:
        super().__init__()
        self.rate = rate
        drawn = randomness.numbers(randomness.key(0, "dropout channels", place), np.arange(channels + 1))
        odd = ((drawn >> np.uint64(32)) | np.uint64(1)).astype(np.uint32).view(np.int32)
        self.register_buffer("multipliers", torch.from_numpy(odd[:channels].copy()), persistent=False)
        self.offset = int(odd[channels])

    def forward(self, update: Tensor, keys: Tensor | None, residual: Tensor | None = None) -> Tensor:
        """``residual + dropout(update)``, all ``(tokens, channels)``; ``keys`` is ``(tokens,)`` or None."""
        if keys is None or self.rate == 0:
            return update if residual is None else residual + update
        # The offset makes the keys of one place unrelated to those of another, the shift brings high bits down.
        mixed = keys * self.offset
        mixed = (mixed ^ (mixed >> 15)).unsqueeze(1)
        hashes = torch.mul(mixed, self.multipliers)
        threshold = int(self.rate * 2**32) - 2**31
        scale = 1 / (1 - self.rate)
        if residual is None:
            return (update * (hashes >= threshold)) * scale
        result: Tensor = _DropAndAdd.apply(residual, update, hashes, threshold, scale)  # type: ignore[no-untyped-call]
        return result


class Embeddings(nn.Module):
    """The sum of what a token is, where it stands, and (BERT) which segment it belongs to."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary_size, config.hidden_size)
        self.positions = nn.Embedding(config.maximum_length, config.hidden_size)
        self.segments = nn.Embedding(config.segments, config.hidden_size) if config.segments else None

    def forward(self, tokens: Flat) -> Tensor:
        """``(tokens, hidden)``."""
        total: Tensor = self.words(tokens.ids) + self.positions(tokens.positions)
        if self.segments is None:
            return total
        if tokens.segments is None:
            return total + self.segments.weight[0]
        segments: Tensor = self.segments(tokens.segments)
        return total + segments


class FeedForward(nn.Module):
    """Two linear layers with an activation between, each token on its own."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.hidden_size, config.feed_forward_size)
        self.output = nn.Linear(config.feed_forward_size, config.hidden_size)
        self.approximate = "tanh" if config.activation == "gelu_tanh" else "none"

    def forward(self, hidden: Tensor) -> Tensor:
        """``(tokens, hidden)`` to ``(tokens, hidden)``."""
        result: Tensor = self.output(F.gelu(self.inner(hidden), approximate=self.approximate))
        return result
