"""What is in a folder."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from myna import files, inspection, stages
from myna.errors import InputError
from myna.recipe import read_recipe
from tests.fakes import FakeStages
from tests.recipes import write_recipe


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of fake stages."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    FakeStages().install(monkeypatch)
    return stages.run(read_recipe(write_recipe(tmp_path)), tmp_path / "run")


def model_in(folder: Path, kind: str, **facts: Any) -> Path:
    """A model's folder of Myna's, but for the weights: their headers and checksums are all that is read."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"a": {"shape": [3, 4], "data_offsets": [0, 48]}, "b": {"shape": [5], "data_offsets": [48, 68]}}
    header = json.dumps({name: {"dtype": "F32", **tensor} for name, tensor in tensors.items()}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(68))
    sizes = {"num_hidden_layers": 4, "hidden_size": 128, "vocab_size": 99, "num_attention_heads": 2}
    files.write_json(folder / "config.json", {"model_type": "bert", "intermediate_size": 256, **sizes})
    files.write_json(folder / "myna.json", {"kind": kind, **facts, "files": files.manifest(folder)})
    return folder


def test_a_run_shows_its_stages_sizes_and_scores(run: Path) -> None:
    facts = inspection.show(run)
    assert facts["kind"] == "run"
    assert [stage["key"] for stage in facts["stages"]][:3] == ["corpus.news", "corpus.reviews", "tokenizer.bytes"]
    assert {stage["state"] for stage in facts["stages"]} == {"done"}
    assert facts["bytes"] > sum(stage["bytes"] for stage in facts["stages"]) > 0
    text = inspection.describe(facts)
    assert "finetune.sentiment" in text
    assert "81.0 %  79.0 % – 83.0 %  majority 50.0 %" in text


def test_a_stage_shows_what_it_was_made_of_and_its_ledger(run: Path) -> None:
    facts = inspection.show(run / "corpus/news")
    assert facts["kind"] == "corpus"
    assert set(facts["sources"]) == {"0/news.txt"}
    lines = [line.split() for line in inspection.describe(facts).splitlines()]
    assert ["in", "2"] in lines
    assert ["dropped:", "copy", "1"] in lines
    assert ["kept", "1"] in lines
    facts = inspection.show(run / "finetune/topics")
    assert set(facts["inputs"]) == {"corpus.reviews", "pretrain.encoder"}
    assert facts["last"] == {"step": 3, "seconds": 120.0}
    assert "2 min 00 s" in inspection.describe(facts)


def test_a_training_that_was_cut_off_says_so(run: Path) -> None:
    (run / "pretrain/encoder/stage.json").unlink()
    assert inspection.show(run / "pretrain/encoder")["state"] == "not done"
    states = {stage["key"]: stage["state"] for stage in inspection.show(run)["stages"]}
    assert states["pretrain.encoder"] == "not done"


def test_a_model_shows_its_sizes_labels_and_whether_it_is_whole(tmp_path: Path) -> None:
    model = model_in(tmp_path / "m", "sequence", labels=["好", "差"], task="classification", lineage=[{"name": "e"}])
    facts = inspection.show(model)
    assert (facts["family"], facts["layers"], facts["vocabulary_size"]) == ("bert", 4, 99)
    assert facts["weights"] == {"numbers": {"float32": 17}, "files": 1}
    assert (facts["labels"], facts["state"]) == (["好", "差"], "whole")
    assert "labels: 好, 差" in inspection.describe(facts)
    (model / "config.json").write_text("{}", encoding="utf-8")
    assert "model_type = None is not one of" in inspection.show(model)["not read"]
    assert "damaged" in inspection.show(model)["state"]


def test_a_model_of_others_is_shown_by_its_config(tmp_path: Path) -> None:
    files.write_json(tmp_path / "config.json", {"architectures": ["GPT2LMHeadModel"], "n_layer": 12, "n_embd": 768})
    facts = inspection.show(tmp_path)
    assert (facts["head"], facts["layers"], facts["hidden_size"]) == ("GPT2LMHeadModel", 12, 768)
    assert not inspection.has_task(tmp_path)


BERT_BASE = {"model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
BERT_BASE |= {"intermediate_size": 3072, "vocab_size": 30522}
T5 = {
    "model_type": "t5",
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "vocab_size": 32128,
}


@pytest.mark.parametrize(
    "config, architecture, total",
    [(BERT_BASE, "BertForMaskedLM", 109_514_298), (T5, "T5ForConditionalGeneration", 60_506_624)],
)
def test_a_config_alone_tells_the_parameters_by_part(
    tmp_path: Path, config: dict[str, Any], architecture: str, total: int
) -> None:
    files.write_json(tmp_path / "config.json", {**config, "architectures": [architecture]})
    facts = inspection.show(tmp_path / "config.json")
    assert facts["parameters"] == total == sum(facts["parameters_by_part"].values())
    assert facts["state"] == "a description without weights"
    assert facts == json.loads(json.dumps(inspection.show(tmp_path)))
    text = inspection.describe(facts)
    assert f"parameters: {total:,}" in text
    assert "embeddings: 16,449,536" in text if config is T5 else "embeddings: 23,837,184" in text


def test_a_trunk_without_a_head_is_counted_without_one(tmp_path: Path) -> None:
    files.write_json(tmp_path / "config.json", {**BERT_BASE, "architectures": ["BertModel"]})
    facts = inspection.show(tmp_path)
    assert (facts["head"], "head" in facts["parameters_by_part"], facts["parameters"]) == ("none", False, 108_891_648)


@pytest.mark.parametrize("kind, expected", [("sequence", True), ("token", True), ("causal", False), ("masked", False)])
def test_only_fine_tuned_models_have_a_task(tmp_path: Path, kind: str, expected: bool) -> None:
    assert inspection.has_task(model_in(tmp_path, kind)) is expected


def test_a_recipe_shows_its_settings(tmp_path: Path) -> None:
    facts = inspection.show(write_recipe(tmp_path))
    assert (facts["kind"], facts["pretrain"]["encoder"]["tokens"]) == ("recipe", 3000)
    assert "preset: bert-micro" in inspection.describe(facts)


def test_what_is_nothing_of_mynas_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing that Myna made"):
        inspection.show(tmp_path)
    with pytest.raises(InputError, match="there is nothing here"):
        inspection.show(tmp_path / "nowhere")
    (tmp_path / "stage.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        inspection.show(tmp_path)


def test_a_model_is_found_in_its_stage_and_a_run_names_those_it_has(run: Path) -> None:
    assert inspection.model_folder(run / "finetune/topics") == run / "finetune/topics/model"
    assert inspection.model_folder(run / "finetune/topics/model") == run / "finetune/topics/model"
    with pytest.raises(
        InputError, match=r"not a model's; give one of .*finetune/sentiment/model.*pretrain/decoder/model"
    ):
        inspection.model_folder(run)


def test_what_to_try_next_can_be_pasted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model_in(run / "pretrain/decoder/model", "causal")
    model_in(run / "pretrain/encoder/model", "masked")
    files.write_json(run / "evaluate/decoder/samples.json", [{"prompt": "it's"}])
    rows = [{"text": "短"}, {"text": "a text\nof a good length"}]
    files.write_text(run / "evaluate/topics/predictions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(run.parent)
    commands = [shlex.split(command) for command in inspection.next_commands(Path("run"))]
    assert ["myna", "predict", "run/finetune/topics/model", "--text", "a text of a good length"] in commands
    assert ["myna", "generate", "run/pretrain/decoder/model", "--prompt", "it's"] in commands
    assert ["myna", "show", "run"] in commands
    assert len(commands) == 4
    (run.parent / "elsewhere").mkdir()
    monkeypatch.chdir(run.parent / "elsewhere")
    assert str(run) in inspection.next_commands(run)[-1]


def test_scores_name_the_best_simple_method_by_what_is_better() -> None:
    def entry(value: float, **simple: float) -> dict[str, Any]:
        return {"value": value, "low": value, "high": value, "baselines": {k: {"value": v} for k, v in simple.items()}}

    scores = {
        "a": {"accuracy": entry(0.8, majority=0.5, tfidf=0.9)},
        "b": {"bits_per_character": entry(5.0, bigram=6.0, trigram=5.5)},
    }
    lines = inspection.score_lines(scores)
    assert lines[0].endswith("tfidf 90.0 %")
    assert lines[1].endswith("trigram 5.50")


def test_columns_are_straight_beside_wide_characters() -> None:
    assert inspection.columns([["中文", "a"], ["abc", "b"]]) == ["  中文  a", "  abc   b"]
