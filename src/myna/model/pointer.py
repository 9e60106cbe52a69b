"""Copying from the source (See et al. 2017, arXiv:1704.04368), for an encoder-decoder.

A token is taken from the vocabulary or from the source, as a gate says: the probability of an id is that of the
vocabulary times the gate's, and one less the gate's times the attention to the places of the source that hold it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myna.model.cache import Memory
from myna.model.config import ModelConfig
from myna.model.flat import Run
from myna.model.mixers import pairs_of


class Pointer(nn.Module):
    """A gate, and attention of one head from what the decoder makes to what the encoder made."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.gate = nn.Linear(2 * config.hidden_size, 1)

    def look(
        self, hidden: Tensor, runs: Sequence[Run], memory: Memory
    ) -> tuple[list[tuple[Run, Tensor, Tensor]], Tensor]:
        """The logarithm of the attention of ``hidden (tokens, hidden)``, stretch by stretch, and the gate's logit.

        A stretch has its run, ``(documents, length, source)`` and the ids of the source ``(documents, source)``; the
        logit is ``(tokens,)``.
        """
        assert memory.ids is not None
        queries = self.query(hidden) / math.sqrt(hidden.shape[1])
        found, contexts = [], []
        for run, source in pairs_of(runs, memory.spans):
            states = memory.hidden[source.rows].view(source.documents, source.length, -1)
            ids = memory.ids[source.rows].view(source.documents, source.length).expand(run.documents, -1)
            scores = queries[run.rows].view(run.documents, run.length, -1) @ states.transpose(1, 2)
            logs = scores.float().log_softmax(2) if scores.dtype.itemsize < 4 else scores.log_softmax(2)
            contexts.append((logs.exp().to(states.dtype) @ states).flatten(0, 1))
            found.append((run, logs, ids))
        return found, self.gate(torch.cat([hidden, torch.cat(contexts)], 1)).squeeze(1)

    def mixed(self, logits: Tensor, hidden: Tensor, runs: Sequence[Run], memory: Memory) -> Tensor:
        """The logarithm of the probability of each id, ``(tokens, vocabulary)``, from the vocabulary's ``logits``."""
        found, gate = self.look(hidden, runs, memory)
        copied = torch.zeros_like(logits)
        for run, logs, ids in found:
            places = ids.unsqueeze(1).expand(-1, run.length, -1).flatten(0, 1)
            copied[run.rows].scatter_add_(1, places, logs.exp().flatten(0, 1).to(logits.dtype))
        # Where nothing is copied its logarithm is not infinite, so that its gradient is a number.
        copied = copied.clamp(min=torch.finfo(logits.dtype).tiny).log() + F.logsigmoid(-gate).unsqueeze(1)
        return torch.logaddexp(logits.log_softmax(1) + F.logsigmoid(gate).unsqueeze(1), copied)

    def of_targets(self, hidden: Tensor, targets: Tensor, runs: Sequence[Run], memory: Memory) -> tuple[Tensor, Tensor]:
        """The logarithms of the gate and of each target copied, the gate's share in it, ``(tokens,)`` each."""
        found, gate = self.look(hidden, runs, memory)
        pieces = []
        for run, logs, ids in found:
            same = ids.unsqueeze(1) == targets[run.rows].view(run.documents, run.length, 1)
            pieces.append(logs.masked_fill(~same, torch.finfo(logs.dtype).min / 2).logsumexp(2).flatten())
        return F.logsigmoid(gate), torch.cat(pieces) + F.logsigmoid(-gate)
