"""A curve: each number of examples is trained on pre-trained and from scratch, and the difference has its test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from myna import stages
from myna.composing import compose
from myna.curves import Point, compare_points
from myna.errors import InputError
from myna.evaluation.comparing import compare, settings_of
from myna.evaluation.predicted import find
from myna.inspection import score_lines
from myna.planning.plan import _each_alone
from myna.recipe import read_recipe, to_toml, with_budget
from myna.step_inspection import show_step
from tests.recipes import write_recipe
from tests.tasks.material import encoder_folder
from tests.test_seeds import table

SHORT = ["epochs=1", "threads=1", "learning_rate=5e-3"]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def two_sizes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The folder of a run with a curve of two sizes, and what it was composed of."""
    place = tmp_path_factory.mktemp("curve")
    (place / "train.csv").write_text(table(80), encoding="utf-8")
    arguments = ["classification", str(encoder_folder(place / "encoder")), place / "train.csv", None, None]
    stages.run(compose(*arguments, [*SHORT, "curve=[16, 8]"]).recipe, place / "run")
    return place / "run", arguments


def test_each_size_is_trained_with_and_without_and_compared(two_sizes: tuple[Path, list[Any]]) -> None:
    run, _ = two_sizes
    trained = {place.name: read(place / "model/myna.json") for place in (run / "finetune").iterdir()}
    assert {name: (facts["examples"], facts["from_scratch"]) for name, facts in trained.items()} == {
        "classification-8": (8, False),
        "classification-8-scratch": (8, True),
        "classification-16": (16, False),
        "classification-16-scratch": (16, True),
        "classification": (16, False),
    }
    scores = read(run / "scores.json")
    assert list(scores) == ["classification"]
    curve = scores["classification"]["accuracy"]["curve"]
    assert [point["training_examples"] for point in curve] == [8, 16]
    for point in curve:
        names = [f"classification-{point['training_examples']}{end}" for end in ("-scratch", "")]
        judged = [read(run / "evaluate" / name / "scores.json")["accuracy"] for name in names]
        assert [point[side]["value"] for side in ("scratch", "pretrained")] == [each["value"] for each in judged]
        (by_hand,) = compare([run / "evaluate" / names[0]], [run / "evaluate" / names[1]])
        assert point["difference"] == by_hand["scores"]["accuracy"]["difference"]
        assert point["simple"]["value"] == max(each["value"] for each in judged[1]["baselines"].values())
        assert by_hand["settings"] == {"finetune.from_scratch": [True, False]}
    assert "pre-trained - from scratch" in "\n".join(score_lines(scores))


def test_the_model_that_is_kept_is_the_pretrained_one_of_the_most_examples(two_sizes: tuple[Path, list[Any]]) -> None:
    run, _ = two_sizes
    for name in ("finetune/{}/model/model.safetensors", "evaluate/{}/predictions.jsonl"):
        kept, alone = (run / name.format(each) for each in ("classification", "classification-16"))
        assert kept.read_bytes() == alone.read_bytes()


def test_the_report_has_the_picture_and_the_table(two_sizes: tuple[Path, list[Any]]) -> None:
    run, _ = two_sizes
    page = (run / "report.html").read_text(encoding="utf-8")
    section = page[page.index("标注与预训练各值多少") :]
    section = section[: section.index("</section>")]
    assert section.index("<svg") < section.index("从零训练</th>")
    assert '<tr><th scope="row">8</th>' in section
    assert '<tr><th scope="row">16</th>' in section


def test_only_a_new_size_is_trained_and_a_table_by_hand_is_the_same(two_sizes: tuple[Path, list[Any]]) -> None:
    run, arguments = two_sizes

    def planned(*changes: str) -> list[stages.Stage]:
        return stages.plan(compose(*arguments, [*SHORT, *changes]).recipe, run)

    due = [stage.key for stage in planned("curve=[8, 16, 9]") if stage.state != "done"]
    new = [f"{kind}.classification-9{end}" for kind in ("finetune", "evaluate") for end in ("", "-scratch")]
    assert due == [*new, "evaluate.classification", "report"]
    prints = {stage.key: stage.fingerprint for stage in planned("curve=[8, 16]")}
    by_hand = planned("training_examples=8", "from_scratch=true")
    assert prints["finetune.classification-8-scratch"] in {stage.fingerprint for stage in by_hand}
    seeds = [stage.key for stage in planned("curve=[8]", "seeds=2") if stage.key.startswith("finetune")]
    ends = ("8-seed-1", "8-seed-2", "8-scratch-seed-1", "8-scratch-seed-2", "8", "8-scratch")
    assert seeds == [*(f"finetune.classification-{end}" for end in ends), "finetune.classification"]


def test_the_texts_of_a_step_are_those_of_its_point(two_sizes: tuple[Path, list[Any]]) -> None:
    run, _ = two_sizes
    shown = [show_step(run / f"finetune/classification-{n}", 1) for n in (8, 16)]
    assert shown[0]["items"] != shown[1]["items"]
    with pytest.raises(InputError, match="give that of one of its points"):
        show_step(run / "finetune/classification", 1)


def test_too_few_examples_are_told_before_anything_is_trained(two_sizes: tuple[Path, list[Any]]) -> None:
    run, arguments = two_sizes
    for place, told in (("again", "corpus.examples"), ("run", "finetune.classification-1000")):
        recipe = compose(*arguments, [*SHORT, "curve=[8, 1000]"]).recipe
        with pytest.raises(InputError, match=r"training has \d\d labelled examples, and 1,000 are asked for") as caught:
            stages.run(recipe, run.parent / place)
        assert str(caught.value.where) == told
    assert not (run.parent / "again/finetune").exists()


def judged(folder: Path, right: list[bool]) -> None:
    folder.mkdir(parents=True)
    lines = [
        {"id": str(n), "text": str(n), "label": "a", "predicted": "a" if fine else "b"} for n, fine in enumerate(right)
    ]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    entry = {"value": sum(right) / len(right), "low": 0, "high": 1, "baselines": {}}
    (folder / "scores.json").write_text(json.dumps({"accuracy": entry}))
    (folder / "details.json").write_text("{}")


def test_of_several_seeds_stand_the_mean_and_what_other_seeds_would_change(tmp_path: Path) -> None:
    for name, count in (("s1", 4), ("s2", 5), ("p1", 8), ("p2", 9)):
        judged(tmp_path / name, [n < count for n in range(10)])
    (tmp_path / "to").mkdir()
    compare_points([Point(100, ("s1", "s2"), ("p1", "p2"))], "p2", tmp_path, tmp_path / "to", 1)
    (point,) = read(tmp_path / "to/scores.json")["accuracy"]["curve"]
    assert (point["scratch"]["value"], point["pretrained"]["value"]) == pytest.approx((0.45, 0.85))
    assert point["difference"]["value"] == point["over_runs"]["value"] == pytest.approx(0.4)
    assert point["over_runs"]["p"] < 0.05
    assert point["scratch"]["over_texts"]["low"] < 0.45 < point["scratch"]["over_texts"]["high"]
    assert "simple" not in point


def test_a_simple_method_stands_in_a_curve_where_every_seed_has_it(tmp_path: Path) -> None:
    for name, metrics in (("s1", 2), ("s2", 2), ("p1", 2), ("p2", 1)):
        judged(tmp_path / name, [True, False])
        entry = {"value": 0.5, "low": 0, "high": 1, "baselines": {"majority": {"value": metrics / 4}}}
        scores = dict(list({"accuracy": entry, "rouge_l_new": entry}.items())[:metrics])
        (tmp_path / name / "scores.json").write_text(json.dumps(scores))
    (tmp_path / "to").mkdir()
    compare_points([Point(100, ("s1", "s2"), ("p1", "p2"))], "p1", tmp_path, tmp_path / "to", 1)
    scores = read(tmp_path / "to/scores.json")
    assert scores["accuracy"]["curve"][0]["simple"] == {"method": "majority", "value": 0.375}
    assert scores["rouge_l_new"]["curve"] == []


def test_where_nothing_was_judged_nothing_is_compared(tmp_path: Path) -> None:
    for name, content in (("scores.json", "{}"), ("details.json", "{}"), ("predictions.jsonl", "")):
        (tmp_path / name).write_text(content)
    (tmp_path / "to").mkdir()
    compare_points([Point(100, (".",), (".",))], ".", tmp_path, tmp_path / "to", 1)
    assert read(tmp_path / "to/scores.json") == {}


def test_a_time_for_all_trainings_counts_each_point(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    changes = [
        [],
        ["finetune.sentiment.curve=[1, 2]"],
        ["finetune.sentiment.curve=[1, 2]", "finetune.sentiment.seeds=2"],
    ]
    budgets = [with_budget(read_recipe(path, some), "65m").finetune["topics"].budget for some in changes]
    assert budgets == ["650s", "433s", "300s"]


def test_the_plan_has_each_training_and_a_teacher_is_the_kept_one(tmp_path: Path) -> None:
    changes = ["finetune.sentiment.curve=[5, 9]", "finetune.sentiment.seeds=2", "finetune.topics.teacher=sentiment"]
    recipe = read_recipe(write_recipe(tmp_path), changes)
    alone = _each_alone(recipe)
    assert alone.finetune["topics"].teacher == "sentiment-9-seed-1"
    assert len(alone.finetune) == 2 * 2 * 2 + 1
    (tmp_path / "resolved.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert read_recipe(tmp_path / "resolved.toml").finetune["sentiment"].curve == [5, 9]


@pytest.mark.parametrize("curve", ["5", "[]", "[1, 1]", "true", '"3"', "[0]", "[1.5]", str(list(range(1, 22)))])
def test_what_is_no_curve_is_a_line(tmp_path: Path, curve: str) -> None:
    with pytest.raises(InputError, match=r"curve.*give some numbers of training examples, each once, as \[100"):
        read_recipe(write_recipe(tmp_path), [f"finetune.sentiment.curve={curve}"])


@pytest.mark.parametrize("other", ["from_scratch=true", "training_examples=5", "lora={}", 'freeze="trunk"'])
def test_what_says_itself_what_is_trained_does_not_go_with_a_curve(tmp_path: Path, other: str) -> None:
    name = other.partition("=")[0]
    with pytest.raises(InputError, match=f"curve trains whole models.*leave {name} out"):
        read_recipe(write_recipe(tmp_path), ["finetune.sentiment.curve=[5]", f"finetune.sentiment.{other}"])


def test_a_curve_needs_a_pretrained_model(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    new = 'preset = "bert-micro"\ntokenizer = "zh"\ncurve = [5]'
    path.write_text(path.read_text().replace('start_from = "encoder"\nepochs = 2', new))
    with pytest.raises(InputError, match="give start_from in the place of preset"):
        read_recipe(path)


def test_a_table_that_has_the_name_of_a_point(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    text = path.read_text()
    for name, what in (("sentiment-5-scratch", "points"), ("sentiment-5-seed-2", "seeds")):
        path.write_text(text.replace("finetune.topics", f"finetune.{name}"))
        with pytest.raises(InputError, match=f'there is a table "{name}" too, as one of its {what} would be'):
            read_recipe(path, ["finetune.sentiment.curve=[5]", "finetune.sentiment.seeds=2"])


def test_the_settings_of_a_training_are_those_of_its_point(two_sizes: tuple[Path, list[Any]]) -> None:
    run, _ = two_sizes
    (found,) = find(run / "evaluate/classification-8-scratch")
    settings = settings_of(found)
    assert (settings["finetune.training_examples"], settings["finetune.from_scratch"]) == (8, True)
