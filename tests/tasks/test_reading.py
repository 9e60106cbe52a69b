"""A classifier that reads summaries answers for whole texts by itself, and no more is read than was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from myna.errors import InputError
from myna.evaluation.judging import evaluate_task
from myna.files import read_object
from myna.finetuning import FinetuneConfig, finetune
from myna.huggingface.folder import write_model_folder
from myna.inference.loaded import load
from myna.kinds import KINDS
from myna.ledger import Ledger
from myna.model.heads import build
from myna.stages import plan
from myna.tasks.classification import Classification
from myna.tasks.examples import Example
from myna.tokens.tokenizer import Tokenizer

from ..recipes import write_recipe
from .material import corpus_folder, document, encoder_folder, micro_config, tokenizer_folder

TEXT = "今天很好。明天不好。老王说江泽民在上海。小李在北京说天气不好。"


def summarizer_folder(folder: Path, **facts: Any) -> Path:
    tokenizer = Tokenizer.open(tokenizer_folder(folder.parent / "summarizer-tokenizer"))
    model = build(micro_config(tokenizer), "sentences", seed=3)
    described = {"task": "extraction", "decoding": {"sentences": 1}, **facts}
    write_model_folder(folder, model, tokenizer.folder, described)
    return folder


def config(read: str | None, **what: Any) -> FinetuneConfig:
    return FinetuneConfig(
        task="classification", corpus="c", start_from="e", steps=2, batch_tokens=50, read=read, **what
    )


def moods(folder: Path) -> Path:
    made = [
        document(
            f"{'很好' if n % 2 else '不好'}{n}。{TEXT}",
            ("train", "train", "validation", "test")[n % 4],
            n,
            label=str(n % 2),
        )
        for n in range(16)
    ]
    made = [
        each if n % 4 < 2 else document(each.text, each.split, n, label=str(n // 4 % 2)) for n, each in enumerate(made)
    ]
    return corpus_folder(folder, made)


def test_a_model_that_reads_summaries_holds_what_makes_them(tmp_path: Path) -> None:
    summarizer = summarizer_folder(tmp_path / "summarizer")
    encoder, corpus = encoder_folder(tmp_path / "encoder"), moods(tmp_path / "corpus")
    folder = tmp_path / "topic"
    folder.mkdir()
    reading = config("summary", summarizer="brief")
    ledger = finetune(reading, corpus, encoder, folder, 1, summarizer=summarizer)
    assert ledger.notes["characters that summaries leave out"] > 0
    loaded = load(folder / "model")
    assert isinstance(loaded.task, Classification)
    brief = load(summarizer).predict(TEXT)[0]["text"]
    assert brief in TEXT
    assert len(brief) < len(TEXT)
    items = loaded.task.items([Example(TEXT, "1")])
    alone = Classification(loaded.tokenizer, loaded.labels, 24).items([Example(brief, "1")])
    assert [item.ids.tolist() for item in items] == [item.ids.tolist() for item in alone]
    assert items.examples[0].text == TEXT
    assert loaded.predict(TEXT) == loaded.predict([TEXT])
    (tmp_path / "judged").mkdir()
    evaluate_task(folder / "model", corpus, reading, tmp_path / "judged", 1).check()
    assert '"text": "很好3。今天' in (tmp_path / "judged/predictions.jsonl").read_text()
    # Its checksums cover both models.
    assert "summarizer/model.safetensors" in read_object(folder / "model/myna.json")["files"]


def test_the_first_window_alone_is_read_in_training_and_in_use(tmp_path: Path) -> None:
    encoder, corpus = encoder_folder(tmp_path / "encoder"), moods(tmp_path / "corpus")
    folder = tmp_path / "topic"
    folder.mkdir()
    finetune(config("first"), corpus, encoder, folder, 1)
    task = load(folder / "model").task
    ledger = Ledger()
    ledger.came_in(examples=1)
    items = task.items([Example(TEXT, "1")], "window", ledger)
    ledger.check()
    assert len(items) == 1
    assert ledger.to_dict()["dropped"]["longer than the model's 22 pieces"]["tokens"] == len(TEXT) - 22
    (said,) = load(folder / "model").predict(TEXT)
    (same,) = load(folder / "model").predict(TEXT[:22] + "北京" * 20)
    assert said == same


def test_what_makes_no_summaries_is_refused(tmp_path: Path) -> None:
    encoder, corpus = encoder_folder(tmp_path / "encoder"), moods(tmp_path / "corpus")
    other = summarizer_folder(tmp_path / "other", task="tagging")
    with pytest.raises(InputError, match="does not choose sentences"):
        finetune(config("summary", summarizer="brief"), corpus, encoder, tmp_path / "topic", 1, summarizer=other)


RECIPE = """\
recipe = 1
[[corpus.news.sources]]
path = "reviews.csv"
target_column = "text"
[tokenizer.zh]
corpus = "news"
[finetune.topic]
task = "classification"
corpus = "news"
preset = "bert-micro"
tokenizer = "zh"
read = "summary"
summarizer = "brief"
[finetune.brief]
task = "extraction"
corpus = "news"
preset = "bert-micro"
tokenizer = "zh"
"""


def test_what_makes_summaries_is_trained_before_what_reads_them(tmp_path: Path) -> None:
    from myna.recipe import read_recipe

    recipe = read_recipe(write_recipe(tmp_path, RECIPE))
    order = [stage.key for stage in plan(recipe, tmp_path / "run")]
    assert order.index("finetune.brief") < order.index("finetune.topic")
    kind = next(kind for kind in KINDS if kind.name == "finetune")
    assert "finetune.brief" in kind.stages(recipe)["topic"].inputs
    # A model's folder is known by its files.
    folder = summarizer_folder(tmp_path / "made")
    text = RECIPE.replace('summarizer = "brief"', 'summarizer = "made"')
    needs = kind.stages(read_recipe(write_recipe(tmp_path, text)))["topic"]
    assert ("summarizer/config.json", folder / "config.json") in needs.sources
    assert needs.settings["summarizer"] is None


@pytest.mark.parametrize(
    ("summarizer", "told"),
    [
        ("topic", "[finetune.topic] makes no summaries; take brief"),
        ("brif", '"brif" is neither a [finetune] table nor a folder of such a model; take brief'),
        ("encoder", 'the model in "encoder" makes no summaries; take brief'),
    ],
)
def test_a_summarizer_that_is_none_is_told_with_its_line(tmp_path: Path, summarizer: str, told: str) -> None:
    from myna.recipe import read_recipe

    encoder_folder(tmp_path / "encoder")
    path = write_recipe(tmp_path, RECIPE.replace('summarizer = "brief"', f'summarizer = "{summarizer}"'))
    with pytest.raises(InputError) as raised:
        read_recipe(path)
    assert str(raised.value).endswith(f"recipe.toml:13: {told}")
