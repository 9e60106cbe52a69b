"""Rows of scores: what each names is there, a shared model comes first, and tables say what was measured."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from myna.curves import with_points
from myna.evaluation.findings import MANNERS

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from pages import place  # type: ignore[import-not-found]
from score_tables import ROWS, Row, example, shared_model, table  # type: ignore[import-not-found]
from scores import _all_ended, in_order, settings_of  # type: ignore[import-not-found]
from written_samples import samples_of, table_of_samples  # type: ignore[import-not-found]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_has_its_place_and_names_stages_of_its_recipe(row: Row) -> None:
    place(row.page, f"SCORES {row.name}")
    recipe = tomllib.loads(row.path.read_text(encoding="utf-8"))
    assert recipe["name"] == row.name
    stages = {*recipe.get("pretrain", ()), *with_points(recipe.get("finetune", {}))}
    assert bool(row.columns) != bool(row.lines)
    for _, stage, metric in row.lines:
        assert stage in stages
        assert metric in MANNERS
    for _, stage, _ in row.columns:
        assert {stage.replace("*", name) for name in recipe["pretrain"]} <= stages
    # A score is that of one thread: with another number of them it is another model.
    trainings = [*recipe.get("pretrain", {}).values(), *recipe.get("finetune", {}).values()]
    assert [training.get("threads") for training in trainings] == [1] * len(trainings)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Row]:
    """A shared model and two rows that start from it."""
    monkeypatch.setattr("score_tables.ROOT", tmp_path)
    start = 'start_from = "../../runs/trunk/pretrain/encoder/model"'
    for name, text in (
        ("trunk", "[pretrain.encoder]"),
        ("task", f"[finetune.good]\n{start}"),
        ("other", f'[pretrain.more]\n{start}\n[finetune.better]\nstart_from = "more"'),
    ):
        (tmp_path / "examples" / name).mkdir(parents=True)
        (tmp_path / "examples" / name / "recipe.toml").write_text(text)
    found = {row.name: row for row in (example("task"), shared_model("trunk"), example("other", seeds=(7,)))}
    monkeypatch.setattr("scores.ROWS", found)
    return found


def test_a_shared_model_is_run_once_before_the_rows_that_start_from_it(
    rows: dict[str, Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def run(row: Row, seed: int, to: Path, commit: str) -> dict[str, Any]:
        begun.append(row.folder(seed))
        return {"seed": seed}

    monkeypatch.setattr("scores._run", run)
    assert [row.name for row in in_order([rows["task"], rows["other"]])] == ["trunk", "task", "other"]
    ended = list(_all_ended(in_order(rows.values()), Path("runs"), 1, "abc"))
    assert begun == ["trunk", "task-1", "task-2", "task-3", "other-7"]
    assert sorted((row.name, seed, found["seed"]) for row, seed, found in ended) == [
        ("other", 7, 7),
        *(("task", seed, seed) for seed in (1, 2, 3)),
        ("trunk", 1, 1),
    ]


def test_a_recipe_is_told_where_the_shared_model_lies(rows: dict[str, Row], tmp_path: Path) -> None:
    model = json.dumps(str(tmp_path / "to/trunk/pretrain/encoder/model"))
    assert settings_of(rows["task"], 2, tmp_path / "to") == ["seed=2", f"finetune.good.start_from={model}"]
    assert settings_of(rows["other"], 7, tmp_path / "to") == ["seed=7", f"pretrain.more.start_from={model}"]
    assert settings_of(rows["trunk"], 1, tmp_path / "to") == ["seed=1"]


def _figure(value: float, **baselines: float) -> dict[str, Any]:
    apart = {
        name: {"value": value - other, "low": value - other - 0.1, "high": value} for name, other in baselines.items()
    }
    return {
        "value": value,
        "low": value - 0.1,
        "high": value + 0.1,
        "baselines": {name: {"value": other, "difference": apart[name]} for name, other in baselines.items()},
    }


def _content(**scores: list[dict[str, Any]]) -> dict[str, Any]:
    seeds = {
        str(seed): {
            "commit": "abc",
            "matrix_gflops": 60.0,
            "models": {name: {"parameters": 1000, "tokens_per_second": 10} for name in ("one", "two")},
            "scores": {
                stage: {"accuracy": figures[seed - 1], "pearson": figures[seed - 1]}
                for stage, figures in scores.items()
            },
        }
        for seed in (1, 2)
    }
    return {"command": "make scores ROW=task", "seeds": seeds}


def test_a_task_stands_beside_the_simple_methods_and_their_best_one() -> None:
    figures = [_figure(0.8, majority=0.5, mean=0.6), _figure(0.9, majority=0.5, mean=0.6)]
    row = example("task", ("of reviews", "good", "accuracy"), ("numbers", "good", "pearson"))
    methods = "always the commonest label 50.0\u202f%, always the mean 60.0\u202f%"
    others = "always the commonest label 0.50, always the mean 0.60"
    lines = table(row, _content(good=figures)).splitlines()
    assert lines[2:4] == [
        f"| of reviews | **85.0** (80.0 – 90.0) | 75.0 – 95.0 | {methods} | +25.0 (+15.0 to +85.0) |",
        f"| numbers | **0.85** (0.80 – 0.90) | 0.75 – 0.95 | {others} | +0.25 (+0.15 to +0.85) |",
    ]
    assert lines[-1].startswith("`make scores ROW=task`, seeds 1, 2, commit abc, one thread")


def test_lines_are_compared_seed_by_seed() -> None:
    row = Row("task", "page", [("accuracy", "sure-*", "accuracy"), ("other", "not-*", "accuracy")], differences=True)
    content = _content(
        **{
            "sure-one": [_figure(0.8), _figure(0.7)],
            "sure-two": [_figure(0.702), _figure(0.6)],
            "not-one": [_figure(0.8), _figure(0.7)],
            "not-two": [_figure(0.7), _figure(0.7)],
        }
    )
    # Student's interval of two differences, 9.8 and 10, or 10 and 0: 12.706 times half of their distance.
    assert table(row, content).splitlines()[-3] == (
        "| `one` more than `two` | **+9.9 (+8.6 to +11.2)** | +5.0 (-58.5 to +68.5) |"
    )


def test_samples_are_taken_from_the_best_to_the_worst_and_set_in_a_table(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    words = [f"w{n}" for n in range(12)]
    lines = [
        {"source": f"a|b {n}\n<c>", "target": " ".join(words), "predicted": " ".join(words[:n])}
        for n in (7, 2, 11, 5, 9, 1, 12, 4, 8, 3, 10, 6)
    ]
    long = {"source": "x" * 300, "target": "y", "predicted": "y"}
    path.write_text("".join(json.dumps(line) + "\n" for line in [long, *lines]), encoding="utf-8")
    assert [len(line["predicted"].split()) for line in samples_of(path)] == [11, 9, 7, 5, 3, 1]
    assert [len(line["predicted"].split()) for line in samples_of(path, scored=False)] == [7, 2, 11, 5, 9, 1]
    _, heading, _, first, *_ = table_of_samples({"good": samples_of(path)})
    assert heading == "| `good` reads | it writes | expected |"
    assert first.startswith("| a\\|b 11<br>&lt;c&gt; | w0 w1")
