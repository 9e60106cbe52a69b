"""Recipes that go on from something: what does not go together is told with its line, before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from myna.errors import InputError
from myna.recipe import Recipe, read_recipe, to_toml

from .recipes import write_recipe
from .tokens.foreign import bert_tokenizer, gpt2_tokenizer

RECIPE = """\
recipe = 1
[corpus.news]
sources = [{ path = "news.txt", format = "lines" }]
[tokenizer.theirs]
start_from = "bert"
[tokenizer.grown]
start_from = "theirs"
corpus = "news"
add_words = 50
[tokenizer.own]
corpus = "news"
[pretrain.encoder]
corpus = "news"
tokenizer = "theirs"
objective = "masked"
start_from = "bert"
model = { dropout = 0.0 }
steps = 3
[pretrain.further]
corpus = "news"
tokenizer = "grown"
objective = "masked"
start_from = "encoder"
steps = 3
"""
CONFIG = {"model_type": "bert", "architectures": ["BertModel"], "vocab_size": 400, "hidden_size": 32}
CONFIG |= {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT and a GPT-2 without weights, which no recipe is asked for."""
    folder = tmp_path_factory.mktemp("recipe")
    (bert_tokenizer(folder / "bert") / "config.json").write_text(json.dumps(CONFIG))
    gpt2 = {"model_type": "gpt2", "vocab_size": 400, "n_embd": 32, "n_layer": 1, "n_head": 2}
    (gpt2_tokenizer(folder / "gpt2") / "config.json").write_text(json.dumps(gpt2))
    (folder / "weights/model").mkdir(parents=True)
    (folder / "weights/model/config.json").write_text("{}")
    (folder / "strange").mkdir()
    (folder / "strange/tokenizer.json").write_text('{"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 0}}')
    return folder


def read(folder: Path, text: str = RECIPE) -> Recipe:
    return read_recipe(write_recipe(folder, text))


def test_what_is_started_from_is_read_relative_to_the_recipe_and_written_out_again(folder: Path) -> None:
    recipe = read(folder)
    assert recipe.pretrain["encoder"].start_from == recipe.tokenizer["theirs"].start_from == str(folder / "bert")
    assert recipe.pretrain["further"].start_from == "encoder"
    (folder / "resolved.toml").write_text(to_toml(recipe))
    assert read_recipe(folder / "resolved.toml") == recipe


def test_a_model_is_chosen_by_its_parts_alone(folder: Path) -> None:
    text = RECIPE.replace('"theirs"\nobjective', '"own"\nobjective').replace('start_from = "bert"\nmodel', "model")
    text = text[: text.index("[pretrain.further]")]
    assert read(folder, text).pretrain["encoder"].preset is None
    with pytest.raises(InputError, match=r"heads = 3 does not divide hidden_size = 256"):
        read(folder, text.replace("dropout = 0.0", "heads = 3"))
    decoder = text.replace('"masked"', '"causal"').replace("[tokenizer.own]", '[tokenizer.own]\nkind = "byte_bpe"')
    with pytest.raises(InputError, match=r'"causal" does not go with bidirectional attention; .* model = \{ attention'):
        read(folder, decoder)
    assert read(folder, decoder.replace("dropout = 0.0", 'attention = "causal"'))


ENCODER = 'start_from = "bert"\nmodel'


@pytest.mark.parametrize(
    "old, new, at, expected",
    [
        ("model = { dropout = 0.0 }", 'preset = "bert-mini"', "[pretrain.encoder]", "give either preset or start_from"),
        (f"{ENCODER} = {{ dropout = 0.0 }}\n", "", "[pretrain.encoder]", 'say what the model is: preset = "bert-mini"'),
        ("dropout = 0.0", "layers = 2", "model =", "layers cannot be changed: the weights of start_from were made for"),
        (
            'start_from = "encoder"',
            'start_from = "encodr"',
            'start_from = "encoder"',
            '"encodr" is neither a [pretrain] table nor a folder; did you mean "encoder"?',
        ),
        (
            'start_from = "encoder"',
            'start_from = "../../runs/trunk/pretrain/whole/model"',
            'start_from = "encoder"',
            "is neither a [pretrain] table nor a folder; run the recipe first that makes trunk",
        ),
        (
            ENCODER,
            'start_from = "weights"\nmodel',
            ENCODER,
            '"weights" is not a model\'s folder: it has no config.json; did you mean "weights/model"?',
        ),
        (
            ENCODER,
            'start_from = "gpt2"\nmodel',
            'objective = "masked"',
            'objective = "masked" does not go with causal attention',
        ),
        (
            'tokenizer = "theirs"',
            'tokenizer = "own"',
            'tokenizer = "theirs"',
            'the model in "bert" has a tokenizer of its own; let [tokenizer.own] have start_from = "bert"',
        ),
        (
            'start_from = "bert"\n[tokenizer',
            'start_from = "gpt2"\n[tokenizer',
            'tokenizer = "theirs"',
            "this tokenizer is neither that of the model nor grown from it",
        ),
        (
            'tokenizer = "grown"',
            'tokenizer = "own"',
            'tokenizer = "grown"',
            '[pretrain.encoder] has another tokenizer; take "theirs", or let [tokenizer.own] have start_from',
        ),
        ('start_from = "encoder"', 'start_from = "further"', 'start_from = "encoder"', "this starts from itself"),
        ('start_from = "theirs"', 'start_from = "grown"', 'start_from = "theirs"', "this starts from itself"),
        (
            'start_from = "theirs"',
            'start_from = "weights"',
            'start_from = "theirs"',
            '"weights" is not a model\'s folder: it has no tokenizer.json',
        ),
        (
            'start_from = "theirs"',
            'start_from = "strange"',
            'start_from = "theirs"',
            "strange: this tokenizer has no token for the end of a text; name sep_token or eos_token",
        ),
        ('[tokenizer.own]\ncorpus = "news"', "[tokenizer.own]", "[tokenizer.own]", "name the corpus to learn from"),
        (
            "[tokenizer.own]\ncorpus",
            "[tokenizer.own]\nadd_words = 5\ncorpus",
            "[tokenizer.own]",
            "name it with start_f",
        ),
        (
            "add_words = 50",
            "lowercase = true",
            "[tokenizer.grown]",
            "lowercase: the tokenizer of start_from has its own",
        ),
    ],
)
def test_what_does_not_go_together_is_told_with_its_line(
    folder: Path, old: str, new: str, at: str, expected: str
) -> None:
    assert old in RECIPE
    with pytest.raises(InputError) as caught:
        read(folder, RECIPE.replace(old, new, 1))
    message = str(caught.value).replace(f"{folder}/", "")
    assert message.startswith(f"recipe.toml:{RECIPE[: RECIPE.index(at)].count(chr(10)) + 1}: ")
    assert expected in message
    assert "\n" not in message
