"""How far a position sees, and how it is told where another one stands.

A stack asks its :class:`PositionScheme` once a pass for a :class:`Reach`, which its mixers share: the runs, the angles
of rotary positions, and what is added to the scores of each run. Where a position sees all of its document or all
before it, and no distance is told there, nothing is added, and attention takes its fastest path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from myna.model.config import ModelConfig
from myna.model.flat import Flat, Run, documents_of


@dataclass(frozen=True)
class Reach:
    """What a mixer is told of positions in one pass.

    ``before[n]`` tokens of the documents of run n were read in earlier passes and are in the cache. ``masks[n]``,
    ``(1 or documents, 1 or heads, length, before + length)`` or None, is added to the scores of run n; where it is
    None and ``causal`` is set, a position sees itself and what is before it. ``rotation`` holds the cosines and sines
    of rotary positions, ``(tokens, channels / 2)`` each. ``keys`` are those of the tokens, in training.
    """

    runs: tuple[Run, ...]
    before: tuple[int, ...]
    causal: bool
    masks: tuple[Tensor | None, ...]
    rotation: tuple[Tensor, Tensor] | None = None
    keys: Tensor | None = None


class PositionScheme(nn.Module):
    """The scheme of the layers that see ``window`` positions on each side (None: all).

    ALiBi (arXiv:2108.12409) subtracts from a score the distance times a slope of the head; T5 (arXiv:1910.10683) adds
    a learned number for each class of distances and head, the same in all layers.
    """

    frequencies: Tensor
    slopes: Tensor

    def __init__(self, config: ModelConfig, window: int | None) -> None:
        super().__init__()
        self.attention, self.window, self.kind = config.attention, window, config.positions
        if self.kind == "rotary":
            self.register_buffer("frequencies", rotary_frequencies(config, window), persistent=False)
        if self.kind == "alibi":
            self.register_buffer("slopes", alibi_slopes(config.heads), persistent=False)
        self.distance = config.relative_distance
        self.relative = nn.Embedding(config.relative_buckets, config.heads) if self.kind == "relative" else None

    def forward(self, tokens: Flat, before: Sequence[int] | None, hidden: Tensor) -> Reach:
        """The reach of one pass; ``before`` is None without a cache. ``hidden`` says the type and device."""
        before = [0] * len(tokens.runs) if before is None else before
        rotation = None
        if self.kind == "rotary":
            # In single precision whatever the weights are in, as everyone computes them.
            angles = tokens.positions[:, None].float() * self.frequencies.float()
            rotation = angles.cos().to(hidden.dtype), angles.sin().to(hidden.dtype)
        backwards = self.attention != "bidirectional" and not tokens.whole
        masks: list[Tensor | None] = []
        for run, documents, start in zip(tokens.runs, documents_of(tokens.runs), before, strict=True):
            prefixes = None if tokens.prefixes is None else tokens.prefixes[documents]
            masks.append(self._mask(run.length, start, prefixes, backwards, hidden))
        return Reach(tokens.runs, tuple(before), backwards, tuple(masks), rotation, tokens.keys)

    def _mask(self, length: int, before: int, prefixes: Tensor | None, backwards: bool, like: Tensor) -> Tensor | None:
        """What is added to the scores of queries ``before … before + length`` over all keys up to there."""
        total = before + length
        told = self.kind in ("alibi", "relative")
        narrow = self.window is not None and total - 1 > self.window
        prefixed = self.attention == "prefix" and prefixes is not None
        # One query at the end sees all that is before it; a first pass has its own flag for causality.
        if not told and not narrow and not prefixed and not (backwards and before and length > 1):
            return None
        keys = torch.arange(total, device=like.device)
        distance = keys[before:, None] - keys
        seen = torch.ones_like(distance, dtype=torch.bool)[None]
        if backwards:
            seen = (distance >= 0)[None]
            if prefixes is not None:
                seen = seen | (keys < prefixes[:, None, None])
        if narrow:
            seen = seen & (distance.abs() <= (self.window or 0))
        mask = torch.zeros(1, 1, length, total, dtype=like.dtype, device=like.device)
        if self.kind == "alibi":
            mask = mask - self.slopes.to(like.dtype)[:, None, None] * distance.abs()
        elif self.relative is not None:
            buckets = relative_buckets(distance, not backwards, self.relative.num_embeddings, self.distance)
            mask = mask + self.relative(buckets).permute(2, 0, 1)
        return mask.masked_fill(~seen[:, None], -torch.inf)


def rotate(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turns the first channels of each head, ``(tokens, heads, channels)``, by the angles of their positions.

    Channel c turns with channel c + half, not with its neighbour (the layout of Llama's weights in transformers).
    """
    cosines, sines = rotation[0][:, None], rotation[1][:, None]
    half = cosines.shape[-1]
    first, second, rest = heads[..., :half], heads[..., half : 2 * half], heads[..., 2 * half :]
    turned = (first * cosines - second * sines, second * cosines + first * sines)
    return torch.cat(turned if rest.shape[-1] == 0 else (*turned, rest), dim=-1)


def rotary_frequencies(config: ModelConfig, window: int | None) -> Tensor:
    """Radians a position of each pair of channels (arXiv:2104.09864), stretched if the model says so."""
    local = None if window is None else config.rotary_local_base
    # On the processor even where a model is described without its weights (on the meta device).
    steps = torch.arange(0, config.turning, 2, dtype=torch.int64, device="cpu").float() / config.turning
    frequencies = 1.0 / (local or config.rotary_base) ** steps
    scaling = config.rotary_scaling
    if scaling is None:
        return frequencies
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    # Llama 3.1: what turns often within the old length stays, what turns seldom is stretched, and between them both.
    # Rounded as in transformers, which divides by the wavelength.
    turns = scaling.original_length / (2 * math.pi / frequencies)
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - kept) * frequencies / scaling.factor + kept * frequencies


def alibi_slopes(heads: int) -> Tensor:
    """The slope of each head: powers of 2^(-8 / heads), and for odd counts those between the powers of two."""

    def powers(count: int) -> list[float]:
        return [2 ** (-8 * (n + 1) / count) for n in range(count)]

    whole = 2 ** int(math.log2(heads))
    slopes = powers(whole) + powers(2 * whole)[0::2][: heads - whole]
    return torch.tensor(slopes, device="cpu")


def relative_buckets(distance: Tensor, both_sides: bool, buckets: int, farthest: int) -> Tensor:
    """T5's class of each distance (query minus key): exact when near, logarithmic up to ``farthest``."""
    result = torch.zeros_like(distance)
    if both_sides:
        buckets //= 2
        result = (distance < 0) * buckets
        distance = distance.abs()
    else:
        distance = distance.clamp(min=0)
    exact = buckets // 2
    share = torch.log(distance.float() / exact) / math.log(farthest / exact)
    far = (exact + (share * (buckets - exact)).to(torch.int64)).clamp(max=buckets - 1)
    return result + torch.where(distance < exact, distance, far)


def sinusoids(length: int, channels: int) -> Tensor:
    """Vaswani et al. 2017: sines and cosines of growing wavelength in turn, ``(length, channels)``."""
    angles = torch.arange(length, dtype=torch.float64, device="cpu")[:, None]
    angles = angles / 10000 ** (torch.arange(0, channels, 2, dtype=torch.float64, device="cpu") / channels)
    table = torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)[:, :channels]
    return table.float()
