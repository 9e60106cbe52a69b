"""``myna finetune``: a recipe of files and a model, what is refused, and what lies in the folder at the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from myna import cli, delivering, stages
from myna.commands import training
from myna.composing import compose
from myna.errors import InputError
from myna.inference.loaded import load
from tests.tasks.material import encoder_folder

GOOD, BAD = "好天气很好", "不好小李说"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    monkeypatch.chdir(tmp_path)

    def write(name: str, content: str) -> Path:
        (tmp_path / name).write_text(content, encoding="utf-8")
        return Path(name)

    return write


def reviews(count: int, first: int = 0, header: str = "text,label") -> str:
    rows = [f"{GOOD if n % 2 else BAD}{n},{'pos' if n % 2 else 'neg'}" for n in range(first, first + count)]
    return "\n".join([header, *rows]) + "\n"


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def another(row: dict[str, Any], number: int) -> dict[str, Any]:
    """The same row with another text."""
    if "text" in row:
        return {**row, "text": f"{row['text']}{number}"}
    return {**row, "tokens": [*row["tokens"], str(number)], "tags": [*row["tags"], "O"]}


# ------------------------------------------------------------------------------------------------------ the recipe


def test_a_preset_gets_a_tokenizer_of_the_training_text(write: Any) -> None:
    train = write("train.csv", reviews(40))
    composed = compose("classification", "bert-micro", train, changes=["epochs=2", "corpus.examples.test=20"])
    recipe = composed.recipe
    table = recipe.finetune["classification"]
    assert (table.preset, table.tokenizer, table.start_from, table.epochs) == ("bert-micro", "pieces", None, 2)
    assert (recipe.tokenizer["pieces"].kind, recipe.tokenizer["pieces"].vocabulary) == ("wordpiece", 8000)
    assert (recipe.corpus["examples"].stratify, recipe.corpus["examples"].test) == (True, 20)
    assert recipe.report.language == "zh"
    assert composed.said == ("without --validation and --test a tenth of the training examples is kept for each",)


def test_files_for_each_split_are_taken_whole_and_columns_are_told(write: Any, tmp_path: Path) -> None:
    model = encoder_folder(tmp_path / "encoder")
    paths = [write(f"{n}.csv", reviews(20, 20 * n, "review,mood")) for n in range(3)]
    composed = compose("classification", str(model), *paths)
    sources = composed.recipe.corpus["examples"].sources
    assert [(source.split, source.text_column, source.label_column) for source in sources] == [
        (split, "review", "mood") for split in ("train", "validation", "test")
    ]
    assert composed.recipe.finetune["classification"].start_from == str(model)
    assert composed.said == ('reading the text from "review", the label from "mood"',)


@pytest.mark.parametrize(
    ("task", "rows", "real", "said"),
    [
        ("tagging", [{"tokens": ["王", "说"], "tags": ["B-PER", "O"]}] * 2, "words", "mark spans"),
        ("tagging", [{"tokens": ["王", "说"], "tags": ["n", "v"]}] * 2, "words", "plain names"),
        ("tagging", [{"text": "王说", "spans": [{"start": 0, "end": 1, "label": "PER"}]}] * 2, "tagging", ""),
        ("pairs", [{"text": "a", "pair": "b", "value": 0.5}] * 2, "pairs", ""),
        ("regression", [{"text": "a", "score": 0.5}] * 2, "regression", 'the value from "score"'),
        ("multilabel", [{"text": "a", "labels": ["x", "y"]}, {"text": "b", "labels": ["x", "y"]}], "multilabel", ""),
    ],
)
def test_what_is_in_the_rows_decides_the_task(write: Any, task: str, rows: list[Any], real: str, said: str) -> None:
    rows = [another(row, n) for n in range(6) for row in rows]
    composed = compose(task, "bert-micro", write("a.jsonl", jsonl(*rows)))
    assert composed.recipe.finetune[task].task == real
    assert said in " ".join(composed.said)


def test_the_tags_that_are_read_say_what_they_are(write: Any) -> None:
    """Of a column that is named they are plain; comments, of which there is one in three lines, are no tags."""
    train = write("a.conll", "".join(f"# id {n}\na{n} n B-P\nb v O\n\n" for n in range(8)))
    kinds = [compose("tagging", "bert-micro", train, changes=c) for c in ((), ("tags_column=2",))]
    assert [each.recipe.corpus["examples"].sources[0].tags for each in kinds] == ["spans", "plain"]


@pytest.mark.parametrize(("label", "task"), [("{}.5", "value"), ("{}.0", "label"), ("c{}.5", "label")])
def test_pairs_with_broken_numbers_have_a_value(write: Any, label: str, task: str) -> None:
    rows = "".join(f"a{n},b,{label.format(n % 2)}\n" for n in range(8))
    source = (
        compose("pairs", "bert-micro", write("a.csv", f"text,pair,label\n{rows}")).recipe.corpus["examples"].sources[0]
    )
    assert (source.value_column, source.label_column) == (("label", None) if task == "value" else (None, "label"))


def test_a_column_of_labels_that_is_named_is_read_where_there_are_numbers_too(write: Any) -> None:
    rows = [{"sentence1": f"a{n}", "sentence2": "b", "gold": "xy"[n % 2], "score": n / 3} for n in range(8)]
    composed = compose("pairs", "bert-micro", write("a.jsonl", jsonl(*rows)), changes=["label_column=gold"])
    source = composed.recipe.corpus["examples"].sources[0]
    assert (source.label_column, source.value_column) == ("gold", None)


# ----------------------------------------------------------------------------------------------------- what is refused


def refused(
    task: str, train: Path, *more: Path | None, changes: tuple[str, ...] = (), model: str = "bert-micro"
) -> str:
    with pytest.raises(InputError) as raised:
        compose(task, model, train, *more, changes=changes)
    return str(raised.value).replace(f"{Path.cwd()}/", "")


@pytest.mark.parametrize(
    ("task", "name", "content", "error"),
    [
        ("classification", "a.csv", "text,label\na,x\nb,y\n c ,\n", 'a.csv:4: "label" is "", not a name'),
        ("classification", "a.csv", "text,label\na,x\n ,x\n", "a.csv:3: the text of this row is empty; take the row"),
        (
            "classification",
            "a.csv",
            "text,label\na,x\n\u200b,x\n",
            "a.csv:3: the text of this row is empty; take the row",
        ),
        ("classification", "a.csv", "text,label\na,x\nb,x\nc,y\n", "a.csv:4: 'y' has this one example; add examples"),
        ("classification", "a.csv", 'text,label\na,x\n"b,x\n', "a.csv:3: this row is broken (unexpected end of data)"),
        ("regression", "a.csv", "text,value\na,1\nb,nan\n", 'a.csv:3: "value" is NaN, not a number'),
        ("pairs", "a.csv", "text,pair,label\na,b,x\nc, ,x\n", "a.csv:3: the second text of this row is empty"),
        (
            "tagging",
            "a.conll",
            "a O\nb I-X\n\nc B-X\nd B-X\n",
            'a.conll:2: the tag "I-X" (token 2) goes on with nothing',
        ),
        ("classification", "a.txt", "text", "a.txt: this is no table of examples; give JSONL, CSV, TSV, CoNLL"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(write: Any, task: str, name: str, content: str, error: str) -> None:
    assert refused(task, write(name, content)).startswith(error)


def test_tags_of_another_length_than_their_tokens(write: Any) -> None:
    rows = [{"tokens": ["a", "b"], "tags": ["n", "v"]}, {"tokens": ["a", "b"], "tags": ["n"]}]
    said = refused("tagging", write("a.jsonl", jsonl(*rows)))
    assert said == 'a.jsonl:2: there are 2 "tokens" and 1 "tags"; give one tag a token'


def test_a_file_of_two_encodings_is_refused_by_its_line(write: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\n好,x\n".encode() + "坏,y\n".encode("gb18030"))
    assert refused("classification", Path("a.csv")).startswith("a.csv:3: this is not UTF-8")


def test_labels_of_the_test_that_training_does_not_have(write: Any) -> None:
    train, test = write("a.csv", reviews(20)), write("b.csv", reviews(4, 20) + "新的,mixed\n")
    assert refused("classification", train, None, test) == (
        "b.csv:6: training has no example of 'mixed'; the labels there are neg, pos"
    )


def test_a_plain_tag_of_the_test_that_training_does_not_have_is_no_mistake(write: Any) -> None:
    train = write("a.conll", "a n\nb v\n\nc n\nd v\n")
    composed = compose("tagging", "bert-micro", train, None, write("b.conll", "e n\nf x\n"))
    assert composed.test is not None
    assert composed.test.tags == "plain"
    spans = write("c.conll", "a B-P\nb O\n\nc B-P\nd O\n"), None, write("d.conll", "a B-Q\nb O\n")
    assert refused("tagging", *spans) == "d.conll:1: training has no example of 'Q'; the labels there are P"


def test_a_folder_of_datasets_without_a_part_for_validation(write: Any, tmp_path: Path) -> None:
    for split, first in (("train", 0), ("test", 20)):
        table = pa.Table.from_pylist([{"text": f"{GOOD}{n}", "labels": n % 2} for n in range(first, first + 20)])
        (tmp_path / "saved" / split).mkdir(parents=True)
        with pa.ipc.new_stream(str(tmp_path / "saved" / split / "data.arrow"), table.schema) as stream:
            stream.write_table(table)
    write("saved/dataset_dict.json", "{}")
    saved = Path("saved")
    assert refused("classification", saved) == (
        "saved: this folder says what is for test and train, and nothing is for validation; "
        "give --validation, or --train saved/train (a tenth of it is kept) and --test"
    )
    said = compose("classification", "bert-micro", saved / "train", None, saved / "test").said
    assert said[-1] == "without --validation a tenth of the training examples is kept for it"
    validation = write("other.jsonl", jsonl(*({"text": f"{GOOD}{n}", "labels": n % 2} for n in range(40, 50))))
    assert compose("classification", "bert-micro", saved, validation).said == said[:1]


def test_a_test_that_is_the_training_is_refused(write: Any) -> None:
    train, copy = write("a.csv", reviews(20)), write("b.csv", reviews(20))
    assert refused("classification", train, None, copy).startswith(
        "b.csv: the examples for test are those for train: a score on them would say nothing; give others, or leave"
    )


def test_wrong_names_have_their_nearest(write: Any) -> None:
    train = write("a.csv", reviews(20))
    assert refused("classificaton", train).startswith("there is no task 'classificaton' for this command; ")
    assert "bert-micro" in refused("classification", train, model="bert-mikro")
    assert refused("classification", train, changes=("epoch=2",)).startswith("--set finetune.classification.epoch=2: ")
    assert refused("classification", train, changes=("text_column=no",)).startswith('a.csv:2: there is no column "no"')
    for change in ("path=b.csv", "split=test", "label=x"):
        assert f'there is no key "{change.partition("=")[0]}"' in refused("classification", train, changes=(change,))
    assert refused("classification", Path("no.csv")) == "no.csv: there is no such file or folder; check --train"


# ------------------------------------------------------------------------------------------------------- all of it


@pytest.mark.slow
def test_what_lies_in_the_folder_at_the_end(write: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row that training also holds, one twice, one of another script: each has its line, in its place."""
    train = write("train.csv", "\ufeff" + reviews(60))
    test = write("test.csv", reviews(6, 60) + f"{BAD}0,neg\nABC,pos\nABC,pos\n")
    model = encoder_folder(tmp_path / "encoder")
    arguments = ["finetune", "classification", "--model", str(model), "--train", str(train), "--test", str(test)]
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--to", "out", "--set", "epochs=1", "--json"])
    out, err = capsys.readouterr()
    assert ended.value.code == 0, err
    assert "byte-order marks passed over: 1" in err
    folder = tmp_path / "out"
    there = {path.name for path in folder.iterdir()}
    assert {"recipe.toml", "model", "predictions.jsonl", "scores.json", "report.html"} <= there
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert [line["text"] for line in lines] == [row.split(",")[0] for row in test.read_text().splitlines()[1:]]
    scores = json.loads((folder / "scores.json").read_text())["classification"]
    assert set(scores["accuracy"]["baselines"]) == {"majority", "tfidf_logistic_regression", "tfidf_linear_svm"}
    assert json.loads(out)["scores"]["classification"] == scores
    # The model stands by itself.
    shutil.rmtree(folder / "finetune")
    assert load(folder / "model").predict(GOOD)[0].keys() == {"label", "scores"}


def test_of_several_processes_only_the_first_delivers(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    train, delivered = write("train.csv", reviews(20)), []
    monkeypatch.setattr("myna.stages.run", lambda *_, **__: None)
    monkeypatch.setattr(delivering, "deliver", lambda *_: delivered.append(1))
    for rank in (1, 0):
        monkeypatch.setattr("myna.training.processes.rank", lambda rank=rank: rank)
        training.finetune("classification", "bert-micro", train, Path("out"))
        assert len(delivered) == 1 - rank


def test_repairs_of_a_run_that_is_not_there_are_none(tmp_path: Path) -> None:
    assert delivering.repairs(tmp_path) == []


# ------------------------------------------------------------------------------------------------- what is delivered


def done(recipe: Any, run: Path, weights: str) -> list[stages.Stage]:
    """The plan of a recipe, and in a run's folder what its stages have made that is delivered."""
    planned = stages.plan(recipe, run)
    (evaluation,) = (stage for stage in planned if stage.key == "evaluate.classification")
    for name, content in (
        ("evaluate/classification/stage.json", json.dumps({"fingerprint": evaluation.fingerprint})),
        ("evaluate/classification/predictions.jsonl", weights),
        ("finetune/classification/model/model.safetensors", weights),
    ):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(content, encoding="utf-8")
    return planned


def test_what_was_delivered_is_not_delivered_again(write: Any, tmp_path: Path) -> None:
    composed = compose("classification", "bert-micro", write("train.csv", reviews(20)))
    planned, run = done(composed.recipe, tmp_path / "run", "first"), tmp_path / "run"
    delivering.deliver(composed, run)
    assert (run / "model/model.safetensors").read_text() == (run / "predictions.jsonl").read_text() == "first"
    # Nothing that it would deliver has changed, or so it is told.
    done(composed.recipe, run, "other")
    delivering.deliver(composed, run)
    delivering.withdraw(composed, run, planned)
    assert (run / "model/model.safetensors").read_text() == "first"
    (run / "model/model.safetensors").unlink()
    delivering.deliver(composed, run)
    assert (run / "model/model.safetensors").read_text() == "other"


def test_an_old_model_does_not_stay_beside_new_settings(write: Any, tmp_path: Path) -> None:
    train, run = write("train.csv", reviews(20)), tmp_path / "run"
    first, second = (compose("classification", "bert-micro", train, changes=[f"epochs={n}"]) for n in (1, 2))
    done(first.recipe, run, "first")
    delivering.deliver(first, run)
    delivering.withdraw(second, run, stages.plan(second.recipe, run))
    assert not {"model", "predictions.jsonl", ".delivered.json"} & {path.name for path in run.iterdir()}
    assert (run / "finetune/classification/model").is_dir()
