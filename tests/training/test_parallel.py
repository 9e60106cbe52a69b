"""1, 2 and 4 processes learn the same from the same batches, go on from each other's checkpoints, and end together."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from myna import files
from myna.errors import InputError
from myna.tokens.sampler import Sampler, micro_batches, share
from myna.training.parallel import Processes, Shards, wrap
from myna.training.settings import TrainingConfig

from ..objectives.test_all import CASES, made
from ..several import call
from .several_runs import every_objective, learn


@settings(max_examples=500, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=60),
    batch_tokens=st.integers(60, 400),
    micro=st.integers(1, 200),
    group=st.integers(1, 4),
    step=st.integers(0, 50),
    seed=st.integers(0, 9),
)
def test_any_number_of_processes_sees_the_same_global_batch(
    lengths: list[int], batch_tokens: int, micro: int, group: int, step: int, seed: int
) -> None:
    while sum(lengths) < batch_tokens:
        lengths = lengths * 2
    held = np.array(lengths, np.int64)
    chosen = Sampler(held, batch_tokens, seed).step(step)
    seen = held[chosen]
    for count in (1, 2, 4):
        shares = [share(seen, rank, count, group) for rank in range(count)]
        assert sorted(np.concatenate(shares).tolist()) == list(range(len(chosen)))
        for mine in shares:
            assert np.all(np.diff(mine) > 0)
            # Whole groups, and micro-batches that hold each item of the share once.
            for first in {int(n) // group * group for n in mine}:
                assert set(range(first, min(first + group, len(chosen)))) <= set(mine.tolist())
            cut = micro_batches(seen[mine], micro, group)
            assert sorted(int(n) for part in cut for n in part) == list(range(len(mine)))
        if group == 1:
            # As many items, but for one, and as many tokens, but for two items.
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
            tokens = [int(seen[mine].sum()) for mine in shares]
            assert max(tokens) - min(tokens) <= 2 * int(seen.max())


LONG = {"to": "long", "name": "masked", "steps": 100, "learning_rate": 1e-3}
SHORT = {"to": "short", "name": "masked", "steps": 16, "keep_every": 6}
# With modules, of two stacks, in several passes: the others are tried with two processes.
OF_FOUR = ("replaced", "span_corruption", "mixture")
SINGLE = {**LONG, "to": "single", "single": True}


def runs(count: int) -> list[dict[str, Any]]:
    """What ``count`` processes train."""
    found = [LONG, SINGLE, *(run for run in every_objective("ddp") if count < 4 or run["name"] in OF_FOUR)]
    if count == 2:
        found += [{**LONG, "to": "shards", "parallel": "fsdp"}, *every_objective("fsdp")]
        # Broken off and gone on with: the lines and the weights are the same to the bit.
        for kind in ("ddp", "fsdp"):
            run = {**SHORT, "to": f"cut-{kind}", "parallel": kind}
            found += [{**run, "to": f"short-{kind}"}, {**run, "stop": 9}, run]
        found += [{"to": f"ddp-{name}", "name": "causal", "optimizer": name} for name in ("sgd", "muon", "adafactor")]
        found += [{"to": "fsdp-sgd", "name": "causal", "optimizer": "sgd", "parallel": "fsdp"}]
        found += [{"to": f"apart-{kind}", "name": "apart", "parallel": kind} for kind in ("ddp", "fsdp")]
    else:
        # From the checkpoint that two processes left in these folders.
        found += [{**SHORT, "to": f"from-{kind}"} for kind in ("ddp", "fsdp")]
    return found


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[int, dict[str, Any]]:
    """What 1, 2 and 4 processes have learnt, by their number and the folder."""
    if worker_id == "master":
        return _learn_all(tmp_path_factory)
    # Where tests run in several processes, one of them computes it for all.
    path = tmp_path_factory.getbasetemp().parent / "learnt.json"
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            files.write_json(path, _learn_all(tmp_path_factory))
    return {int(count): runs for count, runs in files.read_json(path).items()}


def _learn_all(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    folders = {count: tmp_path_factory.mktemp(f"by-{count}") for count in (1, 2, 4)}
    found: dict[int, dict[str, Any]] = {}
    for count in (2, 1, 4):
        for kind, source in {"ddp": "cut-ddp", "fsdp": "cut-fsdp"}.items() if count != 2 else ():
            _as_it_was_at_step_6(folders[2] / source, folders[count] / f"from-{kind}")
        asked = runs(count)
        alone = [
            learn(folders[1] / run["to"], **{k: v for k, v in run.items() if k != "to"}) for run in asked * (count == 1)
        ]
        by_rank = (
            [alone] if count == 1 else call(count, "tests.training.several_runs:learn_all", str(folders[count]), asked)
        )
        assert all(one == by_rank[0] for one in by_rank), "the processes differ"
        found[count] = dict(zip([run["to"] for run in asked], by_rank[0], strict=True))
    plain = [run for run in runs(2) if run["to"] in ("ddp-sgd", "ddp-muon", "ddp-adafactor", "apart-ddp")]
    for run in plain:
        found[1][run["to"]] = learn(folders[1] / run["to"], run["name"], optimizer=run.get("optimizer", "adamw"))
    return found


def _as_it_was_at_step_6(source: Path, to: Path) -> None:
    shutil.copytree(source, to)
    for place in (to / "checkpoints").glob("step-*"):
        if place.name != "step-00000006":
            shutil.rmtree(place)


def losses(found: dict[str, Any]) -> list[float]:
    return [line["loss"] for line in found["lines"]]


@pytest.mark.slow
def test_the_losses_of_100_steps_with_dropout_are_those_of_one_process(learnt: dict[int, dict[str, Any]]) -> None:
    expected = losses(learnt[1]["long"])
    assert len(expected) == 100
    for count, name in [(2, "long"), (4, "long"), (2, "shards")]:
        assert losses(learnt[count][name]) == pytest.approx(expected, rel=1e-9), (count, name)
        assert learnt[count][name]["sums"] == pytest.approx(learnt[1]["long"]["sums"], rel=1e-7)
    for count in (2, 4):
        assert losses(learnt[count]["single"]) == pytest.approx(losses(learnt[1]["single"]), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_objective_learns_the_same(learnt: dict[int, dict[str, Any]], name: str) -> None:
    expected = learnt[1][f"{name}-ddp"]
    for count, kind in [(2, "ddp"), (2, "fsdp"), *([(4, "ddp")] if name in OF_FOUR else [])]:
        found = learnt[count][f"{name}-{kind}"]
        assert losses(found) == pytest.approx(losses(expected), rel=1e-9), (count, kind)
        assert found["sums"] == pytest.approx(expected["sums"], rel=1e-7), (count, kind)


@pytest.mark.slow
def test_every_optimizer_learns_the_same(learnt: dict[int, dict[str, Any]]) -> None:
    for name in ("sgd", "muon", "adafactor"):
        assert losses(learnt[2][f"ddp-{name}"]) == pytest.approx(losses(learnt[1][f"ddp-{name}"]), rel=1e-9), name
    assert losses(learnt[2]["fsdp-sgd"]) == pytest.approx(losses(learnt[1]["ddp-sgd"]), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_what_one_process_or_none_uses_and_a_gradient_of_zero_fare_as_in_one_process(
    learnt: dict[int, dict[str, Any]], kind: str
) -> None:
    expected, found = learnt[1]["apart-ddp"], learnt[2][f"apart-{kind}"]
    assert found["sums"] == pytest.approx(expected["sums"], rel=1e-9)
    *_, never, seldom, zero = found["sums"]
    assert never == 4
    assert seldom < 3.99
    assert 3.99 < zero < 3.9999, "it decays"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_go_on_to_the_bit_and_one_and_four_on_the_same_curve(
    learnt: dict[int, dict[str, Any]], kind: str
) -> None:
    whole = learnt[2][f"short-{kind}"]
    assert learnt[2][f"cut-{kind}"] == whole
    for count in (1, 4):
        found = learnt[count][f"from-{kind}"]
        assert losses(found) == pytest.approx(losses(whole), rel=1e-9)
        assert [line["step"] for line in found["lines"]] == list(range(1, 17))


class Two(Processes):
    """Two processes, of which there is one: enough to be refused."""

    count = 2


@pytest.mark.parametrize("optimizer", ["muon", "adafactor"])
def test_an_optimizer_of_whole_matrices_is_refused_where_they_are_cut(optimizer: str) -> None:
    objective, model = made("masked")
    config = TrainingConfig(steps=1, parallel="fsdp", optimizer=optimizer)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f'optimizer = "{optimizer}" looks at whole matrices.*take parallel = "ddp"'):
        wrap(model, objective.modules(), config, Two())


def test_a_step_that_moves_nothing_has_a_norm_of_zero_where_matrices_are_cut() -> None:
    shards = Shards.__new__(Shards)
    shards.processes, shards.parameters = Processes(), {"weight": torch.nn.Parameter(torch.ones(2, 3))}
    assert shards.norm().item() == 0.0
    shards.parameters["weight"].grad = torch.full((2, 3), 2.0)
    assert shards.norm().item() == pytest.approx(24**0.5)
