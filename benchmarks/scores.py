"""What models score: recipes run with several seeds, their scores gathered into files and tables of the repository.

    python benchmarks/scores.py [--row NAME] [--to DIR] [--at-a-time N]

A row (``score_tables.py`` has all) is a recipe, of ``benchmarks/scores`` or of ``examples``, and its seeds. Each seed
is a run of its own (``DIR/NAME-SEED``), on one thread, as many side by side as there are processors; what is done is
not done again, and what was cut off goes on. Where a recipe starts from the model of another one's run
(``runs/encoder-chinese/…``), that one is run first, once for all rows (``DIR/encoder-chinese``). Every seed that ends
is written to ``benchmarks/scores/NAME.json`` with its commit and the machine's matrix rate, and the table between
``<!-- SCORES NAME -->`` and ``<!-- /SCORES NAME -->`` in the row's page is made anew.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pages
from score_tables import ROOT, ROWS, Row, table
from written_samples import samples_of

from myna import files
from myna.evaluation.gathering import count_parameters

FOLDER = ROOT / "benchmarks" / "scores"


def in_order(rows: Iterable[Row]) -> list[Row]:
    """The rows, each once, and before each those whose models it takes."""
    ordered: dict[str, Row] = {}
    for row in rows:
        taken = in_order(ROWS[name] for name, _ in row.taken().values())
        ordered |= {each.name: each for each in (*taken, row) if each.name not in ordered}
    return list(ordered.values())


def settings_of(row: Row, seed: int, to: Path) -> list[str]:
    """What is set in the row's recipe: its seed, and where the models of other runs lie."""
    places = {setting: (to / name / place).absolute() for setting, (name, place) in row.taken().items()}
    return [f"seed={seed}", *(f"{setting}={json.dumps(str(place))}" for setting, place in places.items())]


def _run(row: Row, seed: int, to: Path, commit: str) -> dict[str, Any]:
    """One seed, done or gone on with: its scores, its matrix rate, and for each model its size and speed."""
    folder = to / row.folder(seed)
    command = [sys.executable, "-m", "myna", "run", str(row.path), "--to", str(folder), "--json"]
    for setting in settings_of(row, seed, to):
        command += ["--set", setting]
    log = to / f"{row.folder(seed)}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(log, "w", encoding="utf-8") as stream:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=stream, text=True)
    if done.returncode:
        raise SystemExit(f"{row.name}, seed {seed}: the run ended with {done.returncode}; see {log}")
    judged = json.loads(done.stdout)["scores"]
    for _, stage, _ in row.lines:
        if stage not in judged:  # A point of a curve.
            judged[stage] = json.loads((folder / "evaluate" / stage / "scores.json").read_text())
    scores = {stage: {name: _figure(figure) for name, figure in metrics.items()} for stage, metrics in judged.items()}
    for stage, metrics in scores.items():
        details = json.loads((folder / "evaluate" / stage / "details.json").read_text())
        for name, paired in details.get("differences", {}).items():
            for simple, difference in paired.items():
                metrics[name]["baselines"][simple]["difference"] = difference
    trained = [
        place.parent for kind in ("pretrain", "finetune") for place in sorted(folder.glob(f"{kind}/*/machine.json"))
    ]
    rates = [json.loads((place / "machine.json").read_text())["matrix_gflops"] for place in trained]
    models = {place.name: _size_and_speed(place) for place in trained if place.parent.name == "pretrain"}
    samples = {
        stage: samples_of(folder / "evaluate" / stage / "predictions.jsonl", not row.free) for stage in row.samples
    }
    told = {"commit": commit, "matrix_gflops": statistics.median(rates), "models": models, "scores": scores}
    return told | ({"samples": samples} if samples else {})


def _figure(figure: Mapping[str, Any]) -> dict[str, Any]:
    """A score as it is kept: its value and interval, and those of the simple methods."""
    kept: dict[str, Any] = {key: figure[key] for key in ("value", "low", "high")}
    return kept | {"baselines": {name: dict(other) for name, other in figure.get("baselines", {}).items()}}


def _size_and_speed(place: Path) -> dict[str, Any]:
    last = json.loads((place / "metrics.jsonl").read_text().splitlines()[-1])
    return {
        "parameters": count_parameters(place / "model" / "model.safetensors"),
        "tokens": last["tokens"],
        "tokens_per_second": round(last["tokens"] / last["seconds"]),
    }


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


def _all_ended(rows: Sequence[Row], to: Path, at_a_time: int, commit: str) -> Iterator[tuple[Row, int, dict[str, Any]]]:
    """Each seed when it ends. A row begins when all rows that it takes models from are done."""
    left = {row.name: len(row.seeds) for row in rows}
    begun: set[str] = set()
    with ThreadPoolExecutor(at_a_time) as pool:
        running: dict[Any, tuple[Row, int]] = {}
        while any(left.values()):
            for row in rows:
                if row.name not in begun and not any(left[name] for name, _ in row.taken().values()):
                    begun.add(row.name)
                    running |= {pool.submit(_run, row, seed, to, commit): (row, seed) for seed in row.seeds}
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                row, seed = running.pop(ended)
                left[row.name] -= 1
                yield row, seed, ended.result()


def main() -> None:
    """Does the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--row", choices=ROWS, help="only this row")
    parser.add_argument("--to", type=Path, default=Path("runs/scores"), metavar="DIR")
    parser.add_argument("--at-a-time", type=int, default=os.cpu_count() or 1, metavar="N", help="runs side by side")
    given = parser.parse_args()
    rows = in_order([ROWS[given.row]] if given.row else ROWS.values())
    for row in rows:
        pages.place(row.page, f"SCORES {row.name}")
    commit = pages.commit()  # now: the results that are written on the way change the tree
    for row, seed, result in _all_ended(rows, given.to, given.at_a_time, commit):
        _keep(row, seed, result)
        print(f"{row.name}, seed {seed}: done", flush=True)


if __name__ == "__main__":
    main()
