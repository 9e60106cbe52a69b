"""Against transformers: the same weights give the same logits, hidden states and gradients, read and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from myna.model.flat import flatten
from myna.model.folder import read_model_folder
from myna.model.heads import Model, build
from myna.model.huggingface import model_of, settings_of, tensors_of
from myna.model.presets import model_config

BERT = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 50,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-5,
    "hidden_act": "gelu_new",
    "initializer_range": 0.3,
}
GPT2 = {
    "vocab_size": 60,
    "n_embd": 24,
    "n_layer": 3,
    "n_head": 3,
    "n_inner": 50,
    "n_positions": 40,
    "layer_norm_epsilon": 1e-3,
    "activation_function": "gelu",
    "initializer_range": 0.3,
}
LABELS = {"id2label": {0: "b", 1: "a", 2: "c"}, "label2id": {"b": 0, "a": 1, "c": 2}}
THEIRS = {
    "masked": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**BERT)),
    "sequence": lambda: transformers.BertForSequenceClassification(transformers.BertConfig(**BERT, **LABELS)),
    "token": lambda: transformers.BertForTokenClassification(transformers.BertConfig(**BERT, **LABELS)),
    "causal": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2)),
}
KINDS = pytest.mark.parametrize("kind", THEIRS)
TEXTS = [np.random.default_rng(n).integers(0, 60, n) for n in (3, 7, 7, 39)]


def their_model(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model = THEIRS[kind]()
    for parameter in model.parameters():
        # Biases and norms off their defaults, or an exchanged pair of them would not show.
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval().double()


def read(folder: Path) -> Model:
    return read_model_folder(folder)[0].double()


@KINDS
def test_their_folder_read_gives_their_logits_hidden_states_and_gradients(tmp_path: Path, kind: str) -> None:
    theirs = their_model(kind)
    theirs.float().save_pretrained(tmp_path)
    theirs.double()
    ours = read(tmp_path)
    assert ours.kind == kind
    assert ours.labels == (("b", "a", "c") if kind in ("sequence", "token") else ())
    tokens = flatten(TEXTS)
    logits = ours(tokens)
    expected = [theirs(torch.tensor(text)[None], output_hidden_states=True) for text in TEXTS]
    assert (logits - torch.cat([e.logits[0] if kind != "sequence" else e.logits for e in expected])).abs().max() < 1e-10
    states = ours.trunk.hidden_states(tokens)
    for layer, state in enumerate(states):
        assert (state - torch.cat([e.hidden_states[layer][0] for e in expected])).abs().max() < 1e-10
    logits.square().sum().backward()
    sum(e.logits.square().sum() for e in expected).backward()
    named = {row.ours: row.theirs for row in _rows(ours)}
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        parts = [gradients[n].grad for n in named[name]]
        transposed = kind == "causal" and parts[0].ndim == 2 and ".blocks." in name
        whole = torch.cat([part.T if transposed else part for part in parts])
        assert (parameter.grad - whole).abs().max() <= 1e-9 * max(1.0, whole.abs().max().item()), name


def _rows(model: Model) -> list:
    from myna.model.huggingface import family_of

    return family_of(model.config).rows(model.config, model.kind)


@KINDS
def test_our_folder_opens_in_transformers_with_nothing_missing_or_left(tmp_path: Path, kind: str) -> None:
    theirs = their_model(kind).float()
    theirs.save_pretrained(tmp_path / "theirs")
    before = load_file(tmp_path / "theirs" / "model.safetensors")
    ours, _ = read_model_folder(tmp_path / "theirs")
    after = tensors_of(ours)
    assert {name: t.shape for name, t in after.items()} == {name: t.shape for name, t in before.items()}
    assert all(torch.equal(after[name], before[name]) for name in before)
    automatic = {
        "masked": transformers.AutoModelForMaskedLM,
        "sequence": transformers.AutoModelForSequenceClassification,
        "token": transformers.AutoModelForTokenClassification,
        "causal": transformers.AutoModelForCausalLM,
    }[kind]
    save(tmp_path / "ours", ours)
    again, info = automatic.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert type(again) is type(theirs)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    text = torch.tensor(TEXTS[3])[None]
    assert torch.equal(again(text).logits, theirs(text).logits)
    if kind in ("sequence", "token"):
        assert again.config.id2label == {0: "b", 1: "a", 2: "c"}


def save(folder: Path, model: Model) -> None:
    import json

    from safetensors.torch import save_file

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings_of(model)))
    save_file(tensors_of(model), folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    "preset, kind, reference",
    [
        ("bert-base", "masked", 109_514_298),
        ("gpt2", "causal", 124_439_808),
    ],
)
def test_presets_have_the_published_number_of_parameters(preset: str, kind: str, reference: int) -> None:
    size = {"bert-base": 30_522, "gpt2": 50_257}[preset]
    with torch.device("meta"):
        model = Model(model_config(preset, size), kind)
    assert sum(p.numel() for p in model.parameters()) == reference


def test_a_bare_trunk_is_read_for_its_hidden_states(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = transformers.BertModel(transformers.BertConfig(**BERT)).eval()
    theirs.save_pretrained(tmp_path)
    ours = read(tmp_path)
    expected = theirs.double()(torch.tensor(TEXTS[1])[None]).last_hidden_state[0]
    assert (ours.trunk(flatten([TEXTS[1]])) - expected).abs().max() < 1e-10


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hidden_act": "relu"}, "hidden_act = 'relu' is not supported"),
        ({"is_decoder": True}, "is_decoder = True is not supported"),
        ({"model_type": "t5"}, "model_type = 't5' is not one of bert, gpt2"),
        ({"hidden_size": None}, "hidden_size"),
        ({"num_attention_heads": 5}, "does not divide"),
    ],
)
def test_a_setting_that_is_not_supported_is_named(change: dict, message: str) -> None:
    from myna.errors import InputError

    model = build(model_config("bert-tiny", 60), "masked")
    with pytest.raises(InputError, match=message):
        model_of({**settings_of(model), **change}, tensors_of(model), Path("x"))
