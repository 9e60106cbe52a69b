"""Replaced-token detection (ELECTRA, Clark et al. 2020, arXiv:2003.10555).

A generator, narrower than the model, is trained to fill masked pieces; the model reads its text with what the generator
draws for them, and says of each token whether it was replaced. A draw that happens to be the right piece is no
replacement. Both share the embeddings of words, positions and segments (3.3). The loss is the generator's cross-entropy
and ``weight`` times the model's binary cross-entropy over all tokens; nothing flows back through the draw.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from myna import randomness
from myna.model.config import HeadConfig, ModelConfig
from myna.model.flat import Flat, flatten
from myna.model.heads import LanguageHead, Model
from myna.model.layers import Embeddings
from myna.model.transformer import Transformer, initialize
from myna.objectives.language import LanguageObjective, Vocabulary, draw_key
from myna.objectives.losses import CHUNK_ROWS, linear_cross_entropy, many_labels
from myna.objectives.masked import Masker
from myna.objectives.protocol import Batch, Loss, Term
from myna.objectives.settings import ObjectiveSettings, Replaced
from myna.tokens.pieces import Piece


@dataclass(frozen=True)
class ReplacedBatch(Batch):
    """Masked texts; ``draws`` in [0, 1) say what the generator puts for each target, ``(targets,)``.

    ``keys`` are the tokens' keys for dropout in the model, other ones than in the generator.
    """

    draws: Tensor | None = None
    keys: Tensor | None = None


class ReplacedTokens(LanguageObjective):
    """Tells which tokens a generator has replaced."""

    settings_class = Replaced
    name = "replaced"
    extra = 2
    judged = ("replaced",)
    generator: Generator

    def __init__(self, vocabulary: Vocabulary, settings: ObjectiveSettings | None = None) -> None:
        super().__init__(vocabulary, settings)
        # Every chosen piece is masked (3.1).
        self.masker = Masker(vocabulary, self.settings, fates=(1.0, 1.0))

    def equip(self, model: Model, seed: int) -> None:
        """Makes the generator."""
        assert isinstance(model.trunk, Transformer)
        config = generator_config(model.config, self.settings.generator)
        self.generator = Generator(config, model.trunk.embeddings)
        initialize(self.generator, config, randomness.key(seed, "generator") >> 1)

    def modules(self) -> Mapping[str, nn.Module]:
        """The generator, without the embeddings that it shares."""
        return {"generator": self.generator}

    def companions(self) -> Mapping[str, Model]:
        """The generator as a masked language model of its own."""
        return {"generator": self.generator.whole()}

    def batch(self, items: Sequence[Piece], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`."""
        vocabulary, draw = self.vocabulary, draw_key(key)
        masks = self.masker(items, numbers, draw, self.share)
        sequences = [np.concatenate([[vocabulary.start], part, [vocabulary.end]]) for part in masks.sequences]
        positions = masks.rows + 2 * masks.owners + 1
        tokens = flatten(sequences, numbers, None if key is None else randomness.key(key, "generator"))
        place = tokens.positions.numpy()[positions].astype(np.uint64)
        index = (numbers[masks.owners].astype(np.uint64) << np.uint64(32)) | place
        return ReplacedBatch(
            tokens,
            torch.from_numpy(masks.targets),
            {"generator": len(positions), "replaced": len(tokens.ids)},
            torch.from_numpy(positions),
            owners=masks.owners,
            draws=torch.from_numpy(randomness.uniform(randomness.key(draw, "replacements"), index)),
            keys=flatten(sequences, numbers, key).keys,
        )

    def loss(self, model: Model, batch: Batch) -> Loss:
        """The generator's loss and the model's."""
        features = self.generator.features(batch.tokens, batch.positions)
        weight, bias = self.generator.head.weight, self.generator.head.bias
        smoothing, z_loss = self.settings.label_smoothing, self.settings.z_loss
        filled = linear_cross_entropy(features, weight, bias, batch.targets, smoothing, z_loss)
        tokens, replaced = self.replaced(features, self.generator.head, batch)
        told = many_labels(model(tokens), replaced[:, None])
        return Loss(
            (
                Term("generator", filled, batch.counts["generator"]),
                Term("replaced", told, batch.counts["replaced"], self.settings.weight),
            )
        )

    def replaced(self, features: Tensor, head: LanguageHead, batch: Batch) -> tuple[Flat, Tensor]:
        """The text with a generator's draws in it, and which tokens are not what they were, ``(tokens,)``.

        ``features``, ``(targets, width)``, are those of the generator, and ``head`` is its head.
        """
        assert isinstance(batch, ReplacedBatch)
        assert batch.draws is not None
        assert batch.positions is not None
        drawn = sample(features, head.weight, head.bias, batch.draws)
        replaced = torch.zeros(len(batch.tokens.ids), dtype=torch.bool)
        replaced[batch.positions] = drawn != batch.targets
        ids = batch.tokens.ids.index_copy(0, batch.positions, drawn)
        return replace(batch.tokens, ids=ids, keys=batch.keys), replaced


def sample(features: Tensor, weight: Tensor, bias: Tensor | None, draws: Tensor) -> Tensor:
    """A class for each row from the softmax of its logits, ``(rows,)``: where its draw falls in their running sum."""
    pieces = []
    with torch.no_grad():
        for start in range(0, len(features), CHUNK_ROWS):
            rows = features[start : start + CHUNK_ROWS]
            logits = rows @ weight.T if bias is None else torch.addmm(bias, rows, weight.T)
            sums = logits.double().softmax(1).cumsum_(1)
            wanted = draws[start : start + CHUNK_ROWS, None] * sums[:, -1:]
            pieces.append(torch.searchsorted(sums, wanted, right=True).squeeze(1).clamp_(max=sums.shape[1] - 1))
    return torch.cat(pieces)


def generator_config(config: ModelConfig, share: float) -> ModelConfig:
    """The description of a generator ``share`` as wide as a model, with its embeddings."""
    heads = max(1, round(config.heads * share))
    width = heads * config.head_channels
    embedding = config.embedding_size or config.hidden_size
    return config.model_copy(
        update={
            "heads": heads,
            "hidden_size": width,
            "feed_forward_size": max(1, round(config.feed_forward_size * share)),
            "embedding_size": None if embedding == width else embedding,
            "head": HeadConfig(activation=config.head.activation, dropout=config.head.dropout),
        }
    )


class _SharedEmbeddings(nn.Module):
    """The embeddings of another stack, with a projection to the width of this one. Only that is registered here."""

    def __init__(self, config: ModelConfig, embeddings: Embeddings) -> None:
        super().__init__()
        width = config.embedding_size
        self.projection = None if width is None else nn.Linear(width, config.hidden_size)
        summed = copy.copy(embeddings)
        # The same modules but for the projection, in a table of its own.
        summed._modules = {**embeddings._modules, "projection": None}
        self._summed = [summed]

    def forward(self, tokens: Flat) -> Tensor:
        """``(tokens, hidden)``."""
        total: Tensor = self._summed[0](tokens)
        return total if self.projection is None else self.projection(total)


class Generator(nn.Module):
    """A stack of its own on shared embeddings, and the head of a masked language model."""

    def __init__(self, config: ModelConfig, embeddings: Embeddings) -> None:
        super().__init__()
        self.config = config
        self.trunk = Transformer(config, embeddings.words)
        self.trunk.embeddings = _SharedEmbeddings(config, embeddings)  # type: ignore[assignment]
        self.head = LanguageHead(config, embeddings.words)
        self._embeddings = [embeddings]

    def features(self, tokens: Flat, positions: Tensor | None) -> Tensor:
        """What the output matrix is multiplied with at some positions, ``(positions, width)``."""
        return self.head.features(self.trunk(tokens)[positions])

    def whole(self) -> Model:
        """A masked language model with these weights and a copy of the embeddings."""
        model = Model(self.config, "masked")
        weights = {f"trunk.embeddings.{n}": p for n, p in self._embeddings[0].state_dict().items()}
        weights = {n: p for n, p in weights.items() if ".projection." not in n}
        model.load_state_dict({**weights, **self.state_dict()})
        return model
