"""A recipe: one TOML file that describes a run whole. Each table is the typed config of the module that uses it.

::

    [corpus.news]                     [pretrain.encoder]
    sources = [{ path = "texts" }]    corpus = "news"
    [tokenizer.zh]                    tokenizer = "zh"
    corpus = "news"                   …

A recipe that was read is right as far as can be told without its data: every key exists, every value is of its kind,
every name that a table refers to is there. What is wrong is said with file and line and the nearest that is right.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from myna import toml
from myna.corpus.prepare import CorpusConfig
from myna.errors import InputError
from myna.evaluation.report import ReportConfig
from myna.finetuning import FinetuneConfig
from myna.pretraining import PretrainConfig
from myna.recipe_errors import Problem, near, problems
from myna.recipe_references import broken_references
from myna.settings import Section, setting
from myna.tokens.tokenizer import TokenizerConfig
from myna.toml import KeyPath
from myna.training.settings import seconds_of

# Names are folders and keys of the scores: letters of any script, digits, _ and -.
Name = Annotated[str, Field(pattern=r"^\w[\w-]*$", max_length=64)]
# Exactly one of these says how long a training takes; one that is set from the shell takes the others' place.
_LENGTHS = {"tokens", "steps", "epochs", "budget"}


class Recipe(Section):
    """A run whole. The tables of a kind are kept in the order in which they stand."""

    recipe: Literal[1] = setting(1, "the version of this format")
    name: str = setting("run", "the name of the run, and of its folder below runs/", pattern=r"^\w[\w .-]*$")
    seed: int = setting(1, "what all that is drawn at random depends on", ge=0, lt=1 << 63)
    corpus: dict[Name, CorpusConfig] = setting(description="the text, cleaned and split", min_length=1)
    tokenizer: dict[Name, TokenizerConfig] = setting({}, "how text becomes pieces")
    pretrain: dict[Name, PretrainConfig] = setting({}, "language models")
    finetune: dict[Name, FinetuneConfig] = setting({}, "models for a task")
    report: ReportConfig = setting(ReportConfig(), "the page at the end")


def read_recipe(path: Path | str, changes: Sequence[str] = ()) -> Recipe:
    """The recipe in a file, with changes from the shell as ``pretrain.encoder.steps=200``.

    A change's value is read as TOML, else taken as text. Relative paths of the recipe are relative to its file. Raises
    an :class:`InputError` with file and line, or with the change, for the first thing that is wrong.
    """
    path = Path(path)
    text = _read_text(path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(error, path) from None
    lines = toml.lines_of(text)
    changed: dict[KeyPath, str] = {}
    try:
        for change in changes:
            changed[_apply(table, change)] = change
        return _build(table, path)
    except Problem as problem:
        raise _place(problem, path, lines, changed) from None


def recipe_of(table: dict[str, Any], changes: Sequence[str] = (), folder: Path | None = None) -> Recipe:
    """The recipe that a table is, as :func:`read_recipe` reads one from a file; paths are relative to ``folder``."""
    changed: dict[KeyPath, str] = {}
    place = (folder or Path()) / "recipe.toml"
    try:
        for change in changes:
            changed[_apply(table, change)] = change
        return _build(table, place)
    except Problem as problem:
        raise _place(problem, Path("recipe"), {}, changed) from None


def in_every_training(recipe: Recipe, **settings: Any) -> Recipe:
    """The recipe with some settings in every ``[pretrain]`` and ``[finetune]`` table."""
    pretrain = {name: config.model_copy(update=settings) for name, config in recipe.pretrain.items()}
    finetune = {name: config.model_copy(update=settings) for name, config in recipe.finetune.items()}
    return recipe.model_copy(update={"pretrain": pretrain, "finetune": finetune})


def with_budget(recipe: Recipe, budget: str) -> Recipe:
    """The recipe with a time, as 45m, for all trainings: a fine-tuning has half of what a pre-training has.

    Raises an :class:`InputError` for what is no time, for weights of last steps, which are known too late
    then, and for another schedule than the line that a budget has.
    """
    try:
        seconds = seconds_of(budget)
    except InputError as error:
        raise error.at("--budget") from None
    for name, config in recipe.pretrain.items():
        if config.cooldown_weights is not None:
            what = f"[pretrain.{name}] has cooldown_weights, and with a budget its last steps are known too late"
            raise InputError(what, where="--budget", remedy="take them out")
    for kind in ("pretrain", "finetune"):
        for name, config in getattr(recipe, kind).items():
            if "schedule" in config.model_fields_set and config.schedule != "linear":
                what = f'[{kind}.{name}] has schedule = "{config.schedule}", and a budget lets the rate fall in a line'
                raise InputError(what, where="--budget", remedy='take "schedule" out')
    parts = 2 * len(recipe.pretrain) + len(recipe.finetune)

    def given(weight: int) -> dict[str, Any]:
        own = f"{max(seconds * weight / max(parts, 1), 1):.0f}s"
        return {"tokens": None, "steps": None, "epochs": None, "budget": own, "schedule": "linear"}

    pretrain = {name: config.model_copy(update=given(2)) for name, config in recipe.pretrain.items()}
    finetune = {name: config.model_copy(update=given(1)) for name, config in recipe.finetune.items()}
    return recipe.model_copy(update={"pretrain": pretrain, "finetune": finetune})


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML with every setting written out, but for those that a budget chooses."""
    table = recipe.model_dump(mode="json")
    for kind, configs in (("pretrain", recipe.pretrain), ("finetune", recipe.finetune)):
        for name, config in configs.items():
            for left in config.left_to_budget:
                del table[kind][name][left]
    report = table.pop("report")
    return "# The resolved recipe of this run: every setting is written out.\n\n" + toml.write(
        {**table, "report": report}
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors that complete and check TOML."""
    schema = Recipe.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A recipe of Myna"}


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        remedy = "write one with: myna init YOUR_TEXTS"
        raise InputError("there is no such recipe", where=path, remedy=remedy) from None
    except UnicodeDecodeError as error:
        line = 1 + error.object.count(b"\n", 0, error.start)
        raise InputError("this recipe is not UTF-8", where=path, line=line, remedy="save it as UTF-8") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"this recipe cannot be read ({reason})", where=path) from None


def _not_toml(error: tomllib.TOMLDecodeError, path: Path) -> InputError:
    message, _, position = str(error).partition(" (at line ")
    message = re.sub(r"^Cannot declare \((.*?),?\) twice$", _stands_twice, message)
    line = position.split(",")[0]
    return InputError(
        f"this is not TOML: {message[:1].lower()}{message[1:]}",
        where=path,
        line=int(line) if line.isdecimal() else None,
    )


def _stands_twice(names: re.Match[str]) -> str:
    return f"[{'.'.join(names[1].replace(chr(39), '').split(', '))}] stands there twice"


def _apply(table: dict[str, Any], change: str) -> KeyPath:
    """Makes one change from the shell, and gives the path of its key."""
    key, equals, value = change.partition("=")
    if re.search("[\ud800-\udfff]", change):
        raise InputError("this holds bytes that are no text", where=f"--set {change}", remedy="give it as UTF-8")
    try:
        path = toml.parse_key(key.strip())
    except ValueError:
        path = ()
    if not (equals and path):
        raise InputError(f"{change!r} changes nothing", where="--set", remedy="write it as section.name.key=value")
    place: Any = table
    for depth, part in enumerate(path[:-1]):
        if isinstance(place, list) and isinstance(part, int) and part < len(place):
            place = place[part]
            continue
        if not isinstance(place, dict) or (part not in place and depth == 1 and place):
            what = f"there is no [{'.'.join(map(str, path[: depth + 1]))}] in the recipe"
            raise InputError(
                what, where=f"--set {change}", remedy=near(str(part), place) if isinstance(place, dict) else None
            )
        place = place.setdefault(str(part), {})
    last = path[-1]
    if isinstance(place, list) and isinstance(last, int) and last < len(place):
        place[last] = toml.parse_value(value.strip())
    elif isinstance(place, dict):
        for other in _LENGTHS & place.keys() if last in _LENGTHS else ():
            del place[other]
        place[str(last)] = toml.parse_value(value.strip())
    else:
        raise InputError("this is no table", where=f"--set {change}")
    return path


def _build(table: dict[str, Any], path: Path) -> Recipe:
    own_name = path.stem if path.stem != "recipe" else path.absolute().parent.name
    own_name = re.sub(r"[^\w .-]+", "-", own_name).lstrip(" .-") or "run"
    try:
        # JSON in strict mode: "3" is no number and true is no 1, while an array may stand for a tuple.
        plain = json.dumps({"name": own_name, **table}, default=str)
        recipe = Recipe.model_validate_json(plain, strict=True)
    except ValidationError as error:
        raise problems(error, Recipe)[0] from None
    for problem in broken_references(recipe, path.parent):
        raise problem
    return _with_whole_paths(recipe, path.parent)


def _with_whole_paths(recipe: Recipe, folder: Path) -> Recipe:
    """Paths of the recipe made independent of where the command was given."""

    def whole(path: str) -> str:
        return str((folder / Path(path).expanduser()).absolute())

    corpora = {
        name: corpus.model_copy(
            update={
                "sources": [
                    source if source.package else source.model_copy(update={"path": whole(source.path)})
                    for source in corpus.sources
                ]
            }
        )
        for name, corpus in recipe.corpus.items()
    }
    started = {
        kind: {
            name: config
            if config.start_from is None or config.start_from in known
            else config.model_copy(update={"start_from": whole(config.start_from)})
            for name, config in tables.items()
        }
        for kind, tables, known in (
            ("tokenizer", recipe.tokenizer, recipe.tokenizer),
            ("pretrain", recipe.pretrain, recipe.pretrain),
            ("finetune", recipe.finetune, recipe.pretrain),
        )
    }
    for name, config in recipe.finetune.items():
        if config.summarizer is not None and config.summarizer not in recipe.finetune:
            summarizer = {"summarizer": whole(config.summarizer)}
            started["finetune"][name] = started["finetune"][name].model_copy(update=summarizer)
    return recipe.model_copy(update={"corpus": corpora, **started})


def _place(problem: Problem, path: Path, lines: dict[KeyPath, int], changed: dict[KeyPath, str]) -> InputError:
    """A problem with the file and the line of its key, or of the nearest table around it."""
    began = next((change for key, change in changed.items() if key[: len(problem.path)] == problem.path), None)
    if began is not None and problem.path not in lines:
        return InputError(problem.what, where=f"--set {began}", remedy=problem.remedy)
    for end in range(len(problem.path), -1, -1):
        if problem.path[:end] in changed:
            return InputError(problem.what, where=f"--set {changed[problem.path[:end]]}", remedy=problem.remedy)
        if problem.path[:end] in lines:
            return InputError(problem.what, where=path, line=lines[problem.path[:end]], remedy=problem.remedy)
    return InputError(problem.what, where=path, remedy=problem.remedy)
