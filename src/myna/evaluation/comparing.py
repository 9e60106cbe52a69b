"""Two models on the same test texts, or several runs of two recipes: which is better, and can that be chance?

Everything is counted anew from the predictions of each example. Two models are compared by the paired bootstrap and
the paired permutation test over the texts. Runs of one recipe that differ by their seed are summarised by their mean,
their range and Student's interval of the mean; two sets of them are compared over the texts (the mean of each set on
the same draws) and over the runs (Welch), which is what another seed would change.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from myna.errors import InputError
from myna.evaluation import metrics
from myna.evaluation.predicted import Kind, Line, Predicted, asked_of, find, is_counted, kind_of
from myna.evaluation.scoring import paired, share_of
from myna.evaluation.significance import Metric, Statistics, between_runs, bootstrap, difference, over_runs
from myna.seeds import settings_of as settings_of_training

# Of the examples that only one model has right, those that are shown.
SHOWN = 5
# Settings of a training that change nothing of its result.
_NO_RESULT = ("threads", "log_steps", "track", "checkpoint_seconds", "keep")


def compare(first: Sequence[Path], second: Sequence[Path], seed: int = 1) -> list[dict[str, Any]]:
    """A comparison for each model that all paths have (by name), or of the only one that each has; ``second`` is
    compared with ``first``, and differences are how much higher the second's figures are.

    Each has ``name``, ``first``, ``second`` (the paths), ``texts``, ``scores``, ``settings`` that differ, and of two
    models ``answers`` (who is right how often) and ``examples``. Raises an :class:`InputError` for what is no
    prediction, and for models that were judged on other texts.
    """
    sides = [[find(path) for path in paths] for paths in (first, second)]
    return [_compared(one, other, seed) for one, other in _matched(*sides)]


Side = list[Predicted]


def _matched(first: list[Side], second: list[Side]) -> list[tuple[Side, Side]]:
    """The models of both sides that belong together, one of each path."""
    everything = [*first, *second]
    if all(len(found) == 1 for found in everything):
        return [([found[0] for found in first], [found[0] for found in second])]
    names = set.intersection(*({each.name for each in found} for found in everything))
    if not names:
        there = "; ".join(f"{_where(found)} has {', '.join(each.name for each in found)}" for found in everything)
        raise InputError(f"no model has the same name: {there}", remedy="give folders in evaluate/ instead of runs")
    ordered = [each.name for each in everything[0] if each.name in names]
    by_name = [[{each.name: each for each in found} for found in side] for side in (first, second)]
    return [([each[name] for each in by_name[0]], [each[name] for each in by_name[1]]) for name in ordered]


def _where(found: Side) -> Path:
    return found[0].path.parent.parent if found[0].run else found[0].path


def _compared(first: Side, second: Side, seed: int) -> dict[str, Any]:
    everyone = [*first, *second]
    named = dict.fromkeys(each.name for each in everyone)
    facts: dict[str, Any] = {
        "name": " and ".join(named),
        "first": [str(each.path) for each in first],
        "second": [str(each.path) for each in second],
    }
    settings = _differing(everyone, len(first))
    written = [name for name in everyone[0].scores if all(name in each.scores for each in everyone)]
    if any(each.lines is None for each in everyone):
        return {**facts, **_by_scores(first, second, written), "settings": settings}
    if all(each.scores and not is_counted(each) for each in everyone):
        for each in everyone[1:]:
            _same_texts(everyone[0], each)
        return {**facts, **_by_scores(first, second, written), "settings": settings}
    kind = kind_of(everyone[0])
    texts = [_aligned(everyone[0], each, kind) for each in everyone]
    measured = kind.measured(texts, written)
    scores = {}
    for name in measured[0]:
        metric = measured[0][name][0]
        sides = [[each[name][1] for each in some] for some in (measured[: len(first)], measured[len(first) :])]
        scores[name] = _score(metric, sides[0], sides[1], seed)
    # What cannot be counted of the lines alone, as copies from training; not what is of other texts for each model, as
    # a score of those unlike its training's.
    rest = [name for name in written if name not in scores and _as_many(name, everyone)]
    scores |= _by_scores(first, second, rest)["scores"] if rest else {}
    facts |= {"texts": len(texts[0]), "scores": scores, "settings": settings}
    if len(everyone) == 2 and kind.right is not None:
        facts |= _answers(texts[0], texts[1], kind, kind.right)
    return facts


def _aligned(first: Predicted, other: Predicted, kind: Kind) -> list[Line]:
    """The lines of ``other`` in the order of the first's; an :class:`InputError` where its texts or answers differ."""
    if kind_of(other) is not kind:
        raise InputError(f"this has answers of another kind than {first.path}", where=other.path)
    mine, theirs = dict(_by_text(first.lines or ())), dict(_by_text(other.lines or ()))
    _same_texts(first, other)
    for key, (_, line) in mine.items():
        number, there = theirs[key]
        if kind.truth(line) != kind.truth(there):
            what = f"this text has another answer by hand than in {first.path}"
            raise InputError(what, where=other.path, line=number)
    return [theirs[key][1] for key in mine]


def _same_texts(first: Predicted, other: Predicted) -> None:
    """Raises an :class:`InputError` where two files do not have the same texts, each as often."""
    mine, theirs = (dict(_by_text(each.lines or ())) for each in (first, other))
    both = len(mine.keys() & theirs.keys())
    if both < max(len(mine), len(theirs)):
        what = f"this was judged on other texts than {first.path}: {len(theirs):,} and {len(mine):,}, {both:,} in both"
        raise InputError(what, where=other.path, remedy="compare models that were judged on the same test data")


def _by_text(lines: Sequence[Line]) -> Iterator[tuple[Hashable, tuple[int, Line]]]:
    """Each line, with its number, by what was asked, and the how-manieth such it is."""
    seen: Counter[Hashable] = Counter()
    for number, line in enumerate(lines, 1):
        asked = asked_of(line)
        seen[asked] += 1
        yield (*asked, seen[asked]), (number, line)


# ----------------------------------------------------------------------------------------------------------- figures


def _score(metric: Metric, first: list[Statistics], second: list[Statistics], seed: int) -> dict[str, Any]:
    if len(first) == len(second) == 1:
        return {
            "first": _estimate(metric, first[0], seed),
            "second": _estimate(metric, second[0], seed),
            "difference": paired(second[0], first[0], metric, seed),
        }
    values = [[float(metric(each.sum(0, dtype=np.float64))) for each in side] for side in (first, second)]

    def mean(sums: Any) -> metrics.Floats:
        result: metrics.Floats = metric(sums).mean(-1)
        return result

    sides = [np.stack(side, 1) for side in (first, second)]
    entry: dict[str, Any] = {
        name: {**_summary(each), "over_texts": bootstrap(side, mean, seed).to_dict()}
        for name, each, side in zip(("first", "second"), values, sides, strict=True)
    }
    entry["difference"] = difference(sides[1], sides[0], mean, seed).to_dict()
    if min(len(first), len(second)) > 1:
        over, p = between_runs(values[1], values[0])
        entry["over_runs"] = {**over.to_dict(), "p": p}
    return entry


def _estimate(metric: Metric, statistics: Statistics, seed: int) -> dict[str, float]:
    if metric is metrics.rate and (statistics[:, 1] == 1).all():
        return share_of(statistics).to_dict()
    return bootstrap(statistics, metric, seed).to_dict()


def _summary(values: list[float]) -> dict[str, Any]:
    """Several runs: the mean as ``value``, its interval where there are two or more, the range, and each."""
    interval = over_runs(values).to_dict() if len(values) > 1 else {"value": values[0]}
    return {**interval, "least": min(values), "most": max(values), "runs": values}


def _as_many(name: str, everyone: Side) -> bool:
    return len({each.scores[name].get("examples") for each in everyone}) == 1


def _by_scores(first: Side, second: Side, names: Sequence[str]) -> dict[str, Any]:
    """The scores of these names as they were written, side by side, where they cannot be counted anew."""
    everyone = [*first, *second]
    scores = {}
    for name in names:
        entries = [each.scores[name] for each in everyone]
        if not _as_many(name, everyone):
            what = f"this was judged on other texts than {everyone[0].path}"
            raise InputError(
                what, where=everyone[-1].path, remedy="compare models that were judged on the same test data"
            )
        if len(everyone) == 2:
            sides = [{key: entry[key] for key in ("value", "low", "high")} for entry in entries]
        else:
            values = [entry["value"] for entry in entries]
            sides = [_summary(values[: len(first)]), _summary(values[len(first) :])]
        scores[name] = {
            "first": sides[0],
            "second": sides[1],
            "difference": {"value": sides[1]["value"] - sides[0]["value"]},
        }
    if not scores:
        raise InputError(f"this has no score in common with {everyone[0].path}", where=everyone[-1].path)
    return {"texts": next(iter(everyone[0].scores.values())).get("examples"), "scores": scores}


def _answers(
    first: Sequence[Line], second: Sequence[Line], kind: Kind, is_right: Callable[[Any, Any], bool]
) -> dict[str, Any]:
    right = [[is_right(kind.truth(line), kind.said(line)) for line in lines] for lines in (first, second)]
    names = {(True, True): "both", (True, False): "first", (False, True): "second", (False, False): "neither"}
    counted = Counter(names[one, other] for one, other in zip(*right, strict=True))
    alone: dict[str, list[dict[str, Any]]] = {}
    for side in ("first", "second"):
        places = [n for n, both in enumerate(zip(*right, strict=True)) if names[both] == side]
        alone[side] = [
            {
                "text": first[n]["text"],
                **({"pair": first[n]["pair"]} if "pair" in first[n] else {}),
                "truth": first[n][kind.key],
                "first": first[n]["predicted"],
                "second": second[n]["predicted"],
            }
            for n in islice(places, SHOWN)
        ]
    return {"answers": {name: counted[name] for name in names.values()}, "examples": alone}


# ---------------------------------------------------------------------------------------------------------- settings


def _differing(everyone: Side, first: int) -> dict[str, list[Any]]:
    """By key the values of both sides where they differ; of several runs, where no run of one side has the other's."""
    tables = [settings_of(each) for each in everyone]
    if not all(tables):
        return {}
    found = {}
    for key in dict.fromkeys(key for table in tables for key in table):
        sides = [_unique(table.get(key) for table in some) for some in (tables[:first], tables[first:])]
        if not any(value in sides[1] for value in sides[0]):
            found[key] = [side[0] if len(side) == 1 else side for side in sides]
    return found


def _unique(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def settings_of(predicted: Predicted) -> dict[str, Any]:
    """The settings that made a model, from its run's recipe, by keys as ``finetune.epochs``; none without a run."""
    if predicted.run is None:
        return {}
    recipe = tomllib.loads((predicted.run / "recipe.toml").read_text(encoding="utf-8"))
    found: dict[str, Any] = {"seed": recipe.get("seed")}
    kind, table = "finetune", _training(recipe.get("finetune", {}), predicted.name)
    if table is None:
        kind, table = "pretrain", recipe.get("pretrain", {}).get(predicted.name, {})
    found |= _flat(kind, table)
    corpora = _listed(table.get("corpus"))
    start = recipe.get("pretrain", {}).get(table.get("start_from"))
    if start is not None:
        found |= {**_flat("pretrain", start), "finetune.start_from": "[pretrain]"}
    tokenizer = (start or table).get("tokenizer")
    found |= _flat("tokenizer", recipe.get("tokenizer", {}).get(tokenizer, {}))
    for name in corpora:
        found |= _flat("corpus" if len(corpora) == 1 else f"corpus.{name}", recipe.get("corpus", {}).get(name, {}))
    return {key: value for key, value in found.items() if key.rpartition(".")[2] not in _NO_RESULT}


def _training(tables: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The settings of a fine-tuning, or of that of one of its seeds; None where there is none of this name."""
    try:
        return tables[name] if name in tables else settings_of_training(tables, name)
    except KeyError:
        return None


def _listed(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _flat(place: str, table: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(f"{place}.{key}", value) if isinstance(value, Mapping) else {f"{place}.{key}": value}
    return found
