"""A run of every kind of stage that takes a second, and what of it must not depend on how it came about."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

RECIPE = """
recipe = 1
name = "small"
seed = 3

[corpus.texts]
sources = [{ path = "texts.jsonl" }]

[tokenizer.characters]
corpus = "texts"
kind = "wordpiece"
vocabulary = 300

[tokenizer.bytes]
corpus = "texts"
kind = "byte_bpe"
vocabulary = 300

[pretrain.encoder]
objective = "masked"
corpus = "texts"
tokenizer = "characters"
preset = "bert-micro"
model = { hidden_size = 16, layers = 1, heads = 2, feed_forward_size = 32, maximum_length = 32 }
steps = 2
batch_tokens = 100
validations = 2
threads = 1
log_steps = 1
checkpoint_seconds = 0

[pretrain.decoder]
objective = "causal"
corpus = "texts"
tokenizer = "bytes"
preset = "gpt-micro"
model = { hidden_size = 16, layers = 1, heads = 2, feed_forward_size = 32, maximum_length = 32 }
steps = 2
batch_tokens = 100
validations = 2
threads = 1
log_steps = 1
checkpoint_seconds = 0

[finetune.moods]
task = "classification"
start_from = "encoder"
corpus = "texts"
steps = 3
batch_tokens = 100
threads = 1
log_steps = 1
checkpoint_seconds = 0

[finetune.names]
task = "tagging"
start_from = "encoder"
corpus = "texts"
steps = 3
batch_tokens = 100
threads = 1
log_steps = 1
checkpoint_seconds = 0
"""

_PLACES = ["北京", "上海", "广州", "天津", "重庆"]
_GOOD = ["很好看", "非常美", "让人喜欢", "值得一去"]
_BAD = ["不好玩", "太远了", "让人失望", "不值得去"]


def write_recipe(folder: Path) -> Path:
    """Writes sixty short texts with a label and the names in them, and the recipe; gives its path."""
    lines = []
    for number in range(60):
        good = number % 2 == 0
        place, said = _PLACES[number % 5], (_GOOD if good else _BAD)[number // 2 % 4]
        text = f"我第{number}次去{place}，那里{said}。"
        start = text.index(place)
        span = {"start": start, "end": start + 2, "label": "LOC"}
        lines.append(
            json.dumps({"text": text, "label": "good" if good else "bad", "spans": [span]}, ensure_ascii=False)
        )
    (folder / "texts.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"


def result(folder: Path) -> dict[str, Any]:
    """Every file of a run by what must be the same in any run of the recipe: all but clocks and the machine's speed."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name.startswith(".") or name == "report.html" or "/checkpoints/" in name or name.endswith("machine.json"):
            continue
        if path.name == "stage.json":
            found[name] = json.loads(path.read_text())["fingerprint"]
        elif path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{key: value for key, value in line.items() if key != "seconds"} for line in lines]
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
