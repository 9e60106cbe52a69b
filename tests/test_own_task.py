"""A task of one's own, outside the package, goes by the same verbs as Myna's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from myna import cli
from tests.tasks.material import encoder_folder

EXAMPLE = Path(__file__).parent.parent / "examples/own-task"
Call = Callable[..., str]


@pytest.fixture
def myna(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Runs a command that ends well, with the example's folder on Python's path: gives what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLE))

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        out, err = capsys.readouterr()
        assert ended.value.code == 0, err
        return out

    return call


def test_it_is_trained_without_a_recipe_judged_and_asked(myna: Call, tmp_path: Path) -> None:
    model, messages = encoder_folder(tmp_path / "encoder", maximum_length=64), str(EXAMPLE / "messages.csv")
    settings = ["epochs=20", "batch_tokens=1024", "learning_rate=1e-2", "threads=1"]
    changes = [part for setting in settings for part in ("--set", setting)]
    said = myna("finetune", "own_task:Urgency", "--model", str(model), "--train", messages, "--to", "run", *changes)
    assert "Urgency  nearness" in said
    scores = json.loads(Path("run/scores.json").read_text())["Urgency"]
    assert set(scores) == {"nearness", "exact"}
    assert scores["exact"]["value"] > 0.5
    lines = [json.loads(line) for line in Path("run/predictions.jsonl").read_text().splitlines()]
    assert all(line["answer"].keys() == {"urgency", "place"} for line in lines)
    whole = json.loads(myna("evaluate", "run/model", messages, "--json"))
    assert whole["exact"]["examples"] == 160
    assert scores["exact"]["value"] - 0.3 < whole["exact"]["value"] <= 1
    text = "The printer is on fire, help now!"
    answer = json.loads(myna("predict", "run/model", "--text", text, "--json"))
    assert myna("predict", "run/model", "--text", text) == f"urgency {answer['urgency']}  place {answer['place']}\n"
    assert answer["place"] > 2


def test_its_recipe_runs(myna: Call) -> None:
    few = ["--set", "finetune.urgency.steps=2", "--set", "finetune.urgency.threads=1"]
    said = json.loads(myna("run", str(EXAMPLE / "recipe.toml"), "--to", "run", "--json", *few))
    assert "finetune.urgency" in said["ran"]
    assert set(said["scores"]["urgency"]) == {"nearness", "exact"}
