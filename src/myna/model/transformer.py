"""The Transformer: embeddings, blocks, norms. One stack for every family.

The parts are chosen when the model is built; nothing in a forward pass asks which family this is. The model knows
neither files nor training: it takes a :class:`~myna.model.flat.Flat` and gives hidden states.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from myna import randomness
from myna.model.cache import Cache, KeyValues
from myna.model.config import ModelConfig
from myna.model.flat import Flat
from myna.model.layers import Dropout, Embeddings, FeedForward
from myna.model.mixers import MIXERS


class _Block(nn.Module):
    """A mixer and a feed-forward network, each with a norm, a dropout and a residual sum."""

    def __init__(self, config: ModelConfig, places: Iterator[int]) -> None:
        super().__init__()
        self.mixer = MIXERS[config.mixer](config)
        self.mixer_norm = nn.LayerNorm(config.hidden_size, config.norm_epsilon)
        self.mixer_dropout = Dropout(config.dropout, config.hidden_size, next(places))
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, config.norm_epsilon)
        self.feed_forward_dropout = Dropout(config.dropout, config.hidden_size, next(places))


class PostNormBlock(_Block):
    """Norms after the residual sums (Vaswani et al. 2017; BERT)."""

    def forward(self, hidden: Tensor, tokens: Flat, state: KeyValues | None) -> Tensor:
        """``(tokens, hidden)`` to the same."""
        mixed = self.mixer(hidden, tokens.runs, state)
        hidden = self.mixer_norm(self.mixer_dropout(mixed, tokens.keys, hidden))
        update = self.feed_forward(hidden)
        result: Tensor = self.feed_forward_norm(self.feed_forward_dropout(update, tokens.keys, hidden))
        return result


class PreNormBlock(_Block):
    """Norms before mixer and feed-forward (GPT-2)."""

    def forward(self, hidden: Tensor, tokens: Flat, state: KeyValues | None) -> Tensor:
        """``(tokens, hidden)`` to the same."""
        mixed = self.mixer(self.mixer_norm(hidden), tokens.runs, state)
        hidden = self.mixer_dropout(mixed, tokens.keys, hidden)
        update = self.feed_forward(self.feed_forward_norm(hidden))
        result: Tensor = self.feed_forward_dropout(update, tokens.keys, hidden)
        return result


_BLOCKS = {"post": PostNormBlock, "pre": PreNormBlock}


class Transformer(nn.Module):
    """The trunk of every model. ``forward`` gives the last hidden states, ``(tokens, hidden)``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        places = iter(range(2 * config.layers + 1))
        # A post-norm stack normalizes where it begins, a pre-norm stack where it ends.
        self.embeddings = Embeddings(config)
        self.first_norm = nn.LayerNorm(config.hidden_size, config.norm_epsilon) if config.norm == "post" else None
        self.embedding_dropout = Dropout(config.dropout, config.hidden_size, next(places))
        self.blocks = nn.ModuleList(_BLOCKS[config.norm](config, places) for _ in range(config.layers))
        self.last_norm = nn.LayerNorm(config.hidden_size, config.norm_epsilon) if config.norm == "pre" else None

    def forward(self, tokens: Flat, cache: Cache | None = None) -> Tensor:
        """Hidden states after the last layer, ``(tokens, hidden)``.

        With ``cache`` each run goes on from the rows before it, and ``tokens.positions`` says where it is.
        """
        hidden = None
        for hidden in self._states(tokens, cache):  # noqa: B007
            pass
        assert hidden is not None
        return hidden if self.last_norm is None else self.last_norm(hidden)

    def hidden_states(self, tokens: Flat) -> list[Tensor]:
        """The embeddings and the output of each layer, ``layers + 1`` tensors ``(tokens, hidden)``.

        As in transformers, the last is given after the last norm of a pre-norm stack.
        """
        states = list(self._states(tokens, None))
        if self.last_norm is not None:
            states[-1] = self.last_norm(states[-1])
        return states

    def _states(self, tokens: Flat, cache: Cache | None) -> Iterator[Tensor]:
        hidden = self.embeddings(tokens)
        if self.first_norm is not None:
            hidden = self.first_norm(hidden)
        hidden = self.embedding_dropout(hidden, tokens.keys)
        yield hidden
        for number, block in enumerate(self.blocks):
            hidden = block(hidden, tokens, None if cache is None else cache.layers[number])
            yield hidden


def initialize(module: nn.Module, config: ModelConfig, seed: int) -> None:
    """Fills all weights from ``seed`` and their names: normal for matrices, zero for biases, one for norms.

    The projections into the residual stream of a pre-norm stack are scaled by 1/sqrt(2 layers) (GPT-2).
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            else:
                spread = config.initializer_range
                if config.norm == "pre" and name.endswith("output.weight") and ".blocks." in f".{name}":
                    spread /= math.sqrt(2 * config.layers)
                generator = torch.Generator().manual_seed(randomness.key(seed, "initialize", name) >> 1)
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
