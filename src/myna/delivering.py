"""What ``myna finetune`` puts into a run's own folder when the run is done: the model, and its answers to the test.

They are copies, and never stand beside settings that they are not of: what another command put there is taken away
before the first stage runs. Each stage's own folder keeps what it has until there is something new.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from myna import files
from myna.composing import Composed, rows_of
from myna.stages import Stage

# Says what was delivered: the fingerprint of the evaluation, on which all of it depends, and the sizes of the files.
_MARK = ".delivered.json"
# Notes of a corpus's ledger on what was mended while it was read.
_REPAIRS = ("byte-order marks passed over", "numbers in full-width digits read as plain ones")


def withdraw(composed: Composed, run: Path, planned: Sequence[Stage]) -> None:
    """Takes away what was delivered of other settings or examples than those of the ``planned`` stages.

    A run that another process has taken is a :class:`~myna.errors.RunError`.
    """
    (fingerprint,) = (stage.fingerprint for stage in planned if stage.key == f"evaluate.{composed.name}")
    if not any((run / name).exists() for name in ("model", "predictions.jsonl")) or _is_there(run, fingerprint):
        return
    with files.lock(run):
        for name in (_MARK, "predictions.jsonl", "model"):
            files.remove(run / name)


def deliver(composed: Composed, run: Path) -> None:
    """Puts the model of a run that is done, and its predictions for the test examples, into the run's own folder.

    The predictions of a test file are one for each of its rows, in their order. Where all of it is there, nothing is
    done. A run that another process has taken by now is a :class:`~myna.errors.RunError`.
    """
    with files.lock(run):
        fingerprint = files.read_object(run / "evaluate" / composed.name / "stage.json")["fingerprint"]
        if _is_there(run, fingerprint):
            return
        files.remove(run / _MARK)
        _deliver(composed, run)
        made = [run / "predictions.jsonl", *(path for path in (run / "model").rglob("*") if path.is_file())]
        sizes = {path.relative_to(run).as_posix(): path.stat().st_size for path in made}
        files.write_json(run / _MARK, {"fingerprint": fingerprint, "files": sizes})


def _is_there(run: Path, fingerprint: str) -> bool:
    mark = files.read_object(run / _MARK) if (run / _MARK).is_file() else {}
    return mark.get("fingerprint") == fingerprint and all(
        (run / name).is_file() and (run / name).stat().st_size == size for name, size in mark["files"].items()
    )


def _deliver(composed: Composed, run: Path) -> None:
    stage = run / "finetune" / composed.name
    with files.new_folder(run / "model") as place:
        files.copy_folder(stage / "model", place)
    if composed.test is None:
        judged = run / "evaluate" / composed.name / "predictions.jsonl"
        files.write_bytes(run / "predictions.jsonl", judged.read_bytes())
        return
    from myna.evaluation.judging import line_of
    from myna.inference.loaded import load
    from myna.inference.predict import predictions

    loaded = load(run / "model")
    examples = [loaded.task_example(row, Path(composed.test.path)) for row in rows_of(composed.test)]
    items = loaded.task.items(examples)
    lines = (
        json.dumps(line_of(example, said), ensure_ascii=False)
        for example, said in zip(items.examples, predictions(loaded.model, loaded.task, items), strict=True)
    )
    files.write_text(run / "predictions.jsonl", "".join(f"{line}\n" for line in lines))


def repairs(run: Path) -> list[str]:
    """What was mended in the files of a run, with how often, a line each."""
    path = run / "corpus" / "examples" / "stage.json"
    notes = files.read_object(path)["ledger"]["notes"] if path.is_file() else {}
    return [f"{what}: {notes[what]}" for what in _REPAIRS if notes.get(what)]
