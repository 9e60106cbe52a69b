"""Checkpoints: the whole state of a run at a step, in safetensors and JSON.

``checkpoints/step-00001000/`` holds ``weights.safetensors``, ``optimizer.safetensors``, ``state.json`` and, written
last, ``manifest.json`` with the size and the checksum of each. Where several processes share the weights, each writes
its rows of every tensor (``weights-00001-of-00002.safetensors`` …), and a whole tensor is those of all, one after the
other; any number of processes reads it. The folder is filled beside its place, every file of it
synced, and renamed; the folder around it is synced too. So a checkpoint that has its name is whole, and it is verified
all the same before it is trusted: one bit that changed anywhere in it is found. There is no random state in it:
randomness is a function of the step.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from myna import files
from myna.errors import InputError, MynaError
from myna.training.optimizers import Optimizers
from myna.training.processes import ALONE, Processes

_PARTS = ("weights", "optimizer")
_OF_SEVERAL = re.compile(r"weights-00001-of-(\d{5})\.safetensors")
# Names, shapes and JSON beside the numbers themselves, for each tensor and in all: more than they take.
_BESIDE_A_TENSOR, _BESIDE = 512, 1 << 16


Own = Callable[[Tensor], Tensor]


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


def save_checkpoint(
    folder: Path, optimizer: Optimizers, state: Mapping[str, Any], keeping: Keeping, processes: Processes = ALONE
) -> None:
    """Writes the checkpoint of ``state["step"]`` and clears those that need not stay.

    All ``processes`` call it together: each writes what its optimizer moves, and the first all the rest, when the
    others have written and synced theirs. A disk without room is a :class:`~myna.errors.RunError` before anything is
    written.
    """
    parts = {"weights": _weights(optimizer.parameters), "optimizer": optimizer.state()}
    tensors = [tensor for part in parts.values() for tensor in part.values()]
    size = sum(tensor.nbytes + _BESIDE_A_TENSOR for tensor in tensors) + _BESIDE
    if processes.first:
        files.check_room(folder, size * processes.count)
    with contextlib.ExitStack() as stack:
        whole = folder / "checkpoints" / f"step-{state['step']:08d}"
        made = stack.enter_context(files.new_folder(whole)) if processes.first else None
        place = Path(processes.from_first(str(made)))
        processes.together(lambda: _write_parts(place, parts, processes))
        if processes.first:
            with files.open_new(place / "state.json") as stream:
                stream.write(json.dumps(dict(state), ensure_ascii=False).encode())
            manifest = _as_bytes({"files": files.manifest(place)})
            with files.open_new(place / "manifest.json") as stream:
                stream.write(manifest)
    if processes.first:
        _clear(folder, keeping)


def _write_parts(place: Path, parts: Mapping[str, Mapping[str, Tensor]], processes: Processes) -> None:
    names = dict(zip(_PARTS, _names(processes.count), strict=True))
    for part, tensors in parts.items():
        with files.open_new(place / names[part][processes.rank]) as stream:
            stream.write(save(dict(tensors)))
            if processes.count > 1:
                files.sync(stream)


def _names(count: int) -> list[list[str]]:
    """The files of the weights, and those of the optimizer, that ``count`` processes write."""
    if count == 1:
        return [[f"{part}.safetensors"] for part in _PARTS]
    return [[f"{part}-{n:05d}-of-{count:05d}.safetensors" for n in range(1, count + 1)] for part in _PARTS]


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


def machine_of(folder: Path) -> dict[str, Any] | None:
    """What the newest whole checkpoint says of the machine that its run began on; None where there is none."""
    for place in reversed(_folders(folder)):
        with contextlib.suppress(MynaError, KeyError, TypeError):
            return dict(_verified(place).state["machine"]) or None
    return None


def restore(checkpoint: Checkpoint, optimizer: Optimizers, own: Own = lambda whole: whole) -> None:
    """Fills the parameters and the optimizer; a checkpoint of other ones is an :class:`InputError`.

    ``own`` says which part of a whole tensor, a parameter's or one of its shape, this process keeps.
    """
    weights, moments = (_read(checkpoint.folder, names, own) for names in _names(_count(checkpoint.folder)))
    fill(optimizer.parameters, weights, checkpoint.folder)
    try:
        optimizer.load(moments)
    except InputError as error:
        remedy = "remove that folder, or go back to the optimizer it belongs to"
        raise InputError(error.what, where=checkpoint.folder, remedy=remedy) from None


def open_checkpoint(place: Path) -> Checkpoint:
    """The checkpoint in a folder that another process has verified."""
    return Checkpoint(place, files.read_object(place / "state.json"))


def _count(place: Path) -> int:
    """How many processes wrote a checkpoint's weights."""
    found = (_OF_SEVERAL.fullmatch(path.name) for path in place.iterdir())
    return next((int(match[1]) for match in found if match), 1)


def _read(place: Path, names: Sequence[str], own: Own) -> dict[str, Tensor]:
    with contextlib.ExitStack() as stack:
        parts = [stack.enter_context(safe_open(place / name, "pt")) for name in names]
        held = parts[0].keys()
        return {name: own(_whole([part.get_tensor(name) for part in parts])) for name in held}


def _whole(rows: Sequence[Tensor]) -> Tensor:
    return rows[0] if len(rows) == 1 or rows[0].ndim == 0 else torch.cat(list(rows))


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


def save_best(folder: Path, weights: Mapping[str, Tensor], step: int) -> str:
    """Keeps the weights of a step beside the checkpoints, and gives their SHA-256.

    A state that has it as ``best_sha256``, with the step in ``best``, makes them a part of its checkpoint.
    """
    content = save(dict(weights))
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
    expected = {"state.json", *(name for names in _names(_count(place)) for name in names)}
    if set(manifest) != {"files"} or set(manifest["files"]) != expected:
        raise InputError("this file is damaged", where=place / "manifest.json")
    if (place / "manifest.json").read_bytes() != _as_bytes(manifest):
        raise InputError("this file is damaged", where=place / "manifest.json")
    state = files.read_object(place / "state.json")
    if state.get("best_sha256"):
        best = _best_path(place.parent.parent, state["best"]["step"])
        if files.sha256(best) != state["best_sha256"]:
            raise InputError("this file is damaged: its checksum differs", where=best)
    return Checkpoint(place, state)
