"""Checkpoints: the whole state of a run at a step, in safetensors and JSON.

``checkpoints/step-00001000/`` holds ``weights.safetensors``, ``optimizer.safetensors``, ``state.json`` and, written
last, ``manifest.json`` with the size and the checksum of each. The folder is filled beside its place, every file of it
synced, and renamed; the folder around it is synced too. So a checkpoint that has its name is whole, and it is verified
all the same before it is trusted: one bit that changed anywhere in it is found. There is no random state in it:
randomness is a function of the step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from myna import files
from myna.errors import InputError, MynaError
from myna.training.optimizers import Optimizers

_FILES = {"weights.safetensors", "optimizer.safetensors", "state.json"}
# Names, shapes and JSON beside the numbers themselves, for each tensor and in all: more than they take.
_BESIDE_A_TENSOR, _BESIDE = 512, 1 << 16


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk: its folder and the content of its ``state.json``."""

    folder: Path
    state: dict[str, Any]


@dataclass(frozen=True)
class Keeping:
    """Which checkpoints stay: the newest ``newest``, those of every ``every``-th step, and those of ``steps``."""

    newest: int
    every: int | None = None
    steps: tuple[int, ...] = ()


def save_checkpoint(folder: Path, optimizer: Optimizers, state: Mapping[str, Any], keeping: Keeping) -> None:
    """Writes the checkpoint of ``state["step"]`` and clears those that need not stay.

    A disk without room for it is a :class:`~myna.errors.RunError` before anything is written.
    """
    weights, moments = _weights(optimizer.parameters), optimizer.state()
    tensors = [*weights.values(), *moments.values()]
    size = sum(tensor.nbytes + _BESIDE_A_TENSOR for tensor in tensors) + _BESIDE
    files.check_room(folder, size)
    with files.new_folder(folder / "checkpoints" / f"step-{state['step']:08d}") as place:
        with files.open_new(place / "weights.safetensors") as stream:
            stream.write(save(weights))
        with files.open_new(place / "optimizer.safetensors") as stream:
            stream.write(save(moments))
        with files.open_new(place / "state.json") as stream:
            stream.write(json.dumps(dict(state), ensure_ascii=False).encode())
        manifest = _as_bytes({"files": files.manifest(place)})
        with files.open_new(place / "manifest.json") as stream:
            stream.write(manifest)
    _clear(folder, keeping)


def newest_checkpoint(
    folder: Path, say: Callable[[str], None], suits: Callable[[Checkpoint], bool] = lambda checkpoint: True
) -> Checkpoint | None:
    """The newest whole checkpoint that ``suits``; each that is passed over is told to ``say`` and taken away.

    Otherwise it would be taken for the newest again, and what is saved from here on would be cleared in its favour.
    """
    for place in reversed(_folders(folder)):
        try:
            checkpoint = _verified(place)
            if suits(checkpoint):
                return checkpoint
            say(f"{place} is of another schedule: going back to the one before")
        except (MynaError, KeyError, TypeError) as error:
            say(f"{place} is not whole ({error}): going back to the one before")
        files.remove(place)
    return None


def restore(checkpoint: Checkpoint, optimizer: Optimizers) -> None:
    """Fills the parameters and the optimizer; a checkpoint of other ones is an :class:`InputError`."""
    fill(optimizer.parameters, load_file(checkpoint.folder / "weights.safetensors"), checkpoint.folder)
    try:
        optimizer.load(load_file(checkpoint.folder / "optimizer.safetensors"))
    except InputError as error:
        remedy = "remove that folder, or go back to the optimizer it belongs to"
        raise InputError(error.what, where=checkpoint.folder, remedy=remedy) from None


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


# The weights of the best score, where a training ends with them. The step is in the name: a crash before the
# checkpoint leaves the older ones, and those that a checkpoint needs stay as long as it does.


def save_best(folder: Path, parameters: Mapping[str, nn.Parameter], step: int) -> str:
    """Keeps the weights of a step beside the checkpoints, and gives their SHA-256.

    A state that has it as ``best_sha256``, with the step in ``best``, makes them a part of its checkpoint.
    """
    content = save(_weights(parameters))
    files.write_bytes(_best_path(folder, step), content)
    return hashlib.sha256(content).hexdigest()


def restore_best(folder: Path, parameters: Mapping[str, nn.Parameter], step: int) -> None:
    """Fills the parameters with what :func:`save_best` kept; damaged or lost, it is an :class:`InputError`."""
    path = _best_path(folder, step)
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        remedy = f"remove {path.parent} and run again: the training then begins anew"
        raise InputError(f"the weights of the best score are damaged ({error})", where=path, remedy=remedy) from None
    fill(parameters, weights, path)


def clear_unused_best(folder: Path) -> None:
    """Clears the kept weights that no checkpoint needs. Where one cannot be read, which they are is not known."""
    try:
        bests = [files.read_object(place / "state.json")["best"] for place in _folders(folder)]
        needed = {_best_path(folder, best["step"]) for best in bests if best}
    except (MynaError, KeyError, TypeError):
        return
    for path in (folder / "checkpoints").glob("best-*.safetensors"):
        if path not in needed:
            files.remove(path)


def _best_path(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"best-{step:08d}.safetensors"


def _weights(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in parameters.items()}


def _folders(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("step-*"))


def _clear(folder: Path, keeping: Keeping) -> None:
    places = _folders(folder)
    for place in places[: -keeping.newest]:
        step = int(place.name.removeprefix("step-"))
        if step not in keeping.steps and not (keeping.every and step % keeping.every == 0):
            files.remove(place)


def _as_bytes(manifest: Any) -> bytes:
    return (json.dumps(manifest, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()


def _verified(place: Path) -> Checkpoint:
    """The checkpoint in a folder; an :class:`InputError` names what of it is not as it was written."""
    manifest = files.read_object(place / "manifest.json")
    files.verify(place, manifest.get("files"))
    # The manifest can't hold its own checksum, but there is only one way to write it down.
    if set(manifest) != {"files"} or set(manifest["files"]) != _FILES:
        raise InputError("this file is damaged", where=place / "manifest.json")
    if (place / "manifest.json").read_bytes() != _as_bytes(manifest):
        raise InputError("this file is damaged", where=place / "manifest.json")
    state = files.read_object(place / "state.json")
    if state.get("best_sha256"):
        best = _best_path(place.parent.parent, state["best"]["step"])
        if files.sha256(best) != state["best_sha256"]:
            raise InputError("this file is damaged: its checksum differs", where=best)
    return Checkpoint(place, state)
