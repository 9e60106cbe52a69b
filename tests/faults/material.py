"""The run that the faults come to: small, but of every stage, and long enough for a fault to meet any part of one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from myna import files

from .small_run import result

RECIPE = """
recipe = 1
name = "faults"
seed = 5

[corpus.texts]
sources = [{ path = "texts.jsonl" }]

[tokenizer.characters]
corpus = "texts"
kind = "wordpiece"
vocabulary = 3000

[pretrain.encoder]
objective = "masked"
corpus = "texts"
tokenizer = "characters"
preset = "bert-micro"
model = { hidden_size = 16, layers = 2, heads = 2, feed_forward_size = 32, maximum_length = 64 }
steps = 40
batch_tokens = 500
validations = 3
threads = 1
log_steps = 1

[finetune.moods]
task = "classification"
start_from = "encoder"
corpus = "texts"
steps = 30
batch_tokens = 1000
threads = 1
log_steps = 1
"""

STAGES = (
    "corpus/texts",
    "tokenizer/characters",
    "tokens/texts-characters",
    "pretrain/encoder",
    "finetune/moods",
    "evaluate/encoder",
    "evaluate/moods",
    ".",
)
_LAST = ("report.html", "scores.json", "stage.json")
TRAININGS = ("pretrain/encoder", "finetune/moods")


def write_material(folder: Path) -> Path:
    """Writes four hundred texts of 2,500 characters, labelled by what they say, and the recipe; gives its path."""
    draw, lines = random.Random(1), []
    characters = [chr(0x4E00 + number) for number in range(2500)]
    for number in range(400):
        good = number % 2 == 0
        words = "".join(draw.choices(characters, k=draw.randint(10, 40)))
        said = f"{words}，{'很好看' if good else '不好玩'}。{number}"
        lines.append(json.dumps({"text": said, "label": "good" if good else "bad"}, ensure_ascii=False))
    (folder / "texts.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"


def outcome(folder: Path) -> dict[str, Any]:
    """What must be the same of any run of the recipe, to the bit: every file, every figure, and the last checkpoints.

    Weights and the optimizer's state by their hashes. Nothing of clocks, and of how often a checkpoint was made.
    """
    found = result(folder)
    found.pop("recipe.toml", None)
    for stage in TRAININGS:
        newest = max((folder / stage / "checkpoints").glob("step-*"))
        for path in newest.glob("*.safetensors"):
            found[f"{stage}/{newest.name}/{path.name}"] = files.sha256(path)
        state = json.loads((newest / "state.json").read_text())
        found[f"{stage}/{newest.name}/state.json"] = {key: state[key] for key in state if key != "seconds"}
    return found


def differences(folder: Path, uncut: dict[str, Any]) -> str:
    """Says which files of a run are not as those of the run that nothing came to; nothing where all are."""
    found = outcome(folder)
    names = [name for name in sorted({*found, *uncut}) if found.get(name) != uncut.get(name)]
    return "" if not names else f"{len(names)} files differ: {', '.join(names[:5])}"


def check_artefacts(folder: Path) -> None:
    """Raises an :class:`~myna.errors.InputError` for what has its name and is not whole: done stages, checkpoints."""
    for stage in STAGES:
        record = folder / stage / "stage.json"
        if record.exists():
            files.verify(folder / stage, json.loads(record.read_text())["files"])
    for stage in TRAININGS:
        for place in (folder / stage / "checkpoints").glob("step-*"):
            files.verify(place, json.loads((place / "manifest.json").read_text())["files"])


def take_back(folder: Path, stage: str, but: tuple[str, ...] = ()) -> None:
    """Makes of a run that is done one in which ``stage`` is not, and nothing after it; of it only ``but`` is left."""
    for later in STAGES[STAGES.index(stage) :]:
        for path in (folder / later).iterdir() if later != "." else map(folder.joinpath, _LAST):
            if later != stage or path.name not in but:
                files.remove(path)


def stage_at(folder: Path) -> str:
    """The stage that a run is at: the first one without a record."""
    if not (folder / ".lock").exists():
        return "start"
    return next((stage for stage in STAGES if not (folder / stage / "stage.json").exists()), "end")


def logged_step(folder: Path, stage: str) -> int:
    """The last whole step that a training wrote down, or 0."""
    path = folder / stage / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    whole = [json.loads(line)["step"] for line in lines if line.endswith(b"\n")]
    return whole[-1] if whole else 0


def saved_step(folder: Path, stage: str) -> int:
    """The step of the newest checkpoint of a training, or 0."""
    places = (folder / stage / "checkpoints").glob("step-*")
    return max((int(place.name.removeprefix("step-")) for place in places), default=0)
