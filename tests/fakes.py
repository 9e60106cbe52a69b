"""Stages that take no time: each writes a file or two, says what it did, and can be made to fail."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from myna import files, kinds, stages
from myna.kinds import Kind, Report
from myna.ledger import Ledger
from myna.recipe import Recipe


class FakeStages:
    """``done`` are the keys of the stages that ran, in their order; ``before[key]`` is called when one has begun."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.before: dict[str, Callable[[Path], None]] = {}

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fakes = tuple(dataclasses.replace(kind, work=self._work(kind)) for kind in kinds.KINDS)
        monkeypatch.setattr(kinds, "KINDS", fakes)
        monkeypatch.setattr(stages, "KINDS", fakes)

    def _work(self, kind: Kind) -> Callable[[Recipe, Path, str, Path, Report], Ledger]:
        def work(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
            key = f"{kind.name}.{name}" if name else kind.name
            ledger = Ledger()
            ledger.came_in(documents=2)
            ledger.kept(documents=1)
            ledger.dropped("copy", documents=1)
            report("working", 0.5)
            self.before.get(key, lambda folder: None)(folder)
            if kind.resumes:
                self._train(folder)
            elif kind.makes:
                files.write_text(folder / "report.html", "<html>")
                files.write_json(folder / "scores.json", SCORES)
            else:
                (folder / "result.txt").write_text(key, encoding="utf-8")
            self.done.append(key)
            return ledger

        return work

    def _train(self, folder: Path) -> None:
        """Three steps, each with a checkpoint; goes on after the last one that is there."""
        for step in (1, 2, 3):
            if not (folder / "checkpoints" / f"step-{step}").exists():
                with files.new_folder(folder / "checkpoints" / f"step-{step}") as place:
                    (place / "weights").write_text(str(step), encoding="utf-8")
        files.write_text(folder / "metrics.jsonl", json.dumps({"step": 3, "seconds": 120.0}) + "\n")
        with files.new_folder(folder / "model") as place:
            (place / "config.json").write_text("{}", encoding="utf-8")


SCORES = {
    "sentiment": {
        "accuracy": {
            "value": 0.81,
            "low": 0.79,
            "high": 0.83,
            "examples": 100,
            "baselines": {"majority": {"value": 0.5, "low": 0.4, "high": 0.6}},
        }
    }
}
