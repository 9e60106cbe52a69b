"""From a table of texts and summaries to a model that chooses sentences, by the verb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from myna import cli
from myna.composing import compose
from myna.inference.loaded import load

from .tasks.material import encoder_folder


def table(folder: Path) -> Path:
    rows = (
        {"article": f"今天很好{n}。江泽民在北京{n}说好。明天不好。", "summary": f"江泽民在北京{n}"} for n in range(40)
    )
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(("task", "model"), [("summarization", "bert-micro"), ("extraction", "bert-micro")])
def test_an_encoder_chooses_the_sentences_of_a_summary(tmp_path: Path, task: str, model: str) -> None:
    composed = compose(task, model, table(tmp_path))
    assert composed.recipe.finetune[task].task == "extraction"
    assert composed.said[0] == 'reading the text from "article", the target from "summary"'
    assert any("an encoder does not write" in each for each in composed.said) == (task == "summarization")
    assert (
        compose("summarization", "gpt-micro", table(tmp_path)).recipe.finetune["summarization"].task == "summarization"
    )


def test_summaries_from_training_to_their_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = encoder_folder(tmp_path / "m")
    table(tmp_path)
    with pytest.raises(SystemExit) as ended:
        settings = ("--set", "epochs=1", "--set", "threads=1")
        cli.main(["finetune", "summarization", "--model", str(model), "--train", "a.jsonl", "--to", "out", *settings])
    assert ended.value.code == 0
    (figures,) = json.loads((tmp_path / "out/scores.json").read_text()).values()
    assert list(figures) == ["rouge_l", "rouge_1", "rouge_2"]
    lines = [json.loads(line) for line in (tmp_path / "out/predictions.jsonl").read_text().splitlines()]
    said = load(tmp_path / "out/model").predict([line["source"] for line in lines])
    assert [each["text"] for each in said] == [line["predicted"] for line in lines]
    assert all(each["text"] in line["source"] for each, line in zip(said, lines, strict=True))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["predict", "out/model", "--text", lines[0]["source"]])
    assert capsys.readouterr().out.split("\t")[0].strip() == lines[0]["predicted"]
