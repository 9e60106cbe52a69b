"""The kinds of stages, in one table: which of them a recipe has, what each reads, and how it is done.

What is done is done elsewhere; here stands only which module does it, and what is handed to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from myna.corpus.sources import source_files
from myna.curves import compare_points, copy_training, curves_of, kept_of, points_of
from myna.errors import InputError
from myna.finetuning import FinetuneConfig
from myna.ledger import Ledger
from myna.recipe import Recipe
from myna.seeds import best_of, gather_scores, keep_best, one_by_one
from myna.settings import Section, result_settings
from myna.tokens.tokenizer import TOKENIZER_FILES
from myna.training.continuing import why_anew
from myna.training.settings import TrainingConfig

Report = Callable[[str, float], None]

_VERSION = re.compile(r"^VERSION = (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Needs:
    """What a stage needs: settings, stages that it reads (by key), and files from outside (by a name for each)."""

    settings: Mapping[str, Any]
    inputs: tuple[str, ...] = ()
    sources: tuple[tuple[str, Path], ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of stage: the module that does it and has its ``VERSION``, which stages of it a recipe has (by name), and
    how one is done: ``work(recipe, run's folder, name, folder to write to, report)``.

    One that ``resumes`` works in its own folder and goes on there; ``why_anew`` says of the settings that it was
    begun with and those of now why it does not, and None where it does. ``makes`` names its files where it writes
    beside those of others, into the run's own folder.
    """

    name: str
    module: str
    stages: Callable[[Recipe], Mapping[str, Needs]]
    work: Callable[[Recipe, Path, str, Path, Report], Ledger]
    resumes: bool = False
    why_anew: Callable[[Mapping[str, Any], Mapping[str, Any]], str | None] = lambda old, new: ""
    makes: tuple[str, ...] = ()

    @property
    def version(self) -> int:
        """Changes with what a stage of this kind makes of the same inputs."""
        return _version(self.module)


@cache
def _version(module: str) -> int:
    """The module's ``VERSION``, read from its source: to plan, or to say that all is done, must not import torch."""
    loader = getattr(find_spec(module), "loader", None)
    found = _VERSION.search(loader.get_source(module) or "") if loader is not None else None
    assert found is not None, f"{module} has no VERSION"
    return int(found.group(1))


# ----------------------------------------------------------------------------------------- which stages there are


def _corpora(recipe: Recipe) -> dict[str, Needs]:
    needs = {}
    for name, config in recipe.corpus.items():
        settings = result_settings(config)
        # A file is known by its name and its content, wherever it lies.
        settings["sources"] = [{**source, "path": None} for source in settings["sources"]]
        found = [
            (f"{number}/{file.name}", file.path)
            for number, source in enumerate(config.sources)
            for file in source_files(source)
        ]
        needs[name] = Needs(settings, sources=tuple(found))
    return needs


def _tokenizers(recipe: Recipe) -> dict[str, Needs]:
    needs = {}
    for name, config in recipe.tokenizer.items():
        start = _start(config.start_from, "tokenizer", recipe.tokenizer, TOKENIZER_FILES)
        inputs = (*(f"corpus.{corpus}" for corpus in config.corpus), *start.inputs)
        needs[name] = Needs({**result_settings(config), **start.settings}, inputs, start.sources)
    return needs


def _token_stores(recipe: Recipe) -> dict[str, Needs]:
    needs: dict[str, Needs] = {}
    for config in recipe.pretrain.values():
        for corpus in config.corpus:
            name, wanted = f"{corpus}-{config.tokenizer}", (f"corpus.{corpus}", f"tokenizer.{config.tokenizer}")
            if name in needs and needs[name].inputs != wanted:
                what = f"two pairs of a corpus and a tokenizer would both be tokens.{name}"
                remedy = "rename a [corpus] or a [tokenizer] table"
                raise InputError(what, where=f"tokens.{name}", remedy=remedy)
            needs[name] = Needs({}, wanted)
    return needs


def _pretrainings(recipe: Recipe) -> dict[str, Needs]:
    needs = {}
    for name, config in recipe.pretrain.items():
        start = _start(config.start_from, "pretrain", recipe.pretrain)
        stores = (f"tokens.{corpus}-{config.tokenizer}" for corpus in config.corpus)
        needs[name] = Needs(
            {**_settings(config), **start.settings},
            (f"tokenizer.{config.tokenizer}", *stores, *start.inputs),
            start.sources,
            recipe.seed if config.seed is None else config.seed,
        )
    return needs


def _finetunings(recipe: Recipe) -> dict[str, Needs]:
    needs = {}
    for name, config in one_by_one(recipe).finetune.items():
        start = _start(config.start_from, "pretrain", recipe.pretrain)
        taught = _start(config.teacher_name, "finetune", recipe.finetune)
        named = {} if taught.inputs or not taught.sources else {"teacher": None}
        own = () if config.tokenizer is None else (f"tokenizer.{config.tokenizer}",)
        reader = _start(config.summarizer, "finetune", recipe.finetune)
        unnamed = {"summarizer": None} if reader.settings else {}
        needs[name] = Needs(
            {**_settings(config), **start.settings, **named, **unnamed},
            (f"corpus.{config.corpus}", *start.inputs, *own, *reader.inputs, *taught.inputs),
            (
                *start.sources,
                *((f"summarizer/{file}", path) for file, path in reader.sources),
                *((f"teacher/{file}", path) for file, path in taught.sources),
            ),
            recipe.seed if config.seed is None else config.seed,
        )
    return needs


def _best_of_seeds(recipe: Recipe) -> dict[str, Needs]:
    return {
        name: Needs({}, tuple(f"finetune.{own}" for own in several.values()))
        for name, several in best_of(recipe).items()
    }


def _most_examples(recipe: Recipe) -> dict[str, Needs]:
    return {name: Needs({}, (f"finetune.{kept_of(name, curve)}",)) for name, curve in curves_of(recipe).items()}


def _start(start_from: str | None, kind: str, tables: Mapping[str, Section], names: Sequence[str] = ()) -> Needs:
    """What a stage needs of what it starts from: another stage of the kind, or the files (or ``names``) of a folder."""
    if start_from is None:
        return Needs({})
    if start_from in tables:
        return Needs({}, (f"{kind}.{start_from}",))
    # A folder is known by its files, wherever it lies.
    found = (path for path in sorted(Path(start_from).iterdir()) if path.is_file())
    return Needs({"start_from": None}, (), tuple((p.name, p) for p in found if not names or p.name in names))


def _settings(config: TrainingConfig) -> dict[str, Any]:
    """The settings of a training that affect its result, but for the seed, which may be the recipe's, and for those
    that its budget chooses."""
    left = ("seed", *config.left_to_budget)
    return {name: value for name, value in result_settings(config).items() if name not in left}


def _language_models(recipe: Recipe) -> dict[str, Needs]:
    return {
        name: Needs(
            {},
            (
                f"pretrain.{name}",
                *(f"tokens.{corpus}-{config.tokenizer}" for corpus in config.corpus),
                *(f"corpus.{corpus}" for corpus in config.corpus),
            ),
            seed=recipe.seed,
        )
        for name, config in recipe.pretrain.items()
    }


def _task_models(recipe: Recipe) -> dict[str, Needs]:
    return {
        name: Needs(
            {"thorough": True} if config.thorough else {},
            tuple(
                dict.fromkeys(
                    (f"finetune.{name}", *(f"corpus.{corpus}" for corpus in (config.corpus, *_read(recipe, config))))
                )
            ),
            seed=recipe.seed,
        )
        for name, config in one_by_one(recipe).finetune.items()
    }


def _scores_of_seeds(recipe: Recipe) -> dict[str, Needs]:
    return {
        name: Needs({}, (f"finetune.{name}", *(f"evaluate.{own}" for own in several.values())))
        for name, several in best_of(recipe).items()
    }


def _compared_points(recipe: Recipe) -> dict[str, Needs]:
    needs = {}
    for name, curve in curves_of(recipe).items():
        points = points_of(name, curve, best_of(recipe))
        judged = [kept_of(name, curve), *(own for point in points for own in (*point.scratch, *point.pretrained))]
        inputs = (f"finetune.{name}", *(f"evaluate.{own}" for own in dict.fromkeys(judged)))
        needs[name] = Needs({}, inputs, seed=recipe.seed)
    return needs


def _read(recipe: Recipe, config: FinetuneConfig) -> tuple[str, ...]:
    """The corpora that the model of a fine-tuning was pre-trained on in this recipe, by whichever of its ancestors."""
    start, found = None if config.from_scratch else config.start_from, []
    while start in recipe.pretrain:
        found += recipe.pretrain[start].corpus
        start = recipe.pretrain[start].start_from
    return tuple(dict.fromkeys(found))


def _report_page(recipe: Recipe) -> dict[str, Needs]:
    inputs = tuple(f"{kind.name}.{name}" for kind in KINDS if kind.name != "report" for name in kind.stages(recipe))
    return {"": Needs({"name": recipe.name, **result_settings(recipe.report)}, inputs)}


# --------------------------------------------------------------------------------------------------- doing them


def _prepare(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    from myna.corpus.prepare import prepare

    ledger = prepare(recipe.corpus[name], folder, report)
    tables = [config for config in recipe.finetune.values() if config.corpus == name]
    if tables:
        from myna.finetuning import check_corpus

        check_corpus(folder, tables)  # What serves no task is told before anything is trained.
    return ledger


def _train_tokenizer(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    from myna.corpus.document import Corpus
    from myna.tokens.growing import take_tokenizer
    from myna.tokens.tokenizer import train_tokenizer

    config = recipe.tokenizer[name]
    corpora = [Corpus.open(run / "corpus" / corpus) for corpus in config.corpus]
    if config.start_from is None:
        return train_tokenizer(corpora, config, folder, report)
    own = config.start_from in recipe.tokenizer
    start_from = run / "tokenizer" / config.start_from if own else Path(config.start_from)
    return take_tokenizer(start_from, corpora, config, folder, report)


def _encode(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    from myna.corpus.document import Corpus
    from myna.tokens.store import encode_corpus
    from myna.tokens.tokenizer import Tokenizer

    corpus, tokenizer = (run / key.replace(".", "/") for key in _token_stores(recipe)[name].inputs)
    return encode_corpus(Corpus.open(corpus), Tokenizer.open(tokenizer), folder, report)


def _pretrain(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    from myna.pretraining import pretrain

    config, seconds = recipe.pretrain[name], None
    if config.budget is not None:
        from myna.planning.budget import settle_pretraining

        config, seconds = settle_pretraining(recipe, run, name, folder, report)
    tokenizer, stores = run / "tokenizer" / config.tokenizer, _tokens_of(recipe, run, name)
    start_from = None if config.start_from is None else _model_of(recipe, run, config.start_from)
    return pretrain(config, tokenizer, stores, folder, recipe.seed, report, start_from, seconds)


def _finetune(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    from myna.finetuning import finetune

    config, seconds = one_by_one(recipe).finetune[name], None
    if config.budget is not None:
        from myna.planning.budget import settle_finetuning

        config, seconds = settle_finetuning(one_by_one(recipe), run, name, folder, report)
    if config.start_from is None:
        start_from = run / "tokenizer" / str(config.tokenizer)
    else:
        start_from = _model_of(recipe, run, config.start_from)
    return finetune(
        config,
        run / "corpus" / config.corpus,
        start_from,
        folder,
        recipe.seed,
        report,
        seconds,
        _finetuned(recipe, run, config.summarizer),
        _finetuned(recipe, run, config.teacher_name),
    )


def _finetuned(recipe: Recipe, run: Path, name: str | None) -> Path | None:
    """The folder of a model that a ``[finetune]`` table makes, or that is named by its folder."""
    if name is None:
        return None
    return run / "finetune" / name / "model" if name in recipe.finetune else Path(name)


def _keep_best_of_seeds(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    return keep_best({seed: run / "finetune" / own for seed, own in best_of(recipe)[name].items()}, folder)


def _keep_most_examples(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    return copy_training(run / "finetune" / kept_of(name, curves_of(recipe)[name]), folder)


def _evaluate_language_model(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    from myna.evaluation.language import evaluate_language_model

    model, corpora = run / "pretrain" / name / "model", [run / "corpus" / c for c in recipe.pretrain[name].corpus]
    return evaluate_language_model(model, _tokens_of(recipe, run, name), corpora, folder, recipe.seed, report)


def _evaluate_task(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    from myna.evaluation.judging import evaluate_task

    config = one_by_one(recipe).finetune[name]
    model, corpus = run / "finetune" / name / "model", run / "corpus" / config.corpus
    pretrained_on = [run / "corpus" / each for each in _read(recipe, config)]
    return evaluate_task(model, corpus, config, folder, recipe.seed, report, pretrained_on)


def _gather_scores_of_seeds(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    judged = {seed: run / "evaluate" / own for seed, own in best_of(recipe)[name].items()}
    return gather_scores(judged, run / "finetune" / name, folder)


def _compare_points(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    curve = curves_of(recipe)[name]
    points = points_of(name, curve, best_of(recipe))
    return compare_points(points, kept_of(name, curve), run / "evaluate", folder, recipe.seed)


def _write_report(recipe: Recipe, run: Path, name: str, folder: Path, report: Report) -> Ledger:
    from myna.evaluation.report import write_report

    return write_report(recipe, run, folder / "report.html", folder / "scores.json", report)


def _model_of(recipe: Recipe, run: Path, start_from: str) -> Path:
    """The model's folder that a training starts from."""
    return run / "pretrain" / start_from / "model" if start_from in recipe.pretrain else Path(start_from)


def _tokens_of(recipe: Recipe, run: Path, name: str) -> list[Path]:
    config = recipe.pretrain[name]
    return [run / "tokens" / f"{corpus}-{config.tokenizer}" for corpus in config.corpus]


KINDS = (
    Kind("corpus", "myna.corpus.prepare", _corpora, _prepare),
    Kind("tokenizer", "myna.tokens.tokenizer", _tokenizers, _train_tokenizer),
    Kind("tokens", "myna.tokens.store", _token_stores, _encode),
    Kind("pretrain", "myna.pretraining", _pretrainings, _pretrain, resumes=True, why_anew=why_anew),
    Kind("finetune", "myna.finetuning", _finetunings, _finetune, resumes=True),
    Kind("finetune", "myna.seeds", _best_of_seeds, _keep_best_of_seeds),
    Kind("finetune", "myna.curves", _most_examples, _keep_most_examples),
    Kind("evaluate", "myna.evaluation.language", _language_models, _evaluate_language_model),
    Kind("evaluate", "myna.evaluation.judging", _task_models, _evaluate_task),
    Kind("evaluate", "myna.seeds", _scores_of_seeds, _gather_scores_of_seeds),
    Kind("evaluate", "myna.curves", _compared_points, _compare_points),
    Kind("report", "myna.evaluation.report", _report_page, _write_report, makes=("report.html", "scores.json")),
)
