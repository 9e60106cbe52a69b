"""Causal language modelling: each token from those before it.

A document is read as ``start, its tokens, end``, and everything behind ``start`` is predicted exactly once an epoch:
a long document is cut into pieces, and the last token of a piece predicts the first of the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from myna.model.flat import flatten
from myna.model.heads import LanguageHead, Model
from myna.objectives.losses import linear_cross_entropy, target_nats
from myna.objectives.masked import Vocabulary
from myna.objectives.protocol import Batch, Loss, Term
from myna.tokens.pieces import Piece, Pieces
from myna.tokens.sampler import micro_batches

if TYPE_CHECKING:
    from myna.tokens.store import TokenStore


class CausalLM:
    """Predicts the next token."""

    head = "causal"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def items(self, stores: Sequence[TokenStore], maximum_length: int) -> Pieces:
        """Pieces with as many tokens as predictions; the last of a document also predicts its end."""
        return Pieces(stores, maximum_length - 1, extra_last=1)

    def batch(self, items: Sequence[Piece], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`."""
        inputs, targets = [], []
        for item in items:
            # The token before is read again, as context; what it predicts is the first of this piece.
            line = np.concatenate([[self.vocabulary.start if item.before is None else item.before], item.ids])
            following = [self.vocabulary.end] if item.after is None else []
            targets.append(np.concatenate([line[1:], following]).astype(np.int64))
            inputs.append(line if item.after is None else line[:-1])
        tokens = flatten(inputs, numbers, key)
        flat = torch.from_numpy(np.concatenate(targets))
        return Batch(tokens, flat, {"causal": len(flat)})

    def loss(self, model: Model, batch: Batch) -> Loss:
        """Cross-entropy of every token and of every document's end, in nats."""
        assert isinstance(model.head, LanguageHead)
        hidden = model.head.features(model.trunk(batch.tokens))
        total = linear_cross_entropy(hidden, model.head.weight, model.head.bias, batch.targets)
        return Loss((Term("causal", total, batch.counts["causal"]),))

    def modules(self) -> Mapping[str, nn.Module]:
        """Nothing beside the model."""
        return {}


def document_nats(
    model: Model,
    documents: Sequence[NDArray[np.integer]],
    start: int,
    end: int,
    batch_tokens: int = 4096,
) -> NDArray[np.float64]:
    """The cross-entropy of each whole document and its end, ``(documents,)`` in nats.

    A document longer than the model's window is read in windows that overlap by half, and each token is scored in
    the first window that holds it, so that it has at least half a window of context.
    """
    assert isinstance(model.head, LanguageHead)
    size = model.config.maximum_length
    stride = max(1, size // 2)
    windows: list[tuple[int, NDArray[np.int64], NDArray[np.int64], int]] = []
    for number, document in enumerate(documents):
        line = np.concatenate([[start], np.asarray(document, np.int64), [end]])
        scored = 0
        for begin in range(0, len(line) - 1, stride):
            stop = min(begin + size, len(line) - 1)
            windows.append((number, line[begin:stop], line[begin + 1 : stop + 1], scored - begin))
            scored = stop
            if stop == len(line) - 1:
                break
    totals = np.zeros(len(documents))
    lengths = np.array([len(window[1]) for window in windows], np.int64)
    with torch.inference_mode():
        for chosen in micro_batches(lengths, max(batch_tokens, size)):
            tokens = flatten([windows[i][1] for i in chosen])
            targets = np.concatenate([windows[i][2] for i in chosen])
            hidden = model.head.features(model.trunk(tokens))
            nats = target_nats(hidden, model.head.weight, model.head.bias, torch.from_numpy(targets))
            for i, part in zip(chosen, np.split(nats.double().numpy(), np.cumsum(lengths[chosen])[:-1]), strict=True):
                totals[windows[i][0]] += part[windows[i][3] :].sum()
    return totals
