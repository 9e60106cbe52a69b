"""Checkpoints: whole or not trusted, any optimizer's state, which stay, and room on the disk."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from myna.errors import InputError, RunError
from myna.model.heads import build
from myna.training.checkpoint import Keeping, newest_checkpoint, restore, save_checkpoint
from myna.training.optimizers import Optimizers, make_optimizer
from myna.training.settings import TrainingConfig

from ..objectives.test_losses import BERT
from .runs import CONFIG, run, steps, weights


def made(optimizer: str = "adamw", seed: int = 1) -> Optimizers:
    """An optimizer after a step of a tiny model."""
    config = TrainingConfig(steps=5, optimizer=optimizer)
    made = make_optimizer(dict(build(BERT, "masked", seed=seed).named_parameters()), config)
    for number, parameter in enumerate(made.parameters.values()):
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
    made.step(1e-3)
    return made


def test_every_one_of_500_flipped_bits_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myna.files.remove", lambda path: None)
    save_checkpoint(tmp_path, made(), {"step": 7, "identity": {"a": 1}, "tokens": 5}, Keeping(2))
    place = tmp_path / "checkpoints/step-00000007"
    contents = {path: path.read_bytes() for path in sorted(place.iterdir())}
    assert len(contents) == 4
    draw = random.Random(5)
    small = [path for path in contents if path.suffix == ".json"]
    for number in range(500):
        # Half of them in the two small files, which would hardly be met otherwise.
        path = draw.choice(small if number % 2 else list(contents))
        flipped = bytearray(contents[path])
        flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        said: list[str] = []
        assert newest_checkpoint(tmp_path, said.append) is None, f"{path.name}, number {number}"
        assert "step-00000007 is not whole" in said[0]
        path.write_bytes(contents[path])
    whole = newest_checkpoint(tmp_path, pytest.fail)
    assert whole is not None
    assert whole.state["step"] == 7


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adafactor", "muon"])
def test_the_state_of_any_optimizer_comes_back_and_that_of_another_is_refused(tmp_path: Path, optimizer: str) -> None:
    saved = made(optimizer)
    save_checkpoint(tmp_path, saved, {"step": 1}, Keeping(2))
    found = newest_checkpoint(tmp_path, pytest.fail)
    assert found is not None
    other = made(optimizer, seed=2)
    restore(found, other)
    assert all(torch.equal(p, saved.parameters[name]) for name, p in other.parameters.items())
    assert other.state().keys() == saved.state().keys()
    assert all(torch.equal(value, saved.state()[name]) for name, value in other.state().items())
    with pytest.raises(InputError, match=r"step-00000001: .* of this optimizer; remove that folder"):
        restore(found, made("sgd" if optimizer != "sgd" else "adamw"))


def test_the_newest_stay_and_every_nth_and_those_that_are_named(tmp_path: Path) -> None:
    optimizer = made()
    for step in range(1, 15):
        save_checkpoint(tmp_path, optimizer, {"step": step}, Keeping(3, every=5, steps=(7,)))
    assert steps(tmp_path) == [5, 7, 10, 12, 13, 14]


def test_a_run_keeps_what_its_settings_say_and_the_best(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"keep": 1, "keep_every": 4, "checkpoint_seconds": 1e6})
    given = iter([0.1, 0.9, 0.3])
    run(tmp_path, config=config, validate=lambda: {"score": next(given)}, validations=3)
    assert steps(tmp_path) == [4, 6, 8, 9]


def test_a_checkpoint_that_has_no_room_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = weights(run(tmp_path / "whole"))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=40_000))
    with pytest.raises(RunError, match=r"the disk has 0 MB free, and a checkpoint takes \d+ MB; make room and give"):
        run(tmp_path / "cut")
    assert steps(tmp_path / "cut") == []
    monkeypatch.undo()
    assert weights(run(tmp_path / "cut")) == whole


def test_what_is_estimated_is_no_less_than_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("myna.files.check_room", lambda folder, needed: asked.append(needed))
    save_checkpoint(tmp_path, made(), {"step": 1, "identity": {"text": "x" * 5000}}, Keeping(1))
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert written <= asked[0] < 1.5 * written + 100_000
