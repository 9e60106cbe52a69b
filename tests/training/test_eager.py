"""Optimizers without torch's compiler: as torch's own to the bit, and it is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from myna.training.eager import eager

ROOT = Path(__file__).parents[2]
KINDS = {
    torch.optim.AdamW: {"fused": True, "weight_decay": 0.1},
    torch.optim.SGD: {"fused": True, "momentum": 0.9, "nesterov": True},
    torch.optim.Adafactor: {},
    torch.optim.Muon: {"adjust_lr_fn": "match_rms_adamw"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_moves_as_torch_s_own_does(kind: type[torch.optim.Optimizer]) -> None:
    draw = torch.Generator().manual_seed(1)
    start, gradients = torch.randn(4, 6, generator=draw), torch.randn(5, 4, 6, generator=draw)
    ends = []
    for made in (kind, eager(kind), kind):
        parameter = nn.Parameter(start.clone())
        optimizer = made([parameter], lr=0.01, **KINDS[kind])
        assert isinstance(optimizer, kind)
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
        ends.append(parameter.detach())
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2]), "torch's own is left as it was"
    assert not torch.equal(ends[0], start)


TRAINS = """
import sys
from pathlib import Path
from myna.training import machine
machine.matrix_gflops = lambda: 1.0
from tests.training.runs import CONFIG, run
for optimizer in ("adamw", "muon"):
    run(Path(sys.argv[1]) / optimizer, config=CONFIG.model_copy(update={"steps": 1, "optimizer": optimizer}))
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""


def test_a_training_does_not_import_the_compiler(tmp_path: Path) -> None:
    """It would take longer than all else before the first step."""
    command = [sys.executable, "-c", TRAINS, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
