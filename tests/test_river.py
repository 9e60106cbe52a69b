"""The whole river on a little text: from files to models that answer, and what runs again when something changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import myna
from myna import files, inspection, stages
from myna.ledger import Ledger
from myna.recipe import read_recipe
from tests.test_stages import reasons

RECIPE = """\
recipe = 1
name = "little"
[corpus.news]
sources = [{ path = "news.txt", format = "lines" }]
[corpus.reviews]
sources = [{ path = "reviews.csv" }]
[tokenizer.words]
corpus = ["news", "reviews"]
vocabulary = 200
[tokenizer.bytes]
corpus = "news"
kind = "byte_bpe"
vocabulary = 300
[pretrain.encoder]
corpus = ["news", "reviews"]
tokenizer = "words"
objective = "masked"
preset = "bert-micro"
model = { layers = 1, hidden_size = 16, heads = 2, feed_forward_size = 32 }
steps = 3
batch_tokens = 256
threads = 1
[pretrain.decoder]
corpus = "news"
tokenizer = "bytes"
objective = "causal"
preset = "gpt-micro"
model = { layers = 1, hidden_size = 16, heads = 2, feed_forward_size = 32 }
steps = 3
batch_tokens = 256
threads = 1
[finetune.sentiment]
task = "classification"
corpus = "reviews"
start_from = "encoder"
epochs = 1
threads = 1
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("river")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    places, weather = ["北京", "上海", "广州", "成都", "武汉"], ["下雨", "天晴", "多云", "刮风", "下雪"]
    news = [f"{n} 日{place}{sky}。" for n in range(1, 13) for place in places for sky in weather]
    (folder / "news.txt").write_text("\n".join(news), encoding="utf-8")
    rows = [f"第{n}家店很好,positive\n第{n}家店很差,negative" for n in range(100)]
    (folder / "reviews.csv").write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    return stages.run(folder / "recipe.toml", folder / "run")


def test_every_stage_leaves_its_artefact_and_a_ledger_that_balances(run: Path) -> None:
    records = [files.read_json(path) for path in run.glob("*/*/stage.json")]
    assert len(records) == 13
    for record in records:
        Ledger.from_dict(record["ledger"]).check()
    assert (run / "report.html").stat().st_size > 1000


def test_the_scores_have_their_intervals_and_simple_methods(run: Path) -> None:
    scores = files.read_json(run / "scores.json")
    assert set(scores) == {"encoder", "decoder", "sentiment"}
    for metrics in scores.values():
        for entry in metrics.values():
            assert entry["low"] <= entry["value"] <= entry["high"]
    assert "majority" in scores["sentiment"]["accuracy"]["baselines"]
    assert "character_bigram" in scores["decoder"]["bits_per_character"]["baselines"]


def test_the_models_answer(run: Path) -> None:
    (answer,) = myna.load(run / "finetune/sentiment/model").predict(["这家店很好"])
    assert set(answer["scores"]) == {"positive", "negative"}
    assert answer["label"] in answer["scores"]
    written = myna.load(run / "pretrain/decoder/model").generate("北京", tokens=3)
    assert written.prompt == "北京"


def test_nothing_runs_again_and_a_change_runs_what_follows(run: Path) -> None:
    recipe = run.parent / "recipe.toml"
    assert reasons(read_recipe(recipe), run) == {}
    assert set(reasons(read_recipe(recipe, ["finetune.sentiment.epochs=2"]), run)) == {
        "finetune.sentiment",
        "evaluate.sentiment",
        "report",
    }


def test_everything_in_it_can_be_shown(run: Path) -> None:
    for path in [run, *run.glob("*/*"), *run.glob("*/*/model")]:
        facts = inspection.show(path)
        json.dumps(facts)
        assert str(path) in inspection.describe(facts)
