"""What a Transformer is made of: :class:`ModelConfig` names its parts, and a preset is one such description.

BERT is ``attention="bidirectional", norm="post"``; GPT-2 is ``attention="causal", norm="pre"``. Both are made of the
same block. The part that a layer mixes positions by is its ``mixer``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from myna.settings import Section, setting


class ModelConfig(Section):
    """A Transformer by its parts. Sizes are counts of units, not bytes."""

    vocabulary_size: int = setting(description="pieces of the tokenizer", gt=0)
    hidden_size: int = setting(256, "width of the residual stream", gt=0)
    layers: int = setting(4, "blocks", ge=0)
    heads: int = setting(4, "attention heads of a layer; they divide hidden_size", gt=0)
    feed_forward_size: int = setting(1024, "width inside the feed-forward network", gt=0)
    maximum_length: int = setting(512, "positions: the longest piece of a document, special tokens included", gt=1)
    attention: Literal["bidirectional", "causal"] = setting("bidirectional", "which positions a position sees")
    mixer: Literal["attention"] = setting("attention", "what a layer mixes positions by")
    positions: Literal["learned"] = setting("learned", "how a position is told")
    norm: Literal["post", "pre"] = setting("post", "layer norm after each residual sum (BERT) or before it (GPT-2)")
    norm_epsilon: float = setting(1e-12, "added to the variance in a layer norm", gt=0)
    activation: Literal["gelu", "gelu_tanh"] = setting("gelu", "exact GELU (BERT) or its tanh form (GPT-2)")
    segments: int = setting(0, "segment embeddings; 0: none (BERT has 2)", ge=0)
    dropout: float = setting(0.1, "share of activations dropped in training", ge=0, lt=1)
    initializer_range: float = setting(0.02, "standard deviation of the initial weights", gt=0)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> ModelConfig:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads = {self.heads} does not divide hidden_size = {self.hidden_size}")
        return self

    @property
    def head_size(self) -> int:
        """Channels of one attention head."""
        return self.hidden_size // self.heads
