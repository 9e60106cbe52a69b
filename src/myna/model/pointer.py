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
        """What ``hidden (tokens, hidden)`` attends to, stretch by stretch, and the logit of the gate, ``(tokens,)``.

        A stretch is its run, the logarithm of attention ``(documents, length, source)``, ids ``(documents, source)``.
        """
        queries = self.query(hidden) / math.sqrt(hidden.shape[1])
        found, contexts = [], []
        for run, source in pairs_of(runs, memory.spans):
            states, ids = source.of(memory.hidden), source.of(memory.ids).expand(run.documents, -1)
            scores = run.of(queries) @ states.transpose(1, 2)
            logs = scores.float().log_softmax(2) if scores.dtype.itemsize < 4 else scores.log_softmax(2)
            contexts.append((logs.exp().to(states.dtype) @ states).flatten(0, 1))
            found.append((run, logs, ids))
        gate = self.gate(torch.cat([hidden, torch.cat(contexts)], 1)).squeeze(1)
        return found, gate.to(found[0][1].dtype)

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
