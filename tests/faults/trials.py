"""Trials: what is done to a run again and again, each time otherwise, and how often it held."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .command import Ground


@dataclass(frozen=True)
class Outcome:
    """What came of a trial: how many faults, what did not hold (nothing: all did), and figures to add up."""

    faults: int
    wrong: str = ""
    figures: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As it is kept; ``Outcome(**…)`` reads it."""
        return {"faults": self.faults, "wrong": self.wrong, "figures": dict(self.figures)}


@dataclass(frozen=True)
class Part:
    """A kind of fault. ``trial`` gets the ground, an empty place of its own, its number and its draws.

    ``trials`` are made, or ``quick`` of them, or ``brief``. ``refused`` says why there can be none on this machine.
    ``processes`` and ``changes`` of the recipe are those of all its runs.
    """

    name: str
    what: str
    trials: int
    quick: int
    trial: Callable[[Ground, Path, int, random.Random], Outcome]
    refused: Callable[[], str] = lambda: ""
    processes: int = 1
    changes: tuple[str, ...] = ()
    brief: int = 1


def do_part(
    part: Part, ground: Callable[[], Ground], folder: Path, seed: int, count: int, pool: Executor, source: str
) -> dict[str, Any]:
    """Makes those of the first ``count`` trials of a part that were not made yet, in ``pool``, which parts can share,
    and gives what came of all.

    Each is a function of ``seed`` and its number; what comes of it is kept at once in a line of ``NAME.jsonl``, under a
    first line that says what was tried (``source``: which code), so that a part that was broken off goes on.
    """
    began, log = time.monotonic(), folder / f"{part.name}.jsonl"
    outcomes = _kept(log, {"source": source, "seed": seed})
    due = [number for number in range(count) if number not in outcomes]
    refused = part.refused() if due else ""
    if refused:
        print(f"{part.name}: not tried here: {refused}", flush=True)
        return {"what": part.what, "not_tried": refused}
    if due:
        print(f"{part.name}: {part.what}", flush=True)
        places = folder / part.name
        shutil.rmtree(places, ignore_errors=True)
        places.mkdir()
        for number, outcome in _made(part, pool.submit(ground).result(), places, due, seed, pool):
            outcomes[number] = outcome
            with open(log, "a", encoding="utf-8") as stream:
                stream.write(json.dumps({"number": number, **outcome.to_dict()}) + "\n")
            _say(part, outcomes, count, outcome)
        with contextlib.suppress(OSError):
            places.rmdir()
    summary = _summary(part, [outcomes[number] for number in range(count)])
    print(f"{part.name}: {summary['held']} of {summary['faults']} held, {summary['figures']}", flush=True)
    return {**summary, "trials": count, "of": part.trials, "seconds": round(time.monotonic() - began)}


def _made(
    part: Part, ground: Ground, places: Path, due: list[int], seed: int, pool: Executor
) -> Iterator[tuple[int, Outcome]]:
    waiting = {pool.submit(_trial, part, ground, places / str(number), number, seed): number for number in due}
    for done in as_completed(waiting):
        yield waiting[done], done.result()


def _trial(part: Part, ground: Ground, place: Path, number: int, seed: int) -> Outcome:
    place.mkdir()
    try:
        outcome = part.trial(ground, place, number, random.Random(f"{seed} {part.name} {number}"))
    except Exception as error:  # Whatever it is, it is told, and the other trials go on.
        return Outcome(1, f"{type(error).__name__}: {error}")
    # What did not hold stays to be looked at.
    if not outcome.wrong:
        shutil.rmtree(place)
    return outcome


def _kept(log: Path, head: Mapping[str, Any]) -> dict[int, Outcome]:
    """The outcomes of trials that were made before, of the same code and seed; else the log begins anew."""
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
    first, whole = json.dumps(head) + "\n", [line for line in lines[1:] if line.endswith("}\n")]
    if lines[:1] != [first]:
        whole = []
    log.write_text("".join([first, *whole]), encoding="utf-8")
    entries = [json.loads(line) for line in whole]
    return {entry.pop("number"): Outcome(**entry) for entry in entries}


def _say(part: Part, outcomes: Mapping[int, Outcome], count: int, outcome: Outcome) -> None:
    summary = _summary(part, list(outcomes.values()))
    line = f"  {part.name}: trial {len(outcomes)} of {count}, {summary['held']} of {summary['faults']} held"
    if outcome.wrong:
        print(f"  {part.name}: {outcome.wrong}", file=sys.stderr, flush=True)
    if sys.stdout.isatty():
        print(f"\r{line}", end="\n" if len(outcomes) == count else "", flush=True)
    elif len(outcomes) % max(1, count // 10) == 0:
        print(line, flush=True)


def _summary(part: Part, outcomes: list[Outcome]) -> dict[str, Any]:
    figures: Counter[str] = Counter()
    for outcome in outcomes:
        figures.update(outcome.figures)
    faults = sum(outcome.faults for outcome in outcomes)
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    return {
        "what": part.what,
        "faults": faults,
        "held": faults - sum(outcome.faults for outcome in wrong),
        "figures": dict(sorted(figures.items())),
        "wrong": [outcome.wrong for outcome in wrong],
    }
