"""A teacher's answers, and a summarizer's, are in the plan and in the budget of what they come before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myna.planning import plan as planning
from myna.planning import trial
from myna.planning.budget import settle_finetuning
from myna.planning.datasheets import find_gpu
from myna.planning.plan import plan
from myna.planning.prepared import prepare
from myna.planning.trial import answer
from myna.recipe import Recipe

from .material import RECIPE, prepared_run, small_recipe

TAUGHT = """\
[finetune.taught]
task = "classification"
corpus = "reviews"
start_from = "encoder"
teacher = "sentiment"
epochs = 1
batch_tokens = 128
threads = 1
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    folder = tmp_path_factory.mktemp("text")
    recipe = small_recipe(folder, text=RECIPE + TAUGHT)
    return recipe, prepared_run(recipe, folder / "run")


def test_a_teacher_takes_its_weights_and_one_forward_pass(
    text: tuple[Recipe, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = text
    gpu = find_gpu("A100")
    monkeypatch.setattr(planning, "_is_prepared", lambda recipe, folder: True)
    _, teacher, taught = plan(recipe, run, gpu).trainings
    # It reads the same texts as what it teaches, and does not go backward.
    assert taught.parts["answers before them"] == pytest.approx(teacher.flops / 3 / gpu.flops, rel=0.05)
    assert taught.parts["steps"] == teacher.parts["steps"]
    assert "answers before them" not in teacher.parts
    memory = taught.memory
    assert memory.answering > 4 * teacher.parameters == teacher.memory.weights
    assert teacher.memory.answering == 0
    steps = memory.weights + memory.gradients + memory.optimizer + max(memory.activations + memory.loss, 0)
    assert memory.peak == max(steps, memory.weights + memory.answering)


def test_what_is_taught_has_answers_to_learn_from(text: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, run = text
    prepared = prepare(recipe, run, "finetune.taught", tmp_path)
    assert prepared.items[0].taught.shape == (1, 2)
    assert not np.any(prepared.items[0].taught)
    assert list(prepared.answering) == ["the teacher"]
    assert list(answer(prepared, 0.0)) == ["the teacher"]
    assert prepare(recipe, run, "finetune.sentiment", tmp_path).answering == {}


def test_a_budget_has_less_time_for_steps_where_a_teacher_answers(
    text: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from .test_budget import Clock, budget, silent, speed

    recipe, run = text
    tables = {**recipe.finetune}
    tables["taught"] = tables["taught"].model_copy(update={"budget": "60s", "epochs": None})
    monkeypatch.setattr(budget, "time", Clock())
    monkeypatch.setattr(trial, "measure", speed(1000))
    monkeypatch.setattr(trial, "answer", lambda prepared, seconds: {"the teacher": 20.0})
    _, seconds = settle_finetuning(recipe.model_copy(update={"finetune": tables}), run, "taught", tmp_path, silent)
    assert seconds == 60 - 20
