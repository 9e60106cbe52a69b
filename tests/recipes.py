"""A small recipe for tests, and the files that it reads."""

from __future__ import annotations

from pathlib import Path

RECIPE = """\
recipe = 1
name = "demo"
[[corpus.news.sources]]
path = "news.txt"
format = "lines"
[[corpus.reviews.sources]]
path = "reviews.csv"
[tokenizer.zh]
corpus = ["news", "reviews"]
vocabulary = 4000
[tokenizer.bytes]
corpus = "news"
kind = "byte_bpe"
[pretrain.encoder]
corpus = ["news", "reviews"]
tokenizer = "zh"
objective = "masked"
preset = "bert-micro"
tokens = 3000
[pretrain.decoder]
corpus = "news"
tokenizer = "bytes"
objective = "causal"
preset = "gpt-micro"
tokens = 3000
[finetune.sentiment]
task = "classification"
corpus = "reviews"
start_from = "encoder"
epochs = 2
[finetune.topics]
task = "classification"
corpus = "reviews"
start_from = "encoder"
"""


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    """Writes the recipe and its texts into ``folder``."""
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    (folder / "news.txt").write_text("早上好。\n晚上好。\n", encoding="utf-8")
    (folder / "reviews.csv").write_text("text,label\n很好,positive\n不好,negative\n", encoding="utf-8")
    return path
