"""What is in a folder: a run, one of its stages, a model, or a recipe, as plain values and as text.

Nothing is computed anew and no weights are read but for their checksums.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from myna import files
from myna.errors import InputError, MynaError
from myna.evaluation.findings import Manner, manner
from myna.evaluation.gathering import KINDS, folder_bytes, read_lines
from myna.evaluation.quantities import duration, size

# What the settings of an architecture are called in config.json, by either family, and here.
_SIZES = {
    "layers": ("num_hidden_layers", "n_layer"),
    "hidden_size": ("hidden_size", "n_embd"),
    "heads": ("num_attention_heads", "n_head"),
    "maximum_length": ("max_position_embeddings", "n_positions"),
    "vocabulary_size": ("vocab_size",),
}
# A text that is shown as an example fills about a line of a terminal.
_EXAMPLES = 100
_SHORTEST_EXAMPLE, _LONGEST_EXAMPLE = 8, 60


def show(path: Path | str) -> dict[str, Any]:
    """What is at ``path``, as plain values for JSON: ``kind`` says what it is, the rest depends on that.

    Raises an :class:`InputError` for what is nothing of Myna's, and for a damaged record.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("there is nothing here", where=path)
    if path.suffix == ".toml":
        return _recipe(path)
    if (path / "recipe.toml").is_file():
        return _run(path)
    if (path / "stage.json").is_file() or (path / "started.json").is_file():
        return _stage(path)
    if path.name == "config.json":
        path = path.parent
    if (path / "config.json").is_file():
        return _model(path)
    remedy = "give a run's folder, a stage's folder in it, a model's folder or a recipe"
    raise InputError("this is nothing that Myna made", where=path, remedy=remedy)


def model_folder(path: Path | str) -> Path:
    """The model in ``path``: the folder itself, or its ``model`` where it is that of a stage.

    A run's folder is an :class:`InputError` that names the models in it.
    """
    path = Path(path)
    if (path / "model" / "config.json").is_file():
        return path / "model"
    if (path / "recipe.toml").is_file():
        models = [str(model) for kind in ("finetune", "pretrain") for model in sorted(path.glob(f"{kind}/*/model"))]
        remedy = f"give one of {', '.join(models)}" if models else "let the run end first"
        raise InputError("this is a run's folder, not a model's", where=path, remedy=remedy)
    return path


def has_task(folder: Path) -> bool:
    """Whether a model's folder holds a fine-tuned model, and no language model."""
    files.check_folder(folder)
    facts = _facts(folder)
    kind = facts.get("kind") or _architecture(files.read_object(folder / "config.json"))
    if "decoding" in facts and "start_from" in facts:
        return True
    heads = ("SequenceClassification", "TokenClassification", "QuestionAnswering")
    return kind in ("sequence", "token", "span", "trunk") or kind.endswith(heads)


def scores_of(run: Path) -> dict[str, Any]:
    """The scores of a run by stage and metric; none where it has not been evaluated."""
    path = run / "scores.json"
    return files.read_object(path) if path.is_file() else {}


def next_commands(run: Path, program: str = "myna") -> list[str]:
    """Commands that try the models of a run, ready to be pasted where this one was given."""
    commands = []
    for task in _models(run, "finetune"):
        name = task.parent.name
        lines = list(islice(read_lines(run / "evaluate" / name / "predictions.jsonl"), _EXAMPLES))
        pairs = [line["pair"] for line in lines if line.get("pair")]
        beside = ("--pair", _example(pairs)) if pairs else ()
        commands.append(
            _command(
                program,
                "predict",
                task,
                "--text",
                _example(line.get("text") or line.get("source") or "" for line in lines),
                *beside,
            )
        )
    for model in _models(run, "pretrain"):
        if _facts(model).get("kind") == "causal":
            samples = run / "evaluate" / model.parent.name / "samples.json"
            prompts = (sample.get("prompt", "") for sample in (files.read_json(samples) if samples.is_file() else ()))
            prompt = next((prompt for prompt in prompts if prompt), "1")
            commands.append(_command(program, "generate", model, "--prompt", prompt))
    return [*commands, _command(program, "show", run)]


def _models(run: Path, kind: str) -> list[Path]:
    """The models of a run's stages of a kind, in the order of its recipe, which may name some no more."""
    recipe = run / "recipe.toml"
    named = tomllib.loads(recipe.read_text(encoding="utf-8")).get(kind, {}) if recipe.is_file() else {}
    return [model for name in named if (model := run / kind / name / "model").is_dir()]


def _example(texts: Iterable[str]) -> str:
    """The first text that fills a line and no more, else the beginning of the first."""
    first = ""
    for text in texts:
        text = " ".join(text.split())
        first = first or text[:_LONGEST_EXAMPLE]
        if _SHORTEST_EXAMPLE <= len(text) <= _LONGEST_EXAMPLE:
            return text
    return first or "…"


def _command(program: str, verb: str, path: Path, *rest: str) -> str:
    return " ".join([program, verb, *map(shlex.quote, (place(path), *rest))])


def place(path: Path) -> str:
    """The path from where the command was given, if it lies below that, else whole."""
    relative = os.path.relpath(path)
    return str(path.absolute()) if relative.startswith("..") else relative


# ------------------------------------------------------------------------------------------------ as plain values


def _recipe(path: Path) -> dict[str, Any]:
    from myna.recipe import read_recipe

    recipe = read_recipe(path)
    return {"kind": "recipe", "path": str(path), **recipe.model_dump(mode="json", exclude_none=True)}


def _run(path: Path) -> dict[str, Any]:
    report = path / "report.html"
    return {
        "kind": "run",
        "path": str(path),
        "recipe": str(path / "recipe.toml"),
        "report": str(report) if report.is_file() else None,
        "bytes": folder_bytes(path),
        "stages": [_stage_line(folder) for kind in KINDS for folder in sorted(path.glob(f"{kind}/*"))],
        "scores": scores_of(path),
    }


def _stage_line(folder: Path) -> dict[str, Any]:
    record = _record(folder)
    return {
        "key": record.get("key", f"{folder.parent.name}.{folder.name}"),
        "state": "done" if "seconds" in record else "not done",
        "seconds": record.get("seconds"),
        "bytes": folder_bytes(folder),
    }


def _stage(folder: Path) -> dict[str, Any]:
    record = _record(folder)
    facts: dict[str, Any] = {
        "kind": record.get("key", "").partition(".")[0] or "stage",
        "path": str(folder),
        "state": "done" if "seconds" in record else "not done",
        "bytes": folder_bytes(folder),
    }
    facts |= {key: value for key, value in record.items() if key != "files"}
    for name in ("corpus.json", "store.json"):
        if (folder / name).is_file():
            kept = files.read_object(folder / name)
            facts["splits"] = kept.get("splits")
    metrics = list(read_lines(folder / "metrics.jsonl")) if "seconds" in record else []
    if metrics:
        facts["last"] = metrics[-1]
    if (folder / "scores.json").is_file():
        facts["scores"] = {folder.name: files.read_json(folder / "scores.json")}
    if (folder / "model" / "config.json").is_file():
        facts["model"] = _model(folder / "model")
    return facts


def _model(folder: Path) -> dict[str, Any]:
    from myna.huggingface.describing import describe_model, describe_weights

    config, facts = files.read_object(folder / "config.json"), _facts(folder)
    known = {key: value for key, value in facts.items() if key not in ("format", "files", "kind")}
    if isinstance(known.get("decoding"), dict):  # The scores of a CRF are thousands, and no reading.
        known["decoding"] = {key: value for key, value in known["decoding"].items() if key != "crf"}
    try:
        described = describe_model(config)
    except InputError as error:
        sizes = {ours: config[name] for ours, names in _SIZES.items() for name in names if name in config}
        described = {"head": facts.get("kind", _architecture(config)), **sizes, "not read": error.what}
    try:
        weights = describe_weights(folder)
        files.verify(folder, facts.get("files", {}))
        state = "whole" if facts else "not of Myna's making: no checksums"
    except MynaError as error:
        weights, state = {}, f"damaged: {error}"
    if not weights and not facts:
        state = "a description without weights"
    return {
        "kind": "model",
        "path": str(folder),
        **described,
        "weights": weights,
        "bytes": folder_bytes(folder),
        "state": state,
        **known,
    }


def _architecture(config: Mapping[str, Any]) -> str:
    named = config.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else "unknown"


def _record(folder: Path) -> dict[str, Any]:
    for name in ("stage.json", "started.json"):
        if (folder / name).is_file():
            return files.read_object(folder / name)
    return {}


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / "myna.json"
    return files.read_object(path) if path.is_file() else {}


# --------------------------------------------------------------------------------------------------------- as text


def describe(facts: Mapping[str, Any]) -> str:
    """What :func:`show` gave, for a person."""
    facts = dict(facts)
    lines = [f"{facts.pop('kind')}  {facts.pop('path')}"]
    stages, scores, ledger = facts.pop("stages", []), facts.pop("scores", {}), facts.pop("ledger", {})
    lines += _entries(facts)
    if stages:
        rows = [[s["key"], s["state"], _shown("seconds", s["seconds"]), _shown("bytes", s["bytes"])] for s in stages]
        lines += ["", "stages", *columns(rows)]
    if ledger:
        lines += ["", "ledger", *columns(_ledger_rows(ledger))]
    if scores:
        lines += ["", "scores", *score_lines(scores)]
    return "\n".join(lines)


def score_lines(scores: Mapping[str, Any]) -> list[str]:
    """A line for each score: its value with the 95 % interval, and the best simple method beside it; curves below."""
    from myna.evaluation.curve_report import curve_rows

    rows = []
    for name, metrics in scores.items():
        for metric, entry in metrics.items():
            read = manner(metric)
            value, low, high = (plain(read.text(entry[key])) for key in ("value", "low", "high"))
            best = sorted(entry.get("baselines", {}).items(), key=lambda item: item[1]["value"], reverse=read.higher)
            beside = _beside(best[0][0], best[0][1], read) if best else ""
            rows.append([name, metric, value, f"{low} – {high}", beside, _of_seeds(entry.get("seeds"), read)])
    lines = columns(rows)
    for name, metrics in scores.items():
        curve = curve_rows(metrics)
        lines += [f"  {name}, by labels", *columns(curve)] if curve else []
    return lines


def _beside(method: str, entry: Mapping[str, Any], read: Manner) -> str:
    count = f" from {entry['learned_from']:,} sentences" if "learned_from" in entry else ""
    return f"{method}{count} {plain(read.text(entry['value']))}"


def _of_seeds(seeds: Mapping[str, Any] | None, read: Manner) -> str:
    if seeds is None:
        return ""
    mean, low, high = (plain(read.text(seeds[key])) for key in ("mean", "low", "high"))
    return f"{len(seeds['values'])} seeds: mean {mean}, {low} – {high}"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines of a table. A Han character is two places wide."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _entries(facts: Mapping[str, Any], indent: str = "  ") -> Iterator[str]:
    for key, value in facts.items():
        if value is None or value in ({}, [], ""):
            continue
        if isinstance(value, Mapping):
            yield f"{indent}{key}"
            yield from _entries(value, indent + "  ")
        elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value):
                yield f"{indent}{key} {number}"
                yield from _entries(item, indent + "  ")
        else:
            yield f"{indent}{key}: {_shown(key, value)}"


def _ledger_rows(ledger: Mapping[str, Any]) -> list[list[str]]:
    units = list(ledger["in"] | ledger["kept"])
    rows = [("in", ledger["in"])]
    rows += [(f"added: {reason}", counts) for reason, counts in ledger["added"].items()]
    rows += [(f"dropped: {reason}", counts) for reason, counts in ledger["dropped"].items()]
    rows.append(("kept", ledger["kept"]))
    lines = [["", *units], *([what, *(_shown(unit, counts.get(unit)) for unit in units)] for what, counts in rows)]
    notes = [[f"({what})", f"{count:,}", *([""] * (len(units) - 1))] for what, count in ledger["notes"].items()]
    return lines + [row[: len(units) + 1] for row in notes if units]


def _shown(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "bytes":
        return plain(size(value))
    if key == "seconds":
        return plain(duration(value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def plain(text: str) -> str:
    """Without the narrow spaces of print, which break the columns of a terminal."""
    return text.replace("\u202f", " ").replace("\u00a0", " ")
