"""Masked next-token prediction and causal language modelling in one set of weights (GPT-BERT, arXiv:2410.24159).

Most sequences are read from both sides with some pieces masked, and what stood at a masked position is predicted where
the token before it is (3.1); the others are read as a decoder does. Both predict the next token with one head, and
differ in the attention pattern alone, so that one model is an encoder and a decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from myna.model.flat import flatten
from myna.objectives.causal import CausalLM
from myna.objectives.language import LanguageObjective, Vocabulary, draw_key
from myna.objectives.masked import Masker
from myna.objectives.mixture import Member, Mixture
from myna.objectives.protocol import Batch
from myna.objectives.settings import Causal, Hybrid, ObjectiveSettings
from myna.tokens.pieces import Piece


class MaskedNextToken(LanguageObjective):
    """Predicts what is masked at position n from the hidden state of position n - 1."""

    settings_class = Hybrid
    name = "masked"
    extra = 1

    def __init__(self, vocabulary: Vocabulary, settings: ObjectiveSettings | None = None) -> None:
        super().__init__(vocabulary, settings)
        self.masker = Masker(vocabulary, self.settings)

    def batch(self, items: Sequence[Piece], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`."""
        masks = self.masker(items, numbers, draw_key(key), self.share)
        firsts = [self.vocabulary.start if item.before is None else item.before for item in items]
        lines = [np.concatenate([[first], part]) for first, part in zip(firsts, masks.sequences, strict=True)]
        # One token more before each sequence, and one place before the masked one.
        positions = masks.rows + masks.owners
        return Batch(
            replace(flatten(lines, numbers, key), whole=True),
            torch.from_numpy(masks.targets),
            {"masked": len(positions)},
            torch.from_numpy(positions),
            owners=masks.owners,
        )


class HybridLM(Mixture):
    """Causal language modelling for a share of the sequences, masked next-token prediction for the rest."""

    settings_class = Hybrid
    name = "hybrid"

    def make_members(self) -> Sequence[Member]:
        """The two objectives."""
        hybrid: Hybrid = self.settings
        causal = Causal(label_smoothing=hybrid.label_smoothing, z_loss=hybrid.z_loss)
        return [
            Member("causal", CausalLM(self.vocabulary, causal), hybrid.causal_share),
            Member("masked", MaskedNextToken(self.vocabulary, hybrid), 1 - hybrid.causal_share),
        ]
