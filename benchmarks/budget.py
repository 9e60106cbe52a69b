"""What a budget makes of a time, beside the demo's own recipe cut to the same time.

    python benchmarks/budget.py [--minutes 5 15 45] [--to DIR] [--threads N] [--at-a-time N] [--write]

Both sides are ``examples/chinese-news/recipe.toml``: the same text, tokenizers, seed and judging. *budget* is
``myna run --budget Nm`` of it without what a budget chooses: its pre-trainings name no model, no batch and no rate.
*demo* is the recipe as it stands, its lengths scaled by one number, so that its trainings take as long; how fast
they are here is measured first, by a run of a quarter of its lengths. With ``--at-a-time 2`` the two sides of a time
run side by side, each with its own ``--threads``: what else a machine does then is the same for both.

Time is the sum of the four trainings' stages. All runs lie in DIR, and what is done is not done again; one that is cut
off is gone on with, but its time is then that of its last sitting alone. *Not worse* is a score whose difference does
not lie on the worse side with all of its interval: paired over the test texts; of bits per character both intervals
would have to be apart. ``--write`` puts the table into ``docs/planning.md`` and the figures into
``benchmarks/budget.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pages

from myna import files, toml

RECIPE = pages.ROOT / "examples" / "chinese-news" / "recipe.toml"
TRAININGS = ("pretrain.encoder", "pretrain.decoder", "finetune.sentiment", "finetune.entities")
# What a budget chooses where a table does not say it.
CHOSEN = ("preset", "model", "batch_tokens", "learning_rate")
LENGTHS = ("tokens", "epochs")
# The share of the demo's lengths by which its speed is measured.
MEASURED_SHARE = 0.25
# How far from the time asked for a budget may end.
BOUND = 0.10
# Stage, metric, heading, and whether more is better.
SCORES = (
    ("sentiment", "accuracy", "sentiment accuracy", True),
    ("entities", "entity_f1", "entity F1", True),
    ("decoder", "bits_per_character", "bits per character", False),
)


def demo(scale: float = 1.0) -> dict[str, Any]:
    """The demo's recipe with all its lengths times ``scale``."""
    recipe = tomllib.loads(RECIPE.read_text(encoding="utf-8"))
    for kind in ("pretrain", "finetune"):
        for table in recipe[kind].values():
            for length in LENGTHS:
                if length in table:
                    table[length] = round(table[length] * scale) if length == "tokens" else table[length] * scale
    return recipe


def left_open() -> dict[str, Any]:
    """The demo's recipe without what a budget chooses."""
    recipe = demo()
    for table in recipe["pretrain"].values():
        for name in (*CHOSEN, *LENGTHS):
            table.pop(name, None)
        table["budget"] = "1m"  # what is asked for is shared among all trainings in its place
    return recipe


def run(recipe: Mapping[str, Any], folder: Path, threads: int, budget: str | None = None) -> None:
    """Does what of a run is not done yet; its log lies beside it."""
    path, log = folder.with_suffix(".toml"), folder.with_suffix(".log")
    folder.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, toml.write(dict(recipe)))
    command = [sys.executable, "-m", "myna", "run", str(path), "--to", str(folder)]
    command += [] if budget is None else ["--budget", budget]
    with open(log, "a", encoding="utf-8") as stream:
        done = subprocess.run(
            command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, stdout=stream, stderr=stream, check=False
        )
    if done.returncode:
        raise SystemExit(f"{folder} ended with {done.returncode}; see {log}")


def read(folder: Path) -> dict[str, Any]:
    """What the trainings of a run took and what it scores."""
    seconds, trained, models = dict[str, float](), dict[str, float](), dict[str, Any]()
    for key in TRAININGS:
        place = folder / key.replace(".", "/")
        last = json.loads((place / "metrics.jsonl").read_text().splitlines()[-1])
        seconds[key] = json.loads((place / "stage.json").read_text())["seconds"]
        trained[key] = last["seconds"]
        choice = place / "choice.json"
        models[key] = {
            "tokens": last["tokens"],
            "matrix_gflops": json.loads((place / "machine.json").read_text())["matrix_gflops"],
            **({"chosen": json.loads(choice.read_text())["why"]} if choice.exists() else {}),
        }
    return {"seconds": seconds, "trained": trained, "trainings": models, "scores": _scores(folder)}


def _scores(folder: Path) -> dict[str, Any]:
    found = {}
    for stage, metric, _, _ in SCORES:
        judged = json.loads((folder / "evaluate" / stage / "scores.json").read_text())
        found[stage] = {key: judged[metric][key] for key in ("value", "low", "high")}
    return found


def scale_for(seconds: float, measured: Mapping[str, Any]) -> float:
    """By how much the demo's lengths are scaled to take so long: what is not steps takes as long as it did."""
    steps = sum(measured["trained"].values())
    beside = sum(measured["seconds"].values()) - steps
    return max(seconds - beside, seconds / 10) / steps * MEASURED_SHARE


def judged(folders: Mapping[str, Path], found: Mapping[str, Any]) -> dict[str, Any]:
    """For each score how much higher the budget's is, and whether it is not worse."""
    from myna.evaluation.comparing import compare

    result = {}
    for stage, metric, _, more in SCORES:
        places = [folders[side] / "evaluate" / stage for side in ("demo", "budget")]
        sides = [found[side]["scores"][stage] for side in ("demo", "budget")]
        apart = {
            "value": sides[1]["value"] - sides[0]["value"],
            "low": sides[1]["low"] - sides[0]["high"],
            "high": sides[1]["high"] - sides[0]["low"],
        }
        if stage != "decoder":
            (both,) = compare(places[:1], places[1:])
            apart = {key: both["scores"][metric]["difference"][key] for key in apart}
        result[stage] = {**apart, "not_worse": apart["high"] >= 0 if more else apart["low"] <= 0}
    return result


def measure(minutes: Sequence[float], to: Path, threads: int, at_a_time: int) -> dict[str, Any]:
    """Both sides of each time."""
    run(demo(MEASURED_SHARE), to / "measured", threads)
    measured = read(to / "measured")
    times: dict[str, Any] = {}
    for asked in minutes:
        folders = {side: to / f"{side}-{asked:g}m" for side in ("budget", "demo")}
        recipe = folders["demo"].with_suffix(".toml")
        # The scale of a run that was begun is kept, whatever would be measured now.
        own = tomllib.loads(recipe.read_text()) if recipe.exists() else demo(scale_for(60 * asked, measured))
        with ThreadPoolExecutor(at_a_time) as pool:
            waiting = [
                pool.submit(run, left_open(), folders["budget"], threads, f"{asked:g}m"),
                pool.submit(run, own, folders["demo"], threads),
            ]
            for each in waiting:
                each.result()
        found = {side: read(folder) for side, folder in folders.items()}
        took = {side: sum(found[side]["seconds"].values()) for side in found}
        times[f"{asked:g}"] = {
            **found,
            "took": took,
            "in_time": abs(took["budget"] / (60 * asked) - 1) <= BOUND,
            "difference": judged(folders, found),
        }
    return times


def cells(asked: str, entry: Mapping[str, Any]) -> list[str]:
    """The cells of a time in the table."""
    took = [f"{entry['took'][side] / 60:.1f} min" for side in ("budget", "demo")]
    figures = []
    for stage, _, _, more in SCORES:
        scale, digits = (100, 1) if more else (1, 2)
        said = []
        for side in ("budget", "demo"):
            value, low, high = (scale * entry[side]["scores"][stage][key] for key in ("value", "low", "high"))
            said.append(f"{value:.{digits}f} ({low:.{digits}f} – {high:.{digits}f})")
        figures.append(f"**{said[0]}**, {said[1]}")
    worse = [heading for stage, _, heading, _ in SCORES if not entry["difference"][stage]["not_worse"]]
    late = "" if entry["in_time"] else "not in time; "
    return [f"{asked} min", *took, *figures, late + (f"worse in {', '.join(worse)}" if worse else "not worse")]


HEADINGS = ["asked", "took", "the demo's took", *(f"{heading}: budget, demo" for _, _, heading, _ in SCORES), ""]


def main() -> None:
    """Does the times asked for and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[5, 15, 45], metavar="N")
    parser.add_argument("--to", type=Path, default=Path("runs/budget"), metavar="DIR")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each side")
    parser.add_argument("--at-a-time", type=int, default=1, choices=[1, 2], help="sides of a time run side by side")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument("--write", action="store_true", help="also into docs/planning.md and benchmarks/budget.json")
    given = parser.parse_args()
    commit = pages.commit()  # now: what is written changes the tree
    times = measure(given.minutes, given.to, given.threads, given.at_a_time)
    command = f"python benchmarks/budget.py --minutes {' '.join(times)} --threads {given.threads}"
    command += f" --at-a-time {given.at_a_time}" if given.at_a_time > 1 else ""
    content = {"command": command, "commit": commit, "times": times}
    table = pages.markdown(HEADINGS, [cells(asked, entry) for asked, entry in times.items()])
    print(json.dumps(content) if given.json else table, end="\n" if given.json else "")
    if given.write:
        files.write_text(Path(__file__).with_suffix(".json"), json.dumps(content, indent=1) + "\n")
        pages.show("docs/planning.md", "BUDGET", f"{table}\n`{command}`, commit {commit}.\n")


if __name__ == "__main__":
    main()
