"""What lies beside the stages, broken off at any file-system call: what is delivered, the best seed, an index."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from myna import delivering, files, stages
from myna.composing import Composed, compose
from myna.errors import InputError
from myna.inference.loaded import load
from myna.inference.searching import index_of

from ..crashes import crash_at_every_call, run_until
from ..tasks.material import encoder_folder
from .small_run import result

SHORT = ["epochs=1", "batch_tokens=256", "threads=1", "seeds=2"]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Composed, Composed]:
    """In ``run`` all stages of the second of two fine-tunings, of two seeds, and what the first had delivered."""
    place = tmp_path_factory.mktemp("tuned")
    rows = [f"{'好天气很好' if n % 2 else '不好小李说'}{n},{'pos' if n % 2 else 'neg'}" for n in range(40)]
    (place / "train.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    start = str(encoder_folder(place / "encoder"))
    one, two = (
        compose("classification", start, place / "train.csv", changes=[*SHORT, *more]) for more in ([], ["dropout=0.3"])
    )
    stages.run(one.recipe, place / "run")
    delivering.deliver(one, place / "run")
    stages.run(two.recipe, place / "run")
    return place / "run", one, two


def broken_off(
    before: Path, folder: Path, work: Callable[[Path], Any], look: Callable[[Path], None]
) -> tuple[Any, int]:
    """Breaks ``work`` off at each call, looks, and does it again: the outcome is always the same; how often it was."""
    shutil.copytree(before, folder / "uncut")
    work(folder / "uncut")
    expected, last = result(folder / "uncut"), 1
    while True:
        place = folder / str(last)
        shutil.copytree(before, place)
        crashed = run_until(place, last, lambda: work(place))  # noqa: B023
        look(place)
        work(place)
        files.sweep(place)
        assert result(place) == expected, f"broken off at call {last}"
        shutil.rmtree(place)
        if not crashed:
            return expected, last
        last += 1


def test_what_is_delivered_is_of_one_training_wherever_it_is_broken_off(
    tuned: tuple[Path, Composed, Composed], tmp_path: Path
) -> None:
    before, _, two = tuned
    old = (before / "model/model.safetensors").read_bytes()
    new = (before / "finetune/classification/model/model.safetensors").read_bytes()
    assert old != new

    def work(run: Path) -> None:
        delivering.withdraw(two, run, stages.plan(two.recipe, run))
        delivering.deliver(two, run)

    def look(run: Path) -> None:
        """A mark stands beside all that it says, and a model is whole, that of before or the new one."""
        if (run / ".delivered.json").exists():
            listed = json.loads((run / ".delivered.json").read_text())["files"]
            assert all((run / name).stat().st_size == size for name, size in listed.items())
        if (run / "model").exists():
            files.verify(run / "model", json.loads((run / "model/myna.json").read_text())["files"])
            assert (run / "model/model.safetensors").read_bytes() in (old, new)

    expected, calls = broken_off(before, tmp_path, work, look)
    assert expected["model/model.safetensors"] == expected["finetune/classification/model/model.safetensors"]
    assert expected["predictions.jsonl"] == expected["evaluate/classification/predictions.jsonl"]
    assert calls > 20


@pytest.mark.slow
def test_the_best_seed_is_taken_over_whole_wherever_that_is_broken_off(
    tuned: tuple[Path, Composed, Composed], tmp_path: Path
) -> None:
    run, _, two = tuned
    shutil.copytree(run, tmp_path / "before")
    shutil.rmtree(tmp_path / "before/finetune/classification")

    def look(run: Path) -> None:
        if (run / "finetune/classification").exists():
            assert (run / "finetune/classification/stage.json").exists()
            load(run / "finetune/classification/model")

    key = "finetune.classification"
    expected, calls = broken_off(
        tmp_path / "before", tmp_path, lambda run: stages.run(two.recipe, run, until=key), look
    )
    assert {name: value for name, value in result(run).items() if name.startswith("finetune/")} == {
        name: value for name, value in expected.items() if name.startswith("finetune/")
    }
    assert calls > 8


def test_an_index_that_is_broken_off_is_the_old_one_or_none(tmp_path: Path) -> None:
    model = load(encoder_folder(tmp_path / "encoder"))
    texts = ["好天气", "不好"]
    calls = 0
    for place in crash_at_every_call(
        tmp_path, lambda p: index_of(model, texts[:1], p / "index"), lambda p: index_of(model, texts, p / "index")
    ):
        kept = [index_of(model, some, place / "index")[1] for some in (texts, texts)]
        assert kept[1]
        (place / "index").write_bytes((place / "index").read_bytes()[:-5])
        with pytest.raises(InputError, match="this is no index of myna search"):
            index_of(model, texts, place / "index")
        calls += 1
    assert calls > 3
