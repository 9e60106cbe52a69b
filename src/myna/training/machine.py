"""The machine a run trains on: what it began with is written down and kept, and its memory is asked to stay."""

from __future__ import annotations

import ctypes
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from myna import files
from myna.training.checkpoint import machine_of
from myna.training.measuring import Choice
from myna.training.settings import TrainingConfig

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
# What the last bits of a run hang on; a checkpoint has it too.
_LASTING = ("threads", "micro_batch_tokens", "precision", "torch", "cpu", "processes")
_NOT_EXACT = "not bit-exact ("


def use_machine(
    folder: Path, config: TrainingConfig, choose: Callable[[], Choice], report: Callable[[str, float], None]
) -> dict[str, Any]:
    """Uses the threads, micro-batches and precision that the run in ``folder`` began with; says where the machine
    is another.

    The first start of a run writes ``machine.json``: these, as ``choose`` gives them, torch, the processor's
    capability and its matrix rate. The same of all but the last give the same bits. A run that went on with another
    torch or capability has ``resumed`` there, with all such changes, which the report shows.
    """
    use_settings()
    path = folder / "machine.json"
    restore_machine(folder, report)
    if not path.exists():
        choice = choose()
        torch.set_num_threads(choice.manner.threads)
        if "auto" in (config.threads, config.micro_batch_tokens, config.precision):
            report(str(choice), 0.0)
        files.write_json(path, {**choice.facts(), **_identity(), "matrix_gflops": round(matrix_gflops(), 1)})
    began: dict[str, Any] = files.read_json(path)
    for name in ("threads", "micro_batch_tokens"):
        now = getattr(config, name)
        if now not in (None, "auto", began[name]):
            report(f"begun with {name} = {began[name]}, which is kept; {now} would need a fresh start", 0.0)
    others = {name: f"{began[name]} → {now}" for name, now in _identity().items() if began[name] != now}
    for name, change in others.items():
        report(f"begun with {name} {change.replace(' → ', ', goes on with ')}: the last bits can differ", 0.0)
    if others:
        note_resumed(began, [f"{name} {change}" for name, change in others.items()])
        files.write_json(path, began)
    torch.set_num_threads(began["threads"])
    return began


def note_resumed(machine: dict[str, Any], changes: Iterable[str]) -> None:
    """Adds to the ``resumed`` of a ``machine.json`` in what else it has gone on since it began."""
    known = machine.get("resumed", "").removeprefix(_NOT_EXACT).removesuffix(")")
    machine["resumed"] = f"{_NOT_EXACT}{', '.join(dict.fromkeys([*filter(None, known.split(', ')), *changes]))})"


def lasting(machine: Mapping[str, Any]) -> dict[str, Any]:
    """What of a ``machine.json`` is kept in every checkpoint, so that a run which loses that file goes on the same."""
    return {name: machine[name] for name in _LASTING if name in machine}


def restore_machine(folder: Path, report: Callable[[str, float], None]) -> None:
    """Writes a ``machine.json`` that was lost as the newest whole checkpoint has it, where there is one."""
    path, kept = folder / "machine.json", None if (folder / "machine.json").exists() else machine_of(folder)
    if kept:
        report(f"{path} is lost: goes on as its checkpoint says", 0.0)
        torch.set_num_threads(kept["threads"])
        files.write_json(path, {**kept, "matrix_gflops": round(matrix_gflops(), 1)})


def use_settings(threads: int | None = None) -> None:
    """What every training begins with: memory that stays, operations of a deterministic form, so many threads."""
    keep_freed_memory()
    # Where an operation has no deterministic form, torch says so and goes on: it may be one of a user's own. As
    # use_deterministic_algorithms, which also imports torch's compiler, for a second and more, to tell it.
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(threads or torch.get_num_threads())


def _identity() -> dict[str, str]:
    return {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}


def matrix_gflops(repeats: int = 5, dtype: torch.dtype = torch.float32, device: str = "cpu") -> float:
    """The rate of 1024 × 1024 products with the threads in use, in GFLOP/s: the median of several."""
    left, right = (torch.ones(1024, 1024, dtype=dtype, device=device) for _ in range(2))
    times = []
    for _ in range(repeats + 2):
        began = time.perf_counter()
        torch.mm(left, right)
        if left.is_cuda:
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return 2 * 1024**3 / statistics.median(times[2:]) / 1e9


def keep_freed_memory() -> None:
    """Tells glibc to keep what is freed; elsewhere nothing.

    A step makes tensors of tens of megabytes. By default each is taken from the system and given back, and the page
    faults cost more than 10 % of a step.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
        library.mallopt(_M_TOP_PAD, 64 << 20)


def release_freed_memory() -> None:
    """Gives back what :func:`keep_freed_memory` has kept, at the end of a training; elsewhere nothing."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):
            library.malloc_trim(0)


def note_peak(folder: Path) -> None:
    """Adds to ``machine.json`` the most memory that this process has held so far, in bytes."""
    files.write_json(folder / "machine.json", {**files.read_json(folder / "machine.json"), "peak_bytes": peak_bytes()})


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes() -> int:
    """The memory that this process holds now; where the system does not say it, the most so far."""
    try:
        with open("/proc/self/statm") as stream:
            return int(stream.read().split()[1]) * resource.getpagesize()
    except OSError:
        return peak_bytes()


def available_bytes(root: Path = Path("/")) -> int | None:
    """The memory that a new process could take, by the system and its control groups; None where nothing says so.

    What a group has read of files, and has not used of late, is counted as used there and given up when asked for.
    """
    found = []
    try:
        lines = _figures(root / "proc/meminfo")
        found.append(lines["MemAvailable:"] * 1024)
    except (OSError, KeyError, ValueError):
        pass
    for kind, place, limit, used, spare in (
        ("", "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for group in _groups(root, kind, root / place):
            try:
                most, now = (int((group / name).read_text()) for name in (limit, used))
                found.append(most - now + min(_figures(group / "memory.stat")[spare], now))
            except (OSError, KeyError, ValueError):
                continue  # A group without a limit says "max".
    return min(found, default=None)


def _groups(root: Path, kind: str, place: Path) -> list[Path]:
    """The folders of this process's control group of a kind, and of those that it lies in, up to ``place``."""
    try:
        lines = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
        own = next((path for _, kinds, path in lines if kind in kinds.split(",")), "")
    except (OSError, ValueError):
        own = ""
    # In a container the path may be the host's, and ``place`` is the container's own group.
    inner = place / own.lstrip("/")
    return [inner, *(folder for folder in inner.parents if folder.is_relative_to(place))]


def _figures(path: Path) -> dict[str, int]:
    """The first number of each line, by its name."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) > 1}
