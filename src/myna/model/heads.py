"""What stands on a trunk: heads for language models, for whole texts and for tokens.

A :class:`Model` is a trunk and a head. ``HEADS`` names the kinds. A head takes the hidden states and the batch and
gives logits. Every head is the same :class:`Transform` (as the configuration says) before an output layer; those of
language models hand out their output weights too, so that a loss can be computed in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from myna.model.cache import Memory
from myna.model.config import ModelConfig
from myna.model.flat import Flat, document_lengths, document_starts
from myna.model.layers import ACTIVATIONS, Dropout, logits_of, make_norm
from myna.model.pointer import Pointer
from myna.model.transformer import EncoderDecoder, Transformer, initialize

# Dropouts of heads, told apart from those of the layers.
_HEAD_PLACE = 1_000_000


class Transform(nn.Module):
    """A dense layer, an activation and a norm, each of which a head may have or not."""

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        head = config.head
        self.dense = nn.Linear(config.hidden_size, width, bias=head.dense_bias) if head.dense else None
        self.activation = ACTIVATIONS[head.activation]
        self.norm = make_norm(config, width) if head.dense and head.norm else None

    def forward(self, hidden: Tensor) -> Tensor:
        """``(rows, hidden)`` to ``(rows, width)``."""
        if self.dense is None:
            return hidden
        result: Tensor = self.activation(self.dense(hidden))
        return result if self.norm is None else self.norm(result.to(self.dense.weight.dtype))


class LanguageHead(nn.Module):
    """The next token, or a masked one: a transform, then the embedding matrix (or one of its own), maybe a bias."""

    def __init__(self, config: ModelConfig, words: nn.Embedding) -> None:
        super().__init__()
        width = words.embedding_dim
        self.transform = Transform(config, width)
        self.output = None if config.tied else nn.Parameter(torch.empty(config.vocabulary_size, width))
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size)) if config.head.output_bias else None
        self._words = [words]  # in a list, so that the embedding is not registered twice
        self.scale = config.output_scale

    @property
    def weight(self) -> Tensor:
        """The output matrix, ``(vocabulary, width)``."""
        return self._words[0].weight if self.output is None else self.output

    def features(self, hidden: Tensor) -> Tensor:
        """What the output matrix is multiplied with, ``(rows, width)``."""
        result: Tensor = self.transform(hidden)
        return result if self.scale == 1 else result * self.scale

    def forward(self, hidden: Tensor, tokens: Flat) -> Tensor:
        """Logits of every row, ``(rows, vocabulary)``."""
        return logits_of(self.features(hidden), self.weight, self.bias)


class _LabelHead(nn.Module):
    """The transform, the dropouts and the output layer of heads for labels."""

    def __init__(self, config: ModelConfig, labels: int) -> None:
        super().__init__()
        head = config.head
        self.first_dropout = Dropout(head.first_dropout, config.hidden_size, _HEAD_PLACE + 1)
        self.transform = Transform(config, config.hidden_size)
        self.dropout = Dropout(head.dropout, config.hidden_size, _HEAD_PLACE)
        self.output = nn.Linear(config.hidden_size, labels, bias=head.output_bias)
        self.pooling = head.pooling

    def label(self, rows: Tensor, keys: Tensor | None) -> Tensor:
        """``(rows, hidden)`` to ``(rows, labels)``."""
        rows = self.transform(self.first_dropout(rows, keys))
        result: Tensor = self.output(self.dropout(rows, keys))
        return result


class SequenceHead(_LabelHead):
    """Classes, several labels or numbers for each document, from its first or last token or from the mean of all."""

    def forward(self, hidden: Tensor, tokens: Flat) -> Tensor:
        """Logits of every document, ``(documents, labels)``."""
        rows = last_tokens(tokens) if self.pooling == "last" else first_tokens(tokens)
        pooled = pool(hidden, tokens) if self.pooling == "mean" else hidden[rows]
        return self.label(pooled, None if tokens.keys is None else tokens.keys[rows])


class TokenHead(_LabelHead):
    """Classes for each token."""

    def forward(self, hidden: Tensor, tokens: Flat) -> Tensor:
        """Logits of every token, ``(tokens, labels)``."""
        return self.label(hidden, tokens.keys)


class ReplacedHead(TokenHead):
    """Whether each token was replaced. As in the heads of language models, nothing is dropped (ELECTRA)."""

    def forward(self, hidden: Tensor, tokens: Flat) -> Tensor:
        """Logits of every token, ``(tokens, 1)``."""
        return self.label(hidden, None)


def last_tokens(tokens: Flat) -> Tensor:
    """The row of the last token of each document, ``(documents,)``."""
    return first_tokens(tokens) + torch.tensor(document_lengths(tokens.runs), device=tokens.ids.device) - 1


def first_tokens(tokens: Flat) -> Tensor:
    """The row of the first token of each document, ``(documents,)``."""
    return torch.tensor(document_starts(tokens.runs), device=tokens.ids.device)


def pool(hidden: Tensor, tokens: Flat) -> Tensor:
    """The mean of each document's tokens, ``(documents, hidden)``."""
    return torch.cat([run.of(hidden).mean(1) for run in tokens.runs])


LANGUAGE_KINDS = ("masked", "causal", "sequence_to_sequence")
# A span's two labels are its start and its end; replaced-token detection and the extraction of sentences have one
# each, for every token and for every sentence.
HEADS: dict[str, type[SequenceHead] | type[TokenHead]] = {
    "sequence": SequenceHead,
    "token": TokenHead,
    "span": TokenHead,
    "replaced": ReplacedHead,
    "sentences": TokenHead,
}
FIXED_LABELS = {"span": ("start", "end"), "replaced": ("replaced",), "sentences": ("chosen",)}


class Model(nn.Module):
    """A trunk and a head of one of the kinds in ``LANGUAGE_KINDS`` and ``HEADS``.

    ``labels`` are the names of the classes, in the order of the logits; language models have none.
    """

    trunk: Transformer | EncoderDecoder
    head: LanguageHead | SequenceHead | TokenHead

    def __init__(self, config: ModelConfig, kind: str, labels: Sequence[str] = ()) -> None:
        super().__init__()
        self.config, self.kind, self.labels = config, kind, tuple(FIXED_LABELS.get(kind, labels))
        self.trunk = EncoderDecoder(config) if config.decoder_layers else Transformer(config)
        if kind in LANGUAGE_KINDS:
            self.head = LanguageHead(config, self.trunk.embeddings.words)
        else:
            self.head = HEADS[kind](config, len(self.labels))
        self.pointer = Pointer(config) if config.pointer else None

    def forward(self, tokens: Flat, target: Flat | None = None) -> Tensor:
        """Logits: ``(tokens, vocabulary)``, ``(documents, labels)`` or ``(tokens, labels)``.

        An encoder-decoder reads ``tokens`` and gives the logits of ``target``.
        """
        if target is None:
            result: Tensor = self.head(self.trunk(tokens), tokens)
            return result
        assert isinstance(self.trunk, EncoderDecoder)
        memory = self.trunk.read(tokens)
        return self.scores(self.trunk.decoder(target, None, memory), target, memory)

    def scores(self, hidden: Tensor, tokens: Flat, memory: Memory | None = None) -> Tensor:
        """Logits of ``hidden``, a row for each of ``tokens``; with a pointer the logarithms of probabilities."""
        result: Tensor = self.head(hidden, tokens)
        if self.pointer is None or memory is None:
            return result
        return self.pointer.mixed(result, hidden, tokens.runs, memory)


def build(config: ModelConfig, kind: str, labels: Sequence[str] = (), seed: int = 0) -> Model:
    """A new model with weights from ``seed``."""
    model = Model(config, kind, labels)
    initialize(model, config, seed)
    return model
