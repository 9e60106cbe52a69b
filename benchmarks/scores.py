"""What models score: recipes run with several seeds, their scores gathered into files and tables of the repository.

    python benchmarks/scores.py [--row NAME] [--to DIR] [--at-a-time N]

A row is a recipe of ``benchmarks/scores`` and its seeds. Each seed is a run of its own (``DIR/NAME-SEED``), on one
thread, as many side by side as there are processors; what is done is not done again, and what was cut off goes on.
Every seed that ends is written to ``benchmarks/scores/NAME.json`` with its commit and the machine's matrix rate, and
the table between ``<!-- SCORES NAME -->`` and ``<!-- /SCORES NAME -->`` in the row's page is made anew.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pages

from myna import files
from myna.evaluation.gathering import count_parameters

FOLDER = Path(__file__).parent / "scores"


@dataclass(frozen=True)
class Row:
    """A recipe of ``benchmarks/scores`` by its name, the page that shows it, and its columns.

    A line of the table is a ``[pretrain.NAME]`` of the recipe. A column is a heading, the stage that is judged (``*``
    stands for the line's name), and the metric there.
    """

    name: str
    page: str
    columns: Sequence[tuple[str, str, str]]
    seeds: Sequence[int] = (1, 2, 3)


ROWS = {
    row.name: row
    for row in (
        Row(
            "encoders",
            "docs/models.md",
            [("perplexity at masked positions", "*", "perplexity"), ("entity F1", "entities-*", "entity_f1")],
        ),
        Row(
            "decoders",
            "docs/models.md",
            [("bits per character", "*", "bits_per_character"), ("entity F1", "entities-*", "entity_f1")],
        ),
    )
}


def _run(row: Row, seed: int, folder: Path, commit: str) -> dict[str, Any]:
    """One seed, done or gone on with: its scores, its matrix rate, and for each model its size and speed."""
    command = [sys.executable, "-m", "myna", "run", str(FOLDER / f"{row.name}.toml"), "--set", f"seed={seed}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    log = folder.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as stream:
        done = subprocess.run(
            [*command, "--to", str(folder), "--json"], env=environment, stdout=subprocess.PIPE, stderr=stream, text=True
        )
    if done.returncode:
        raise SystemExit(f"{row.name}, seed {seed}: the run ended with {done.returncode}; see {log}")
    scores = {
        stage: {name: {key: figure[key] for key in ("value", "low", "high")} for name, figure in metrics.items()}
        for stage, metrics in json.loads(done.stdout)["scores"].items()
    }
    models, rates = {}, []
    for place in sorted(folder.glob("pretrain/*")):
        last = json.loads((place / "metrics.jsonl").read_text().splitlines()[-1])
        machine = json.loads((place / "machine.json").read_text())
        rates.append(machine["matrix_gflops"])
        models[place.name] = {
            "parameters": count_parameters(place / "model" / "model.safetensors"),
            "tokens": last["tokens"],
            "tokens_per_second": round(last["tokens"] / last["seconds"]),
        }
    return {"commit": commit, "matrix_gflops": statistics.median(rates), "models": models, "scores": scores}


def _figure(row: Row, seeds: Mapping[str, Any], stage: str, metric: str) -> str:
    """The mean of the seeds, the lowest and the highest, and the mean of their 95 % intervals."""
    found = [seed["scores"][stage][metric] for seed in seeds.values()]
    scale, digits = (100, 1) if max(figure["value"] for figure in found) <= 1 else (1, 2)
    values, lows, highs = ([scale * figure[key] for figure in found] for key in ("value", "low", "high"))
    mean, low, high = (statistics.mean(part) for part in (values, lows, highs))
    return (
        f"**{mean:.{digits}f}** ({min(values):.{digits}f} – {max(values):.{digits}f}) | "
        f"{low:.{digits}f} – {high:.{digits}f}"
    )


def table(row: Row, content: Mapping[str, Any]) -> str:
    """The row's table in Markdown."""
    seeds = content["seeds"]
    headings = [
        "model",
        "parameters",
        "tokens/s",
        *(part for name, _, _ in row.columns for part in (name, "95 % interval")),
    ]
    rows = []
    for name in next(iter(seeds.values()))["models"]:
        models = [seed["models"][name] for seed in seeds.values()]
        speed = statistics.median(model["tokens_per_second"] for model in models)
        figures = [_figure(row, seeds, stage.replace("*", name), metric) for _, stage, metric in row.columns]
        rows.append([f"`{name}`", f"{models[0]['parameters']:,}", f"{speed:,.0f}", *figures])
    commits = sorted({seed["commit"] for seed in seeds.values()})
    rate = statistics.median(seed["matrix_gflops"] for seed in seeds.values())
    made = f"`{content['command']}`, seeds {', '.join(seeds)}, commit {', '.join(commits)}"
    return f"{pages.markdown(headings, rows)}\n{made}, one thread, matrix rate {rate:.0f} GFLOP/s.\n"


def _keep(row: Row, seed: int, result: Mapping[str, Any]) -> None:
    """Writes a seed's result down; one that was there with the same scores stays, with its commit."""
    path = FOLDER / f"{row.name}.json"
    content = json.loads(path.read_text()) if path.exists() else {"command": "", "seeds": {}}
    content["command"] = f"make scores ROW={row.name}"
    before = content["seeds"].get(str(seed))
    if before is None or before["scores"] != result["scores"]:
        content["seeds"][str(seed)] = dict(result)
    # A seed of before there was a column is made again, and says nothing until then.
    same = {key: each for key, each in content["seeds"].items() if each["scores"].keys() == result["scores"].keys()}
    content["seeds"] = dict(sorted(same.items(), key=lambda item: int(item[0])))
    files.write_text(path, json.dumps(content, indent=1) + "\n")
    pages.show(row.page, f"SCORES {row.name}", table(row, content))


def main() -> None:
    """Does the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--row", choices=ROWS, help="only this row")
    parser.add_argument("--to", type=Path, default=Path("runs/scores"), metavar="DIR")
    parser.add_argument("--at-a-time", type=int, default=os.cpu_count() or 1, metavar="N", help="runs side by side")
    given = parser.parse_args()
    rows = [ROWS[given.row]] if given.row else list(ROWS.values())
    commit = pages.commit()  # now: the results that are written on the way change the tree
    with ThreadPoolExecutor(given.at_a_time) as pool:
        waiting = {
            pool.submit(_run, row, seed, given.to / f"{row.name}-{seed}", commit): (row, seed)
            for row in rows
            for seed in row.seeds
        }
        for ended in as_completed(waiting):
            row, seed = waiting[ended]
            _keep(row, seed, ended.result())
            print(f"{row.name}, seed {seed}: done", flush=True)


if __name__ == "__main__":
    main()
