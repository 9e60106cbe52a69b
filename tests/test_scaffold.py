"""The first recipe for somebody's own text."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from myna.corpus.dedup import fold, hash_of_fold, split_of_hash
from myna.corpus.document import Corpus
from myna.corpus.prepare import prepare
from myna.errors import InputError
from myna.recipe import Recipe, read_recipe
from myna.scaffold import write_recipe

ENGLISH = "The bird learns to speak from what it hears. "


def made(path: Path, to: Path) -> Recipe:
    write_recipe(path, to)
    return read_recipe(to)


def table(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([header, *rows])
    return path


def test_a_folder_of_texts_gives_a_decoder(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for number in range(3):
        (tmp_path / "docs" / f"{number}.md").write_text(ENGLISH * 50, encoding="utf-8")
    found = write_recipe(tmp_path / "docs", tmp_path / "recipe.toml")
    recipe = read_recipe(tmp_path / "recipe.toml")
    assert (found["files"], found["language"], found["task"]) == (3, "en", None)
    assert found["characters"] == 3 * 50 * len(ENGLISH)
    assert recipe.name == "docs"
    assert recipe.corpus["texts"].sources[0].path == str(tmp_path / "docs")
    assert recipe.tokenizer["pieces"].kind == "byte_bpe"
    assert recipe.pretrain["decoder"].objective == "causal"
    assert recipe.finetune == {}


def test_the_recipe_names_the_texts_relative_to_itself(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(ENGLISH, encoding="utf-8")
    (tmp_path / "recipes").mkdir()
    made(tmp_path / "docs", tmp_path / "recipes" / "a.toml")
    assert 'path = "../docs"' in (tmp_path / "recipes" / "a.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("between, expected", [("\n\n", "paragraphs"), ("\n", "lines")])
def test_a_single_text_is_many_documents(tmp_path: Path, between: str, expected: str) -> None:
    (tmp_path / "all.txt").write_text(between.join([ENGLISH] * 20), encoding="utf-8")
    assert made(tmp_path / "all.txt", tmp_path / "r.toml").corpus["texts"].sources[0].format == expected


def test_a_table_with_labels_gives_an_encoder_and_a_classifier(tmp_path: Path) -> None:
    rows = [[str(n), "很好的书" * 3 if n % 2 else "太差了，不要买", "正" if n % 2 else "负"] for n in range(40)]
    path = table(tmp_path / "reviews.csv", ["id", "review", "sentiment"], rows)
    found = write_recipe(path, tmp_path / "r.toml")
    recipe = read_recipe(tmp_path / "r.toml")
    source = recipe.corpus["texts"].sources[0]
    assert (source.text_column, source.label_column) == ("review", "sentiment")
    assert recipe.tokenizer["pieces"].kind == "wordpiece"
    assert recipe.pretrain["encoder"].objective == "masked"
    assert recipe.finetune["labels"].task == "classification"
    assert (found["language"], recipe.report.language) == ("zh", "zh")


def test_a_tenth_is_kept_even_of_rows_that_hashes_would_all_train_on(tmp_path: Path) -> None:
    """As of a table that was split by the same hashes before."""
    texts = [f"这家店的第{n}道菜很好吃，服务也周到" for n in range(400)]
    ours = [text for text in texts if split_of_hash(hash_of_fold(fold(text)), 10, 10) == "train"][:200]
    path = table(
        tmp_path / "reviews.csv", ["text", "label"], [[text, "好" if n % 2 else "坏"] for n, text in enumerate(ours)]
    )
    config = made(path, tmp_path / "r.toml").corpus["texts"]
    (tmp_path / "corpus").mkdir()
    prepare(config.model_copy(update={"words": "none"}), tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert [len(list(corpus.documents(split))) for split in ("train", "validation", "test")] == [160, 20, 20]


def test_the_usual_names_of_columns_come_first(tmp_path: Path) -> None:
    rows = [["a" * 90, ENGLISH, "x", "p" if n % 2 else "q"] for n in range(9)]
    path = table(tmp_path / "t.tsv", ["note", "text", "label", "kind"], rows)
    made(path, tmp_path / "r.toml")
    text = (tmp_path / "r.toml").read_text(encoding="utf-8")
    assert "text_column" not in text
    assert "label_column" not in text
    assert "[finetune.labels]" in text


def test_tagged_rows_give_a_tagger(tmp_path: Path) -> None:
    row = {"tokens": ["我", "在", "北", "京"], "tags": ["O", "O", "B-LOC", "I-LOC"]}
    (tmp_path / "t.jsonl").write_text((json.dumps(row) + "\n") * 20, encoding="utf-8")
    recipe = made(tmp_path / "t.jsonl", tmp_path / "r.toml")
    assert recipe.finetune["entities"].task == "tagging"


def test_a_table_without_labels_gives_a_decoder(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        "".join(json.dumps({"text": f"{ENGLISH} {n}", "id": n}) + "\n" for n in range(20)), encoding="utf-8"
    )
    recipe = made(tmp_path / "t.jsonl", tmp_path / "r.toml")
    assert list(recipe.pretrain) == ["decoder"]
    assert recipe.finetune == {}


def test_more_text_gives_larger_budgets(tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text(ENGLISH * 100, encoding="utf-8")
    (tmp_path / "large.txt").write_text(ENGLISH * 5000, encoding="utf-8")
    small = made(tmp_path / "small.txt", tmp_path / "s.toml")
    large = made(tmp_path / "large.txt", tmp_path / "l.toml")
    assert (small.pretrain["decoder"].tokens or 0) < (large.pretrain["decoder"].tokens or 0)
    assert small.tokenizer["pieces"].vocabulary < large.tokenizer["pieces"].vocabulary


def test_the_vocabulary_has_room_for_every_character(tmp_path: Path) -> None:
    characters = "".join(chr(0x4E00 + n) for n in range(5000))
    path = table(tmp_path / "t.csv", ["text", "label"], [[characters, "a"], [characters[::-1], "a"]])
    assert made(path, tmp_path / "r.toml").tokenizer["pieces"].vocabulary > 5000


def test_a_name_that_is_no_name_is_made_one(tmp_path: Path) -> None:
    (tmp_path / "(my) texts, 2.txt").write_text(ENGLISH * 20, encoding="utf-8")
    assert made(tmp_path / "(my) texts, 2.txt", tmp_path / "r.toml").name == "my-texts-2"


@pytest.mark.parametrize(
    "name, data, expected",
    [
        ("nowhere", None, "there is no such file or folder"),
        ("empty.txt", b"", "empty"),
        (
            "a.jsonl",
            b"{\n",
            "a.jsonl:1: this is no JSON: Expecting property name enclosed in double quotes at column 2; mend",
        ),
        ("a.jsonl", b'{"id": 1}\n', "there is no column of text"),
    ],
)
def test_what_cannot_be_read_is_told_and_nothing_written(
    tmp_path: Path, name: str, data: bytes | None, expected: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as caught:
        write_recipe(tmp_path / name, tmp_path / "r.toml")
    assert expected in str(caught.value)
    assert not (tmp_path / "r.toml").exists()


def test_a_recipe_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(ENGLISH, encoding="utf-8")
    (tmp_path / "r.toml").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="this exists already"):
        write_recipe(tmp_path / "a.txt", tmp_path / "r.toml")
    assert (tmp_path / "r.toml").read_text(encoding="utf-8") == "mine"
    with pytest.raises(InputError, match="a part of this path is a file"):
        write_recipe(tmp_path / "a.txt", tmp_path / "a.txt" / "r.toml")
