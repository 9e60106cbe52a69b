"""A model's folder: everything that is wrong with one is told in a line that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from myna.errors import InputError
from myna.huggingface.families import with_head
from myna.huggingface.folder import read_model_folder, write_model_folder
from myna.huggingface.weights import Weights
from myna.model.heads import build

from ..model.test_transformer import BERT as ENCODER

BERT = with_head(ENCODER, "masked", "sequence")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").write_text('{"added_tokens": [{"id": 0, "content": "[PAD]"}]}')
    (tokenizer / "tokenizer_config.json").write_text('{"pad_token": "[PAD]"}')
    model = build(BERT, "sequence", ["bad", "good"], seed=1)
    write_model_folder(tmp_path / "model", model, tokenizer, {"name": "moods", "task": "classification"})
    return tmp_path / "model"


def test_a_model_comes_back_as_it_was_written(folder: Path) -> None:
    model, facts = read_model_folder(folder)
    expected = build(BERT, "sequence", ["bad", "good"], seed=1).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    assert model.labels == ("bad", "good")
    assert facts["task"] == "classification"
    assert set(facts["files"]) == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
    }
    assert json.loads((folder / "config.json").read_text())["pad_token_id"] == 0
    assert "Labels: bad, good." in (folder / "README.md").read_text()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "README.md"])
def test_any_flipped_bit_is_found(folder: Path, name: str) -> None:
    flip(folder / name)
    with pytest.raises(InputError, match=f"{name}: this file is damaged: its checksum differs"):
        read_model_folder(folder)


def bare(folder: Path) -> None:
    (folder / "myna.json").unlink()


def rewrite(folder: Path, change: Callable[[dict], object]) -> None:
    bare(folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    "harm, message",
    [
        (lambda f: (f / "model.safetensors").unlink(), r"model.safetensors: this file is missing"),
        (lambda f: (f / "config.json").unlink(), r"config.json"),
        (lambda f: (bare(f), (f / "config.json").unlink()), r"this is not a model's folder"),
        (lambda f: (bare(f), (f / "config.json").write_text("{")), r"config.json:1: this file is damaged"),
        (lambda f: (bare(f), (f / "model.safetensors").write_bytes(b"12345678" * 9)), "model.safetensors: .* damaged"),
        (lambda f: rewrite(f, lambda t: t.pop("classifier.bias")), "the tensor classifier.bias is missing"),
        (lambda f: rewrite(f, lambda t: t.update(x=torch.zeros(1))), "model.safetensors: the tensor x has no place"),
        (lambda f: rewrite(f, lambda t: t["classifier.bias"].fill_(torch.nan)), "classifier.bias holds what is not"),
        (
            lambda f: rewrite(f, lambda t: t.update({"classifier.bias": torch.zeros(3)})),
            r"classifier.bias is \(3,\), not \(2,\)",
        ),
        (lambda f: (f / "myna.json").write_text('{"format": 99}'), "format 99 is not known"),
        (lambda f: (f / "myna.json").write_text("[]"), r"myna.json: this file is damaged \(it holds no JSON object\)"),
        (lambda f: (f / "myna.json").write_text('{"format": 1}'), "the list of this folder's files is damaged"),
        (
            lambda f: (f / "myna.json").write_text('{"format": 1, "files": {"config.json": 3}}'),
            "the list of this folder's files is damaged",
        ),
        (lambda f: (bare(f), (f / "config.json").write_text("[]")), "config.json: .* holds no JSON object"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(folder: Path, harm: Callable, message: str) -> None:
    harm(folder)
    with pytest.raises(InputError, match=message) as error:
        read_model_folder(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["[PAD]", {"content": "[PAD]", "lstrip": False}])
def test_the_ids_of_special_tokens_are_found_by_their_names_in_either_form(tmp_path: Path, name: object) -> None:
    (tmp_path / "tokenizer.json").write_text('{"added_tokens": [{"id": 7, "content": "[PAD]"}]}')
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": name}))
    write_model_folder(
        tmp_path / "model", build(BERT, "sequence", ["bad", "good"], seed=1), tmp_path, {"name": "moods"}
    )
    assert json.loads((tmp_path / "model" / "config.json").read_text())["pad_token_id"] == 7


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        read_model_folder(tmp_path / "nothing")


def test_what_is_not_a_number_is_found_in_every_piece_that_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("myna.huggingface.weights._PIECE", 7)
    path, name = folder / "model.safetensors", "bert.embeddings.word_embeddings.weight"
    whole = load_file(path)
    assert all(torch.equal(tensor, whole[key]) for key, tensor in Weights(folder).items())
    for place in (0, 7, whole[name].numel() - 1):
        harmed = whole[name].clone()
        harmed.view(-1)[place] = torch.nan
        save_file({**whole, name: harmed}, path, {"format": "pt"})
        with pytest.raises(InputError, match=f"{name} holds what is not a number"):
            Weights(folder)[name]
