"""The loop: a run that was cut off goes on as if it had not been, bit for bit; and what it learns is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from myna import files
from myna.errors import InputError, RunError
from myna.model.heads import build
from myna.objectives.causal import CausalLM
from myna.objectives.masked import MaskedLM
from myna.training.loop import train
from myna.training.machine import note_resumed
from myna.training.settings import TrainingConfig

from ..crashes import run_until
from ..objectives.test_losses import BERT, GPT
from ..stores import VOCABULARY, random_store
from .runs import CONFIG, STORE, metrics, run, weights


def scores() -> dict[str, float]:
    return {"score": 0.5}


@pytest.mark.parametrize("causal", [False, True])
def test_a_run_broken_off_at_any_file_system_call_ends_the_same(tmp_path: Path, causal: bool) -> None:
    whole = weights(run(tmp_path / "whole", causal=causal, validate=scores, validations=2, keep_best=True))
    last, crashed = 1, True
    while crashed:
        folder = tmp_path / f"cut-{last}"
        options = {"causal": causal, "validate": scores, "validations": 2, "keep_best": True}
        crashed = run_until(tmp_path, last, lambda: run(folder, **options))  # noqa: B023
        files.sweep(tmp_path)
        assert weights(run(folder, **options)) == whole
        assert metrics(folder) == metrics(tmp_path / "whole")
        last += 7
    assert last > 100


def test_metrics_say_what_happened(tmp_path: Path) -> None:
    run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 9]
    assert set(lines[0]) == {"step", "loss", "tokens", "seconds", "learning_rate", "gradient_norm"}
    assert 9 * 100 < lines[-1]["tokens"] < 9 * 140
    assert all(a["seconds"] <= b["seconds"] for a, b in zip(lines, lines[1:], strict=False))


def test_patience_counts_validations_that_were_also_where_the_end_was_set_anew(tmp_path: Path) -> None:
    # From step 4 on there are 40 steps, and so validations at 11, 18, 26 instead of 5, 6, 7.
    ends = [{"step": step, "seconds": 0.1, "steps": 40} for step in (4, 39)]
    (tmp_path / "length.json").write_text(json.dumps({"revisions": ends}))
    scores = iter(range(100, 0, -1))
    options = {"validate": lambda: {"score": next(scores)}, "validations": 9, "seconds": 1e9}
    run(tmp_path, config=CONFIG.model_copy(update={"patience": 6}), **options)
    looks = [line["step"] for line in metrics(tmp_path) if "validation" in line]
    assert looks == [1, 2, 3, 4, 11, 18, 26]


def test_a_damaged_checkpoint_is_passed_over_and_said(tmp_path: Path) -> None:
    whole = weights(run(tmp_path / "whole"))
    run(tmp_path / "cut", config=CONFIG)
    newest = sorted((tmp_path / "cut" / "checkpoints").iterdir())
    assert [p.name for p in newest] == ["step-00000008", "step-00000009"]
    damaged = newest[-1] / "weights.safetensors"
    flip_a_bit(damaged)
    said: list[str] = []
    assert weights(run(tmp_path / "cut", report=lambda what, share: said.append(what))) == whole
    assert "step-00000009 is not whole" in said[0]
    assert "goes on at step 8" in said[1]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    run(tmp_path, identity={"model": "a"})
    with pytest.raises(InputError, match="checkpoint of another model or of other data; remove that folder"):
        run(tmp_path, identity={"model": "b"})


def test_a_log_that_is_lost_begins_anew(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "metrics.jsonl").unlink()
    run(tmp_path)
    assert metrics(tmp_path) == []


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"abc"), flip_a_bit])
def test_a_checkpoint_whose_best_weights_are_lost_or_damaged_is_passed_over(tmp_path: Path, harm) -> None:
    rising = iter(range(100))
    options = {"validate": lambda: {"score": float(next(rising))}, "validations": 9, "keep_best": True}
    whole = weights(run(tmp_path, **options))
    bests = sorted(path.name for path in (tmp_path / "checkpoints").glob("best-*"))
    assert bests == ["best-00000008.safetensors", "best-00000009.safetensors"]
    harm(tmp_path / "checkpoints" / bests[-1])
    said: list[str] = []
    assert weights(run(tmp_path, report=lambda what, share: said.append(what), **options)) == whole
    assert "step-00000009 is not whole" in said[0]
    assert "best-00000009.safetensors" in said[0]
    assert "goes on at step 8" in said[1]


def test_best_weights_that_are_lost_from_under_a_run_are_named(tmp_path: Path) -> None:
    class Lost(MaskedLM):
        def batch(self, items, numbers, key):
            for path in (tmp_path / "checkpoints").glob("best-*"):
                path.unlink()
            return super().batch(items, numbers, key)

    falling = iter([0.9, 0.1])
    options = {"validate": lambda: {"score": next(falling)}, "validations": 2, "keep_best": True}
    with pytest.raises(
        InputError, match=r"best-\d+.safetensors: the weights of the best score are damaged .*; remove "
    ):
        run(tmp_path, objective=Lost(VOCABULARY), **options)


def test_the_number_of_threads_is_kept_and_another_machine_is_said(tmp_path: Path) -> None:
    run(tmp_path)
    machine = files.read_json(tmp_path / "machine.json")
    assert machine["threads"] == 1
    files.write_json(tmp_path / "machine.json", {**machine, "cpu": "OTHER"})
    said: list[str] = []
    run(tmp_path, config=CONFIG.model_copy(update={"threads": 2}), report=lambda what, share: said.append(what))
    assert torch.get_num_threads() == 1
    assert "begun with threads = 1, which is kept" in said[0]
    assert "begun with cpu OTHER" in said[1]
    assert files.read_json(tmp_path / "machine.json")["resumed"].startswith("not bit-exact (cpu OTHER → ")


def test_all_that_a_run_went_on_with_is_kept() -> None:
    machine: dict[str, Any] = {"threads": 1}
    note_resumed(machine, ["processes 2 → 1"])
    note_resumed(machine, ["torch 1 → 2", "cpu A → B"])
    note_resumed(machine, ["cpu A → B"])
    assert machine["resumed"] == "not bit-exact (processes 2 → 1, torch 1 → 2, cpu A → B)"


def test_micro_batches_only_affect_speed(tmp_path: Path) -> None:
    cut = run(tmp_path / "cut")
    whole = run(tmp_path / "whole", config=CONFIG.model_copy(update={"micro_batch_tokens": 10_000}))
    for name, parameter in whole.named_parameters():
        assert torch.allclose(parameter, dict(cut.named_parameters())[name], atol=2e-4), name


def test_the_best_of_the_validations_is_kept_not_the_last(tmp_path: Path) -> None:
    found: list[bytes] = []
    given = iter([0.1, 0.9, 0.9, 0.3])
    objective = MaskedLM(VOCABULARY)
    model = build(BERT, "masked", seed=1)

    def validate() -> dict[str, float]:
        found.append(weights(model))
        return {"score": next(given)}

    items = objective.items([STORE], 32)
    progress = train(
        model, objective, items, CONFIG, tmp_path, 1, identity={}, validate=validate, validations=4, keep_best=True
    )
    assert weights(model) == found[1] != found[3]
    assert progress.best == {"step": 4, "score": 0.9}


def test_a_validation_comes_at_the_end_of_every_epoch(tmp_path: Path) -> None:
    config = TrainingConfig(epochs=3, batch_tokens=120, threads=1)
    seen: list[int] = []
    run(tmp_path, config=config, validate=lambda: (seen.append(1), {"score": 0.0})[1])
    steps = [line["step"] for line in metrics(tmp_path) if "validation" in line]
    total = metrics(tmp_path)[-1]["step"]
    assert len(steps) == 3
    assert steps[-1] == total
    assert abs(steps[0] - total / 3) <= 1


def test_the_loop_learns_what_there_is_to_learn(tmp_path: Path) -> None:
    """A text that repeats is learned by heart: a loss that went down is not enough of a proof."""
    objective = CausalLM(VOCABULARY)
    model = build(GPT.model_copy(update={"initializer_range": 0.1}), "causal", seed=1)
    items = objective.items([random_store([15] * 4)], 32)
    config = TrainingConfig(steps=150, batch_tokens=64, learning_rate=0.01, threads=1)
    train(model, objective, items, config, tmp_path, 1, identity={})
    loss = metrics(tmp_path)[-1]["loss"]
    # Only the first token of a document can't be known: one of four, ln 4 nats in 16 targets.
    assert loss < np.log(4) / 16 + 0.25


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"is not a number at step \d+ \(documents [\d, ]+and \d+ more\); lower learning_rate"
    ):
        run(tmp_path, config=CONFIG.model_copy(update={"learning_rate": 1e30, "steps": 50, "warmup": 0.0}))
