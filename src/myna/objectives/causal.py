"""Causal language modelling: each token from those before it.

A document is read as ``start, its tokens, end``, and everything behind ``start`` is predicted exactly once an epoch:
a long document is cut into pieces, and the last token of a piece predicts the first of the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from myna.model.flat import flatten
from myna.model.heads import LanguageHead, Model
from myna.objectives.language import LanguageObjective, Vocabulary
from myna.objectives.losses import target_nats
from myna.objectives.protocol import Batch
from myna.objectives.settings import Causal
from myna.tokens.pieces import Piece
from myna.tokens.sampler import micro_batches


class CausalLM(LanguageObjective):
    """Predicts the next token: a piece has as many predictions as tokens, and the last of a document its end too."""

    settings_class = Causal
    name = "causal"
    extra_last = 1
    judged = ("text",)

    def batch(self, items: Sequence[Piece], numbers: NDArray[np.int64], key: int | None) -> Batch:
        """See :class:`~myna.objectives.protocol.Objective`."""
        inputs, targets = [], []
        for item in items:
            line, following = causal_line(self.vocabulary, item)
            inputs.append(line)
            targets.append(following)
        tokens = flatten(inputs, numbers, key)
        flat = torch.from_numpy(np.concatenate(targets))
        owners = np.repeat(np.arange(len(items)), [len(line) for line in targets])
        return Batch(tokens, flat, {"causal": len(flat)}, owners=owners)


def causal_line(vocabulary: Vocabulary, item: Piece) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What is read of a piece and what follows each token of that, ``(tokens,)`` each."""
    # The token before is read again, as context; what it predicts is the first of this piece.
    line = np.concatenate([[vocabulary.start if item.before is None else item.before], item.ids])
    following = [vocabulary.end] if item.after is None else []
    targets = np.concatenate([line[1:], following]).astype(np.int64)
    return (line if item.after is None else line[:-1]), targets


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
