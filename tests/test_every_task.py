"""Every task by the verbs alone: a table, a model, its answers to a file, its figures, and the run's page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from myna import cli, stages
from myna.composing import compose
from myna.evaluation import judging
from myna.inference.loaded import load
from myna.inference.predict import unlabelled
from myna.kinds import KINDS
from myna.planning.prepared import prepare
from myna.recipe import read_recipe
from myna.tasks import TASKS, WRITING
from myna.tasks.words import TagsOfWords

from .recipes import write_recipe
from .tasks.material import encoder_folder

GOOD, BAD = "好天气很好", "不好小李说"
QUICK = ("epochs=1", "batch_tokens=128", "threads=1")


def row(task: str, n: int) -> dict[str, Any]:
    """An example of a task in the columns that the verbs look for."""
    text, label = f"{GOOD if n % 2 else BAD}{n}", "pos" if n % 2 else "neg"
    if task == "instructions":
        said = (("user", text), ("assistant", f"好{n % 5}"))
        return {"messages": [{"role": role, "content": content} for role, content in said]}
    if task in ("summarization", "translation", "extraction"):
        return {"text": f"{text}。今天很好。", "target": f"{text}。" if task == "extraction" else f"好{n % 5}"}
    beside: dict[str, dict[str, Any]] = {
        "classification": {"label": label},
        "multilabel": {"labels": [label]},
        "regression": {"value": n % 2 + 0.5},
        "pairs": {"pair": f"小李{n}", "label": label},
        "tagging": {"spans": [{"start": 0, "end": 2, "label": label}]},
        "questions": {"question": "什么", "answer": text[:2]},
        "embeddings": {"pair": f"{n}{GOOD if n % 2 else BAD}"},
        "generation": {},
    }
    if task in ("words", "segmentation"):
        return {"tokens": [text[:2], text[2:5], str(n)], "tags": [label, "O", "num"]}
    return {"text": text, **beside[task]}


def call(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    """What a command prints; of one that fails its line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    assert ended.value.code == code, err
    if code:
        assert [line.startswith("myna: ") for line in err.splitlines() if "reading the" not in line] == [True]
    return err if code else out


def writer(folder: Path, task: str) -> Path:
    kind = "sequence_to_sequence" if task in ("summarization", "translation") else "causal"
    stacks = {"decoder_layers": 1} if kind != "causal" else {"attention": "causal"}
    return encoder_folder(folder, kind, segments=0, maximum_length=48, **stacks)


@pytest.mark.parametrize("task", list(TASKS))
def test_a_task_by_every_verb(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = writer(tmp_path / "m", task) if task in WRITING else encoder_folder(tmp_path / "m")
    for name, numbers in (("train", range(30)), ("test", range(30, 38))):
        lines = [json.dumps(row(task, n), ensure_ascii=False) for n in numbers]
        Path(f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    changes = [*QUICK, *(("new_tokens=4",) if task in WRITING else ()), *(("group=2",) if task == "embeddings" else ())]
    settings = [part for each in changes for part in ("--set", each)]
    files = ("--train", "train.jsonl", "--test", "test.jsonl")
    verb = "tagging" if task == "words" else task
    call(capsys, "check", "train.jsonl", "--task", verb, "--test", "test.jsonl")
    call(capsys, "finetune", verb, "--model", model, *files, "--to", "out", *settings)
    ((name, scores),) = json.loads(Path("out/scores.json").read_text()).items()
    delivered = Path("out/predictions.jsonl").read_text().splitlines()
    assert len(delivered) == 8
    assert scores
    if task == "instructions":
        lines = [json.dumps({"messages": row(task, n)["messages"][:1]}, ensure_ascii=False) for n in range(30, 38)]
        Path("asked.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    asked = ("--file", "asked.jsonl" if task == "instructions" else "test.jsonl")
    answers = call(capsys, "predict", "out/model", *asked, "--json").splitlines()
    assert len(answers) == 8
    assert all(json.loads(answer) for answer in answers)
    assert len(call(capsys, "predict", "out/model", *asked).splitlines()) == 8
    said = json.loads(call(capsys, "evaluate", "out/model", "test.jsonl", "--contamination", "train.jsonl", "--json"))
    assert {metric: entry["value"] for metric, entry in said.items() if metric != "contamination"} == pytest.approx(
        {metric: entry["value"] for metric, entry in scores.items() if metric in said}
    )
    assert said["contamination"]["examples"] == 8
    call(capsys, "evaluate", "out/model", "test.jsonl", "--contamination", "train.jsonl")
    call(capsys, "show", "out")
    call(capsys, "show", "out/model")
    assert json.loads(call(capsys, "show", "out", "--step", "1", "--json"))["items"]
    assert f"finetune.{name}" in Path("out/report.html").read_text(encoding="utf-8")
    call(capsys, "predict", "out/model", *asked, "--precision", "0.999", code=2)
    compared = json.loads(call(capsys, "compare", "out", "out", "--json"))["compared"][0]
    assert {entry["difference"]["value"] for entry in compared["scores"].values()} == {0}
    found = {metric: entry["first"]["value"] for metric, entry in compared["scores"].items()}
    written = {metric: entry["value"] for metric, entry in scores.items()}
    assert {metric: found[metric] for metric in written} == pytest.approx(written, rel=1e-4)
    tested = {metric for metric, entry in compared["scores"].items() if "p" in entry["difference"]}
    assert bool(tested) == (task != "embeddings")
    plan = json.loads(call(capsys, "plan", "out/recipe.toml", "--to", "out", "--gpu", "A100", "--json"))
    assert [each["key"] for each in plan["trainings"]] == [f"finetune.{name}"]


def prepared(task: str, folder: Path, **what: Any) -> Path:
    """A model of a task with little training on the rows above, which stand in ``test.jsonl`` beside it."""
    model = writer(folder / "m", task) if task in WRITING else encoder_folder(folder / "m")
    lines = "".join(json.dumps(row(task, n), ensure_ascii=False) + "\n" for n in range(30))
    (folder / "test.jsonl").write_text(lines, encoding="utf-8")
    changes = [*QUICK, *(f"{name}={value}" for name, value in what.items())]
    composed = compose(task, str(model), folder / "test.jsonl", changes=changes)
    return stages.run(composed.recipe, folder / "out") / "finetune" / task / "model"


def test_a_pointer_is_kept_beside_adapters(tmp_path: Path) -> None:
    model = prepared("summarization", tmp_path, pointer="true", lora="{merge = false}", new_tokens=4)
    assert "pointer.query.weight" in (model / "adapter_model.safetensors").read_bytes().decode("latin-1")
    assert load(model).model.pointer is not None


def test_a_challenge_and_contamination_are_asked_for_one_at_a_time(tmp_path: Path, capsys: Any) -> None:
    asked = ("evaluate", tmp_path, tmp_path, "--challenge", "--contamination", tmp_path)
    assert "ask for one at a time" in call(capsys, *asked, code=2)


def test_a_tagger_in_bioes_has_its_labels_and_answers_by_its_temperature(tmp_path: Path) -> None:
    model = prepared("tagging", tmp_path, scheme="bioes")
    assert {"E-pos", "S-neg"} <= set(load(model).labels)
    again = load(model)
    again.task = TagsOfWords(again.tokenizer, again.labels, 24)
    sure = []
    for temperature in (1.0, 5.0):
        again.task.recall({"temperature": temperature})
        (said,) = again.predict_examples(unlabelled([["好", "天气"]]))
        sure.append(said.probabilities.max())  # type: ignore[attr-defined]
    assert sure[1] < sure[0]


def test_the_simple_methods_translate_both_ways_where_the_model_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    class Watched(judging.Simple):
        def __init__(self, trained: Any, *what: Any, **more: Any) -> None:
            seen.append(len({example.text[:2] for example in trained} & {"=>", "<="}))
            super().__init__(trained, *what, **more)

    monkeypatch.setattr(judging, "Simple", Watched)
    prepared("translation", tmp_path, direction="both", new_tokens=4)
    assert seen == [2]


def test_a_plan_knows_what_does_not_learn(tmp_path: Path) -> None:
    prepared("classification", tmp_path)
    recipe = read_recipe(tmp_path / "out/recipe.toml", ["finetune.classification.lora={}"])
    model = prepare(recipe, tmp_path / "out", "finetune.classification", tmp_path / "scratch").model
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert any(".up." in name for name in learned)
    assert "trunk.embeddings.words.weight" not in learned


def test_the_test_is_looked_for_in_what_the_start_has_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(judging, "evaluate_task", lambda *what: given.append(what[-1]))
    recipe, run = read_recipe(write_recipe(tmp_path)), tmp_path / "run"
    (kind,) = (each for each in KINDS if each.module == "myna.evaluation.judging")
    kind.work(recipe, run, "sentiment", run, lambda what, share: None)
    assert given == [[run / "corpus/news", run / "corpus/reviews"]]
