"""Whatever a run is broken off by, and wherever, it goes on to the same weights and metrics, bit for bit."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from myna import stages
from myna.recipe import read_recipe

from ..crashes import run_until
from .small_run import result, write_recipe


@pytest.fixture(scope="module")
def uncut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe and, in ``run``, its run, never broken off."""
    folder = tmp_path_factory.mktemp("uncut")
    stages.run(write_recipe(folder), folder / "run")
    return folder


class Enough(Exception):
    """The stage that a test is about is done."""


class Until(stages.Observer):
    """Ends a run behind a stage."""

    def __init__(self, key: str) -> None:
        self.key = key

    def end(self, stage: stages.Stage, seconds: float) -> None:
        if stage.key == self.key:
            raise Enough


def run_through(recipe: Path, folder: Path, key: str) -> None:
    """Runs all that is not done up to the stage ``key``."""
    with contextlib.suppress(Enough):
        stages.run(recipe, folder, observer=Until(key))


def stage_keys() -> list[str]:
    parts = {"corpus": ["texts"], "tokenizer": ["characters", "bytes"], "tokens": ["texts-characters", "texts-bytes"]}
    parts |= {"pretrain": ["encoder", "decoder"], "finetune": ["moods", "names"]}
    parts |= {"evaluate": ["encoder", "decoder", "moods", "names"]}
    return [f"{kind}.{name}" for kind, names in parts.items() for name in names] + ["report"]


def test_these_are_all_the_stages(uncut: Path) -> None:
    assert [stage.key for stage in stages.plan(read_recipe(uncut / "recipe.toml", []), uncut / "run")] == stage_keys()


@pytest.mark.slow
@pytest.mark.parametrize("number, key", enumerate(stage_keys()))
def test_a_stage_broken_off_at_any_file_system_call_ends_the_same(
    uncut: Path, tmp_path: Path, number: int, key: str
) -> None:
    recipe, place = uncut / "recipe.toml", key.replace(".", "/") if "." in key else "scores.json"
    before = tmp_path / "before"
    before.mkdir()
    shutil.copytree(uncut / "run", before / "run")
    later = [k.replace(".", "/") for k in stage_keys()[number:]]
    for name in later:
        shutil.rmtree(before / "run" / name, ignore_errors=True)
    for name in ("report.html", "scores.json", "stage.json"):
        (before / "run" / name).unlink()
    expected = {name: value for name, value in result(uncut / "run").items() if name.startswith(place)}
    assert expected
    last = 1
    while True:
        folder = tmp_path / str(last)
        shutil.copytree(before / "run", folder)
        crashed = run_until(folder, last, lambda: run_through(recipe, folder, key))  # noqa: B023
        run_through(recipe, folder, key)
        found = {name: value for name, value in result(folder).items() if name.startswith(place)}
        assert found == expected, f"broken off at call {last}"
        shutil.rmtree(folder)
        if not crashed:
            break
        last += 1
    assert last > 8
