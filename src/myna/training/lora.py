"""LoRA (arXiv:2106.09685): a trunk stays as it is, and what its matrices would learn is learned in two narrow ones.

:func:`adapt` puts a :class:`LowRank` in the place of matrices of every layer; :func:`merge` adds what they learned to
the matrices themselves, so that the model is again as it was built; :func:`detach` takes it away, and gives it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myna import randomness
from myna.errors import InputError
from myna.model.heads import Model
from myna.model.layers import Dropout, Linear
from myna.model.mixers import Heads
from myna.model.transformer import Block

# Dropouts of adapters, told apart from those of layers and heads.
_PLACE = 2_000_000


class LowRank(Linear):
    """``x W' + scale * dropout(x) A' B'`` for each part of the output, its ``rows`` by name; W learns nothing.

    ``down`` holds A, ``(rank, inputs)``, ``up`` holds B, ``(outputs of the part, rank)``, which begins as zero.
    """

    def __init__(self, plain: nn.Linear, rows: Mapping[str, slice], rank: int, scale: float, dropout: Dropout) -> None:
        super().__init__(plain.in_features, plain.out_features, plain.bias is not None, device="meta")
        self.weight, self.bias = plain.weight, plain.bias
        self.rows, self.scale, self.dropout = dict(rows), scale, dropout
        new, sizes = plain.weight.new_zeros, {name: part.stop - part.start for name, part in rows.items()}
        self.down = nn.ParameterDict({name: nn.Parameter(new(rank, plain.in_features)) for name in rows})
        self.up = nn.ParameterDict({name: nn.Parameter(new(size, rank)) for name, size in sizes.items()})

    def forward(self, hidden: Tensor, keys: Tensor | None = None) -> Tensor:
        """``(tokens, inputs)`` to ``(tokens, outputs)``."""
        result = F.linear(hidden, self.weight, self.bias)
        hidden = self.dropout(hidden, keys)
        for name, part in self.rows.items():
            result[:, part] += F.linear(F.linear(hidden, self.down[name]), self.up[name]) * self.scale
        return result

    def change(self) -> Tensor:
        """What is learned, as large as the weight."""
        total = torch.zeros_like(self.weight)
        for name, part in self.rows.items():
            total[part] += self.up[name] @ self.down[name] * self.scale
        return total.detach()


def adapt(model: Model, of: Sequence[str], rank: int, alpha: float, dropout: float, seed: int) -> None:
    """Lets nothing of the trunk learn but changes of ``rank`` of the matrices ``of``, times alpha / rank.

    ``of`` names query, key, value, output (of what mixes positions), feed_forward; one that the model has nowhere is an
    :class:`InputError`.
    """
    model.trunk.requires_grad_(False)
    found: set[str] = set()
    places = [place for block in model.trunk.modules() if isinstance(block, Block) for place in _matrices(block)]
    for number, (owner, name, rows) in enumerate(places):
        chosen = {part: rows[part] for part in rows if part in of}
        if chosen:
            plain = getattr(owner, name)
            drop = Dropout(dropout, plain.in_features, _PLACE + number)
            setattr(owner, name, LowRank(plain, chosen, rank, alpha / rank, drop))
            found |= chosen.keys()
    missing = [part for part in of if part not in found]
    if missing:
        raise InputError(f"the model has no {missing[0]} to adapt", remedy="leave it out of the adapters' of")
    for name, parameter in model.named_parameters():
        if ".down." in name:
            generator = torch.Generator().manual_seed(randomness.key(seed, "lora", name) >> 1)
            drawn = torch.rand(parameter.shape, generator=generator) * 2 - 1
            # As peft and its authors: uniform, as a matrix of so many inputs begins.
            parameter.data.copy_(drawn / math.sqrt(parameter.shape[1]))


def detach(model: Model) -> dict[str, LowRank]:
    """Takes the adapters away, and gives them by the names of their weights, which are as they were before."""
    taken: dict[str, LowRank] = {}
    for name, module in list(model.named_modules()):
        for child, part in list(module.named_children()):
            if isinstance(part, LowRank):
                taken[f"{name}.{child}.weight"] = part
                plain = Linear(part.in_features, part.out_features, part.bias is not None, device="meta")
                plain.weight, plain.bias = part.weight, part.bias
                setattr(module, child, plain)
    return taken


def merge(model: Model) -> None:
    """Adds what adapters learned to the matrices beside which they stand."""
    for part in detach(model).values():
        part.weight.data += part.change()


def _matrices(block: Block) -> Iterator[tuple[nn.Module, str, dict[str, slice]]]:
    """The matrices of a layer that can be adapted: whose they are, their name, and their rows by part."""
    mixer, inner = block.mixer, block.feed_forward
    heads = mixer if isinstance(mixer, Heads) else getattr(mixer, "attention", None)
    if isinstance(heads, Heads):
        query, key = heads.width, heads.kv_heads * (heads.width // heads.heads)
        ends = {"query": (0, query), "key": (query, query + key), "value": (query + key, query + 2 * key)}
        yield heads, "projection", {part: slice(*bounds) for part, bounds in ends.items()}
    for owner, name, part in ((mixer, "output", "output"), (inner, "inner", "feed_forward")):
        yield owner, name, {part: slice(0, getattr(owner, name).out_features)}
    yield inner, "output", {"feed_forward": slice(0, inner.output.out_features)}
