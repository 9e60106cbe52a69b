"""A fine-tuned model is judged on the test split alone, with figures that can be counted again from its predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from myna.corpus.document import Corpus, Document
from myna.errors import InputError
from myna.evaluation import judging, metrics
from myna.evaluation.gathering import read_lines
from myna.evaluation.judging import evaluate_task, judge_file
from myna.finetuning import FinetuneConfig
from myna.huggingface.folder import write_model_folder
from myna.inference.asking import texts_of
from myna.inference.loaded import load
from myna.model.heads import build
from myna.tasks.classification import Classification
from myna.tokens.tokenizer import Tokenizer

from ..tasks.material import NAMES, corpus_folder, document, micro_config, news, spans, tokenizer_folder

CLASSIFICATION = FinetuneConfig(task="classification", corpus="c", start_from="encoder")
TAGGING = FinetuneConfig(task="tagging", corpus="c", start_from="encoder")
TAGS = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def split_of(number: int) -> str:
    return ("train", "train", "validation", "test")[number % 4]


def moods(folder: Path) -> Path:
    texts = [f"{'很好' if number % 3 else '不好'}，天气{number}。" for number in range(80)]
    made = [document(t, split_of(n), n, label="good" if n % 3 else "bad") for n, t in enumerate(texts)]
    return corpus_folder(folder, made)


def names(folder: Path) -> Path:
    made = [document(t, split_of(n), n, spans=spans(t, NAMES)) for n, t in enumerate(news(60))]
    return corpus_folder(folder, made)


def untrained(folder: Path, kind: str, task: str, labels: tuple[str, ...]) -> Path:
    tokenizer = Tokenizer.open(tokenizer_folder(folder.parent / "tokenizer"))
    write_model_folder(folder, build(micro_config(tokenizer), kind, labels, 1), tokenizer.folder, {"task": task})
    return folder


def judged(tmp_path: Path, model: Path, corpus: Path, config: FinetuneConfig) -> tuple[Any, Any, list[dict[str, Any]]]:
    place = tmp_path / "evaluate"
    place.mkdir(exist_ok=True)
    ledger = evaluate_task(model, corpus, config, place, seed=1)
    ledger.check()
    assert ledger.to_dict()["kept"]["examples"] == Corpus.open(corpus).count("test")
    scores, details = (json.loads((place / name).read_text()) for name in ("scores.json", "details.json"))
    return scores, details, list(read_lines(place / "predictions.jsonl"))


def test_labels_are_judged_on_the_test_split_beside_the_simple_methods(tmp_path: Path) -> None:
    corpus = moods(tmp_path / "corpus")
    model = untrained(tmp_path / "model", "sequence", "classification", ("bad", "good"))
    scores, details, lines = judged(tmp_path, model, corpus, CLASSIFICATION)
    assert [line["text"] for line in lines] == [d.text for d in Corpus.open(corpus).documents("test")]
    right = sum(line["label"] == line["predicted"] for line in lines)
    assert scores["accuracy"]["value"] == pytest.approx(right / 20)
    assert scores["accuracy"]["examples"] == 20
    assert list(scores) == ["accuracy", "macro_f1", "mcc", "auc"]
    simple = scores["accuracy"]["baselines"]
    assert set(simple) == {"majority", "tfidf_logistic_regression", "tfidf_linear_svm"}
    assert simple["majority"]["value"] == pytest.approx(sum(line["label"] == "good" for line in lines) / 20)
    assert simple["tfidf_logistic_regression"]["value"] == 1.0
    assert simple["tfidf_logistic_regression"]["low"] < 0.9  # twenty right of twenty is not certain
    difference = details["differences"]["accuracy"]["tfidf_logistic_regression"]
    assert difference["value"] == pytest.approx(right / 20 - 1)
    expected, said = ([line[key] for line in lines] for key in ("label", "predicted"))
    assert details["confusion"] == metrics.confusion(expected, said, details["labels"]).tolist()
    assert [row["examples"] for row in details["by_label"]] == [expected.count("bad"), expected.count("good")]
    answer = load(model).predict(lines[0]["text"])[0]
    assert answer == {"label": lines[0]["predicted"], "scores": pytest.approx(lines[0]["scores"])}


def test_spans_are_judged_by_sentences_beside_the_simple_methods(tmp_path: Path) -> None:
    corpus = names(tmp_path / "corpus")
    model = untrained(tmp_path / "model", "token", "tagging", TAGS)
    scores, details, lines = judged(tmp_path, model, corpus, TAGGING)
    entry = scores["entity_f1"]
    sides = [
        [{(s["start"], s["end"], s["label"]) for s in line[key]} for line in lines] for key in ("spans", "predicted")
    ]
    assert entry["value"] == pytest.approx(float(metrics.micro_f1(metrics.entity_counts(*sides).sum(0))))
    assert set(entry["baselines"]) == {"most_frequent_tag", "known_names", "linear_crf"}
    # Every name is in training and always marked, and its characters stand nowhere else.
    assert entry["baselines"]["known_names"]["value"] == 1.0
    assert entry["baselines"]["most_frequent_tag"]["value"] == 1.0
    assert entry["baselines"]["linear_crf"]["value"] == 1.0
    assert entry["baselines"]["linear_crf"]["learned_from"] > 20
    assert set(details["differences"]["entity_f1"]) == set(entry["baselines"])
    assert [row["label"] for row in details["by_label"]] == ["LOC", "PER"]
    assert sum(row["examples"] for row in details["by_label"]) == sum(len(side) for side in sides[0])
    for line in lines:
        for span in line["predicted"]:
            assert 0 < span["probability"] <= 1


def test_nothing_of_the_test_split_reaches_the_simple_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = moods(tmp_path / "corpus")
    held_out = {document.text for s in ("validation", "test") for document in Corpus.open(corpus).documents(s)}  # type: ignore[arg-type]
    seen: list[str] = []
    original = judging.Simple.__init__

    def spy(self: judging.Simple, trained: Any, corpus: Corpus, every: Any, *others: Any, **what: Any) -> None:
        assert every == trained
        seen.extend(example.text for example in trained)
        original(self, trained, corpus, every, *others, **what)

    monkeypatch.setattr(judging.Simple, "__init__", spy)
    model = untrained(tmp_path / "model", "sequence", "classification", ("bad", "good"))
    judged(tmp_path, model, corpus, CLASSIFICATION.model_copy(update={"training_examples": 30}))
    assert len(seen) == 30
    assert not held_out & set(seen)


def test_the_budget_of_the_simple_methods_is_kept_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "BASELINE_CHARACTERS", 100)
    model = untrained(tmp_path / "model", "sequence", "classification", ("bad", "good"))
    (tmp_path / "evaluate").mkdir()
    ledger = evaluate_task(model, moods(tmp_path / "corpus"), CLASSIFICATION, tmp_path / "evaluate", seed=1)
    assert 0 < ledger.notes["training examples that the simple methods did without"] < 40


def test_without_a_test_split_the_scores_are_empty(tmp_path: Path) -> None:
    texts = [f"很好{number}。" for number in range(12)]
    made: list[Document] = [
        document(t, "validation" if n > 8 else "train", n, label="ab"[n % 2]) for n, t in enumerate(texts)
    ]
    model = untrained(tmp_path / "model", "sequence", "classification", ("a", "b"))
    scores, details, lines = judged(tmp_path, model, corpus_folder(tmp_path / "corpus", made), CLASSIFICATION)
    assert (scores, lines) == ({}, [])
    assert details["kind"] == "classification"


def test_a_task_of_somebody_elses_is_judged_by_its_own_metrics(tmp_path: Path) -> None:
    corpus = moods(tmp_path / "corpus")
    mine = "tests.evaluation.test_judging:Opaque"
    model = untrained(tmp_path / "model", "sequence", mine, ("bad", "good"))
    scores, details, lines = judged(tmp_path, model, corpus, CLASSIFICATION.model_copy(update={"task": mine}))
    assert details == {"kind": "other"}
    assert set(lines[0]) == {"id", "text", "answer"}
    estimate = scores["agreement"]
    assert estimate["low"] < estimate["value"] < estimate["high"]
    assert estimate["examples"] == 20


def test_a_file_of_examples_is_judged(tmp_path: Path) -> None:
    rows = [{"text": "很好", "label": "good"}, {"text": "不好", "label": "bad"}]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = untrained(tmp_path / "model", "sequence", "classification", ("bad", "good"))
    found = judge_file(model, tmp_path / "data.jsonl")
    right = sum(
        answer["label"] == row["label"] for answer, row in zip(load(model).predict(["很好", "不好"]), rows, strict=True)
    )
    assert found["accuracy"]["value"] == right / 2
    assert found["accuracy"]["baselines"] == {}


class _Sealed:
    """A prediction of a kind that Myna does not know."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def answer(self) -> dict[str, Any]:
        return dict(self.inner.answer())


class Opaque(Classification):
    """A task outside the package, whose predictions only it can read."""

    def decode(self, items: Any, outputs: Any) -> list[_Sealed]:
        return [_Sealed(each) for each in super().decode(items, outputs)]

    def metrics(self, examples: Any, predictions: Any) -> dict[str, float]:
        right = [e.label == p.inner.label for e, p in zip(examples, predictions, strict=True)]
        return {"score": sum(right) / len(right), "agreement": sum(right) / len(right)}


def test_a_table_with_columns_of_other_names_is_read_for_the_model(tmp_path: Path) -> None:
    """For scores and for answers alike; what the task does not need is no mistake."""
    model = untrained(tmp_path / "model", "sequence", "classification", ("bad", "good"))
    rows = [{"review": f"很好，天气{n}", "mood": ("bad", "good")[n % 2], "spans": "none"} for n in range(8)]
    plain = [{"text": row["review"], "label": row["mood"]} for row in rows]
    paths = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for path, lines in zip(paths, (rows, plain), strict=True):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    told: list[str] = []
    assert judge_file(model, paths[0], 1, told.append) == judge_file(model, paths[1], 1, told.append)
    assert told == ['reading the text from "review", the label from "mood"']
    assert list(texts_of(paths[0], "lines", "texts", told.append)) == [row["text"] for row in plain]
    assert told[1:] == ['reading the text from "review"']
    paths[1].write_text('{"text": "很好"}\n')
    with pytest.raises(InputError, match=r"no column for the label .*; call it .label."):
        judge_file(model, paths[1])
