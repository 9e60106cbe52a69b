"""What a recipe names beside itself: other tables, presets, models' folders, tasks; and whether it all goes together.

What would fail only after the text is prepared is told here. A folder is looked at as far as that takes: its
``config.json`` and its tokenizer, never its weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from myna import files
from myna.curves import tables_of
from myna.errors import MynaError
from myna.objectives import OBJECTIVES, check_objective_module
from myna.pretraining import PretrainConfig, check_objective
from myna.recipe_errors import Problem, near
from myna.seeds import best_of
from myna.tasks import WRITING, check_task_module
from myna.tokens.tokenizer import Tokenizer
from myna.toml import KeyPath

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig
    from myna.model.config import ModelConfig
    from myna.recipe import Recipe

# The kinds of language models that write.
_WRITE = ("causal", "sequence_to_sequence")
_ENCODER = 'start from a model of objective = "masked"'


def broken_references(recipe: Recipe, folder: Path) -> Iterator[Problem]:
    """What is wrong, the first that is to be told first; ``folder`` is the recipe's, which paths are relative to."""
    for name, tokenizer in recipe.tokenizer.items():
        place: KeyPath = ("tokenizer", name)
        yield from _unknown(tokenizer.corpus, recipe.corpus, "corpus", (*place, "corpus"))
        yield from _unknown_start(tokenizer.start_from, recipe.tokenizer, "tokenizer", folder, place)
        yield from _circle(name, recipe.tokenizer, place)
    for name in recipe.tokenizer:
        try:
            _spoken(recipe, name, folder)
        except MynaError as error:
            yield Problem(("tokenizer", name, "start_from"), str(error).partition("; ")[0], error.remedy)
    for name, pretrain in recipe.pretrain.items():
        place = ("pretrain", name)
        yield from _unknown(pretrain.corpus, recipe.corpus, "corpus", (*place, "corpus"))
        yield from _unknown([pretrain.tokenizer], recipe.tokenizer, "tokenizer", (*place, "tokenizer"))
        yield from _unknown_start(pretrain.start_from, recipe.pretrain, "pretrain", folder, place)
        yield from _circle(name, recipe.pretrain, place)
    for name in recipe.pretrain:
        yield from _misfit(recipe, name, folder)
    for name, finetune in recipe.finetune.items():
        place = ("finetune", name)
        yield from _unknown([finetune.corpus], recipe.corpus, "corpus", (*place, "corpus"))
        yield from _unknown_start(finetune.start_from, recipe.pretrain, "pretrain", folder, place)
        if finetune.start_from is not None:
            misfit = _no_writer if finetune.task in WRITING else _two_stacks
            yield from misfit(recipe, finetune.start_from, folder, (*place, "start_from"))
        yield from _unknown_preset(recipe, finetune, place)
        if finetune.summarizer is not None:
            yield from _no_summarizer(recipe, finetune.summarizer, folder, (*place, "summarizer"))
        try:
            check_task_module(finetune.task)
        except MynaError as error:
            yield Problem((*place, "task"), error.what, error.remedy)
        yield from _taken_names(recipe, name)
        yield from _unknown_teacher(recipe, name, folder)
        if name in recipe.pretrain:
            yield Problem(
                place, f"there is a [pretrain.{name}] too, and scores go by these names", "rename one of the two"
            )


def _taken_names(recipe: Recipe, name: str) -> Iterator[Problem]:
    """Tables that have the names of a table's own trainings."""
    points, seeds = tables_of(name, recipe.finetune[name].curve), best_of(recipe)
    trainings = [own for table in points or (name,) for own in seeds.get(table, {}).values()]
    for key, what, taken in (("curve", "points", list(points)), ("seeds", "seeds", trainings)):
        for own in taken:
            if own in recipe.finetune or own in recipe.pretrain:
                what = f'there is a table "{own}" too, as one of its {what} would be'
                yield Problem(("finetune", name, key), what, "rename it")


def _unknown(names: Sequence[str], known: Mapping[str, Any], kind: str, place: KeyPath) -> Iterator[Problem]:
    for name in names:
        if name not in known:
            yield Problem(place, f"there is no [{kind}.{name}]", near(name, known) or f"add a table [{kind}.{name}]")


def _unknown_start(
    start_from: str | None, tables: Mapping[str, Any], kind: str, folder: Path, place: KeyPath
) -> Iterator[Problem]:
    """A start that is neither a table nor a folder with what is looked for."""
    if start_from is None or start_from in tables:
        return
    place = (*place, "start_from")
    start, needed = _below(folder, start_from), "tokenizer.json" if kind == "tokenizer" else "config.json"
    if not start.is_dir():
        what = f'"{start_from}" is neither a [{kind}] table nor a folder'
        yield Problem(place, what, _start_to_take(start_from, tables))
    elif not (start / needed).is_file():
        remedy = f'did you mean "{start_from}/model"?' if (start / "model" / needed).is_file() else None
        yield Problem(place, f'"{start_from}" is not a model\'s folder: it has no {needed}', remedy)


def _start_to_take(start_from: str, tables: Mapping[str, Any]) -> str:
    """What to do where a start is not there: another recipe's run has yet to make it, or the name is wrong."""
    run, part, _ = start_from.partition("/pretrain/")
    if part:
        return f"run the recipe first that makes {Path(run).name}"
    return near(start_from, tables) or "name a table of this recipe, or a folder"


def _no_summarizer(recipe: Recipe, summarizer: str, folder: Path, place: KeyPath) -> Iterator[Problem]:
    """What is to make summaries and is no such table, and no model's folder."""
    extracting = [name for name, config in recipe.finetune.items() if config.task == "extraction"]
    remedy = f"take {', '.join(extracting)}" if extracting else "add a [finetune] table with task = extraction"
    if summarizer in recipe.finetune:
        if summarizer not in extracting:
            yield Problem(place, f"[finetune.{summarizer}] makes no summaries", remedy)
        return
    known = _below(folder, summarizer) / "myna.json"
    if not known.is_file():
        yield Problem(place, f'"{summarizer}" is neither a [finetune] table nor a folder of such a model', remedy)
    elif files.read_object(known).get("kind") != "sentences":
        yield Problem(place, f'the model in "{summarizer}" makes no summaries', remedy)


def _unknown_teacher(recipe: Recipe, name: str, folder: Path) -> Iterator[Problem]:
    """A teacher that is neither a table nor a folder, is for another task, or learns from whom it teaches."""
    line, place = [name], ("finetune", name, "teacher")
    while (teacher := recipe.finetune[line[-1]].teacher_name) in recipe.finetune:
        if teacher in line:
            yield Problem(place, "this is its own teacher", "name a model's folder, or another table")
            return
        line.append(teacher)
    teacher = recipe.finetune[name].teacher_name
    if teacher in recipe.finetune:
        task = recipe.finetune[teacher].task
        if task != recipe.finetune[name].task:
            yield Problem(place, f"[finetune.{teacher}] is for task = {task}", "name a teacher for the same task")
    elif teacher is not None and not (_below(folder, teacher) / "config.json").is_file():
        what = f'"{teacher}" is neither a [finetune] table nor a model\'s folder'
        yield Problem(place, what, near(teacher, recipe.finetune) or None)
    elif teacher is not None and (known := _below(folder, teacher) / "myna.json").is_file():
        task = recipe.finetune[name].task
        if files.read_object(known).get("task") != task:
            what = f'the model in "{teacher}" was not fine-tuned for task = {task}'
            yield Problem(place, what, "name a teacher for the same task")


def _unknown_preset(recipe: Recipe, config: FinetuneConfig, place: KeyPath) -> Iterator[Problem]:
    """A preset that is not there, or is a decoder's; a tokenizer that is not there."""
    if config.preset is None or config.tokenizer is None:
        return
    from myna.presets import PRESETS

    if config.preset not in PRESETS:
        yield Problem((*place, "preset"), f'there is no preset "{config.preset}"', near(config.preset, PRESETS))
    elif config.task in WRITING:
        parts = PRESETS[config.preset]
        if parts.get("attention") != "causal" and not parts.get("decoder_layers"):
            what = f'"{config.preset}" is an encoder, and this task writes'
            yield Problem((*place, "preset"), what, "choose a gpt or a bart preset")
        if config.pointer and not parts.get("decoder_layers"):
            what = f'pointer is for an encoder-decoder, and "{config.preset}" is none'
            yield Problem((*place, "pointer"), what, "take it out, or choose a bart preset")
    elif PRESETS[config.preset].get("decoder_layers"):
        what = f'"{config.preset}" is an encoder-decoder, and a task needs one stack'
        yield Problem((*place, "preset"), what, "choose a bert or a gpt preset")
    yield from _unknown([config.tokenizer], recipe.tokenizer, "tokenizer", (*place, "tokenizer"))


def _circle(name: str, tables: Mapping[str, Any], place: KeyPath) -> Iterator[Problem]:
    if len(_line(name, tables)) > len(set(_line(name, tables))):
        yield Problem((*place, "start_from"), "this starts from itself", "name a model's folder, or another table")


def _line(name: str, tables: Mapping[str, Any]) -> list[str]:
    """A table, what it starts from, and so on to the first; where they go in a circle, up to the first seen twice."""
    line: list[str] = []
    following: str | None = name
    while following is not None:
        line.append(following)
        if line.count(following) > 1 or following not in tables:
            break
        following = tables[following].start_from
    return line


def _below(folder: Path, path: str) -> Path:
    return folder / Path(path).expanduser()


class _Spoken(NamedTuple):
    """What must be known of a tokenizer that may not be there yet; ``opened`` is the one of a folder behind it."""

    kind: str
    size: int
    opened: Tokenizer | None


def _spoken(recipe: Recipe, name: str, folder: Path) -> _Spoken:
    config = recipe.tokenizer[name]
    if config.start_from is None:
        return _Spoken(config.kind, config.vocabulary, None)
    if config.start_from in recipe.tokenizer:
        start = _spoken(recipe, config.start_from, folder)
        return start._replace(size=start.size + config.add_words)
    opened = Tokenizer.open(_below(folder, config.start_from))
    return _Spoken(opened.kind, opened.vocabulary_size + config.add_words, opened)


def _misfit(recipe: Recipe, name: str, folder: Path) -> Iterator[Problem]:
    """A preset that is not there, parts, an objective or a tokenizer that do not fit."""
    from myna.presets import PRESETS

    config, place = recipe.pretrain[name], ("pretrain", name)
    if config.preset is not None and config.preset not in PRESETS:
        yield Problem((*place, "preset"), f'there is no preset "{config.preset}"', near(config.preset, PRESETS))
        return
    try:
        described = described_model(recipe, config, folder)
    except MynaError as error:
        key = "model" if config.model.model_fields_set else "start_from"
        yield Problem((*place, key), f"this model cannot be built: {error.what}", error.remedy)
        return
    try:
        if config.objective not in OBJECTIVES:
            # Nothing of a user's own module is imported before it is needed.
            check_objective_module(config.objective)
            return
        check_objective(config.objective, config.objective_settings().declaration(), described)
    except MynaError as error:
        yield Problem((*place, "objective"), error.what, error.remedy)
    yield from _misfit_tokenizer(recipe, config, folder, (*place, "tokenizer"))


def described_model(recipe: Recipe, config: PretrainConfig, folder: Path) -> ModelConfig:
    """The description of a language model that may not be there yet; ``folder`` is what paths are relative to."""
    from myna.presets import model_config

    parts = config.model.model_dump(exclude_unset=True)
    if config.start_from is None and config.budget is not None and config.preset is None:
        from myna.planning.ladder import models

        preset, smallest = models(config.objective_settings().declaration())[0]
        return model_config(preset, _spoken(recipe, config.tokenizer, folder).size, **{**smallest, **parts})
    if config.start_from is None:
        return model_config(config.preset, _spoken(recipe, config.tokenizer, folder).size, **parts)
    from myna.huggingface.families import empty_model
    from myna.origin import changed

    if config.start_from in recipe.pretrain:
        origin = described_model(recipe, recipe.pretrain[config.start_from], folder)
    else:
        origin = empty_model(files.read_object(_below(folder, config.start_from) / "config.json"))[0].config
    return changed(origin, parts)


def _misfit_tokenizer(recipe: Recipe, config: PretrainConfig, folder: Path, place: KeyPath) -> Iterator[Problem]:
    name = config.tokenizer
    spoken = _spoken(recipe, name, folder)
    needed = config.objective_settings().declaration()
    if spoken.kind not in needed.tokenizers:
        why = "does not give a text back" if spoken.kind == "wordpiece" else "no objective is learnt with yet"
        what = f"[tokenizer.{name}] is {spoken.kind}, which {why}"
        remedy = f'use a tokenizer of kind = "{needed.tokenizers[0]}" for objective = "{config.objective}"'
        yield Problem(place, what, remedy)
    if config.start_from in recipe.pretrain:
        own = recipe.pretrain[config.start_from].tokenizer
        if own not in _line(name, recipe.tokenizer):
            what = f"[pretrain.{config.start_from}] has another tokenizer"
            yield Problem(place, what, f'take "{own}", or let [tokenizer.{name}] have start_from = "{own}"')
    elif config.start_from is not None:
        from myna.tokens.growing import pieces_of_new

        remedy = f'let [tokenizer.{name}] have start_from = "{config.start_from}"'
        if spoken.opened is None:
            yield Problem(place, f'the model in "{config.start_from}" has a tokenizer of its own', remedy)
            return
        try:
            pieces_of_new(Tokenizer.open(_below(folder, config.start_from)), spoken.opened)
        except MynaError as error:
            yield Problem(place, error.what, remedy)


def _two_stacks(recipe: Recipe, start_from: str, folder: Path, place: KeyPath) -> Iterator[Problem]:
    """A task that starts from an encoder-decoder, as far as the files tell at a glance."""
    known = _below(folder, start_from) / "myna.json"
    if start_from in recipe.pretrain:
        start = recipe.pretrain[start_from]
        if start.objective in OBJECTIVES and start.objective_settings().declaration().two_stacks:
            yield Problem(place, f"[pretrain.{start_from}] is an encoder-decoder, and a task needs one stack", _ENCODER)
    elif known.is_file() and files.read_object(known).get("kind") == "sequence_to_sequence":
        yield Problem(place, f'the model in "{start_from}" is an encoder-decoder, and a task needs one stack', _ENCODER)


def _no_writer(recipe: Recipe, start_from: str, folder: Path, place: KeyPath) -> Iterator[Problem]:
    """A task that writes, and starts from a model that does not, as far as the files tell at a glance."""
    known, remedy = _below(folder, start_from) / "myna.json", "start from a decoder or an encoder-decoder"
    what = "is no model that writes, and this task does"
    if start_from in recipe.pretrain:
        start = recipe.pretrain[start_from]
        if start.objective in OBJECTIVES and start.objective_settings().declaration().head not in _WRITE:
            yield Problem(place, f"[pretrain.{start_from}] {what}", remedy)
    elif known.is_file() and files.read_object(known).get("kind", _WRITE[0]) not in _WRITE:
        yield Problem(place, f'the model in "{start_from}" {what}', remedy)
