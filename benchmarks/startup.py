"""From the command to the end of the first step: of a new run, and of one that goes on at step 1,000,000.

    python benchmarks/startup.py [--json] [--row NAME] [--repeats N] [--documents N]

The tokens are made, the file system's cache is warm, nothing is compiled. ``first-step`` begins a pre-training of a
bert-mini; ``resume`` goes on from a checkpoint that says it is of step 1,000,000. Both are seconds of the clock from
starting the program until ``metrics.jsonl`` has the line of a step (it is looked at every 5 ms). Beside them is what
no program with torch is spared: a process that imports it and ends. ``ours_peak_bytes`` is the most memory of a run.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pairs

RECIPE = """
recipe = 1
name = "startup"
[corpus.texts]
sources = [{ path = "texts.txt", format = "lines" }]
[tokenizer.pieces]
corpus = "texts"
kind = "wordpiece"
vocabulary = 2000
[pretrain.encoder]
corpus = "texts"
tokenizer = "pieces"
objective = "masked"
preset = "bert-mini"
steps = 2000000
batch_tokens = 1024
log_steps = 1
checkpoint_seconds = 86400
"""
STEP = 1_000_000
# A start that takes longer is broken.
MOST_SECONDS = 300


def write_recipe(folder: Path, documents: int) -> Path:
    """The recipe, and texts of about 40 made-up words."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrst", k=draw.randint(2, 9))) for _ in range(5000)]
    with (folder / "texts.txt").open("w", encoding="utf-8") as stream:
        for _ in range(documents):
            stream.write(" ".join(draw.choices(words, k=draw.randint(10, 70))) + ".\n")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder / "recipe.toml"


def seconds_to_a_step(folder: Path, step: int) -> tuple[float, int]:
    """Runs until the log has a line of ``step``, and ends the run as a user would; with its peak memory."""
    log = folder / "run/pretrain/encoder/metrics.jsonl"
    sought = f'"step": {step},'
    began = time.perf_counter()
    command = [sys.executable, "-m", "myna", "run", str(folder / "recipe.toml"), "--to", str(folder / "run")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while not (log.exists() and sought in log.read_text(encoding="utf-8")):
            if process.poll() is not None or time.perf_counter() - began > MOST_SECONDS:
                process.kill()
                assert process.stderr is not None
                raise SystemExit(f"the run did not come to step {step}: {process.stderr.read()}")
            time.sleep(0.005)
        seconds = time.perf_counter() - began
        peak = _peak_bytes(process.pid)
        process.send_signal(signal.SIGTERM)
        process.communicate()
    return seconds, peak


def _peak_bytes(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def seconds_to_import() -> float:
    """A process that does nothing but import torch."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - began


def forget_training(folder: Path) -> None:
    """Leaves the tokens and takes the training away."""
    shutil.rmtree(folder / "run/pretrain")


def move_on(folder: Path) -> None:
    """Makes the newest checkpoint one of step 1,000,000, and the log as short as it would be without the others."""
    from myna import files

    training = folder / "run/pretrain/encoder"
    newest = max((training / "checkpoints").glob("step-*"))
    state = json.loads((newest / "state.json").read_text(encoding="utf-8"))
    state |= {"step": STEP, "tokens": STEP * 1024}
    (newest / "state.json").write_text(json.dumps(state), encoding="utf-8")
    (newest / "manifest.json").unlink()
    manifest = json.dumps({"files": files.manifest(newest)}, ensure_ascii=False, sort_keys=True, indent=1)
    (newest / "manifest.json").write_text(manifest + "\n", encoding="utf-8")
    newest.rename(newest.with_name(f"step-{STEP:08d}"))
    (training / "metrics.jsonl").write_text("", encoding="utf-8")


def measure(name: str, folder: Path, repeats: int) -> dict[str, Any]:
    """Alternates the row's start with importing torch alone, and gives the medians."""
    from myna.training.machine import matrix_gflops

    ours, imports, peak = [], [], 0
    for _ in range(repeats):
        forget_training(folder)
        if name == "resume":
            seconds_to_a_step(folder, 1)
            move_on(folder)
        seconds, used = seconds_to_a_step(folder, STEP + 1 if name == "resume" else 1)
        ours.append(seconds)
        imports.append(seconds_to_import())
        peak = max(peak, used)
    return {
        "name": name,
        "ours": round(statistics.median(ours), 2),
        "peer": round(statistics.median(imports), 2),
        "peer_name": "importing torch alone",
        "unit": "s",
        "ratio": round(statistics.median(a / b for a, b in zip(ours, imports, strict=True)), 2),
        "ours_peak_bytes": peak,
        "peer_peak_bytes": 0,
        "matrix_gflops": round(matrix_gflops(), 1),
    }


ROWS = ("first-step", "resume")


def main() -> None:
    """Runs the rows asked for."""
    parser = pairs.options(__doc__, ROWS)
    parser.add_argument("--documents", type=int, default=3000, help="texts of the store (default 3000)")
    given = parser.parse_args()
    # As in any run: what this process was started with is the runs' too.
    os.environ.pop("OMP_WAIT_POLICY", None)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_recipe(folder, given.documents)
        seconds_to_a_step(folder, 1)  # The tokens are made, and all that is read lies in the cache.
        for name in [given.row] if given.row else ROWS:
            row = measure(name, folder, given.repeats)
            spare = f"{row['peer_name']} {row['peer']:.2f} s; {row['ours_peak_bytes'] / 2**20:,.0f} MiB at most"
            print(json.dumps(row) if given.json else f"{name}: {row['ours']:.2f} s; {spare}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
