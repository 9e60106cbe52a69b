"""A small recipe with text enough for steps, prepared up to its trainings."""

from __future__ import annotations

import random
from pathlib import Path

from myna.kinds import KINDS
from myna.recipe import Recipe, read_recipe

RECIPE = """\
recipe = 1
name = "small"
[corpus.reviews]
sources = [{ path = "reviews.csv" }]
words = "none"
[tokenizer.characters]
corpus = "reviews"
vocabulary = 400
[pretrain.encoder]
corpus = "reviews"
tokenizer = "characters"
objective = "masked"
preset = "bert-micro"
model = { hidden_size = 16, heads = 2, feed_forward_size = 32, maximum_length = 32 }
steps = 40
batch_tokens = 128
threads = 1
[finetune.sentiment]
task = "classification"
corpus = "reviews"
start_from = "encoder"
epochs = 1
batch_tokens = 128
threads = 1
"""


def small_recipe(folder: Path, changes: tuple[str, ...] = (), text: str = RECIPE) -> Recipe:
    """The recipe, with 300 reviews beside it."""
    draw = random.Random(1)
    letters = [chr(0x4E00 + n) for n in range(200)]
    rows = [f"{''.join(draw.choices(letters, k=draw.randint(5, 40)))},{draw.choice('ab')}" for _ in range(300)]
    (folder / "reviews.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path, changes)


def prepared_run(recipe: Recipe, run: Path) -> Path:
    """A run whose text is prepared, and in which nothing was trained."""
    for kind in KINDS:
        if kind.name in ("corpus", "tokenizer", "tokens"):
            for name in kind.stages(recipe):
                place = run / kind.name / name
                place.mkdir(parents=True)
                kind.work(recipe, run, name, place, lambda what, share: None)
    return run
