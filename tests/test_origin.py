"""Going on from a model of others: its weights stay, new pieces begin where their words were, the rest is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers

from myna import stages
from myna.errors import InputError
from myna.huggingface.families import tensors_of
from myna.huggingface.folder import read_model_folder
from myna.inference.loaded import Loaded, load
from myna.origin import Origin, changed, with_rows
from myna.recipe import read_recipe
from myna.tokens.growing import pieces_of_new, take_tokenizer
from myna.tokens.tokenizer import Tokenizer, TokenizerConfig

from .test_stages import reasons
from .tokens.corpora import write_corpus
from .tokens.foreign import bert_tokenizer, gpt2_tokenizer

TEXT = ["Xboard plays an Xboard, the Xboard.", "改革开放的改革开放，改革开放"]


def bert(folder: Path, name: str = "BertForMaskedLM", spare: int = 0) -> Path:
    """A BERT that transformers wrote; ``spare`` rows more than its tokenizer has pieces."""
    tokenizer = Tokenizer.open(bert_tokenizer(folder))
    config = transformers.BertConfig(
        vocab_size=tokenizer.vocabulary_size + spare,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=24,
        initializer_range=0.2,
    )
    torch.manual_seed(1)
    model = getattr(transformers, name)(config)
    if name == "BertForMaskedLM":
        torch.nn.init.normal_(model.cls.predictions.bias)
    model.save_pretrained(folder)
    return folder


def gpt2(folder: Path) -> Path:
    tokenizer = Tokenizer.open(gpt2_tokenizer(folder))
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=tokenizer.vocabulary_size, n_positions=24, n_embd=32, n_layer=2, n_head=2
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def grown(folder: Path, theirs: Path) -> Tokenizer:
    corpus = write_corpus(folder / "corpus", TEXT)
    (folder / "grown").mkdir()
    config = TokenizerConfig(corpus="c", start_from="theirs", add_words=20)
    take_tokenizer(theirs, [corpus], config, folder / "grown")
    return Tokenizer.open(folder / "grown")


@pytest.mark.parametrize("make, kind", [(bert, "masked"), (gpt2, "causal")])
def test_old_rows_stay_to_the_bit_and_new_ones_are_means_of_their_pieces(tmp_path: Path, make, kind: str) -> None:  # type: ignore[no-untyped-def]
    origin, new = Origin.read(make(tmp_path / "theirs")), grown(tmp_path, tmp_path / "theirs")
    old = Tokenizer.open(tmp_path / "theirs")
    model = origin.continued(kind, new, {}, seed=3)
    before, after = tensors_of(origin.model), tensors_of(model)
    assert before.keys() == after.keys()
    grown_ones = {name for name in before if before[name].shape != after[name].shape}
    assert all(torch.equal(before[name], after[name][: len(before[name])]) for name in before)
    rows = after[min(grown_ones, key=lambda name: -after[name].dim())]
    pieces = pieces_of_new(old, new)
    assert len(pieces) == len(rows) - old.vocabulary_size > 1
    for id, cut in pieces.items():
        assert torch.allclose(rows[id], rows[cut].mean(0), atol=1e-6)
    # The logit of a new piece is the mean of those of its pieces, whatever the text; those of the old are as they were.
    line = old.backend.encode("play chess", add_special_tokens=False).ids
    theirs = Loaded(origin.model.eval(), old, {}, old.folder).logits([line])[0]
    ours = Loaded(model.eval(), new, {}, new.folder).logits([line])[0]
    assert torch.allclose(ours[:, : old.vocabulary_size], theirs, atol=1e-5)
    for id, cut in pieces.items():
        assert torch.allclose(ours[:, id], theirs[:, cut].mean(1), atol=1e-5)


def test_a_bare_trunk_is_given_a_head_that_can_learn_and_spare_rows_are_used(tmp_path: Path) -> None:
    origin = Origin.read(bert(tmp_path / "theirs", "BertModel", spare=3))
    new = grown(tmp_path, tmp_path / "theirs")
    old = Tokenizer.open(tmp_path / "theirs")
    model = origin.continued("masked", new, {}, seed=3)
    assert model.config.vocabulary_size == max(old.vocabulary_size + 3, new.vocabulary_size)
    assert model.head.transform.dense is not None
    assert bool(model.head.transform.dense.weight.any())
    trunk, theirs = model.trunk.state_dict(), origin.model.trunk.state_dict()
    for name in theirs:
        rows = old.vocabulary_size if "words" in name else len(theirs[name])
        assert torch.equal(trunk[name][:rows], theirs[name][:rows])
    first, cut = next(iter(pieces_of_new(old, new).items()))
    words = theirs["embeddings.words.weight"]
    assert torch.equal(trunk["embeddings.words.weight"][first], words[cut].mean(0))


def test_a_piece_that_was_nothing_before_begins_as_the_mean_of_all() -> None:
    old = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert with_rows(old, {2: [], 3: [1]}, 4).tolist() == [[1, 2], [3, 6], [2, 4], [3, 6]]
    # The old rows behind those that have a piece do not count.
    assert with_rows(old, {1: []}, 2).tolist() == [[1, 2], [1, 2]]


def test_only_parts_that_no_weight_depends_on_may_be_others(tmp_path: Path) -> None:
    config = read_model_folder(bert(tmp_path / "theirs"))[0].config
    assert changed(config, {"dropout": 0.0, "attention_dropout": 0.2}).attention_dropout == 0.2
    with pytest.raises(InputError, match="hidden_size, window cannot be changed"):
        changed(config, {"hidden_size": 64, "window": 8, "dropout": 0.0})
    with pytest.raises(InputError, match="maximum_length cannot be changed"):
        changed(config, {"maximum_length": 48})
    turning = config.model_copy(update={"positions": "rotary"})
    assert changed(turning, {"maximum_length": 48, "rotary_base": 5e5}).maximum_length == 48


RECIPE = """\
recipe = 1
name = "domain"
[corpus.news]
sources = [{ path = "news.txt", format = "lines" }]
[tokenizer.grown]
start_from = "theirs"
corpus = "news"
add_words = 20
[pretrain.further]
corpus = "news"
tokenizer = "grown"
objective = "masked"
start_from = "encoder"
steps = 1
batch_tokens = 128
threads = 1
[pretrain.encoder]
corpus = "news"
tokenizer = "theirs"
objective = "masked"
start_from = "bert"
model = { dropout = 0.0 }
steps = 2
batch_tokens = 128
threads = 1
[tokenizer.theirs]
start_from = "bert"
[pretrain.decoder]
corpus = "news"
tokenizer = "writer"
objective = "causal"
start_from = "gpt2"
steps = 2
batch_tokens = 128
threads = 1
[tokenizer.writer]
start_from = "gpt2"
corpus = "news"
add_words = 20
"""


def test_the_whole_river_goes_on_from_folders_of_others(tmp_path: Path) -> None:
    bert(tmp_path / "bert")
    gpt2(tmp_path / "gpt2")
    (tmp_path / "news.txt").write_text(
        "\n".join(f"the {'board ' * n}of the boardgame, the boardgame" for n in range(1, 100))
    )
    (tmp_path / "recipe.toml").write_text(RECIPE)
    recipe = read_recipe(tmp_path / "recipe.toml")
    run = stages.run(recipe, tmp_path / "run")
    further = load(run / "pretrain/further/model")
    assert [ancestor["name"] for ancestor in further.facts["lineage"]] == ["bert", "encoder"]
    assert further.facts["lineage"][0]["weights"] == Origin.read(tmp_path / "bert").weights
    assert further.tokenizer.backend.token_to_id("boardgame") is not None
    assert further.model.config.dropout == 0.0
    # Two steps of training move a weight by less than twice the highest learning rate.
    start = read_model_folder(tmp_path / "bert")[0].trunk.blocks[0].mixer.projection.weight  # type: ignore[union-attr]
    now = load(run / "pretrain/encoder/model").model.trunk.blocks[0].mixer.projection.weight  # type: ignore[union-attr]
    assert 0 < (now - start).abs().max() < 2.1e-3
    writer = load(run / "pretrain/decoder/model")
    assert writer.tokenizer.backend.token_to_id("Ġboardgame") is not None
    assert writer.tokenizer.decode(writer.tokenizer.backend.encode("a boardgame.").ids) == "a boardgame."
    assert transformers.AutoModelForMaskedLM.from_pretrained(run / "pretrain/further/model").num_parameters() > 0
    # Foreign files are sources: nothing is due, until one of them is another.
    assert reasons(recipe, run) == {}
    config = json.loads((tmp_path / "bert/config.json").read_text())
    (tmp_path / "bert/config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.3}))
    due = reasons(recipe, run)
    assert "config.json" in due["pretrain.encoder"]
    assert "pretrain.further" in due
    assert "pretrain.decoder" not in due
    assert "tokenizer.theirs" not in due
