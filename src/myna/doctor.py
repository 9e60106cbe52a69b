"""Whether this machine is ready, and what is fastest on it: the facts behind ``myna doctor``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from myna.evaluation.quantities import size
from myna.inspection import columns, plain
from myna.model.heads import build
from myna.objectives.language import Vocabulary
from myna.objectives.masked import MaskedLM
from myna.presets import model_config
from myna.tokens.pieces import Piece
from myna.tokens.sampler import Sampler
from myna.training.machine import keep_freed_memory, matrix_gflops
from myna.training.measuring import choose, thread_counts
from myna.training.settings import TrainingConfig

# What is measured ends after so many seconds each; together with importing torch it stays below 20.
STEP_SECONDS, RATE_SECONDS = 8.0, 5.0
_MODEL, _VOCABULARY = "bert-mini", 8_000
_NEEDED_BYTES = 2 << 30


def examine(folder: Path) -> dict[str, Any]:
    """What is found, as plain values; ``problems`` says what would stop a run in ``folder``, each with its remedy."""
    keep_freed_memory()
    memory, free = _memory(), shutil.disk_usage(folder).free
    rates = list(_matrix_rates())
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": memory.get("MemTotal"),
        "free_memory_bytes": memory.get("MemAvailable"),
        "free_disk_bytes": free,
        "cuda": list(_cuda()),
        "matrix": rates,
        "memory_gb_per_second": round(_memory_rate(), 1),
        "training": _training(),
        "extras": _extras(),
    }
    problems = []
    if free < _NEEDED_BYTES:
        problems.append(f"there are {plain(size(free))} free on the disk of {folder}: make room, or run elsewhere")
    if memory and memory["MemAvailable"] < _NEEDED_BYTES:
        problems.append(f"there are {plain(size(memory['MemAvailable']))} of memory free: end other programs")
    return {**found, "problems": problems}


def describe(found: dict[str, Any]) -> str:
    """The same in words."""
    kinds = [
        ["Python", found["python"]],
        ["PyTorch", found["torch"]],
        ["processor", f"{found['cores']} cores, {found['cpu']} ({found['system']})"],
        ["disk", f"{plain(size(found['free_disk_bytes']))} free"],
    ]
    if found["memory_bytes"]:
        free, whole = (plain(size(found[name])) for name in ("free_memory_bytes", "memory_bytes"))
        kinds.append(["memory", f"{free} of {whole} free, {found['memory_gb_per_second']} GB/s are read"])
    kinds += [["CUDA", f"{one['name']}, {plain(size(one['memory_bytes']))}"] for one in found["cuda"]] or [
        ["CUDA", "none"]
    ]
    rates = [["threads", "float32", "bfloat16  (GFLOP/s of matrix products)"]]
    rates += [[str(row["threads"]), str(row["float32"]), str(row["bfloat16"])] for row in found["matrix"]]
    steps = [["threads", "micro-batch", "products", f"tokens/s  (training {found['training']['model']})"]]
    for row in found["training"]["measured"]:
        how = [row["threads"], row["micro_batch_tokens"], row["precision"], row["tokens_per_second"]]
        steps.append([str(value) for value in how])
    extras = [[row["name"], "installed" if not row["missing"] else row["install"]] for row in found["extras"]]
    fastest = ", ".join(f"{name} = {_quoted(value)}" for name, value in found["training"]["fastest"].items())
    busy = "There was no time to compare: this machine is slow, or others use it. As usual: "
    lines = [
        *columns(kinds),
        "",
        *columns(rates),
        "",
        *columns(steps),
        "",
        ("Fastest here: " if len(found["training"]["measured"]) > 1 else busy) + fastest,
        "A recipe that says nothing has these cores, micro-batches by the size of its model, and float32.",
        "",
        *columns(extras),
        "",
        *(found["problems"] or ["This machine is ready."]),
    ]
    return "\n".join(lines)


def _quoted(value: str | int) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _matrix_rates() -> Iterator[dict[str, Any]]:
    """GFLOP/s for each number of threads in both types; None where the time is over."""
    began, threads = time.monotonic(), torch.get_num_threads()
    try:
        for count in thread_counts():
            torch.set_num_threads(count)
            row: dict[str, Any] = {"threads": count}
            for dtype in (torch.float32, torch.bfloat16):
                late = time.monotonic() - began > RATE_SECONDS
                row[str(dtype).removeprefix("torch.")] = None if late else round(matrix_gflops(3, dtype), 1)
            yield row
    finally:
        torch.set_num_threads(threads)


def _cuda() -> Iterator[dict[str, Any]]:
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        rates = {
            f"{name}_gflops": round(matrix_gflops(5, dtype, f"cuda:{number}"))
            for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
        }
        yield {"name": facts.name, "memory_bytes": facts.total_memory, **rates}


def _memory() -> dict[str, int]:
    """What the system says of its memory, in bytes; nothing where it has no such file."""
    path = Path("/proc/meminfo")
    if not path.exists():
        return {}
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3}


def _memory_rate() -> float:
    """GB/s of reading numbers that no cache holds: the best of three."""
    numbers = torch.ones(32 << 20)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        numbers.sum()
        times.append(time.perf_counter() - began)
    return numbers.nbytes / min(times) / 1e9


class _Texts:
    """Documents of random ids, of the lengths that texts have: items for an objective."""

    def __init__(self, documents: int = 400) -> None:
        self._draw = np.random.default_rng(0)
        words = np.clip(self._draw.lognormal(3.6, 0.7, documents).astype(np.int64), 3, 120)
        self.lengths = words + 2

    def __getitem__(self, index: int) -> Piece:
        count = int(self.lengths[index]) - 2
        ids = np.random.default_rng(index).integers(5, _VOCABULARY, count)
        return Piece(ids, np.ones(count, np.uint8), index, None, None)


def _training() -> dict[str, Any]:
    """Steps of a small BERT in the manners that a run with ``auto`` would try."""
    objective = MaskedLM(Vocabulary(_VOCABULARY, start=2, end=3, mask=4, special=(0, 1, 2, 3, 4)))
    model = build(model_config(_MODEL, _VOCABULARY), objective.head, seed=0)
    items = _Texts()
    asked = {"threads": "auto", "micro_batch_tokens": "auto", "precision": "auto"}
    config = TrainingConfig.model_validate({"steps": 10**6, "batch_tokens": 8192, **asked})
    sampler = Sampler(items.lengths, config.batch_tokens, 0)
    facts = choose(model, objective, items, sampler, config, 10**6, STEP_SECONDS).facts()
    measured = facts.pop("measured", [])
    return {"model": _MODEL, "fastest": facts, "measured": measured}


def _extras() -> list[dict[str, Any]]:
    """Each extra of the package, what of it is missing, and what installs it."""
    try:
        required = importlib.metadata.requires("myna") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    needs: dict[str, list[str]] = {}
    for line in required:
        found = re.match(r"([\w.-]+).*;.*extra == ['\"]([\w-]+)['\"]", line)
        if found:
            needs.setdefault(found[2], []).append(found[1])
    there = {(found.metadata["Name"] or "").lower().replace("_", "-") for found in importlib.metadata.distributions()}
    rows = []
    for name, packages in sorted(needs.items()):
        missing = [package for package in packages if package.lower().replace("_", "-") not in there]
        rows.append({"name": name, "missing": missing, "install": f"pip install 'myna[{name}]'"})
    return rows
