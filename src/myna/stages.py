"""The stages of a run: which are done, and doing those that are not.

A stage is done when its ``stage.json`` has the fingerprint that the recipe gives it now and its files are there. Stages
that prepare and judge write into a folder that becomes theirs when it is whole; those that train work in their own
folder and go on from their newest checkpoint.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from myna import files
from myna.errors import InputError, MynaError
from myna.fingerprints import KnownFiles, Record, difference
from myna.kinds import KINDS, Kind, Needs
from myna.ledger import Ledger
from myna.recipe import Recipe, read_recipe, to_toml
from myna.training import processes

State = Literal["done", "missing", "changed", "interrupted"]

# What of a training's folder is no result of it; the checkpoints may be cleared when it is done.
_NO_RESULT = ("checkpoints/", "started.json", "stage.json")


@dataclass(frozen=True)
class Stage:
    """A stage of a run: its ``key``, as ``pretrain.encoder``, its folder, its ``state`` and ``why`` it would run."""

    key: str
    kind: Kind
    folder: Path
    record: Record
    state: State
    why: str = ""

    @property
    def name(self) -> str:
        """The stage's own name, without its kind."""
        return self.key.partition(".")[2]

    @property
    def fingerprint(self) -> str:
        """The hash of all that the result depends on."""
        return self.record.fingerprint


class Observer:
    """Is told how a run goes. This one says nothing; see ``progress.py`` for those that do."""

    def begin(self, stage: Stage, number: int, count: int) -> None:
        """A stage begins, the ``number``-th of the ``count`` that run."""

    def report(self, stage: Stage, what: str, share: float) -> None:
        """The stage is at ``what``; ``share`` of it, from 0 to 1, is done."""

    def end(self, stage: Stage, seconds: float) -> None:
        """The stage is done."""

    def close(self) -> None:
        """The run ends, well or not."""


def plan(recipe: Recipe, folder: Path | str, known: KnownFiles | None = None) -> list[Stage]:
    """The stages of a recipe in the order in which they run, each with its state in a run's folder. Writes nothing.

    Raises an :class:`InputError` for a source that is not there.
    """
    folder = Path(folder)
    known = known or KnownFiles(folder / ".inputs.json")
    there = {_key(kind, name): (kind, name, needs) for kind in KINDS for name, needs in kind.stages(recipe).items()}
    stages: dict[str, Stage] = {}

    def place(key: str) -> None:
        """Puts a stage behind those that it reads, whose kind may come later: a teacher may be the best of seeds."""
        if key in stages:
            return
        kind, name, needs = there[key]
        for other in needs.inputs:
            place(other)
        stages[key] = _stage(kind, name, needs, folder, stages, known)

    for key in there:
        place(key)
    return list(stages.values())


def _key(kind: Kind, name: str) -> str:
    return f"{kind.name}.{name}" if name else kind.name


def run(
    recipe: Recipe | Path | str,
    to: Path | str | None = None,
    *,
    changes: Sequence[str] = (),
    fresh: bool = False,
    observer: Observer | None = None,
    until: str | None = None,
) -> Path:
    """Does every stage of a recipe that is not done, and gives the run's folder: ``to``, or ``runs/NAME``.

    ``changes`` are as those of :func:`~myna.recipe.read_recipe`; ``fresh`` does all stages anew; ``until`` is the key
    of the last stage that is done. Raises an :class:`InputError` for what is wrong with the recipe or its text, a
    :class:`~myna.errors.RunError` where the folder is in use or the disk is full; what was done by then stays. Of
    several processes (``training/processes.py``) the first does so, and the others take part in its trainings.
    """
    observer = observer or Observer()
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(recipe, changes)
    folder = run_folder(recipe, to)
    for kind in KINDS:
        kind.stages(recipe)  # A source that is not there is told before anything is written.
    with processes.joined() as group:
        if group.first:
            _run(recipe, folder, fresh, observer, until)
        else:
            _take_part(recipe, folder)
    return folder


def _take_part(recipe: Recipe, folder: Path) -> None:
    """Does no stage but takes part in the trainings of the process that does them, as long as that runs."""
    kinds = {kind.name: kind for kind in KINDS if kind.resumes}
    while (key := processes.announced()) is not None:
        kind, _, name = key.partition(".")
        kinds[kind].work(recipe, folder, name, folder / kind / name, lambda what, share: None)


def _run(recipe: Recipe, folder: Path, fresh: bool, observer: Observer, until: str | None) -> None:
    with files.lock(folder):
        files.sweep(folder)
        known = KnownFiles(folder / ".inputs.json")
        stages = plan(recipe, folder, known)
        known.save()
        _keep_recipe(recipe, folder)
        if until is not None:
            stages = stages[: 1 + [stage.key for stage in stages].index(until)]
        due = [stage for stage in stages if fresh or stage.state != "done"]
        _refuse_budgets(due)
        try:
            for number, stage in enumerate(due, 1):
                observer.begin(stage, number, len(due))
                observer.end(stage, _do(stage, recipe, folder, fresh, observer))
        except MynaError as error:
            if error.where is None:
                raise error.at(stage.key) from error
            raise
        finally:
            observer.close()


def _refuse_budgets(due: Sequence[Stage]) -> None:
    """Raises an :class:`InputError` where several processes would each choose by its own clock."""
    budgets = [stage.key for stage in due if stage.record.settings.get("budget") is not None]
    if budgets and processes.count() > 1:
        remedy = "start it without torchrun, or say how long in tokens, steps or epochs"
        raise InputError("a budget is for one process", where=budgets[0], remedy=remedy)


def run_folder(recipe: Recipe, to: Path | str | None = None) -> Path:
    """Where a run of a recipe lies; an :class:`InputError` where something else lies there."""
    folder = Path("runs") / recipe.name if to is None else Path(to)
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise InputError("this is a file; a run needs a folder", where=place, remedy="choose another with --to")
    # What a crash left is swept away at every start, and that must never be somebody's own files.
    if folder.is_dir() and not (folder / ".lock").exists() and any(folder.iterdir()):
        raise InputError("this folder holds other files, and no run", where=folder, remedy="choose another with --to")
    return folder


def _stage(kind: Kind, name: str, needs: Needs, folder: Path, before: Mapping[str, Stage], known: KnownFiles) -> Stage:
    record = Record(
        version=kind.version,
        settings=needs.settings,
        seed=needs.seed,
        inputs={key: before[key].fingerprint for key in needs.inputs},
        sources={name: known.sha256(path) for name, path in needs.sources},
    )
    place = folder / kind.name / name if name else folder
    state, why = _state(kind, place, record)
    return Stage(_key(kind, name), kind, place, record, state, why)


def _state(kind: Kind, folder: Path, record: Record) -> tuple[State, str]:
    """How far a stage is, and why it is not done."""
    done = _read(folder / "stage.json")
    if done.get("fingerprint") == record.fingerprint:
        lost = _lost(folder, done.get("files", {}))
        return ("changed", lost) if lost else ("done", "")
    if done:
        return _changed(kind, done, record, "")
    begun = _read(folder / "started.json") if kind.resumes else {}
    if begun.get("fingerprint") == record.fingerprint:
        return "interrupted", "it was begun and goes on"
    if begun:
        return _changed(kind, begun, record, "it was begun otherwise: ")
    return "missing", "it was not done yet"


def _changed(kind: Kind, old: Mapping[str, Any], record: Record, before: str) -> tuple[State, str]:
    """The state of a stage with another record on disk, which begins anew, or goes on where both begin alike."""
    what = before + difference(old, record)
    alike = all(old.get(name) == getattr(record, name) for name in ("version", "seed", "inputs", "sources"))
    why = kind.why_anew(old.get("settings") or {}, record.settings) if alike else ""
    if why is None:
        return "interrupted", f"{what}; it goes on where its stable part ended"
    return "changed", f"{what} ({why})" if why else what


def _read(path: Path) -> dict[str, Any]:
    """A record; a missing or damaged one is as good as none, for the stage then runs."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _lost(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Says which file of a manifest is not there, or not as long as it was; nothing where all are."""
    for name, entry in manifest.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != entry["bytes"]:
            return f"{name} has another size"
    return ""


def _keep_recipe(recipe: Recipe, folder: Path) -> None:
    path, text = folder / "recipe.toml", to_toml(recipe)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        files.write_text(path, text)


# -------------------------------------------------------------------------------------------------- doing one


def _do(stage: Stage, recipe: Recipe, folder: Path, fresh: bool, observer: Observer) -> float:
    """Does one stage, and gives the seconds that it took."""
    began, report = time.monotonic(), partial(observer.report, stage)
    if stage.kind.resumes:
        if fresh or stage.state != "interrupted":
            _start_over(stage)
        elif _read(stage.folder / "started.json").get("fingerprint") != stage.fingerprint:
            _take_over(stage)
        processes.announce(stage.key)
        ledger = stage.kind.work(recipe, folder, stage.name, stage.folder, report)
        seconds = max(time.monotonic() - began, _trained_seconds(stage.folder))
        _finish(stage, stage.folder, ledger, seconds)
    elif stage.kind.makes:
        ledger = stage.kind.work(recipe, folder, stage.name, stage.folder, report)
        seconds = time.monotonic() - began
        _finish(stage, stage.folder, ledger, seconds)
    else:
        with files.new_folder(stage.folder) as place:
            ledger = stage.kind.work(recipe, folder, stage.name, place, report)
            seconds = time.monotonic() - began
            _finish(stage, place, ledger, seconds)
    return seconds


def _start_over(stage: Stage) -> None:
    """Clears what another training left. Its model stays until the new one takes its place."""
    # First the file without which nothing here is gone on with: a crash halfway leaves nothing that looks begun.
    files.remove(stage.folder / "started.json")
    for path in sorted(stage.folder.iterdir()) if stage.folder.is_dir() else ():
        if path.name != "model":
            files.remove(path)
    files.write_json(stage.folder / "started.json", _described(stage))


def _take_over(stage: Stage) -> None:
    """Makes what another training began one of this, which begins alike."""
    files.write_json(stage.folder / "started.json", _described(stage))
    files.remove(stage.folder / "stage.json")


def _finish(stage: Stage, place: Path, ledger: Ledger, seconds: float) -> None:
    ledger.check()
    record = {**_described(stage), "ledger": ledger.to_dict(), "seconds": round(seconds, 3)}
    files.write_json(place / "stage.json", {**record, "files": _results(stage, place)})


def _results(stage: Stage, place: Path) -> dict[str, Any]:
    if stage.kind.makes:
        paths = {name: place / name for name in stage.kind.makes}
        return {n: {"bytes": path.stat().st_size, "sha256": files.sha256(path)} for n, path in paths.items()}
    return {name: entry for name, entry in files.manifest(place).items() if not name.startswith(_NO_RESULT)}


def _described(stage: Stage) -> dict[str, Any]:
    return {"key": stage.key, "fingerprint": stage.fingerprint, **asdict(stage.record)}


def _trained_seconds(folder: Path) -> float:
    """The time in training over all sittings, by the last line of the metrics."""
    try:
        last = (folder / "metrics.jsonl").read_bytes().splitlines()[-1]
        return float(json.loads(last)["seconds"])
    except (OSError, IndexError, ValueError, KeyError):
        return 0.0
