"""A fine-tuning of rows that lie in memory: what stands behind ``fit``, without scikit-learn.

It goes the way of ``myna finetune`` in a folder of its own that is removed: the rows become a file, the file a recipe,
and the recipe's stages run up to the model, whose files are what is given.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myna import files, stages, toml
from myna.composing import compose
from myna.errors import InputError, MynaError

if TYPE_CHECKING:
    from myna.inference.loaded import Loaded

Rows = Sequence[Mapping[str, Any]]
# What the folder of a saved estimator has beside the model's files.
ESTIMATOR = "estimator.json"
# Any of these says how long a training takes.
_LENGTHS = {"tokens", "steps", "epochs", "budget"}
_ROW = re.compile(r"(train|validation)\.jsonl(?::(\d+))?$")


def fit_model(
    task: str,
    model: str,
    rows: Rows,
    settings: Mapping[str, Any],
    validation: Rows | None = None,
    verbose: bool = False,
) -> dict[str, bytes]:
    """The files of the model that ``myna finetune TASK --model MODEL`` makes of the rows, by name.

    ``settings`` are what its ``--set`` takes, those that are None left out. No part of the rows is kept for a test.
    What is wrong with a row is an :class:`InputError` that names it by its number, counted from 1.
    """
    with tempfile.TemporaryDirectory(prefix="myna-fit-") as made:
        folder = Path(made)
        train = _write(rows, folder / "train.jsonl")
        others = None if validation is None else _write(validation, folder / "validation.jsonl")
        try:
            changes = ["corpus.examples.test=0", *_changes(settings)]
            composed = compose(task, model, train, others, changes=changes)
            # Not of the module's head: what is drawn for a terminal imports more than a fit needs.
            from myna import progress

            observer = progress.observer() if verbose else None
            key = f"finetune.{composed.name}"
            run = stages.run(composed.recipe, folder / "run", observer=observer, until=key)
        except MynaError as error:
            raise _told(error, made) from None
        return read_files(run / "finetune" / composed.name / "model")


def _write(rows: Rows, path: Path) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def _changes(settings: Mapping[str, Any]) -> list[str]:
    given = {name: value for name, value in settings.items() if value is not None}
    if len(given.keys() & _LENGTHS) > 1:
        given.pop("epochs", None)
    changes = []
    for name, value in given.items():
        try:
            changes.append(f"{name}={toml.inline(value)}")
        except TypeError:
            raise InputError(f"{name} is {value!r}, which is no setting", remedy="give plain values") from None
    return changes


def _told(error: MynaError, folder: str) -> MynaError:
    """The error as one who called ``fit`` reads it: rows by their number, settings by their names, no folder."""
    place = str(error.where or "")
    row = _ROW.search(place)
    number = error.line or (row and row[2])
    where: str | None = place
    if row:
        name = "text" if row[1] == "train" else "validation text"
        where = f"{name} {number}" if number else f"the {name}s"
    elif place.startswith("--"):
        where = re.sub(r"^--(?:set )?(?:finetune\.\w+\.)?", "", place)
    elif not place or place.startswith((folder, "finetune.", "corpus.", "tokenizer.")):
        where = None
    what, remedy = (text and text.replace("--validation", "validation") for text in (error.what, error.remedy))
    return type(error)(what or "", where=where, remedy=remedy)


def read_files(folder: Path) -> dict[str, bytes]:
    """The files of a model's folder by name, those of a folder within it (a summarizer's) as ``FOLDER/NAME``."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def write_files(content: Mapping[str, bytes], folder: Path) -> None:
    """Writes such files into a folder, all of them or none; one that was written so before is replaced.

    A folder that holds anything else is an :class:`InputError`, and stays as it is.
    """
    folder = folder.resolve()
    if folder.exists():
        files.check_folder(folder)
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        known = files.read_object(folder / "myna.json").get("files") if "myna.json" in there else ()
        other = min(there - {"myna.json", ESTIMATOR, *(known if isinstance(known, dict) else ())}, default=None)
        if other is not None or (there and ESTIMATOR not in there):
            what = (
                f"this folder holds other files ({other})"
                if other
                else "this folder holds a model that no estimator saved"
            )
            raise InputError(what, where=folder, remedy="give the name of a new folder")
    with files.new_folder(folder) as place:
        for name, data in content.items():
            (place / name).parent.mkdir(exist_ok=True)
            files.write_bytes(place / name, data)


def open_model(content: Mapping[str, bytes], where: Path | None = None) -> Loaded:
    """The model in such files, ready for use; ``where`` they are from, for errors."""
    from myna.inference.loaded import load

    with tempfile.TemporaryDirectory(prefix="myna-model-") as made:
        for name, data in content.items():
            (Path(made) / name).parent.mkdir(exist_ok=True)
            (Path(made) / name).write_bytes(data)
        try:
            loaded = load(made)
            _ = loaded.task  # What it reads of the folder is read while that is there.
            loaded.folder = where or loaded.folder
            return loaded
        except InputError as error:
            place = "" if error.where is None else Path(error.where).name
            known = where is not None and place in content
            raise (error if where is None else error.at(where / place if known else where)) from None
