"""Several seeds of a fine-tuning: each is a training of its own, the best on validation is the model that is kept.

``[finetune.NAME]`` with ``seeds`` stands for a stage ``NAME-seed-K`` for each, and for ``NAME`` itself, which takes
over what the best of them has made. Each has the fingerprint of a table with that one seed, so that another seed trains
none of them anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from myna import files
from myna.curves import copy_judging, copy_training, point_by_point, with_points
from myna.ledger import Ledger

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig
    from myna.recipe import Recipe

VERSION = 2
# A count beyond this is a slip: a seed was meant, and no number of trainings.
_MOST_SEEDS = 100


def _some_seeds(given: Any) -> Any:
    each = given if isinstance(given, list) else [given]
    if all(isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 1 << 63 for seed in each):
        if isinstance(given, list) and 0 < len(set(given)) == len(given):
            return given
        if isinstance(given, int) and 0 < given <= _MOST_SEEDS:
            return given
    raise ValueError(f"give some seeds, each once, as [1, 2, 3], or how many (at most {_MOST_SEEDS})")


# A union of pydantic's would name its branches in an error.
Seeds = Annotated[
    int | list[int],
    PlainValidator(_some_seeds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": _MOST_SEEDS},
                {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True},
            ]
        }
    ),
]


def seeds_of(config: FinetuneConfig, seed: int) -> tuple[int, ...]:
    """The seeds of a table, of which ``seed`` (the recipe's) begins a mere count; none where it has one training."""
    if config.seeds is None:
        return ()
    if isinstance(config.seeds, int):
        first = seed if config.seed is None else config.seed
        return tuple(range(first, first + config.seeds))
    return tuple(config.seeds)


def trainings_of(recipe: Recipe, name: str) -> dict[int, str]:
    """The names of a table's trainings by their seeds; none where it is one training itself."""
    return {seed: f"{name}-seed-{seed}" for seed in seeds_of(recipe.finetune[name], recipe.seed)}


def best_of(recipe: Recipe) -> dict[str, dict[int, str]]:
    """The tables of several seeds, points of a curve among them, each with its trainings."""
    recipe = point_by_point(recipe)
    return {name: several for name in recipe.finetune if (several := trainings_of(recipe, name))}


def one_by_one(recipe: Recipe) -> Recipe:
    """The recipe with a table for each training, where one stands for several."""
    recipe = point_by_point(recipe)
    tables: dict[str, FinetuneConfig] = {}
    for name, config in recipe.finetune.items():
        several = trainings_of(recipe, name)
        tables |= {own: config.model_copy(update={"seeds": None, "seed": seed}) for seed, own in several.items()}
        if not several:
            tables[name] = config
    return recipe.model_copy(update={"finetune": tables})


def settings_of(tables: Mapping[str, Mapping[str, Any]], training: str) -> Mapping[str, Any]:
    """The settings of a training among the plain tables of a recipe; a :class:`KeyError` where it is none of theirs."""
    tables = with_points(tables)
    name, _, seed = training.rpartition("-seed-")
    if seed.isdecimal() and tables.get(name, {}).get("seeds") is not None:
        return {key: value for key, value in tables[name].items() if key != "seeds"} | {"seed": int(seed)}
    if any(tables[training].get(several) is not None for several in ("seeds", "curve")):
        raise KeyError(training)
    return tables[training]


def keep_best(trained: Mapping[int, Path], folder: Path) -> Ledger:
    """Copies the training with the best score on validation, of equals the first, and writes ``seeds.json``."""
    scores = {seed: _best_score(place) for seed, place in trained.items()}
    kept = max(scores, key=scores.__getitem__)
    ledger = copy_training(trained[kept], folder)
    said = {"kept": kept, "validation": {str(seed): score for seed, score in scores.items()}}
    files.write_json(folder / "seeds.json", said)
    ledger.note("the seed that is kept", kept)
    return ledger


def _best_score(training: Path) -> float:
    return float(files.read_object(training / "model" / "myna.json")["best"]["score"])


def gather_scores(judged: Mapping[int, Path], chosen: Path, folder: Path) -> Ledger:
    """The scores of the model in ``chosen``, and beside each what all seeds have: their mean, lowest and highest."""
    kept = files.read_object(chosen / "seeds.json")["kept"]
    scores = {seed: files.read_object(place / "scores.json") for seed, place in judged.items()}
    copy_judging(judged[kept], folder)
    whole = {metric: {**entry, "seeds": _all(metric, scores, kept)} for metric, entry in scores[kept].items()}
    files.write_json(folder / "scores.json", whole)
    return Ledger()


def _all(metric: str, scores: Mapping[int, Mapping[str, Any]], kept: int) -> dict[str, Any]:
    values = {str(seed): entries[metric]["value"] for seed, entries in scores.items() if metric in entries}
    low, high = min(values.values()), max(values.values())
    return {"mean": sum(values.values()) / len(values), "low": low, "high": high, "kept": kept, "values": values}
