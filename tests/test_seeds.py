"""Several seeds: one training for each, the best on validation is kept, and only a new seed is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from myna import stages
from myna.composing import compose
from myna.errors import InputError
from myna.inspection import score_lines
from myna.planning.datasheets import find_gpu
from myna.planning.plan import plan
from myna.recipe import read_recipe, with_budget
from myna.seeds import gather_scores, keep_best, seeds_of
from myna.step_inspection import show_step
from tests.recipes import write_recipe
from tests.tasks.material import encoder_folder

SHORT = ["epochs=2", "batch_tokens=256", "threads=1", "learning_rate=5e-3"]


def table(count: int = 60) -> str:
    rows = [f"{'好天气很好' if n % 2 else '不好小李说'}{n},{'pos' if n % 2 else 'neg'}" for n in range(count)]
    return "\n".join(["text,label", *rows]) + "\n"


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The folder of a run with two seeds, and what it was composed of."""
    place = tmp_path_factory.mktemp("seeds")
    (place / "train.csv").write_text(table(), encoding="utf-8")
    arguments = ["classification", str(encoder_folder(place / "encoder")), place / "train.csv", None, None]
    stages.run(compose(*arguments, [*SHORT, "seeds=2"]).recipe, place / "run")
    return place / "run", arguments


def scores(folder: Path) -> Any:
    return json.loads((folder / "scores.json").read_text())


def keys(planned: list[stages.Stage]) -> list[str]:
    return [stage.key for stage in planned if stage.state != "done"]


def test_the_scores_of_all_seeds_stand_beside_those_of_the_best(two_seeds: tuple[Path, list[Any]]) -> None:
    run, _ = two_seeds
    told = json.loads((run / "finetune/classification/seeds.json").read_text())
    best = max(told["validation"], key=told["validation"].get)
    assert told["kept"] == int(best)
    kept, alone = run / "finetune/classification", run / f"finetune/classification-seed-{best}"
    for name in ("model/model.safetensors", "metrics.jsonl"):
        assert (kept / name).read_bytes() == (alone / name).read_bytes()
    entry = scores(run)["classification"]["accuracy"]
    each = {seed: scores(run / f"evaluate/classification-seed-{seed}")["accuracy"]["value"] for seed in ("1", "2")}
    assert entry["value"] == each[best]
    assert entry["seeds"]["values"] == each
    assert (entry["seeds"]["low"], entry["seeds"]["high"]) == (min(each.values()), max(each.values()))
    assert entry["seeds"]["mean"] == pytest.approx(sum(each.values()) / 2)
    assert "2 seeds: mean" in score_lines(scores(run))[0]
    mean, low, high = (f"{100 * entry['seeds'][name]:.1f}" for name in ("mean", "low", "high"))
    assert f"2 个随机种子：均值 {mean}\u202f%，{low} – {high}\u202f%" in (run / "report.html").read_text(
        encoding="utf-8"
    )


def test_only_what_is_new_runs_when_a_seed_is_added(two_seeds: tuple[Path, list[Any]]) -> None:
    run, arguments = two_seeds
    planned = stages.plan(compose(*arguments, [*SHORT, "seeds=[1, 2, 7]"]).recipe, run)
    new = [f"{kind}.classification{seed}" for kind in ("finetune", "evaluate") for seed in ("-seed-7", "")]
    assert keys(planned) == [*new, "report"]
    assert keys(stages.plan(compose(*arguments, [*SHORT, "seeds=[1, 2]"]).recipe, run)) == []


def test_a_seed_among_several_is_trained_as_it_is_alone(two_seeds: tuple[Path, list[Any]]) -> None:
    run, arguments = two_seeds
    alone = stages.plan(compose(*arguments, [*SHORT, "seed=2"]).recipe, run)
    several = stages.plan(compose(*arguments, [*SHORT, "seeds=2"]).recipe, run)
    prints = {stage.key: stage.fingerprint for stage in several}
    assert prints["finetune.classification-seed-2"] in {stage.fingerprint for stage in alone}


def test_the_texts_of_a_step_are_those_of_its_seed(two_seeds: tuple[Path, list[Any]]) -> None:
    run, _ = two_seeds
    shown = [show_step(run / f"finetune/classification-seed-{seed}", 1) for seed in (1, 2)]
    assert [batch["seed"] for batch in shown] == [1, 2]
    assert shown[0]["items"] != shown[1]["items"]
    with pytest.raises(InputError, match="give that of one of its seeds"):
        show_step(run / "finetune/classification", 1)


def test_the_best_of_equals_is_the_first_and_scores_have_their_range(tmp_path: Path) -> None:
    trained, judged = {}, {}
    for seed, validation, test in ((1, 0.5, 0.25), (2, 0.75, 0.5), (3, 0.75, 1.0)):
        trained[seed], judged[seed] = tmp_path / f"t{seed}", tmp_path / f"j{seed}"
        (trained[seed] / "model").mkdir(parents=True)
        judged[seed].mkdir()
        (trained[seed] / "model/myna.json").write_text(json.dumps({"best": {"step": 1, "score": validation}}))
        entry = {"value": test, "low": 0, "high": 1}
        # What is of the texts alone that are unlike training's is not there where all are.
        entries = {"accuracy": entry} if seed == 3 else {"accuracy": entry, "rouge_l_new": entry}
        (judged[seed] / "scores.json").write_text(json.dumps(entries))
        for name in ("details.json", "predictions.jsonl", "contamination.jsonl"):
            (judged[seed] / name).write_text(str(seed))
    for name in ("chosen", "scores"):
        (tmp_path / name).mkdir()
    keep_best(trained, tmp_path / "chosen").check()
    gather_scores(judged, tmp_path / "chosen", tmp_path / "scores")
    told = scores(tmp_path / "scores")["accuracy"]
    values = {"1": 0.25, "2": 0.5, "3": 1.0}
    assert told["seeds"] == {"mean": 1.75 / 3, "low": 0.25, "high": 1.0, "kept": 2, "values": values}
    assert scores(tmp_path / "scores")["rouge_l_new"]["seeds"]["values"] == {"1": 0.25, "2": 0.5}
    copied = [(tmp_path / f"scores/{name}").read_text() for name in ("details.json", "contamination.jsonl")]
    assert (told["value"], copied) == (0.5, ["2", "2"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [("seeds=3", (1, 2, 3)), ("seeds=[5, 2]", (5, 2)), ("seed=4", ())],
)
def test_a_count_of_seeds_begins_with_the_recipes(tmp_path: Path, change: str, expected: tuple[int, ...]) -> None:
    recipe = read_recipe(write_recipe(tmp_path), [f"finetune.sentiment.{change}"])
    assert seeds_of(recipe.finetune["sentiment"], recipe.seed) == expected


def test_a_time_for_all_trainings_counts_each_seed(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    budgets = [
        with_budget(read_recipe(path, changes), "60m").finetune["topics"].budget
        for changes in ([], ["finetune.sentiment.seeds=5"])
    ]
    assert budgets == ["600s", "360s"]


@pytest.mark.parametrize("seeds", ["0", "[]", "[1, 1]", "true", '"3"', "[-1]", "1.5", "101"])
def test_what_is_no_seeds_is_a_line(tmp_path: Path, seeds: str) -> None:
    with pytest.raises(InputError, match=r"seeds.*give some seeds, each once, as \[1, 2, 3\], or how many"):
        read_recipe(write_recipe(tmp_path), [f"finetune.sentiment.seeds={seeds}"])


def test_a_table_that_has_the_name_of_a_seeds_training(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    path.write_text(path.read_text().replace("finetune.topics", "finetune.sentiment-seed-2"))
    with pytest.raises(InputError, match='there is a table "sentiment-seed-2" too, as one of its seeds would be'):
        read_recipe(path, ["finetune.sentiment.seeds=2"])


FAMILY = """\
recipe = 1
name = "family"
[[corpus.moods.sources]]
path = "train.csv"
[[corpus.summaries.sources]]
path = "summaries.jsonl"
target_column = "target"
[finetune.pupil]
task = "classification"
corpus = "moods"
start_from = "encoder"
teacher = "finetune.master"
seeds = 2
[finetune.master]
task = "classification"
corpus = "moods"
start_from = "encoder"
read = "summary"
summarizer = "shortener"
seeds = 2
[finetune.shortener]
task = "extraction"
corpus = "summaries"
start_from = "encoder"
seeds = 2
"""


def family(folder: Path) -> Any:
    """A pupil of a teacher that reads summaries, each the best of two seeds, and the pupil named first."""
    encoder_folder(folder / "encoder")
    (folder / "train.csv").write_text(table(40), encoding="utf-8")
    rows = ({"text": f"今天很好{n}。小李说好{n}。明天不好。", "target": f"小李说好{n}"} for n in range(40))
    (folder / "summaries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "recipe.toml").write_text(FAMILY, encoding="utf-8")
    changes = [f"finetune.{name}.{change}" for name in ("pupil", "master", "shortener") for change in SHORT[1:]]
    return read_recipe(folder / "recipe.toml", [*changes, *(f"{c.rpartition('.')[0]}.epochs=1" for c in changes[::3])])


def test_the_best_of_several_seeds_teaches_and_makes_summaries(tmp_path: Path) -> None:
    recipe = family(tmp_path)
    order = keys(stages.plan(recipe, tmp_path / "run"))
    for before, after in (("shortener", "master-seed-1"), ("master-seed-2", "master"), ("master", "pupil-seed-1")):
        assert order.index(f"finetune.{before}") < order.index(f"finetune.{after}")
    stages.run(recipe, tmp_path / "run", until="finetune.pupil")
    place = tmp_path / "run/finetune"
    assert json.loads((place / "pupil/model/myna.json").read_text())["teacher"] == "finetune.master"
    shortened = [
        (place / f"{name}/model.safetensors").read_bytes() for name in ("shortener/model", "master/model/summarizer")
    ]
    assert shortened[0] == shortened[1]
    planned = plan(recipe, tmp_path / "other", find_gpu("A100"))
    assert planned.unplanned == {}
    assert {training.key for training in planned.trainings} == {
        f"finetune.{name}-seed-{seed}" for name in ("pupil", "master", "shortener") for seed in (1, 2)
    }
