"""What a run's folder holds, gathered for the report as plain values: nothing is computed, and no torch is imported."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from myna import files
from myna.errors import InputError

KINDS = ("corpus", "tokenizer", "tokens", "pretrain", "finetune", "evaluate")


@dataclass(frozen=True)
class StageFacts:
    """A stage that is done: its ``key`` (``pretrain.encoder``), its record ``stage.json``, and its size on disk."""

    kind: str
    name: str
    folder: Path
    record: Mapping[str, Any]
    bytes: int

    @property
    def key(self) -> str:
        """The stage's key, as ``pretrain.encoder``."""
        return f"{self.kind}.{self.name}"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return float(self.record.get("seconds") or 0)

    @property
    def ledger(self) -> Mapping[str, Any]:
        """The ledger as :meth:`myna.ledger.Ledger.to_dict` wrote it."""
        ledger: Mapping[str, Any] = self.record.get("ledger") or {}
        return ledger


@dataclass(frozen=True)
class ModelFacts:
    """A trained model: its stage, its curve, and what evaluation wrote of it (empty where there was none)."""

    stage: StageFacts
    parameters: int | None
    labels: tuple[str, ...]
    machine: Mapping[str, Any]
    curve: list[dict[str, Any]]
    validations: list[dict[str, Any]]
    scores: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    predictions: Path | None = None

    @property
    def name(self) -> str:
        """The stage's bare name, the key of the scores."""
        return self.stage.name

    @property
    def folder(self) -> Path:
        """The model's folder."""
        return self.stage.folder / "model"


def find_stages(run: Path, names: Mapping[str, Iterable[str]]) -> list[StageFacts]:
    """The stages of a run that are done, by kind, those of a kind as ``names`` has them.

    What is left of a stage that the recipe names no more is passed over.
    """
    found = []
    for kind in KINDS:
        for name in names.get(kind, ()):
            folder = run / kind / name
            if not (folder / "stage.json").is_file():
                continue
            record = files.read_object(folder / "stage.json")
            found.append(StageFacts(kind, name, folder, record, folder_bytes(folder)))
    return found


def find_models(run: Path, stages: Iterable[StageFacts]) -> list[ModelFacts]:
    """The models among the stages, each with what ``evaluate/NAME`` says of it."""
    models = []
    for stage in stages:
        if stage.kind not in ("pretrain", "finetune"):
            continue
        lines = list(read_lines(stage.folder / "metrics.jsonl"))
        facts = _read(stage.folder / "model" / "myna.json", {})
        place = run / "evaluate" / stage.name
        samples = _read(place / "samples.json", [])
        models.append(
            ModelFacts(
                stage=stage,
                parameters=count_parameters(stage.folder / "model" / "model.safetensors"),
                labels=tuple(facts.get("labels", ())),
                machine=_read(stage.folder / "machine.json", {}),
                curve=[line for line in lines if "loss" in line],
                validations=[line for line in lines if "validation" in line],
                scores=_read(place / "scores.json", {}),
                details=_read(place / "details.json", {}),
                samples=samples,
                predictions=place / "predictions.jsonl" if (place / "predictions.jsonl").is_file() else None,
            )
        )
    return models


def read_lines(path: Path) -> Iterable[dict[str, Any]]:
    """The objects of a JSONL file, none where there is no file; a broken line is an :class:`InputError`."""
    if not path.is_file():
        return
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise InputError(f"this line is damaged ({error})", where=path, line=number) from None


def count_parameters(path: Path) -> int | None:
    """How many numbers a safetensors file holds, by its header; None where there is no such file.

    The header's length stands in the first 8 bytes, its JSON behind them.
    """
    try:
        with open(path, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(length, os.fstat(stream.fileno()).st_size)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"this file is damaged ({error})", where=path) from None
    return sum(int(math.prod(tensor["shape"])) for name, tensor in header.items() if name != "__metadata__")


def folder_bytes(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _read(path: Path, missing: Any) -> Any:
    return files.read_json(path) if path.is_file() else missing
