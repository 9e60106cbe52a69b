"""Several seeds of a fine-tuning: each is a training of its own, the best on validation is the model that is kept.

``[finetune.NAME]`` with ``seeds`` stands for a stage ``NAME-seed-K`` for each, and for ``NAME`` itself, which takes
over what the best of them has made. Each has the fingerprint of a table with that one seed, so that another seed trains
none of them anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myna import files
from myna.ledger import Ledger

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig
    from myna.recipe import Recipe

VERSION = 2
# What of a training's folder says how far it was, and is nobody's but its own.
_ITS_OWN = ("checkpoints", "started.json", "stage.json")


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


def one_by_one(recipe: Recipe) -> Recipe:
    """The recipe with a table for each training, where one stands for several."""
    tables: dict[str, FinetuneConfig] = {}
    for name, config in recipe.finetune.items():
        several = trainings_of(recipe, name)
        tables |= {own: config.model_copy(update={"seeds": None, "seed": seed}) for seed, own in several.items()}
        if not several:
            tables[name] = config
    return recipe.model_copy(update={"finetune": tables})


def settings_of(tables: Mapping[str, Mapping[str, Any]], training: str) -> Mapping[str, Any]:
    """The settings of a training among the plain tables of a recipe; a :class:`KeyError` where it is none of theirs."""
    name, _, seed = training.rpartition("-seed-")
    if seed.isdecimal() and tables.get(name, {}).get("seeds") is not None:
        return {key: value for key, value in tables[name].items() if key != "seeds"} | {"seed": int(seed)}
    if tables[training].get("seeds") is not None:
        raise KeyError(training)
    return tables[training]


def keep_best(trained: Mapping[int, Path], folder: Path) -> Ledger:
    """Copies the training with the best score on validation, of equals the first, and writes ``seeds.json``."""
    scores = {seed: _best_score(place) for seed, place in trained.items()}
    kept = max(scores, key=scores.__getitem__)
    for path in sorted(trained[kept].iterdir()):
        if path.name not in _ITS_OWN:
            copy = files.copy_folder if path.is_dir() else shutil.copyfile
            copy(path, folder / path.name)
    said = {"kept": kept, "validation": {str(seed): score for seed, score in scores.items()}}
    files.write_json(folder / "seeds.json", said)
    ledger = Ledger()
    ledger.note("the seed that is kept", kept)
    return ledger


def _best_score(training: Path) -> float:
    return float(files.read_object(training / "model" / "myna.json")["best"]["score"])


def gather_scores(judged: Mapping[int, Path], chosen: Path, folder: Path) -> Ledger:
    """The scores of the model in ``chosen``, and beside each what all seeds have: their mean, lowest and highest."""
    kept = files.read_object(chosen / "seeds.json")["kept"]
    scores = {seed: files.read_object(place / "scores.json") for seed, place in judged.items()}
    for name in ("details.json", "predictions.jsonl", "contamination.jsonl"):
        if (judged[kept] / name).is_file():  # The last only where the model was pre-trained in the same run.
            shutil.copyfile(judged[kept] / name, folder / name)
    whole = {metric: {**entry, "seeds": _all(metric, scores, kept)} for metric, entry in scores[kept].items()}
    files.write_json(folder / "scores.json", whole)
    return Ledger()


def _all(metric: str, scores: Mapping[int, Mapping[str, Any]], kept: int) -> dict[str, Any]:
    values = {str(seed): entries[metric]["value"] for seed, entries in scores.items()}
    low, high = min(values.values()), max(values.values())
    return {"mean": sum(values.values()) / len(values), "low": low, "high": high, "kept": kept, "values": values}
