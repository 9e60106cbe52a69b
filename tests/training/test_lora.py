"""LoRA: what it computes and learns is what the paper says, and merged, kept apart or cut off it is the same model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from myna import files
from myna.errors import InputError
from myna.finetuning import FinetuneConfig, finetune
from myna.huggingface.adapters import lay_out
from myna.huggingface.conversion import convert
from myna.huggingface.families import family_of, with_head
from myna.huggingface.folder import open_model_folder, read_model_folder, write_model_folder
from myna.inference.loaded import load
from myna.model.config import ModelConfig
from myna.model.flat import flatten
from myna.model.heads import Model, build
from myna.presets import model_config
from myna.training.lora import LowRank, adapt, merge
from myna.training.optimizers import make_optimizer
from myna.training.recompute import recomputing

from ..tasks.material import corpus_folder, encoder_folder, tokenizer_folder
from ..test_finetuning import CLASSIFICATION, moods

ALL = ["query", "key", "value", "output", "feed_forward"]
SIZES = {"hidden_size": 32, "layers": 2, "heads": 4, "feed_forward_size": 48, "maximum_length": 24}
SIZES |= {"initializer_range": 0.2}
TEXTS = [np.array([2, 7, 9, 11, 3]), np.array([2, 8, 3]), np.array([2, 8, 30, 31, 32, 33, 3])]


def described(family: str) -> ModelConfig:
    kept = {"key_value_heads": 2} if family == "llama-1b" else {"layer_groups": 1} if family == "albert-base" else {}
    plain = model_config(family, 60, **SIZES, **kept)
    return with_head(plain, "causal" if plain.attention == "causal" else "masked", "sequence")


def adapted(family: str, of: list[str] = ALL, dropout: float = 0.0) -> Model:
    """A model with adapters that change something, as after a training."""
    model = build(described(family), "sequence", ("a", "b"), seed=1)
    adapt(model, of, 3, 6.0, dropout, seed=1)
    draw = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if ".up." in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=draw) * 0.1)
    return model.double()


@pytest.mark.parametrize("family", ["bert-mini", "gpt2", "llama-1b", "modernbert-base", "convbert-base", "albert-base"])
def test_merged_kept_apart_and_converted_it_gives_the_same_logits(tmp_path: Path, family: str) -> None:
    base, tokens = build(described(family), "sequence", ("a", "b"), seed=1).double(), flatten(TEXTS)
    tokenizer = tokenizer_folder(tmp_path / "tokenizer")
    assert family_of(base.config, "sequence").model_type != "myna"
    write_model_folder(tmp_path / "base", base, tokenizer, {})
    model, apart = adapted(family), adapted(family)
    expected = model(tokens).detach()
    assert not torch.allclose(expected, base(tokens), atol=1e-3)
    adapters = lay_out(apart, tmp_path / "base", 3, 6.0, 0.0)
    write_model_folder(tmp_path / "kept", apart, tokenizer, {}, adapters=adapters)
    merge(model)
    torch.testing.assert_close(model(tokens), expected, rtol=0, atol=1e-10)
    assert type(model.trunk.blocks[0].feed_forward.inner) is not LowRank
    kept = open_model_folder(tmp_path / "kept", torch.float64).model
    torch.testing.assert_close(kept(tokens), expected, rtol=0, atol=1e-10)
    convert(tmp_path / "kept", tmp_path / "whole")
    assert not (tmp_path / "whole/adapter_config.json").exists()
    whole = open_model_folder(tmp_path / "whole", torch.float64).model
    torch.testing.assert_close(whole(tokens), expected, rtol=0, atol=1e-10)


def test_its_gradients_are_those_of_a_weight_that_is_a_sum() -> None:
    """Autograd through W + (alpha / rank) B A, in float64, for queries and values of a joint projection."""
    model = adapted("bert-mini", ["query", "value"])
    model(flatten(TEXTS)).square().sum().backward()
    part = model.trunk.blocks[0].mixer.projection
    assert isinstance(part, LowRank)
    assert part.weight.grad is None
    other = adapted("bert-mini", ["query", "value"])
    whole = other.trunk.blocks[0].mixer.projection
    assert isinstance(whole, LowRank)
    down, up = (dict(side.items()) for side in (whole.down, whole.up))
    summed = torch.cat([up["query"] @ down["query"], up["value"] * 0 @ down["value"], up["value"] @ down["value"]])
    plain = nn.Linear(32, 96, dtype=torch.float64)
    del plain.weight
    plain.weight, plain.bias = whole.weight + 2.0 * summed, whole.bias  # type: ignore[assignment]
    other.trunk.blocks[0].mixer.projection.forward = lambda hidden, keys=None: plain(hidden)  # type: ignore[method-assign]
    other(flatten(TEXTS)).square().sum().backward()
    for name in ("query", "value"):
        torch.testing.assert_close(part.down[name].grad, down[name].grad, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(part.up[name].grad, up[name].grad, rtol=1e-9, atol=1e-12)


def test_what_it_drops_is_the_same_where_layers_are_computed_twice() -> None:
    model, found = adapted("bert-mini", dropout=0.5), []
    keyed = [flatten(TEXTS, np.arange(3), key) for key in (5, 6)]
    for again in (False, True):
        model.zero_grad()
        with recomputing([model] if again else []):
            sum((model(tokens).square().sum() for tokens in keyed), start=torch.zeros(())).backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
    quiet = adapted("bert-mini")
    assert not torch.equal(model(keyed[0]), quiet(keyed[0]))
    assert torch.equal(model(flatten(TEXTS)), quiet(flatten(TEXTS)))


def trained(folder: Path, corpus: Path, start: Path, **settings: object) -> Path:
    lora = {"rank": 4, "alpha": 32.0, "of": ALL, **settings}
    config = FinetuneConfig(**{**CLASSIFICATION.model_dump(exclude_unset=True), "epochs": 12, "lora": lora})
    folder.mkdir()
    finetune(config, corpus, start, folder, seed=1).check()
    return folder / "model"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("lora")
    return corpus_folder(folder / "corpus", moods()), encoder_folder(folder / "encoder")


def test_it_learns_and_only_what_is_its_own(tmp_path: Path, material: tuple[Path, Path]) -> None:
    corpus, start = material
    model = load(trained(tmp_path / "run", corpus, start))
    answers = model.predict(["很好，天气3000。", "不好，天气3001。"])
    assert [answer["label"] for answer in answers] == ["good", "bad"]
    before, after = read_model_folder(start)[0].trunk.state_dict(), model.model.trunk.state_dict()
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    layer = "trunk.blocks.0."
    names = ("mixer.projection", "mixer.output", "feed_forward.inner", "feed_forward.output")
    assert {f"trunk.{name}" for name in moved} == {f"{layer}{name}.weight" for name in names}


def test_the_optimizer_remembers_little() -> None:
    """Of a bert-mini, whose embeddings alone are 7.8 million numbers, two for each that learns."""
    model = build(model_config("bert-mini", 30_522), "sequence", ("a", "b"))
    config = FinetuneConfig(task="classification", corpus="c", start_from="e")

    def remembered() -> int:
        for parameter in model.parameters():
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
        return make_optimizer(dict(model.named_parameters()), config).state_bytes()

    whole = remembered()
    adapt(model, ["query", "value"], 8, 16.0, 0.0, seed=1)
    assert whole > 80e6
    assert remembered() < 1e6


def test_a_run_that_is_cut_off_ends_with_the_same_adapters(tmp_path: Path, material: tuple[Path, Path]) -> None:
    corpus, start = material
    lora = {"rank": 2, "dropout": 0.2, "merge": False}
    config = FinetuneConfig(**{**CLASSIFICATION.model_dump(exclude_unset=True), "epochs": 3, "lora": lora})

    def cut(what: str, share: float) -> None:
        if what.startswith("step 5 "):
            raise KeyboardInterrupt

    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    finetune(config, corpus, start, tmp_path / "whole", seed=1)
    with pytest.raises(KeyboardInterrupt):
        finetune(config, corpus, start, tmp_path / "cut", seed=1, report=cut)
    finetune(config, corpus, start, tmp_path / "cut", seed=1)
    contents = {(tmp_path / name / "model/adapter_model.safetensors").read_bytes() for name in ("whole", "cut")}
    assert len(contents) == 1


def test_adapters_without_their_base_say_where_it_goes(tmp_path: Path, material: tuple[Path, Path]) -> None:
    corpus, _ = material
    start = encoder_folder(tmp_path / "encoder")
    kept = trained(tmp_path / "run", corpus, start, merge=False)
    said = load(kept).predict("很好，天气3000。")
    start.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"stand on is not at .*; put the base model's folder there as .*/base"):
        load(kept)
    encoder_folder(kept / "base", layers=2)
    with pytest.raises(InputError, match="not the model that these adapters were trained on"):
        load(kept)
    files.remove(kept / "base")
    (tmp_path / "elsewhere").rename(kept / "base")
    assert load(kept).predict("很好，天气3000。") == said


@pytest.mark.parametrize(
    "change, what",
    [
        ({"use_dora": True}, "use_dora = True is not supported"),
        ({"lora_alpha": "a"}, "lora_alpha is not a number"),
        ({"alpha_pattern": [1]}, "lora_alpha is not a number"),
        ({"fan_in_fan_out": True}, "makes .* of a matrix of"),
    ],
)
def test_adapters_that_are_something_else_are_told(
    tmp_path: Path, material: tuple[Path, Path], change: dict[str, object], what: str
) -> None:
    model = build(read_model_folder(material[1])[0].config, "sequence", ("a", "b"))
    adapt(model, ["feed_forward"], 2, 4.0, 0.0, seed=1)
    config, tensors = lay_out(model, material[1], 2, 4.0, 0.0)
    write_model_folder(tmp_path / "model", model, material[1], {}, adapters=(config | change, tensors))
    with pytest.raises(InputError, match=what):
        load(tmp_path / "model")


def test_what_cannot_be_adapted_is_refused() -> None:
    with pytest.raises(InputError, match="has no query to adapt"):
        model = build(model_config("cnn-tiny", 60), "sequence", ("a", "b"))
        adapt(model, ["query"], 2, 4.0, 0.0, seed=1)
    for what in ({"preset": "bert-mini", "tokenizer": "t"}, {"start_from": "e", "freeze": "trunk"}):
        with pytest.raises(ValidationError, match="lora adapts the weights of start_from"):
            FinetuneConfig(task="classification", corpus="c", lora={}, **what)
    assert json.loads(FinetuneConfig(task="pairs", corpus="c", start_from="e", lora={}).model_dump_json())["lora"]
