"""What stands on a trunk: heads for masked and causal language models, for whole texts and for tokens.

A :class:`Model` is a trunk and a head. ``HEADS`` names the kinds; a head's ``forward`` takes the hidden states and
the batch and gives logits. Language-model heads also hand out their weights, so that a loss can be computed in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myna.model.config import ModelConfig
from myna.model.flat import Flat
from myna.model.layers import Dropout
from myna.model.transformer import Transformer, initialize

# Dropouts of heads, told apart from those of the layers.
_HEAD_PLACE = 1_000_000


class MaskedLMHead(nn.Module):
    """BERT's: a dense layer, GELU and a norm, then the embedding matrix with a bias."""

    def __init__(self, config: ModelConfig, words: nn.Embedding) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, config.norm_epsilon)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size))
        self._words = [words]  # in a list, so that the embedding is not registered twice
        self.approximate = "tanh" if config.activation == "gelu_tanh" else "none"

    @property
    def weight(self) -> Tensor:
        """The embedding matrix, ``(vocabulary, hidden)``."""
        return self._words[0].weight

    def transform(self, hidden: Tensor) -> Tensor:
        """What the embedding matrix is multiplied with, ``(tokens, hidden)``."""
        result: Tensor = self.norm(F.gelu(self.dense(hidden), approximate=self.approximate))
        return result

    def forward(self, hidden: Tensor, tokens: Flat) -> Tensor:
        """Logits of every token, ``(tokens, vocabulary)``."""
        return F.linear(self.transform(hidden), self.weight, self.bias)


class CausalLMHead(nn.Module):
    """GPT-2's: the embedding matrix alone."""

    def __init__(self, config: ModelConfig, words: nn.Embedding) -> None:
        super().__init__()
        self._words = [words]

    @property
    def weight(self) -> Tensor:
        """The embedding matrix, ``(vocabulary, hidden)``."""
        return self._words[0].weight

    def forward(self, hidden: Tensor, tokens: Flat) -> Tensor:
        """Logits of every token, ``(tokens, vocabulary)``."""
        return F.linear(hidden, self.weight)


def last_tokens(tokens: Flat) -> Tensor:
    """The row of the last token of each document, ``(documents,)``."""
    return first_tokens(tokens) + torch.tensor([r.length - 1 for r in tokens.runs for _ in range(r.documents)])


def first_tokens(tokens: Flat) -> Tensor:
    """The row of the first token of each document, ``(documents,)``."""
    rows = [run.start + number * run.length for run in tokens.runs for number in range(run.documents)]
    return torch.tensor(rows, device=tokens.ids.device)


class SequenceHead(nn.Module):
    """A class or a number for each document, from its first token: dense layer, tanh, output layer (BERT's pooler)."""

    def __init__(self, config: ModelConfig, labels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = Dropout(config.dropout, config.hidden_size, _HEAD_PLACE)
        self.output = nn.Linear(config.hidden_size, labels)

    def forward(self, hidden: Tensor, tokens: Flat) -> Tensor:
        """Logits of every document, ``(documents, labels)``."""
        rows = first_tokens(tokens)
        keys = None if tokens.keys is None else tokens.keys[rows]
        result: Tensor = self.output(self.dropout(torch.tanh(self.dense(hidden[rows])), keys))
        return result


class TokenHead(nn.Module):
    """A class for each token."""

    def __init__(self, config: ModelConfig, labels: int) -> None:
        super().__init__()
        self.dropout = Dropout(config.dropout, config.hidden_size, _HEAD_PLACE)
        self.output = nn.Linear(config.hidden_size, labels)

    def forward(self, hidden: Tensor, tokens: Flat) -> Tensor:
        """Logits of every token, ``(tokens, labels)``."""
        result: Tensor = self.output(self.dropout(hidden, tokens.keys))
        return result


LANGUAGE_HEADS: dict[str, type[MaskedLMHead] | type[CausalLMHead]] = {"masked": MaskedLMHead, "causal": CausalLMHead}
LABEL_HEADS: dict[str, type[SequenceHead] | type[TokenHead]] = {"sequence": SequenceHead, "token": TokenHead}


class Model(nn.Module):
    """A trunk and a head of one of the kinds ``masked``, ``causal``, ``sequence``, ``token``.

    ``labels`` are the names of the classes, in the order of the logits; language models have none.
    """

    def __init__(self, config: ModelConfig, kind: str, labels: Sequence[str] = ()) -> None:
        super().__init__()
        self.config, self.kind, self.labels = config, kind, tuple(labels)
        self.trunk = Transformer(config)
        self.head: nn.Module
        if kind in LANGUAGE_HEADS:
            self.head = LANGUAGE_HEADS[kind](config, self.trunk.embeddings.words)
        else:
            self.head = LABEL_HEADS[kind](config, len(self.labels))

    def forward(self, tokens: Flat) -> Tensor:
        """Logits: ``(tokens, vocabulary)``, ``(documents, labels)`` or ``(tokens, labels)``."""
        result: Tensor = self.head(self.trunk(tokens), tokens)
        return result


def build(config: ModelConfig, kind: str, labels: Sequence[str] = (), seed: int = 0) -> Model:
    """A new model with weights from ``seed``."""
    model = Model(config, kind, labels)
    initialize(model, config, seed)
    return model
