"""Against transformers: a new model's weights are as widely spread as theirs, tensor by tensor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from myna.huggingface.families import tensors_of
from myna.model.heads import build

from .comparing import Case, our_model
from .decoders import CASES as DECODERS
from .encoders import CASES as ENCODERS


@pytest.mark.parametrize("case", [*ENCODERS, *DECODERS], ids=lambda case: case.name)
def test_new_weights_are_as_widely_spread_as_theirs(tmp_path: Path, case: Case) -> None:
    torch.manual_seed(0)
    theirs = case.make()
    if case.family == "t5" and not theirs.config.scale_decoder_outputs:
        # Their constructor ties it all the same; as their initialization has it:
        theirs.lm_head.weight = torch.nn.Parameter(torch.randn_like(theirs.shared.weight))
    described = our_model(theirs, tmp_path)
    ours = tensors_of(build(described.config, case.kind, described.labels, seed=1))
    named = dict(theirs.named_parameters()) | dict(theirs.named_buffers())
    other = {}
    for name, mine in ours.items():
        tensor = named[name].detach().float()
        # Twice the spread of the ratio of two spreads that are each told by so many numbers, and of the least ones.
        allowed = 4 / mine.numel() ** 0.5
        spreads = mine.float().square().mean().sqrt().item(), tensor.square().mean().sqrt().item()
        if abs(spreads[0] - spreads[1]) > allowed * max(spreads):
            other[name] = spreads
    assert not other
