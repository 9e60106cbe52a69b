"""A plan counts what the run will do, measures without touching it, and says what would make it fit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from myna.planning import plan as planning
from myna.planning import sample
from myna.planning.datasheets import find_gpu
from myna.planning.plan import Plan, plan
from myna.planning.text import describe, draw
from myna.planning.trial import Trial
from myna.recipe import Recipe
from myna.tokens.store import TokenStore
from myna.training.schedules import make_schedule
from myna.training.settings import TrainingConfig

from .material import prepared_run, small_recipe

TRIAL = Trial(5, 640, 0.5, 2.0, 0.1, 3.0, 100.0, 300 << 20, 350 << 20)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    folder = tmp_path_factory.mktemp("text")
    recipe = small_recipe(folder)
    return recipe, prepared_run(recipe, folder / "run")


@pytest.fixture
def planned(text: tuple[Recipe, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Plans the small recipe on prepared text; what was measured is given."""
    recipe, run = text
    monkeypatch.setattr(planning, "_is_prepared", lambda recipe, folder: True)
    monkeypatch.setattr(planning, "_measured", lambda *given: TRIAL)
    return lambda **options: plan(recipe, run, **options)


def content(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_plan_has_the_counts_of_the_run_and_writes_nothing(planned: Callable, text: tuple[Recipe, Path]) -> None:
    _, run = text
    before = content(run)
    encoder, sentiment = planned().trainings
    assert content(run) == before
    store = TokenStore.open(run / "tokens/reviews-characters", "train")
    pieces = sum(-(-int(size) // 30) for size in store.bounds[1:] - store.bounds[:-1])
    assert encoder.epoch_tokens == store.tokens + 2 * pieces
    assert (encoder.steps, encoder.tokens) == (40, 40 * 128)
    assert sentiment.steps == round(sentiment.epoch_tokens / 128)
    layers = 2 * (16 * 48 + 48 + 16 * 16 + 16 + 2 * 16 * 32 + 32 + 16 + 4 * 16)
    tables = 16 * (store.vocabulary_size + 32 + 2)
    head = 16 * 16 + 16 + 2 * 16 + store.vocabulary_size
    assert encoder.parameters == layers + tables + 2 * 16 + head
    assert encoder.disk["checkpoints"] == 2 * (encoder.memory.weights + encoder.memory.optimizer)


def test_its_time_is_that_of_steps_looks_and_checkpoints(planned: Callable) -> None:
    encoder, sentiment = planned().trainings
    assert encoder.parts == {"steps": 20.0, "validation": 10.0, "checkpoints": pytest.approx(0.5), "making ready": 3.0}
    assert sentiment.parts["validation"] == 4.0, "one epoch, one look, and one at how sure the answers are"
    assert encoder.memory.peak == TRIAL.peak_bytes


def test_on_a_gpu_the_data_sheet_counts_and_nothing_is_measured(planned: Callable) -> None:
    encoder, _ = planned(gpu=find_gpu("A100")).trainings
    assert encoder.seconds == pytest.approx(encoder.flops / (312e12 * 0.35))
    assert encoder.memory.room == 80_000_000_000 - (1 << 30)
    assert not encoder.memory.measured


def test_what_does_not_fit_is_told_what_would(planned: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    # A machine with so little beside the process that only smaller micro-batches, or recomputing, have room.
    whole = planned(gpu=find_gpu("A100")).trainings[0].memory
    monkeypatch.setattr(planning, "_PROCESS_BYTES", 0)
    still = whole.weights + whole.gradients + whole.optimizer
    room = still + (whole.activations + whole.loss) * 4 // 5
    monkeypatch.setattr(planning, "available_bytes", lambda: room)
    found = planned()
    encoder = found.trainings[0]
    assert not encoder.memory.fits
    assert not encoder.memory.measured
    assert any("micro_batch_tokens" in change for change in encoder.remedies)
    assert all(peak <= room for peak in encoder.remedies.values())
    assert "does not fit" in describe(found)


def test_a_text_that_is_not_prepared_is_judged_by_a_sample(
    tmp_path: Path, text: tuple[Recipe, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = text
    monkeypatch.setattr(sample, "_SAMPLE_BYTES", 6000)
    monkeypatch.setattr(planning, "_measured", lambda *given: TRIAL)
    found = plan(recipe, tmp_path / "run")
    assert not found.exact
    assert not (tmp_path / "run").exists()
    whole = TokenStore.open(run / "tokens/reviews-characters", "train").tokens
    assert found.trainings[0].epoch_tokens == pytest.approx(whole, rel=0.2)
    assert "estimates" in describe(found)


def test_the_steps_that_are_measured_are_real_ones(text: tuple[Recipe, Path], tmp_path: Path) -> None:
    _, run = text
    recipe = run.parent / "recipe.toml"
    command = [sys.executable, "-m", "myna.planning.trial", recipe, run, "pretrain.encoder", "0.5", tmp_path, "exact"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    trial = Trial(**json.loads(done.stdout))
    assert trial.steps >= 2
    assert trial.tokens == pytest.approx(128 * trial.steps, rel=0.2)
    assert trial.step_seconds > 0
    assert trial.validation_seconds > 0
    assert 50 << 20 < trial.process_bytes < trial.peak_bytes


def test_the_learning_rate_is_drawn() -> None:
    config = TrainingConfig(steps=100, schedule="wsd", warmup=0.2)
    assert draw(make_schedule(config, 100), 10) == "▂▆████████"[:8] + draw(make_schedule(config, 100), 10)[8:]
    assert draw(make_schedule(config, 100), 10)[-1] in "▁▂"
