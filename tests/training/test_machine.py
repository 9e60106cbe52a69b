"""What a machine has to give, by the files in which it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from myna.model.heads import build
from myna.objectives.masked import MaskedLM
from myna.training.batches import make_batches
from myna.training.machine import available_bytes
from myna.training.throughput import Throughput

from ..objectives.test_losses import BERT
from ..stores import VOCABULARY
from .runs import STORE

MIB = 2**20
V2 = {"": "sys/fs/cgroup", "max": "memory.max", "now": "memory.current", "spare": "inactive_file"}
V1 = {
    "": "sys/fs/cgroup/memory",
    "max": "memory.limit_in_bytes",
    "now": "memory.usage_in_bytes",
    "spare": "total_inactive_file",
}


def machine(root: Path, version: dict[str, str], group: str = "", own: str = "0::/\n") -> Path:
    """A machine of 900 MiB free with a group of 400 MiB, of which 350 are in use, 300 of these for files read once."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 999 kB\nMemAvailable: {900 * 1024} kB\n")
    (root / "proc/self/cgroup").write_text(own)
    place = root / version[""] / group
    place.mkdir(parents=True)
    (place / version["max"]).write_text(f"{400 * MIB}\n")
    (place / version["now"]).write_text(f"{350 * MIB}\n")
    (place / "memory.stat").write_text(f"anon 5\n{version['spare']} {300 * MIB}\n")
    return root


@pytest.mark.parametrize("version", [V1, V2])
def test_a_group_gives_up_what_it_has_read_of_files(tmp_path: Path, version: dict[str, str]) -> None:
    assert available_bytes(machine(tmp_path, version)) == 350 * MIB


@pytest.mark.parametrize(("version", "own"), [(V1, "4:cpu,memory:/a/b\n1:name=x:/c\n"), (V2, "0::/a/b\n")])
def test_the_group_is_the_process_s_own_or_one_around_it(tmp_path: Path, version: dict[str, str], own: str) -> None:
    assert available_bytes(machine(tmp_path / "own", version, "a/b", own)) == 350 * MIB
    assert available_bytes(machine(tmp_path / "outer", version, "a", own)) == 350 * MIB
    assert available_bytes(machine(tmp_path / "other", version, "c", own)) == 900 * MIB


def test_a_group_without_a_limit_and_a_system_that_says_nothing(tmp_path: Path) -> None:
    (machine(tmp_path / "free", V2) / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert available_bytes(tmp_path / "free") == 900 * MIB
    assert available_bytes(tmp_path / "nowhere") is None


def test_a_process_without_batches_counts_what_those_of_a_step_before_took() -> None:
    objective = MaskedLM(VOCABULARY)
    items = objective.items([STORE], 32)
    batches = make_batches(objective, items, range(8), 1000, 1)
    tokens = sum(batch.size for batch in batches)
    throughput = Throughput(build(BERT, "masked", seed=1), 1e-3)
    throughput.step([], 1.0, tokens)
    assert "matrix rate" not in throughput.describe(1), "nothing is known yet"
    throughput.step(batches, 1.0, tokens)
    throughput.step([], 1.0, tokens)
    with_batches, without = list(throughput._steps)[1:]
    assert with_batches == without
    assert without[2] > 0
