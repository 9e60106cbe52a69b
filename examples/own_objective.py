"""An objective of one's own: put the wrong pieces of a text right, without being told where they are.

A share of the pieces is exchanged for others, and the model must say for every piece what it should be. In a recipe,
with this file's folder on PYTHONPATH:

    [pretrain.corrector]
    objective = "own_objective:Correction"
    settings = { ratio = 0.2 }
    preset = "bert-micro"
    corpus = "texts"
    tokenizer = "pieces"
    epochs = 1
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from myna import randomness
from myna.model.flat import flatten
from myna.objectives.language import LanguageObjective, draw_key
from myna.objectives.protocol import Batch
from myna.objectives.settings import Declaration, LanguageSettings
from myna.settings import setting
from myna.tokens.pieces import Piece


class CorrectionSettings(LanguageSettings):
    """What a recipe can set. ``declared`` says which models and tokenizers the objective goes with."""

    declared = Declaration(head="masked", attention=("bidirectional",))
    ratio: float = setting(0.15, "share of the pieces that are exchanged", gt=0, lt=1)


class Correction(LanguageObjective):
    """The loss is the cross-entropy of every piece, which the base class computes from what ``batch`` gives."""

    settings_class = CorrectionSettings
    name = "correction"
    extra = 2  # one token before each piece of text and one behind it

    def batch(self, items: Sequence[Piece], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """A function of its arguments alone: all that is drawn comes from the key, the item's number, the place."""
        read, right, positions, start = [], [], [], 0
        for item, number in zip(items, numbers, strict=True):
            ids = np.asarray(item.ids, np.int64)
            drawn = randomness.key(draw_key(key), "correction", int(number))
            places = np.arange(len(ids))
            wrong = randomness.uniform(drawn, places) < self.settings.ratio
            other = randomness.numbers(randomness.key(drawn, "other"), places) % np.uint64(self.vocabulary.size)
            text = np.where(wrong, other.astype(np.int64), ids)
            read.append(np.concatenate([[self.vocabulary.start], text, [self.vocabulary.end]]))
            right.append(ids)
            positions.append(start + 1 + places)
            start += len(ids) + 2
        return Batch(
            flatten(read, numbers, key),
            torch.from_numpy(np.concatenate(right)),
            {self.name: sum(map(len, right))},
            torch.from_numpy(np.concatenate(positions)),
            owners=np.repeat(np.arange(len(items)), [len(ids) for ids in right]),
        )
