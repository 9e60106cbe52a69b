"""One bit of a checkpoint that changed, in any of its files: it is found, and the run goes back to the one before."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

from myna.training.checkpoint import newest_checkpoint

from . import material
from .command import Ground, finish, start
from .trials import Outcome, Part

# Of a trial: what the reader of checkpoints says of so many; and of two the command, which then goes on to the end.
READ, RUN = 24, 2
FILES = ("weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json")
# The weights of the best score lie beside the checkpoints of a fine-tuning.
_BEST = "best"


def flipped(ground: Ground, place: Path, number: int, draw: random.Random) -> Outcome:
    """Flips bits of checkpoints, each in its own copy."""
    figures, wrong = Counter[str](), ""
    for _ in range(READ):
        wrong = wrong or _read(ground, place / "read", draw, figures)
    for name in (draw.choice(FILES), _BEST):
        wrong = wrong or _run(ground, place / "run", name, draw, figures)
    return Outcome(READ + RUN, wrong, figures)


def flip(path: Path, draw: random.Random) -> str:
    """Flips one bit of a file, and says which."""
    content = bytearray(path.read_bytes())
    bit = draw.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return f"bit {bit} of {path.parent.name}/{path.name}"


def _read(ground: Ground, folder: Path, draw: random.Random, figures: Counter[str]) -> str:
    stage, name = draw.choice(material.TRAININGS), draw.choice(FILES)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ground.uncut / stage / "checkpoints", folder / "checkpoints")
    before, newest = sorted((folder / "checkpoints").glob("step-*"))[-2:]
    what, said = flip(newest / name, draw), list[str]()
    found = newest_checkpoint(folder, said.append)
    if found is None or found.folder != before or len(said) != 1 or f"{newest.name} is not whole" not in said[0]:
        return f"{stage}, {what}: found {found and found.folder.name}, said {said}"
    figures[f"found in {name}"] += 1
    return ""


def _run(ground: Ground, folder: Path, name: str, draw: random.Random, figures: Counter[str]) -> str:
    stage = material.TRAININGS[-1] if name == _BEST else draw.choice(material.TRAININGS)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ground.uncut, folder)
    material.take_back(folder, stage, but=("started.json", "machine.json", "metrics.jsonl", "checkpoints"))
    checkpoints = folder / stage / "checkpoints"
    newest = max(checkpoints.glob("step-*"))
    what = flip(max(checkpoints.glob("best-*")) if name == _BEST else newest / name, draw)
    ended = finish(start(ground, folder))
    if ended.code or not any(f"{newest.name} is not whole" in line for line in ended.said):
        return f"{stage}, {what}: ended with {ended.code} and said {ended.said[:3]}"
    figures[f"found in {'the best weights' if name == _BEST else name} by the command, which went on"] += 1
    return material.differences(folder, ground.expected)


PARTS = (Part("flips", "one bit flipped in a checkpoint: found, and back to the one before", 20, 3, flipped),)
