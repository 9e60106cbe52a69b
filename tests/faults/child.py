"""The command with a harm built in: ``python -m tests.faults.child KIND NAME STEP STAGE run …``.

At the step (from 1) of the training ``STAGE`` something becomes NaN: of ``embedding`` and ``output`` what the part
``NAME`` gives, of ``weight`` one number of that parameter, of ``gradient`` one of its gradient, and of ``exp_avg`` and
``exp_avg_sq`` one of what the optimizer remembers of it.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn

from myna import cli
from myna.training import loop


def main() -> None:
    """Builds the harm in, and leaves the rest to the command."""
    kind, name, step, stage = sys.argv[1:5]
    real = loop._gradient

    def gradient(run: Any, *others: Any) -> Any:
        if run.progress.step + 1 == int(step) and str(run.folder).endswith(stage):
            harm(kind, name, run)
        return real(run, *others)

    loop._gradient = gradient
    sys.argv[1:5] = []
    cli.main()


def harm(kind: str, name: str, run: Any) -> None:
    """Makes one thing of a training NaN, from here on."""
    parameters = dict(run.model.named_parameters())
    if kind == "output":
        dict(run.model.named_modules())[name].register_forward_hook(_output_with_nan)
    elif kind == "weight":
        _harm(parameters[name].data)
    elif kind == "gradient":
        parameters[name].register_hook(_with_nan)
    else:
        (part,) = run.optimizer.parts
        _harm(part.state[parameters[name]][kind])


def _harm(tensor: Tensor) -> None:
    tensor.view(-1)[tensor.numel() // 2] = torch.nan


def _with_nan(tensor: Tensor) -> Tensor:
    harmed = tensor.clone()
    _harm(harmed)
    return harmed


def _output_with_nan(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return _with_nan(output)


if __name__ == "__main__":
    main()
