"""Ours beside transformers', with the same weights: what a case is, and how far its figures lie apart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from myna.huggingface.families import family_of, find_family
from myna.huggingface.folder import read_model_folder
from myna.model.flat import Flat, flatten
from myna.model.heads import Model

VOCABULARY = 60
LENGTHS = (3, 7, 7, 24)


@dataclass(frozen=True)
class Case:
    """A model of transformers with every supported field that changes its arithmetic off its default.

    ``automatic`` is the class that opens it from a folder; ``padding`` says that theirs gives the same with padding
    and a mask; ``family`` is the ``model_type``; ``source`` says that it is an encoder-decoder.
    """

    family: str
    kind: str
    make: Callable[[], Any]
    automatic: str
    padding: bool = True
    source: bool = False
    # Settings that keep their default because any other value is refused by name.
    prepare: Callable[[Any], None] = lambda model: None
    variant: str = ""

    @property
    def name(self) -> str:
        """Family, head and, where there are several, which of them."""
        return "-".join(filter(None, (self.family, self.kind, self.variant)))


def texts(lengths: Sequence[int] = LENGTHS, seed: int = 0) -> list[np.ndarray]:
    """Documents of several lengths, without the ids that families treat apart."""
    return [np.random.default_rng(seed + n).integers(5, VOCABULARY, n) for n in lengths]


def their_model(case: Case) -> Any:
    """Theirs in double precision, its weights representable in single; biases and norms off their defaults too."""
    torch.manual_seed(0)
    model = case.make()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    case.prepare(model)
    return model.eval().double()


def our_model(theirs: Any, folder: Path) -> Model:
    """The folder that theirs saves, read."""
    theirs.float().save_pretrained(folder)
    theirs.double()
    return read_model_folder(folder)[0].eval()


@dataclass(frozen=True)
class Outputs:
    """Hidden states by layer and logits, all documents one after the other."""

    states: list[Tensor]
    logits: Tensor


def their_outputs(case: Case, model: Any, documents: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Outputs:
    """One document at a time."""
    found = []
    for text, target in zip(documents, targets, strict=True):
        given = {"input_ids": torch.from_numpy(text)[None]}
        if case.source:
            given["decoder_input_ids"] = torch.from_numpy(target)[None]
        found.append(model(**given, output_hidden_states=True, return_dict=True))
    return Outputs(*_together(case, found))


def _together(case: Case, found: Sequence[Any]) -> tuple[list[Tensor], Tensor]:
    def states(output: Any) -> list[Tensor]:
        if not case.source:
            return [state[0] for state in output.hidden_states]
        return [state[0] for state in (*output.encoder_hidden_states, *output.decoder_hidden_states)]

    layers = [torch.cat(layer) for layer in zip(*map(states, found), strict=True)]
    return layers, torch.cat([_logits(case, output) for output in found])


def _logits(case: Case, output: Any) -> Tensor:
    if case.kind == "span":
        return torch.stack((output.start_logits[0], output.end_logits[0]), dim=1)
    if case.kind == "sequence":
        return output.logits
    return output.logits[0].reshape(-1, 1) if case.kind == "replaced" else output.logits[0]


def our_outputs(case: Case, model: Model, documents: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Outputs:
    """All documents together."""
    tokens = flatten(documents)
    if not case.source:
        return Outputs(model.trunk.hidden_states(tokens), model(tokens))
    target: Flat = flatten(targets)
    encoder, decoder = model.trunk.encoder, model.trunk.decoder
    states = [*encoder.hidden_states(tokens), *decoder.hidden_states(target, model.trunk.read(tokens))]
    return Outputs(states, model(tokens, target))


def apart(ours: Outputs, theirs: Outputs) -> float:
    """The largest difference of any figure."""
    pairs = [*zip(ours.states, theirs.states, strict=True), (ours.logits, theirs.logits)]
    return max((mine - other).abs().max().item() for mine, other in pairs)


def gradients_apart(model: Model, theirs: Any) -> float:
    """The largest difference of any parameter's gradient, relative to the largest of its tensor where that is over 1.

    Ours are given the names of theirs by the table that weights are written with.
    """
    carrier = copy.deepcopy(model)
    with torch.no_grad():
        for ours, parameter in zip(carrier.parameters(), model.parameters(), strict=True):
            ours.copy_(torch.zeros_like(ours) if parameter.grad is None else parameter.grad)
    named = dict(theirs.named_parameters()) | dict(theirs.named_buffers())
    worst = 0.0
    for name, mine in find_family(theirs.config.model_type).tensors(carrier).items():
        other = named[name].grad
        if other is not None:
            worst = max(worst, (mine - other).abs().max().item() / max(1.0, other.abs().max().item()))
    return worst


def saved_as(model: Model) -> str:
    """The family that the model is saved as."""
    return family_of(model.config, model.kind).model_type
