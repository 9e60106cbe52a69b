"""The Transformer: embeddings, blocks, norms. One stack for every family.

The parts are chosen when the model is built; nothing in a forward pass asks which family this is. The model knows
neither files nor training: it takes a :class:`~myna.model.flat.Flat` and gives hidden states.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from myna import randomness
from myna.model.cache import Cache, LayerState, Memory
from myna.model.config import ModelConfig
from myna.model.convolution import Convolution, ConvolutionAttention
from myna.model.flat import Flat
from myna.model.layers import Dropout, Embeddings, FeedForward, make_norm
from myna.model.mixers import Attention, CrossAttention
from myna.model.positions import PositionScheme, Reach

MIXERS: dict[str, Callable[[ModelConfig, int], nn.Module]] = {
    "attention": Attention,
    "convolution": Convolution,
    "convolution+attention": ConvolutionAttention,
}
# The places of dropouts: two of each layer from 1 on; the last one; inside a layer's parts from here on; a decoder's.
_LAST = 5_000
_INSIDE = 10_000
_DECODER = 100_000


class Residual(nn.Module):
    """The sum of a stream and what a part makes of it, with the norms before or after (or both)."""

    def __init__(self, config: ModelConfig, place: int, normed: bool = True) -> None:
        super().__init__()
        before = config.norm_place != "post" and normed
        self.before = make_norm(config) if before else None
        self.dropout = Dropout(config.dropout, config.hidden_size, place)
        self.inside = make_norm(config) if config.norm_place == "both" else None
        self.after = make_norm(config) if config.norm_place == "post" else None

    def forward(self, hidden: Tensor, part: Callable[[Tensor], Tensor], keys: Tensor | None) -> Tensor:
        """``(tokens, hidden)`` to the same."""
        update = part(hidden if self.before is None else self.before(hidden))
        if self.inside is not None:
            update = self.inside(update)
        total: Tensor = self.dropout(update, keys, hidden)
        return total if self.after is None else self.after(total)


class Block(nn.Module):
    """A mixer, in a decoder of two attention to the source, and a feed-forward network, each added to the stream."""

    def __init__(self, config: ModelConfig, layer: int, place: int, crossing: bool = False) -> None:
        super().__init__()
        # Embeddings that are normed are not normed once more by the first layer (ModernBERT).
        normed = not (config.embedding_norm and layer == 0)
        inside = place + _INSIDE + 3 * layer
        self.mixer = MIXERS[config.mixer_of(layer)](config, inside)
        self.mixer_residual = Residual(config, place + 2 * layer + 1, normed)
        self.source = CrossAttention(config, inside + 1) if crossing else None
        self.source_residual = Residual(config, place + _INSIDE - 1 - layer) if crossing else None
        self.feed_forward = FeedForward(config, inside + 2)
        self.feed_forward_residual = Residual(config, place + 2 * layer + 2)

    def forward(self, hidden: Tensor, reach: Reach, state: LayerState | None, memory: Memory | None) -> Tensor:
        """``(tokens, hidden)`` to the same."""
        keys = reach.keys
        hidden = self.mixer_residual(hidden, lambda x: self.mixer(x, reach, state), keys)
        if self.source is not None and self.source_residual is not None:
            source = self.source
            assert memory is not None
            hidden = self.source_residual(hidden, lambda x: source.cross(x, reach, memory), keys)
        result: Tensor = self.feed_forward_residual(hidden, lambda x: self.feed_forward(x, keys), keys)
        return result


class Transformer(nn.Module):
    """The trunk of a model. ``forward`` gives the last hidden states, ``(tokens, hidden)``.

    ``words`` are embeddings to share; with ``crossing`` it is the decoder of an encoder-decoder.
    """

    def __init__(self, config: ModelConfig, words: nn.Embedding | None = None, crossing: bool = False) -> None:
        super().__init__()
        self.config = config
        place = _DECODER if crossing else 0
        self.embeddings = Embeddings(config, words, place)
        blocks = [Block(config, n, place, crossing) for n in range(config.layer_groups or config.layers)]
        self.blocks = nn.ModuleList(blocks)
        every = config.global_every
        self.windows = [None if every and n % every == 0 else config.window for n in range(config.layers)]
        self.schemes = nn.ModuleList(PositionScheme(config, window) for window in dict.fromkeys(self.windows))
        self.last_norm = None if config.norm_place == "post" else make_norm(config)
        self.last_dropout = Dropout(config.final_dropout, config.hidden_size, place + _LAST)

    def forward(self, tokens: Flat, cache: Cache | None = None, memory: Memory | None = None) -> Tensor:
        """Hidden states after the last layer, ``(tokens, hidden)``.

        With ``cache`` each run goes on from the rows before it, and ``tokens.positions`` says where it is. ``memory``
        is what a decoder of two reads of its sources, a row for each document.
        """
        (hidden,) = deque(self._states(tokens, cache, memory), maxlen=1)
        result: Tensor = self.last_dropout(hidden if self.last_norm is None else self.last_norm(hidden), tokens.keys)
        return result

    def hidden_states(self, tokens: Flat, memory: Memory | None = None) -> list[Tensor]:
        """The embeddings and the output of each layer, ``layers + 1`` tensors ``(tokens, hidden)``.

        As in transformers, the last is given after the last norm of a pre-norm stack.
        """
        states = list(self._states(tokens, None, memory))
        if self.last_norm is not None:
            states[-1] = self.last_norm(states[-1])
        return states

    def _states(self, tokens: Flat, cache: Cache | None, memory: Memory | None) -> Iterator[Tensor]:
        hidden = self.embeddings(tokens)
        yield hidden
        before = None if cache is None else cache.read(tokens.runs)
        found = (scheme(tokens, before, hidden) for scheme in self.schemes)
        reaches: dict[int | None, Reach] = dict(zip(dict.fromkeys(self.windows), found, strict=True))
        shared = self.config.layers // len(self.blocks) if self.blocks else 1
        for n, window in enumerate(self.windows):
            state = None if cache is None else cache.layers[n]
            hidden = self.blocks[n // shared](hidden, reaches[window], state, memory)
            yield hidden


class EncoderDecoder(nn.Module):
    """Two stacks: an encoder of the source, and a causal decoder that also attends to it (BART, T5)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Transformer(config)
        written = {"attention": "causal", "layers": config.decoder_layers, "decoder_layers": 0}
        self.decoder = Transformer(config.model_copy(update=written), self.encoder.embeddings.words, crossing=True)

    @property
    def embeddings(self) -> Embeddings:
        """Those of the encoder, whose words the decoder shares."""
        return self.encoder.embeddings

    def read(self, source: Flat) -> Memory:
        """What the encoder makes of the sources."""
        return Memory.of(self.encoder(source), source)

    def forward(self, source: Flat, target: Flat, cache: Cache | None = None) -> Tensor:
        """Hidden states of the target, ``(target tokens, hidden)``; document n reads source n."""
        result: Tensor = self.decoder(target, cache, self.read(source))
        return result


def initialize(module: nn.Module, config: ModelConfig, seed: int) -> None:
    """Fills all weights from ``seed`` and their names: drawn for matrices, zero for biases, one for norms.

    ``depth_scaled`` divides the spread of projections into the residual stream by sqrt(2 layers) (GPT-2);
    ``truncated`` does so too, in heads as well, and cuts beyond two spreads (ModernBERT); ``fan_in`` has a spread for
    each kind of matrix (T5: initializer_range is its factor).
    """
    norms = {id(m.weight) for m in module.modules() if isinstance(m, (nn.LayerNorm, nn.RMSNorm))}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if id(parameter) in norms:
                parameter.fill_(1.0)
            elif name.endswith("bias") or parameter.dim() < 2:
                parameter.zero_()
            else:
                generator = torch.Generator().manual_seed(randomness.key(seed, "initialize", name) >> 1)
                drawn = torch.randn(parameter.shape, generator=generator)
                if config.initializer == "truncated":
                    # The inverse of the normal distribution over what lies within two spreads.
                    drawn = torch.special.ndtri(0.5 + 0.9545 * (torch.special.ndtr(drawn.double()) - 0.5)).float()
                parameter.copy_(drawn * _spread(name, parameter, config))


def _spread(name: str, parameter: Tensor, config: ModelConfig) -> Tensor | float:
    """The standard deviation of a matrix's first weights, one number or one for each row."""
    spread, truncated = config.initializer_range, config.initializer == "truncated"
    if truncated and name == "head.output.weight":
        return float(config.hidden_size**-0.5)
    if truncated or config.initializer == "depth_scaled":
        last = ("blocks." in name and name.endswith("output.weight")) or (truncated and name.startswith("head."))
        return spread / math.sqrt(2 * config.layers) if last else spread
    if config.initializer != "fan_in" or "words" in name or name == "head.output":
        return spread
    if name.endswith("projection.weight"):
        # Scores are not divided by sqrt(channels) there, so queries begin that much smaller.
        rows = torch.full((parameter.shape[0], 1), spread / math.sqrt(config.hidden_size))
        rows[: config.heads * config.head_channels] /= math.sqrt(config.head_channels)
        return rows
    fan_in = config.hidden_size if "relative" in name else parameter.shape[1]
    return spread / math.sqrt(fan_in)
