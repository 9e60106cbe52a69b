"""The model that a training starts from: its weights under another head or with rows for new pieces, and what its
descendant remembers of it.

A piece that the model had no row for begins as the mean of the rows of the pieces that its word was cut into before:
so to the model it is what it read until now. In the output layer, row and bias alike are means, and the logit of a new
piece begins as the mean of those of its pieces, whatever the text. (A bias of zero would not: the biases of a trained
model lie far from zero, by how rare a piece is, and every new word would begin as a common one.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from myna.errors import InputError
from myna.huggingface.families import with_head
from myna.huggingface.folder import read_model_folder
from myna.huggingface.weights import weights_hash
from myna.model.config import ModelConfig
from myna.model.heads import Model, build
from myna.settings import reason
from myna.tokens.growing import pieces_of_new
from myna.tokens.tokenizer import Tokenizer

# Parts that no weight depends on: what is dropped, and how far positions that are computed reach.
_FREE = ("dropout", "embedding_dropout", "attention_dropout", "activation_dropout", "final_dropout")
_FREE_WITHOUT_TABLE = ("maximum_length", "rotary_base", "rotary_local_base", "rotary_scaling")
# Tensors that have a row for each piece.
_ROWS = ("trunk.embeddings.words.weight", "head.output", "head.bias")


@dataclass(frozen=True)
class Origin:
    """A model that is there already, what its ``myna.json`` says, and the hash of its weights."""

    folder: Path
    model: Model
    facts: Mapping[str, Any]
    weights: str

    @classmethod
    def read(cls, folder: Path) -> Origin:
        """The model in a folder of ours or of Hugging Face."""
        model, facts = read_model_folder(folder)
        return cls(folder, model, facts, weights_hash(folder))

    @property
    def lineage(self) -> list[dict[str, Any]]:
        """What a model that is made of this one remembers: its ancestors, oldest first."""
        remembered = ("name", "task", "corpora", "corpus", "steps", "tokens")
        own = {name: self.facts[name] for name in remembered if name in self.facts}
        return [*self.facts.get("lineage", []), {"name": self.folder.name, **own, "weights": self.weights}]

    def continued(self, kind: str, tokenizer: Tokenizer, parts: Mapping[str, Any], seed: int) -> Model:
        """A language model with these weights, and rows for the pieces that ``tokenizer`` has more than its own.

        ``kind`` is masked or causal; a model with another head, or none, is given a new one from ``seed``. Raises an
        :class:`InputError` where the tokenizer is not the model's own nor grown from it, and for ``parts`` that the
        weights were not made for.
        """
        new = pieces_of_new(Tokenizer.open(self.folder), tokenizer)
        described = changed(self.model.config, parts)
        # A folder may have more rows than its tokenizer has pieces, to a round number.
        size = max(described.vocabulary_size, tokenizer.vocabulary_size)
        described = described.model_copy(update={"vocabulary_size": size})
        same_head = self.model.kind == kind and not _is_blank(self.model.head)
        if self.model.kind != kind:
            described = with_head(described, self.model.kind, kind)
        model = build(described, kind, seed=seed)
        state = self.model.state_dict()
        kept = {name: tensor for name, tensor in state.items() if same_head or not name.startswith("head.")}
        for name in _ROWS:
            if name in kept:
                kept[name] = with_rows(kept[name], new, size)
        model.load_state_dict({**model.state_dict(), **kept})
        return model


def with_rows(tensor: Tensor, new: Mapping[int, list[int]], size: int) -> Tensor:
    """``(pieces, …)`` with ``size`` rows, each of ``new`` the mean of the old rows that it names, the others kept.

    Where it names none, as for a word that was left out before, it is the mean of all.
    """
    old = tensor.shape[0]
    grown = torch.cat([tensor, tensor.new_zeros(max(0, size - old), *tensor.shape[1:])])
    for row, pieces in new.items():
        grown[row] = tensor[pieces].mean(0) if pieces else tensor[: min(new)].mean(0)
    return grown


def changed(config: ModelConfig, parts: Mapping[str, Any]) -> ModelConfig:
    """The description of a trained model with parts that may be others: raises an :class:`InputError` for the rest."""
    free = _FREE if config.positions == "learned" else _FREE + _FREE_WITHOUT_TABLE
    fixed = [name for name in parts if name not in free]
    if fixed:
        what = f"{', '.join(fixed)} cannot be changed: the weights of start_from were made for what it is"
        raise InputError(what, remedy=f"of this model there may be others of {', '.join(free)}")
    try:
        return ModelConfig(**{**config.model_dump(), **parts})
    except ValidationError as error:
        raise InputError(reason(error)) from None


def _is_blank(head: torch.nn.Module) -> bool:
    """Whether a head is the zeros that a bare trunk is given."""
    own = list(head.parameters())
    return bool(own) and not any(bool(parameter.any()) for parameter in own)
