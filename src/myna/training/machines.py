"""The machines that a training of several processes runs on: threads for each, and how many processes it began with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from myna import files
from myna.training.machine import note_resumed, restore_machine, use_machine, use_settings
from myna.training.measuring import Choice
from myna.training.processes import Processes, local_count
from myna.training.settings import TrainingConfig


def use_machines(
    folder: Path,
    config: TrainingConfig,
    processes: Processes,
    choose: Callable[[], Choice],
    report: Callable[[str, float], None],
) -> dict[str, Any]:
    """What :func:`~myna.training.machine.use_machine` does, for all; ``machine.json`` says how many they are.

    The first one chooses and writes, and the others use what it wrote. Where a run goes on in another number of them
    its sums are added up in another order: that is said, and ``resumed`` there. Without ``threads`` each has its share
    of the processors of its machine.
    """
    if processes.count > 1 and not isinstance(config.threads, int):
        torch.set_num_threads(max(1, _processors() // local_count()))
    if processes.first:
        restore_machine(folder, report)
        threads = config.threads if isinstance(config.threads, int) else torch.get_num_threads()
        _note_other_count(folder, threads, processes.count, report)
        machine = use_machine(folder, config, choose, report)
        machine["processes"] = processes.count
        files.write_json(folder / "machine.json", machine)
    processes.together(lambda: None)
    if not processes.first:
        machine = files.read_json(folder / "machine.json")
        use_settings(machine["threads"])
    return machine


def _note_other_count(folder: Path, threads: int, count: int, report: Callable[[str, float], None]) -> None:
    path = folder / "machine.json"
    began = files.read_json(path) if path.exists() else {}
    before = began.get("processes", count)
    if before != count:
        report(f"begun with processes = {before}, goes on with {count}: the last bits can differ", 0.0)
        began["threads"] = threads
        note_resumed(began, [f"processes {before} → {count}"])
        files.write_json(path, began)


def _processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
