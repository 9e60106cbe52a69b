"""What a training writes down of itself: ``metrics.jsonl`` always, TensorBoard and Weights & Biases where asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from myna import files
from myna.errors import InputError
from myna.training.settings import Tracker


class Monitor(Protocol):
    """Takes the lines of a log, each with ``step``, ``tokens`` and ``seconds``, and figures, one or a table of them."""

    def log(self, line: Mapping[str, Any]) -> None:
        """Takes one line."""

    def close(self) -> None:
        """Nothing more comes."""


class Monitors:
    """Several as one; the first is ``metrics.jsonl``."""

    def __init__(self, monitors: Sequence[Monitor]) -> None:
        self._monitors = monitors

    def log(self, line: Mapping[str, Any]) -> None:
        """See :class:`Monitor`."""
        for monitor in self._monitors:
            monitor.log(line)

    def close(self) -> None:
        """See :class:`Monitor`."""
        for monitor in self._monitors:
            monitor.close()


def open_monitors(folder: Path, track: Sequence[Tracker], step: int, validated: int) -> Monitors:
    """The monitors of the training in ``folder``, which goes on from ``step``; ``validated`` as in :func:`cut_metrics`.

    A tracker that is not installed is an :class:`InputError`.
    """
    makers: dict[Tracker, Callable[[Path, int], Monitor]] = {"tensorboard": _TensorBoard, "wandb": _WeightsAndBiases}
    others = [makers[name](folder, step) for name in dict.fromkeys(track)]
    cut_metrics(folder / "metrics.jsonl", step, validated)
    return Monitors([_Metrics(folder / "metrics.jsonl"), *others])


def cut_metrics(path: Path, step: int, validated: int) -> None:
    """Takes away the lines beyond ``step``, the validation of ``step`` itself where the last one that counts was
    ``validated``, before it, and a last line that a crash cut short. A log that is lost, or of no step, begins anew.
    """
    if step == 0 or not path.exists():
        files.write_text(path, "")
    size = 0
    with open(path, "rb") as stream:
        for line in stream:
            try:
                entry = json.loads(line)
                beyond = entry["step"] > step or ("validation" in entry and entry["step"] > validated)
                if beyond or not line.endswith(b"\n"):
                    break
            except (ValueError, KeyError, TypeError):
                break
            size += len(line)
    files.truncate(path, size)


class _Metrics:
    def __init__(self, path: Path) -> None:
        self._path = path

    def log(self, line: Mapping[str, Any]) -> None:
        files.append_text(self._path, json.dumps(line) + "\n")

    def close(self) -> None:
        pass


class _TensorBoard:
    """Curves in ``tensorboard/`` beside the log; those beyond the step that a run goes on from are hidden."""

    def __init__(self, folder: Path, step: int) -> None:
        module = _installed("torch.utils.tensorboard", "tensorboard")
        self._writer = module.SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def log(self, line: Mapping[str, Any]) -> None:
        for name, value in figures(line):
            self._writer.add_scalar(name, value, line["step"])

    def close(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    """A run of W&B for the training. What it sends where is its own matter (``WANDB_MODE=offline``)."""

    def __init__(self, folder: Path, step: int) -> None:
        self._run = _installed("wandb", "wandb").init(project="myna", name=folder.name, dir=str(folder), resume="allow")

    def log(self, line: Mapping[str, Any]) -> None:
        self._run.log(dict(figures(line)), step=line["step"])

    def close(self) -> None:
        self._run.finish()


def figures(line: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a line by name, but for its step; those of an inner table behind ``TABLE/``."""
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from figures(value, f"{before}{name}/")
        elif isinstance(value, (int, float)) and name != "step":
            yield f"{before}{name}", value


def _installed(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        remedy = f"pip install 'myna[{package}]'"
        raise InputError(f"track = [{package!r}] needs the package {package}", remedy=remedy) from None
