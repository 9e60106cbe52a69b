"""What labels and pre-training are worth: a fine-tuning with more and more examples, from a model and from scratch.

``[finetune.NAME]`` with ``curve = [100, 1000]`` stands for the tables ``NAME-100``, ``NAME-100-scratch``, ``NAME-1000``
and ``NAME-1000-scratch``, each with so many training examples and the weights of ``start_from`` or new ones, all else
as it is (several seeds too); and for ``NAME`` itself, which takes over the pre-trained model of the most examples, and
in whose scores all are compared. Each has the fingerprint of such a table by hand.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from myna import files
from myna.ledger import Ledger

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig
    from myna.recipe import Recipe

VERSION = 1
# More are no curve that somebody waits for.
_MOST_POINTS = 20
# What of a training's folder says how far it was, and is nobody's but its own.
_ITS_OWN = ("checkpoints", "started.json", "stage.json")


def _some_counts(given: Any) -> Any:
    whole = isinstance(given, list) and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in given)
    if whole and 0 < len(set(given)) == len(given) <= _MOST_POINTS:
        return given
    raise ValueError(f"give some numbers of training examples, each once, as [100, 300, 1000] (at most {_MOST_POINTS})")


Curve = Annotated[
    list[int],
    PlainValidator(_some_counts),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 1,
            "maxItems": _MOST_POINTS,
            "uniqueItems": True,
        }
    ),
]


@dataclass(frozen=True)
class Point:
    """How many examples are trained on, and the trainings, one of each seed, from scratch and pre-trained."""

    training_examples: int
    scratch: tuple[str, ...]
    pretrained: tuple[str, ...]


def curves_of(recipe: Recipe) -> dict[str, list[int]]:
    """The curves of a recipe, by their tables."""
    return {name: config.curve for name, config in recipe.finetune.items() if config.curve}


def kept_of(name: str, curve: Sequence[int]) -> str:
    """The table of a curve whose model is kept: the pre-trained one of the most examples."""
    return f"{name}-{max(curve)}"


def tables_of(name: str, curve: Sequence[int] | None) -> dict[str, dict[str, Any]]:
    """What the tables of a curve have of their own, by their names; none where there is no curve.

    Those of the fewest and of the most examples are first: where they do not make up a batch, or the text has not so
    many, that is told before all others are trained.
    """
    tables: dict[str, dict[str, Any]] = {}
    ends = (min(curve), max(curve)) if curve else ()
    for examples in dict.fromkeys((*ends, *sorted(curve or ()))):
        own = {"curve": None, "training_examples": examples, "from_scratch": False}
        tables |= {f"{name}-{examples}": own, f"{name}-{examples}-scratch": {**own, "from_scratch": True}}
    return tables


def points_of(name: str, curve: Sequence[int], seeds: Mapping[str, Mapping[int, str]]) -> list[Point]:
    """The points of a curve, the least first; ``seeds`` are the trainings of tables that have several."""

    def trainings(own: str) -> tuple[str, ...]:
        return tuple(seeds[own].values()) if own in seeds else (own,)

    return [Point(n, trainings(f"{name}-{n}-scratch"), trainings(f"{name}-{n}")) for n in sorted(curve)]


def point_by_point(recipe: Recipe) -> Recipe:
    """The recipe with the tables of its curves in the place of those that have one."""
    tables: dict[str, FinetuneConfig] = {}
    for name, config in recipe.finetune.items():
        several = tables_of(name, config.curve)
        tables |= {own: config.model_copy(update=settings) for own, settings in several.items()}
        if not several:
            tables[name] = config
    return recipe.model_copy(update={"finetune": tables})


def with_points(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The plain ``[finetune]`` tables of a recipe, those of its curves beside."""
    found = dict(tables)
    for name, settings in tables.items():
        for own, changed in tables_of(name, settings.get("curve")).items():
            both = {**settings, **changed}
            found[own] = {key: value for key, value in both.items() if key != "curve"}
    return found


def copy_training(training: Path, folder: Path) -> Ledger:
    """Copies a training with all but its checkpoints and its records, for a stage that takes over its model."""
    for path in sorted(training.iterdir()):
        if path.name not in _ITS_OWN:
            copy = files.copy_folder if path.is_dir() else shutil.copyfile
            copy(path, folder / path.name)
    return Ledger()


def copy_judging(judged: Path, folder: Path) -> None:
    """Copies what was found of a training's model, but its scores."""
    for name in ("details.json", "predictions.jsonl", "contamination.jsonl"):
        if (judged / name).is_file():  # The last only where the model was pre-trained in the same run.
            shutil.copyfile(judged / name, folder / name)


def compare_points(points: Sequence[Point], kept: str, judged: Path, folder: Path, seed: int) -> Ledger:
    """The scores of the ``kept`` model, and in each the ``curve``: of each point both scores and their difference.

    ``judged`` has a folder for each training. A score whose statistics are not kept, as of vectors, has its values
    side by side, without a test. Nothing is compared where nothing was judged.
    """
    copy_judging(judged / kept, folder)
    scores = files.read_object(judged / kept / "scores.json")
    compared = [_compared(point, judged, seed) for point in points if scores]
    for metric, entry in scores.items():
        entry["curve"] = [point[metric] for point in compared if metric in point]
    files.write_json(folder / "scores.json", scores)
    return Ledger()


def _compared(point: Point, judged: Path, seed: int) -> dict[str, dict[str, Any]]:
    """By metric: ``scratch``, ``pretrained``, their ``difference`` and, of several seeds, that ``over_runs``."""
    from myna.evaluation.comparing import compare

    scratch, pretrained = ([judged / name for name in names] for names in (point.scratch, point.pretrained))
    (found,) = compare(scratch, pretrained, seed)
    simple = _simple([files.read_object(place / "scores.json") for place in pretrained])
    return {
        metric: {
            "training_examples": point.training_examples,
            "scratch": entry["first"],
            "pretrained": entry["second"],
            **{key: entry[key] for key in ("difference", "over_runs") if key in entry},
            **({"simple": simple[metric]} if metric in simple else {}),
        }
        for metric, entry in found["scores"].items()
    }


def _simple(scores: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By metric the simple method that was best with the same examples, and its mean over the seeds."""
    from myna.evaluation.findings import manner

    found = {}
    for metric in scores[0]:
        by_seed = [each[metric]["baselines"] for each in scores if metric in each]
        if len(by_seed) < len(scores):  # With other examples nothing may be unlike them.
            continue
        means = {
            method: sum(each[method]["value"] for each in by_seed) / len(by_seed)
            for method in by_seed[0]
            if all(method in each for each in by_seed)
        }
        if means:
            best = (max if manner(metric).higher else min)(means, key=means.__getitem__)
            found[metric] = {"method": best, "value": means[best]}
    return found
