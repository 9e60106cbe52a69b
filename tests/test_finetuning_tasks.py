"""Each task from a corpus to its scores, on little models: what is plainly there is learned, and judged."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from myna.corpus.document import Document, Span, Words
from myna.evaluation.gathering import read_lines
from myna.evaluation.judging import evaluate_task, judge_file
from myna.finetuning import FinetuneConfig, finetune
from myna.huggingface.folder import read_model_folder
from myna.inference.loaded import load

from .tasks.material import corpus_folder, document, encoder_folder, tokenizer_folder

SHORT = {"corpus": "c", "start_from": "encoder", "batch_tokens": 256, "threads": 1, "learning_rate": 5e-3, "epochs": 5}
KINDS = ("train", "train", "train", "validation", "test")


def documents(task: str, count: int = 160) -> list[Document]:
    draw = np.random.default_rng(2)
    made = []
    for number in range(count):
        good, long = draw.random() < 0.5, draw.random() < 0.4
        text = f"{'很好' if good else '不好'}，{'天气今明老王' if long else '小李'}{number}。"
        split = KINDS[number % 5]
        if task == "multilabel":
            chosen = tuple(name for name, there in (("good", good), ("long", long)) if there)
            made.append(document(text, split, number, labels=chosen))
        elif task == "regression":
            made.append(document(text, split, number, value=1000.0 + 200 * good + 50 * long))
        elif task == "pairs":
            pair = f"小李{'很好' if draw.random() < 0.5 else '不好'}{number}"
            label = "same" if ("很好" in pair) == good else "other"
            made.append(document(text, split, number, pair=pair, label=label))
        elif task == "segmentation":
            cut = re.findall("很好|不好|天气|今明|老王|小李|[0-9]+|[，。]", text)
            ends = np.cumsum([len(word) for word in cut]).tolist()
            made.append(document(text, split, number, words=Words.of([0, *ends[:-1]], ends, [""] * len(cut))))
        elif task == "embeddings":
            made.append(document(text, split, number, pair=f"{number}小李{'很好' if good else '不好'}"))
        elif task == "questions":
            # Who is asked for, or what there is not.
            place = text.find("小李")
            spans = () if place < 0 else (Span(place, place + 2, "answer"),)
            made.append(document(text, split, number, pair="小", spans=spans))
        else:
            places = range(len(text))
            tags = ["num" if c.isdigit() else "mark" if c in "，。" else "han" for c in text]
            words = Words.of(list(places), [place + 1 for place in places], tags)
            made.append(document(text, split, number, words=words))
    return made


def run(tmp_path: Path, task: str, **what: Any) -> tuple[Path, dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    config = FinetuneConfig(task=task, **{**SHORT, **what})
    corpus, start = corpus_folder(tmp_path / "corpus", documents(task)), encoder_folder(tmp_path / "encoder")
    for name in ("run", "judged"):
        (tmp_path / name).mkdir()
    finetune(config, corpus, start, tmp_path / "run", seed=1).check()
    model = tmp_path / "run" / "model"
    evaluate_task(model, corpus, config, tmp_path / "judged", seed=1).check()
    scores, details = (json.loads((tmp_path / "judged" / name).read_text()) for name in ("scores.json", "details.json"))
    return model, scores, list(read_lines(tmp_path / "judged" / "predictions.jsonl")), details


def test_several_labels(tmp_path: Path) -> None:
    model, scores, lines, details = run(tmp_path, "multilabel", threshold=0.4, epochs=12)
    assert scores["micro_f1"]["value"] > 0.95
    assert set(scores["exact_match"]["baselines"]) == {"most_frequent_labels", "tfidf_one_against_rest"}
    assert scores["exact_match"]["value"] == np.mean([line["labels"] == line["predicted"] for line in lines])
    assert [row["label"] for row in details["by_label"]] == ["good", "long"]
    loaded = load(model)
    assert loaded.task.answers.threshold == 0.4  # type: ignore[attr-defined]
    assert set(loaded.predict("很好，天气今明老王7。")[0]["labels"]) == {"good", "long"}


def test_numbers_as_large_as_they_are(tmp_path: Path) -> None:
    model, scores, lines, _ = run(tmp_path, "regression", loss="huber")
    assert scores["r2"]["value"] > 0.9
    right, said = (np.array([line[key] for line in lines]) for key in ("value", "predicted"))
    assert scores["mean_absolute_error"]["value"] == pytest.approx(np.abs(right - said).mean())
    assert scores["mean_absolute_error"]["low"] <= scores["mean_absolute_error"]["value"]
    assert set(scores["r2"]["baselines"]) == {"mean", "median", "tfidf_ridge"}
    # Whoever reads the folder reads the numbers themselves.
    tensor = read_model_folder(model)[0]
    assert load(model).predict("很好，小李3。")[0]["value"] > 1100
    assert tensor.labels == ("value",)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": line["text"], "value": line["value"]}) + "\n" for line in lines))
    assert judge_file(model, rows)["r2"]["value"] == pytest.approx(scores["r2"]["value"])


def test_pairs(tmp_path: Path) -> None:
    model, scores, lines, _ = run(tmp_path, "pairs", epochs=2)
    assert set(scores["accuracy"]["baselines"]) == {"majority", "overlap"}
    assert all(line["pair"] for line in lines)
    (answer,) = load(model).predict([("很好，小李1。", "小李很好")])
    assert set(answer["scores"]) == {"other", "same"}


@pytest.mark.parametrize("task", ["regression", "pairs"])
def test_transformers_says_the_same_of_numbers_and_of_pairs(tmp_path: Path, task: str) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, _, lines, _ = run(tmp_path, task, epochs=1)
    tokenizer, theirs = AutoTokenizer.from_pretrained(model), AutoModelForSequenceClassification.from_pretrained(model)
    for line in (line for line in lines if len(line["text"] + line.get("pair", "")) < 20):
        inputs = tokenizer(line["text"], line.get("pair"), return_tensors="pt")
        with torch.no_grad():
            logits = theirs(**inputs).logits[0]
        if task == "regression":
            assert line["predicted"] == pytest.approx(logits.item(), rel=1e-5)
        else:
            warm = (logits / load(model).facts["decoding"]["temperature"]).softmax(0)
            said = dict(zip(theirs.config.label2id, warm.tolist(), strict=True))
            assert said == pytest.approx(line["scores"], abs=1e-5)


def test_words(tmp_path: Path) -> None:
    model, scores, lines, details = run(tmp_path, "words")
    assert scores["word_accuracy"]["value"] > 0.95
    assert set(scores["word_accuracy"]["baselines"]) == {"most_frequent_tag_of_word", "linear_crf"}
    assert all(len(line["tokens"]) == len(line["predicted"]) == len(line["tags"]) for line in lines)
    assert [row["label"] for row in details["by_label"]] == ["han", "mark", "num"]
    # Training had its characters one by one; so a text that is given whole is cut.
    assert load(model).predict("很好，小李98。")[0]["tokens"] == ["很", "好", "，", "小", "李", "98", "。"]
    words = list("很好，小李98。")
    said = load(model).predict([words])[0]
    assert said["tokens"] == words
    assert [said["tags"][place] for place in (0, 1, 2, -1)] == ["han", "han", "mark", "mark"]


def test_a_frozen_trunk_stays_as_it_was(tmp_path: Path) -> None:
    model = run(tmp_path, "regression", freeze="trunk", epochs=1)[0]
    before, after = (read_model_folder(folder)[0].trunk.state_dict() for folder in (tmp_path / "encoder", model))
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())


def test_training_ends_when_validation_gets_no_better(tmp_path: Path) -> None:
    """A rate of next to nothing never betters the first score: two more validations, and it ends."""
    run(tmp_path, "words", learning_rate=1e-12, epochs=9, patience=2)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum("validation" in line for line in lines) == 3


def test_a_preset_is_a_new_model_with_the_tokenizer_it_is_given(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path / "tokenizer")
    corpus = corpus_folder(tmp_path / "corpus", documents("regression", 40))
    (tmp_path / "run").mkdir()
    config = FinetuneConfig(task="regression", corpus="c", preset="bert-micro", tokenizer="t", steps=2, threads=1)
    config = config.model_copy(update={"batch_tokens": 256})
    finetune(config, corpus, folder, tmp_path / "run", seed=1)
    model, facts = read_model_folder(tmp_path / "run" / "model")
    assert (model.config.hidden_size, facts["start_from"], facts["lineage"]) == (128, "bert-micro", [])
    assert (tmp_path / "run/model/tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
