"""The token-wise parts: dropout by counting, norms, embeddings, feed-forward. All work on ``(tokens, hidden)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from myna import randomness
from myna.model.config import Activation, ModelConfig
from myna.model.flat import Flat
from myna.model.positions import sinusoids


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


class Linear(nn.Linear):
    """A matrix of a layer. What may stand in its place (``training/lora.py``) is given the keys of its tokens too."""

    def forward(self, input: Tensor, keys: Tensor | None = None) -> Tensor:
        """``(tokens, inputs)`` to ``(tokens, outputs)``."""
        return F.linear(input, self.weight, self.bias)


class Dropout(nn.Module):
    """Dropout that depends on nothing but the token's key and the channel.

    Torch's generator on a CPU is sequential, and what it drops depends on everything drawn before. Here an element
    is kept where the 32-bit product of its token's key and an odd number of its channel is above a threshold.
    Without keys (evaluation) nothing is dropped. ``place`` tells one dropout of a model from another.
    """

    def __init__(self, rate: float, channels: int, place: int) -> None:
        super().__init__()
        self.rate, self.channels, self.place = rate, channels, place
        self._multipliers: Tensor | None = None
        self._offset = 0

    def multipliers(self, device: torch.device) -> Tensor:
        """An odd number for each channel, ``(channels,)`` of int32; made when the first training step asks for it."""
        if self._multipliers is None or self._multipliers.device != device:
            key = randomness.key(0, "dropout channels", self.place)
            drawn = randomness.numbers(key, np.arange(self.channels + 1))
            odd = ((drawn >> np.uint64(32)) | np.uint64(1)).astype(np.uint32).view(np.int32)
            self._multipliers, self._offset = torch.from_numpy(odd[:-1].copy()).to(device), int(odd[-1])
        return self._multipliers

    def forward(self, update: Tensor, keys: Tensor | None, residual: Tensor | None = None) -> Tensor:
        """``residual + dropout(update)``, all ``(tokens, channels)``; ``keys`` is ``(tokens,)`` or None."""
        if keys is None or self.rate == 0:
            return update if residual is None else residual + update
        # The offset makes the keys of one place unrelated to those of another, the shift brings high bits down.
        multipliers = self.multipliers(keys.device)
        mixed = keys * self._offset
        mixed = (mixed ^ (mixed >> 15)).unsqueeze(1)
        hashes = torch.mul(mixed, multipliers[: update.shape[1]])
        threshold = int(self.rate * 2**32) - 2**31
        scale = 1 / (1 - self.rate)
        if residual is None:
            return (update * (hashes >= threshold)) * scale
        result: Tensor = _DropAndAdd.apply(residual, update, hashes, threshold, scale)  # type: ignore[no-untyped-call]
        return result


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "squared_relu": lambda x: F.relu(x).square(),
    "silu": F.silu,
    "tanh": torch.tanh,
}


def make_norm(config: ModelConfig, size: int | None = None) -> nn.LayerNorm | nn.RMSNorm:
    """The norm of a stack over ``size`` channels (none: hidden_size)."""
    size = config.hidden_size if size is None else size
    if config.norm == "rms_norm":
        return nn.RMSNorm(size, config.norm_epsilon)
    return nn.LayerNorm(size, config.norm_epsilon, bias=config.norm_bias)


def logits_of(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``rows @ weight.T + bias`` over a vocabulary: ``(rows, width)`` and ``(vocabulary, width)``.

    Without gradients the result is ``(rows, vocabulary)`` of a wider tensor, whose rows begin at multiples of 16
    numbers: a processor's product into rows of an odd length, as most vocabularies are, takes 1.1 to 1.5 times as long.
    """
    if torch.is_grad_enabled():
        return F.linear(rows, weight, bias)
    size = weight.shape[0]
    result = rows.new_empty(rows.shape[0], -(-size // 16) * 16)[:, :size]
    if bias is None:
        return torch.mm(rows, weight.T, out=result)
    return torch.addmm(bias, rows, weight.T, out=result)


class Embeddings(nn.Module):
    """What a token is, where it stands, and (BERT) which segment it belongs to; summed, normed, projected.

    ``words`` are given where two stacks share them.
    """

    table: Tensor | None

    def __init__(self, config: ModelConfig, words: nn.Embedding | None = None, place: int = 0) -> None:
        super().__init__()
        width = config.embedding_size or config.hidden_size
        self.words = nn.Embedding(config.vocabulary_size, width) if words is None else words
        self.scale, self.offset = config.embedding_scale, config.position_offset
        rows = config.maximum_length + config.position_offset
        self.positions = nn.Embedding(rows, width) if config.positions == "learned" else None
        self.segments = nn.Embedding(config.segments, width) if config.segments else None
        table = sinusoids(config.maximum_length, width) if config.positions == "sinusoidal" else None
        self.register_buffer("table", table, persistent=False)
        # A post-norm stack normalizes where it begins, a pre-norm stack where it ends; some do both.
        normed = config.norm_place == "post" if config.embedding_norm is None else config.embedding_norm
        self.norm = make_norm(config, width) if normed else None
        rate = config.dropout if config.embedding_dropout is None else config.embedding_dropout
        self.dropout = Dropout(rate, width, place)
        self.projection = None if config.embedding_size is None else nn.Linear(width, config.hidden_size)

    def forward(self, tokens: Flat) -> Tensor:
        """``(tokens, hidden)``."""
        total: Tensor = self.words(tokens.ids)
        if self.scale != 1:
            total = total * self.scale
        if self.positions is not None:
            total = total + self.positions(tokens.positions + self.offset if self.offset else tokens.positions)
        if self.table is not None:
            total = total + self.table[tokens.positions]
        if self.segments is not None:
            total = total + (self.segments.weight[0] if tokens.segments is None else self.segments(tokens.segments))
        if self.norm is not None:
            total = self.norm(total)
        total = self.dropout(total, tokens.keys)
        return total if self.projection is None else self.projection(total)


class FeedForward(nn.Module):
    """Two linear layers with an activation between, each token on its own.

    Where it is gated (arXiv:2002.05202) the inner layer is twice as wide, and its first half, activated, is multiplied
    with its second.
    """

    def __init__(self, config: ModelConfig, place: int) -> None:
        super().__init__()
        size = config.feed_forward_size
        self.inner = Linear(config.hidden_size, 2 * size if config.gated else size, bias=config.feed_forward_bias)
        self.output = Linear(size, config.hidden_size, bias=config.feed_forward_bias)
        self.activation, self.gated = ACTIVATIONS[config.activation], config.gated
        self.dropout = Dropout(config.activation_dropout, size, place)

    def forward(self, hidden: Tensor, keys: Tensor | None) -> Tensor:
        """``(tokens, hidden)`` to ``(tokens, hidden)``; ``keys`` are those of the tokens, in training."""
        inner = self.inner(hidden, keys)
        if self.gated:
            first, second = inner.chunk(2, dim=1)
            inner = self.activation(first) * second
        else:
            inner = self.activation(inner)
        result: Tensor = self.output(self.dropout(inner, keys), keys)
        return result
