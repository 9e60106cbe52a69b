"""Fine-tuning, end to end on little models: what is plainly there is learned, and nothing moves by one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from myna import files
from myna.corpus.document import Document
from myna.errors import InputError
from myna.finetuning import FinetuneConfig, finetune
from myna.huggingface.folder import read_model_folder
from myna.inference.loaded import load
from myna.tasks.examples import Example

from .tasks.material import NAMES, corpus_folder, document, encoder_folder, news, spans

SHORT = {"corpus": "c", "start_from": "encoder", "batch_tokens": 256, "threads": 1, "learning_rate": 5e-3}
TAGGING = FinetuneConfig(task="tagging", **SHORT, epochs=4)
CLASSIFICATION = FinetuneConfig(task="classification", **SHORT, epochs=4)


def split_of(number: int) -> str:
    return "test" if number % 5 == 0 else "validation" if number % 5 == 1 else "train"


def names_corpus(folder: Path, shift: int = 0) -> Path:
    """Names that are marked wherever they stand (or ``shift`` characters further)."""
    documents = []
    for number, text in enumerate(news(200)):
        marked = tuple(s._replace(start=s.start + shift, end=s.end + shift) for s in spans(text, NAMES))
        documents.append(document(text, split_of(number), number, spans=marked))
    return corpus_folder(folder, documents)


def moods(count: int = 120) -> list[Document]:
    texts = [f"{'很好' if number % 2 else '不好'}，天气{number}。" for number in range(count)]
    return [
        document(text, split_of(number // 2), number, label="good" if number % 2 else "bad")
        for number, text in enumerate(texts)
    ]


def validations(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["validation"] for line in lines if "validation" in line]


def test_names_that_are_always_the_same_are_found_without_a_mistake(tmp_path: Path) -> None:
    corpus, start = names_corpus(tmp_path / "corpus"), encoder_folder(tmp_path / "encoder")
    (tmp_path / "run").mkdir()
    ledger = finetune(TAGGING, corpus, start, tmp_path / "run", seed=1)
    ledger.check()
    assert ledger.to_dict()["in"]["examples"] == 200
    figures = validations(tmp_path / "run")
    assert len(figures) == 4
    assert figures[-1] == {"score": 1.0, "entity_f1": 1.0, "entity_precision": 1.0, "entity_recall": 1.0}
    model = load(tmp_path / "run" / "model")
    # Places as long as the training texts and beyond the model's window of 24, with white space before.
    text = "  今天老王在北京说，" * 6 + "\n江泽民"
    expected = [span._asdict() | {"text": text[span.start : span.end]} for span in spans(text, NAMES)]
    assert len(expected) == 13
    assert model.predict([text, "好"]) == [{"spans": expected}, {"spans": []}]


def test_the_test_above_would_see_labels_that_have_moved_by_one(tmp_path: Path) -> None:
    corpus, start = names_corpus(tmp_path / "corpus", shift=1), encoder_folder(tmp_path / "encoder")
    (tmp_path / "run").mkdir()
    finetune(TAGGING, corpus, start, tmp_path / "run", seed=1)
    assert max(figures["entity_f1"] for figures in validations(tmp_path / "run")) < 0.5


def test_a_word_is_told_from_another(tmp_path: Path) -> None:
    corpus, start = corpus_folder(tmp_path / "corpus", moods()), encoder_folder(tmp_path / "encoder")
    (tmp_path / "run").mkdir()
    finetune(CLASSIFICATION.model_copy(update={"epochs": 12.0}), corpus, start, tmp_path / "run", seed=1).check()
    assert validations(tmp_path / "run")[-1]["accuracy"] == 1.0
    model = load(tmp_path / "run" / "model")
    assert model.labels == ("bad", "good")
    answers = model.predict(["很好，天气3000。", "不好，天气3001。"])
    assert [answer["label"] for answer in answers] == ["good", "bad"]
    assert all(sum(answer["scores"].values()) == pytest.approx(1) for answer in answers)
    (judged,) = model.predict_examples([Example("很好，天气30。", "1", label="good")])
    assert judged.answer()["label"] == "good"
    facts = model.facts
    assert (facts["task"], facts["corpus"], facts["examples"], facts["kind"]) == ("classification", "c", 72, "sequence")
    (ancestor,) = facts["lineage"]
    assert ancestor["name"] == "encoder"
    assert ancestor["weights"] == files.sha256(start / "model.safetensors")


def trunk(folder: Path, config: FinetuneConfig, seed: int = 1) -> torch.Tensor:
    """The embeddings after a training whose learning rate changes nothing."""
    (folder / "run").mkdir()
    corpus, start = corpus_folder(folder / "corpus", moods(20)), encoder_folder(folder / "encoder")
    finetune(config, corpus, start, folder / "run", seed)
    return read_model_folder(folder / "run" / "model")[0].trunk.embeddings.words.weight


def test_the_weights_are_those_of_the_start_unless_from_scratch(tmp_path: Path) -> None:
    still = CLASSIFICATION.model_copy(update={"learning_rate": 1e-30, "weight_decay": 0.0, "batch_tokens": 64})
    started = read_model_folder(encoder_folder(tmp_path / "same"))[0].trunk.embeddings.words.weight
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert torch.equal(trunk(tmp_path / "a", still), started)
    scratch = trunk(tmp_path / "b", still.model_copy(update={"from_scratch": True}))
    assert scratch.shape == started.shape
    assert not torch.isclose(scratch, started).all(1).any()


def test_a_text_is_the_mean_of_its_tokens_where_that_is_asked_for(tmp_path: Path) -> None:
    corpus, start = corpus_folder(tmp_path / "corpus", moods(20)), encoder_folder(tmp_path / "encoder")
    (tmp_path / "run").mkdir()
    config = CLASSIFICATION.model_copy(update={"pooling": "mean", "dropout": 0.3, "epochs": 1.0, "batch_tokens": 64})
    finetune(config, corpus, start, tmp_path / "run", seed=1)
    model = read_model_folder(tmp_path / "run" / "model")[0]
    assert (model.config.head.pooling, model.config.head.dropout, model.config.dropout) == ("mean", 0.3, 0.3)


def test_fewer_examples_and_long_texts_are_counted(tmp_path: Path) -> None:
    documents = [*moods(60), document("好" * 50, "train", 60, label="good")]
    corpus, start = corpus_folder(tmp_path / "corpus", documents), encoder_folder(tmp_path / "encoder")
    (tmp_path / "run").mkdir()
    config = CLASSIFICATION.model_copy(update={"training_examples": 30, "batch_tokens": 64})
    ledger = finetune(config, corpus, start, tmp_path / "run", seed=1)
    ledger.check()
    assert ledger.to_dict()["dropped"]["beyond training_examples"] == {"examples": 7, "labels": 7}
    (tmp_path / "all").mkdir()
    config = CLASSIFICATION.model_copy(update={"too_long": "drop", "batch_tokens": 64})
    ledger = finetune(config, corpus, start, tmp_path / "all", seed=1)
    ledger.check()
    dropped = ledger.to_dict()["dropped"]["longer than the model's window"]
    assert dropped == {"examples": 1, "labels": 1}


def test_the_test_split_is_never_looked_at_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    start, run = encoder_folder(tmp_path / "encoder"), tmp_path / "run"
    run.mkdir()
    config = CLASSIFICATION.model_copy(update={"epochs": 2, "batch_tokens": 64})
    documents = moods(40)
    finetune(config, corpus_folder(tmp_path / "1", documents), start, run, seed=1)
    first = (run / "model" / "model.safetensors").read_bytes()
    others = [replace(d, text=f"老王{n}", label="bad") if d.split == "test" else d for n, d in enumerate(documents)]
    finetune(config, corpus_folder(tmp_path / "2", others), start, run, seed=1)
    assert (run / "model" / "model.safetensors").read_bytes() == first
    others = [replace(d, label="bad") if n == 4 else d for n, d in enumerate(documents)]
    others[5] = replace(others[5], label="bad")
    with pytest.raises(InputError, match="checkpoint of another model or of other data"):
        finetune(config, corpus_folder(tmp_path / "3", others), start, run, seed=1)


def decoder_folder(folder: Path) -> Path:
    return encoder_folder(folder, "causal", attention="causal", norm_place="pre", segments=0)


def test_a_decoder_reads_a_text_to_its_end_and_says_what_it_is(tmp_path: Path) -> None:
    corpus, start = corpus_folder(tmp_path / "corpus", moods()), decoder_folder(tmp_path / "decoder")
    (tmp_path / "run").mkdir()
    finetune(CLASSIFICATION.model_copy(update={"pooling": "last"}), corpus, start, tmp_path / "run", seed=1)
    assert validations(tmp_path / "run")[-1]["accuracy"] == 1.0
    model, _ = read_model_folder(tmp_path / "run" / "model")
    assert (model.config.attention, model.config.head.pooling) == ("causal", "last")
    with pytest.raises(InputError, match="first token of a decoder sees nothing"):
        finetune(CLASSIFICATION.model_copy(update={"pooling": "first"}), corpus, start, tmp_path / "run", seed=1)


def test_a_decoder_marks_names_by_what_comes_before(tmp_path: Path) -> None:
    corpus, start = names_corpus(tmp_path / "corpus"), decoder_folder(tmp_path / "decoder")
    (tmp_path / "run").mkdir()
    finetune(TAGGING.model_copy(update={"epochs": 8}), corpus, start, tmp_path / "run", seed=1)
    # Of two names that begin alike it can't know at the first character which one comes.
    assert validations(tmp_path / "run")[-1]["entity_f1"] > 0.7


def test_an_encoder_decoder_is_no_start(tmp_path: Path) -> None:
    corpus = corpus_folder(tmp_path / "corpus", moods(20))
    start = encoder_folder(tmp_path / "two", "sequence_to_sequence", decoder_layers=1, segments=0)
    with pytest.raises(InputError, match="classification needs a model of one stack"):
        finetune(CLASSIFICATION, corpus, start, tmp_path, seed=1)


def test_a_finetuning_has_three_epochs_unless_told() -> None:
    assert FinetuneConfig(task="tagging", corpus="c", start_from="e").epochs == 3
    told = FinetuneConfig(task="tagging", corpus="c", start_from="e", steps=5)
    assert (told.steps, told.epochs) == (5, None)
    with pytest.raises(ValidationError, match="did you mean 'classification'"):
        FinetuneConfig(task="clasification", corpus="c", start_from="e")


def test_probabilities_are_set_right_on_the_validation_split_and_no_answer_changes(tmp_path: Path) -> None:
    # Every seventh label is wrong, so that no probability of 1 is right.
    other = {"good": "bad", "bad": "good"}
    documents = [replace(d, label=other[str(d.label)]) if n % 7 == 0 else d for n, d in enumerate(moods())]
    corpus, start = corpus_folder(tmp_path / "corpus", documents), encoder_folder(tmp_path / "encoder")
    (tmp_path / "run").mkdir()
    finetune(CLASSIFICATION.model_copy(update={"epochs": 6.0}), corpus, start, tmp_path / "run", seed=1)
    model = load(tmp_path / "run" / "model")
    kept = model.facts["calibration"]
    assert kept["temperature"] == model.facts["decoding"]["temperature"] == model.task.temperature != 1
    assert kept["answers"] == 24
    assert kept["after"]["nll"] < kept["before"]["nll"]
    texts = [d.text for d in documents if d.split == "test"]
    warm = model.predict(texts)
    threshold = next(row["threshold"] for row in model.facts["thresholds"] if row["precision"] == 0.5)
    some = model.predict(texts, precision=0.5)
    for sure, answer in zip(warm, some, strict=True):
        assert answer["label"] == (sure["label"] if max(sure["scores"].values()) >= threshold else None)
    model.task.temperature = 1.0
    cold = model.predict(texts)
    assert [each["label"] for each in warm] == [each["label"] for each in cold]
    assert warm[0]["scores"] != cold[0]["scores"]
    with pytest.raises(InputError, match=r"a precision of 0\.999 was not reached"):
        model.predict(texts, precision=0.999)
