"""``kill -9`` of one of the two processes of a run, at any instant: the other ends too, and the run goes on."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from .command import Ground, checkpoint_seconds, ends_within, go_on_to_the_end, kill, start, went_well
from .material import TRAININGS, check_artefacts, stage_at
from .trials import Outcome, Part

PROCESSES, KILLS = 2, 2
# The longest that a process may take to notice that the other one is gone.
_SECONDS_TO_NOTICE = 60.0


def one_killed(ground: Ground, place: Path, number: int, draw: random.Random) -> Outcome:
    """Kills one process of a run and later another; the run goes on to its end in two processes and is compared."""
    folder, figures, kills = place / "run", Counter[str](), 0
    seconds = checkpoint_seconds(draw)
    while kills < KILLS:
        started = start(ground, folder, seconds)
        while started.runs and not started.met:
            time.sleep(0.01)
        if ends_within(started, draw.uniform(0, ground.seconds)) or not started.runs:
            figures["completions"] += 1
            wrong = went_well(ground, folder, started)
            if wrong:
                return Outcome(KILLS, wrong, figures)
            shutil.rmtree(folder)
            continue
        rank = draw.randrange(PROCESSES)
        started.processes[rank].kill()
        kills += 1
        figures[f"process {rank} in {stage_at(folder)}"] += 1
        if not ends_within(started, _SECONDS_TO_NOTICE):
            kill(started)
            return Outcome(KILLS, f"process {rank} was killed, and the other did not end", figures)
        if folder.exists():
            check_artefacts(folder)
    figures["completions"] += 1
    return Outcome(KILLS, go_on_to_the_end(ground, folder), figures)


def refused() -> str:
    """Says why there cannot be several processes, or nothing."""
    return "" if find_spec("myna.training.processes") else "this version trains in one process"


PARTS = tuple(
    Part(
        name,
        f"kill -9 of one of two processes under {name} at random instants, gone on with to the end",
        20 // KILLS,
        1,
        one_killed,
        refused,
        PROCESSES,
        tuple(f"{stage.replace('/', '.')}.parallel={name}" for stage in TRAININGS),
        brief=0,
    )
    for name in ("ddp", "fsdp")
)
