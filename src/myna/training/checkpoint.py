"""Checkpoints: the whole state of a run at a step, in safetensors and JSON.

``checkpoints/step-00001000/`` holds ``weights.safetensors``, ``optimizer.safetensors`` and ``state.json`` with the
checksums of the others. A checkpoint is written beside and renamed, so that one that has its name is whole; it is
verified all the same before it is trusted. There is no random state in it: randomness is a function of the step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from myna import files
from myna.errors import InputError, MynaError

_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk: its folder and the content of its ``state.json``."""

    folder: Path
    state: dict[str, Any]


def save_checkpoint(
    folder: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Writes the checkpoint of ``state["step"]`` and clears all but the newest two."""
    with files.new_folder(folder / "checkpoints" / f"step-{state['step']:08d}") as place:
        with files.open_new(place / "weights.safetensors") as stream:
            stream.write(save({name: p.detach() for name, p in parameters.items()}))
        with files.open_new(place / "optimizer.safetensors") as stream:
            stream.write(save(_moments(parameters, optimizer)))
        manifest = files.manifest(place)
        with files.open_new(place / "state.json") as stream:
            stream.write(json.dumps({**state, "files": manifest}, ensure_ascii=False).encode())
    for old in _folders(folder)[:-_KEPT]:
        files.remove(old)


def newest_checkpoint(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint; each one that is passed over is told to ``say``."""
    for place in reversed(_folders(folder)):
        try:
            state = files.read_json(place / "state.json")
            files.verify(place, state["files"])
            return Checkpoint(place, state)
        except (MynaError, KeyError, TypeError) as error:
            say(f"{place} is not whole ({error}): going back to the one before")
            # It would be taken for the newest again, and what is saved from here on would be cleared in its favour.
            files.remove(place)
    return None


def restore(checkpoint: Checkpoint, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Fills parameters and optimizer; a checkpoint of another model is an :class:`InputError`."""
    weights = load_file(checkpoint.folder / "weights.safetensors")
    fill(parameters, weights, checkpoint.folder)
    moments = load_file(checkpoint.folder / "optimizer.safetensors")
    for name, parameter in parameters.items():
        parts = {part: moments[f"{name}.{part}"] for part in ("step", "exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = parts


def fill(parameters: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor], where: Path) -> None:
    """Copies weights by name; names or shapes that differ are an :class:`InputError`."""
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    found = {name: tuple(w.shape) for name, w in weights.items()}
    if shapes != found:
        name = next(n for n in [*shapes, *found] if shapes.get(n) != found.get(n))
        what = f"these are weights of another model: {name} is {found.get(name)}, not {shapes.get(name)}"
        raise InputError(what, where=where, remedy="remove that folder, or go back to the model it belongs to")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def _folders(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("step-*"))


def _moments(parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {f"{name}.{part}": value for name, p in parameters.items() for part, value in optimizer.state[p].items()}
