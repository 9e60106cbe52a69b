"""Prefix language modelling (UniLM, arXiv:1905.03197; T5, arXiv:1910.10683, 3.2.1).

The first tokens of a piece, as many as are drawn evenly, all see each other; what follows is predicted one token after
the other, each from the prefix and what stands before it. Only that is a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from myna import randomness
from myna.model.flat import flatten
from myna.objectives.causal import causal_line
from myna.objectives.language import LanguageObjective, draw_key
from myna.objectives.protocol import Batch
from myna.objectives.settings import Prefix
from myna.tokens.pieces import Piece


class PrefixLM(LanguageObjective):
    """Predicts what follows a prefix that is seen from both sides."""

    settings_class = Prefix
    name = "prefix"
    extra_last = 1

    def batch(self, items: Sequence[Piece], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`."""
        lines, following = zip(*(causal_line(self.vocabulary, item) for item in items), strict=True)
        lengths = np.array([len(line) for line in lines])
        drawn = randomness.uniform(randomness.key(draw_key(key), "prefix"), numbers)
        prefixes = 1 + (drawn * lengths).astype(np.int64)
        # The last token of the prefix predicts the first behind it.
        place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        positions = np.flatnonzero(place >= np.repeat(prefixes, lengths) - 1)
        return Batch(
            replace(flatten(lines, numbers, key), prefixes=torch.from_numpy(prefixes)),
            torch.from_numpy(np.concatenate(following)[positions]),
            {"prefix": len(positions)},
            torch.from_numpy(positions),
            owners=np.repeat(np.arange(len(items)), lengths)[positions],
        )
