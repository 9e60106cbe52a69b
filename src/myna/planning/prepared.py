"""A training of a recipe made ready without being begun: its model with weights at random, its objective, its items.

What is read is a run's folder whose corpora, tokenizers and tokens are there; what the training starts from need not
be: its description is enough. Nothing is written but into a scratch folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from myna.corpus.document import Corpus
from myna.finetuning import FinetuneConfig
from myna.huggingface.families import empty_model, with_head
from myna.huggingface.folder import read_settings
from myna.inference.predict import BATCH_TOKENS, predictions
from myna.learner import language_kind, let_learn, made_for
from myna.ledger import Ledger
from myna.model.config import ModelConfig
from myna.model.heads import LANGUAGE_KINDS, Model, build
from myna.objectives.protocol import Batch, Items, Objective
from myna.planning.answering import Answering, Answers, as_if_taught, in_folder
from myna.planning.budget import settled
from myna.presets import model_config
from myna.pretraining import (
    VALIDATION_BATCH,
    PretrainConfig,
    check_objective,
    make_objective,
    training_items,
    validated,
)
from myna.recipe import Recipe
from myna.recipe_references import described_model
from myna.tasks import find_task
from myna.tasks.examples import Example, Splits, choose, read_splits
from myna.tasks.task import Adjustable, Task, Writes
from myna.tokens.special import with_special_tokens
from myna.tokens.store import TokenStore
from myna.tokens.tokenizer import Tokenizer
from myna.training.batches import make_batches
from myna.training.measuring import Manner, usual_manner
from myna.training.settings import TrainingConfig

# Examples of a part of a validation: as many as fill whole batches, as a whole look has them.
_EXAMPLES = 512

Look = tuple[Callable[[], object], int]


@dataclass(frozen=True)
class Prepared:
    """A training as its loop gets it, and its validation.

    ``validation_tokens`` are those of a whole look at the validation split and ``validations`` how many looks there
    are (None: one at the end of each epoch); ``look(n)`` gives the work of the n-th part of one, and its tokens.
    ``answering`` are the models that answer its texts before it begins, by what they are to it.
    """

    model: Model
    objective: Objective
    items: Items
    config: TrainingConfig
    seed: int
    validation_tokens: int
    validations: int | None
    look: Callable[[int], Look]
    answering: Mapping[str, Answering] = field(default_factory=dict)

    @property
    def manner(self) -> Manner:
        """Threads, micro-batches and precision, as the recipe names them; for ``auto`` what is usual."""
        return usual_manner(self.model, self.config)


def prepare(recipe: Recipe, run: Path, key: str, scratch: Path, exact: bool = True) -> Prepared:
    """The training ``key``, as ``pretrain.encoder``, of a recipe whose text lies in ``run``.

    Where the text is not ``exact``, but a sample, the model has as many pieces as the recipe asks for.
    """
    kind, _, name = key.partition(".")
    # What a budget chose for one that this starts from is in its folder.
    known = {other: settled(config, run / "pretrain" / other) for other, config in recipe.pretrain.items()}
    recipe = recipe.model_copy(update={"pretrain": known})
    if kind == "pretrain":
        return _pretraining(recipe, run, recipe.pretrain[name], scratch, exact)
    return _finetuning(recipe, run, recipe.finetune[name], exact)


def _pretraining(recipe: Recipe, run: Path, config: PretrainConfig, scratch: Path, exact: bool) -> Prepared:
    seed = recipe.seed if config.seed is None else config.seed
    needed = config.objective_settings().declaration()
    tokenizer = Tokenizer.open(run / "tokenizer" / config.tokenizer)
    tokenizer = with_special_tokens(tokenizer, scratch / "tokenizer", needed.mask, needed.sentinels)
    objective = make_objective(config, tokenizer)
    described = _description(recipe, config, tokenizer, exact)
    if objective.head not in LANGUAGE_KINDS:
        described = with_head(described, "masked", objective.head)
    check_objective(config.objective, needed, described)
    model = build(described, objective.head, seed=seed)
    objective.equip(model, seed)
    folders = [run / "tokens" / f"{corpus}-{config.tokenizer}" for corpus in config.corpus]
    stores = [TokenStore.open(place, "train") for place in folders]
    items = training_items(config, objective, stores, described.maximum_length)
    judging = objective.at(1.0)
    judged = judging.items([TokenStore.open(place, "validation") for place in folders], described.maximum_length)
    chosen = validated(judged)

    @cache
    def batches() -> list[Batch]:
        """Those of the training itself: what memory it takes hangs on their sizes."""
        return make_batches(judging, judged, chosen, VALIDATION_BATCH, None)

    def look(part: int) -> Look:
        few = batches()[part : part + 1]
        losses = torch.inference_mode()(lambda: [judging.loss(model, batch) for batch in few])
        return losses, sum(batch.size for batch in few)

    tokens = int(judged.lengths[np.asarray(chosen)].sum())
    return Prepared(model, objective, items, config, seed, tokens, config.validations, look)


def _finetuning(recipe: Recipe, run: Path, config: FinetuneConfig, exact: bool) -> Prepared:
    seed, ledger = recipe.seed if config.seed is None else config.seed, Ledger()
    splits, trained, model, task = _learner(recipe, run, config, exact)
    let_learn(model, config, seed)
    items = task.items(trained, config.too_long, ledger)
    judged = task.items(splits.validation, "window", Ledger())
    read = [*trained, *splits.validation]
    answering: dict[str, Answering] = {}
    if config.summarizer is not None:
        answering["the summarizer"] = partial(_answers, recipe, run, config.summarizer, read, exact)
    if config.teacher_name is not None:
        answering["the teacher"] = partial(_answers, recipe, run, config.teacher_name, trained, exact)
        items = as_if_taught(items, task.labels)

    def look(part: int) -> Look:
        few = splits.validation[part * _EXAMPLES : (part + 1) * _EXAMPLES]
        own = task.items(few, "window", Ledger())
        if isinstance(task, Writes):
            writer = task
            return lambda: writer.validate(model, own, BATCH_TOKENS), int(own.lengths.sum())
        return lambda: task.metrics(few, predictions(model, task, own)), int(own.lengths.sum())

    return Prepared(model, task, items, config, seed, int(judged.lengths.sum()), None, look, answering)


def _learner(
    recipe: Recipe, run: Path, config: FinetuneConfig, exact: bool
) -> tuple[Splits, Sequence[Example], Model, Task]:
    """The examples of a fine-tuning and those of them that it learns from, its model, and its task."""
    seed = recipe.seed if config.seed is None else config.seed
    kind = find_task(config.task)
    splits = read_splits(Corpus.open(run / "corpus" / config.corpus), kind, Ledger())
    trained = choose(splits.train, config.training_examples or len(splits.train), seed)
    tokenizer = Tokenizer.open(_tokenizer_folder(recipe, run, config))
    blank = config.model_copy(update={"from_scratch": True})
    origin = _origin(recipe, run, config, tokenizer, exact)
    model = made_for(kind, origin, splits.names, blank, seed, run)
    task = kind(tokenizer, model.labels, model.config.maximum_length)
    if isinstance(task, Adjustable):
        task.adjust(config, trained, model)
    return splits, trained, model, task


def _answers(recipe: Recipe, run: Path, name: str, examples: Sequence[Example], exact: bool) -> Answers:
    """What a ``[finetune]`` table makes, or what lies in a folder, before the examples that it answers."""
    if name in recipe.finetune:
        *_, model, task = _learner(recipe, run, recipe.finetune[name], exact)
    else:
        # The best of several seeds has no table of its own where they stand one by one.
        kept = run / "finetune" / name / "model"
        model, task = in_folder(kept if kept.is_dir() else Path(name))
    return Answers(model, task, examples)


def _tokenizer_folder(recipe: Recipe, run: Path, config: FinetuneConfig) -> Path:
    if config.start_from is None:
        return run / "tokenizer" / str(config.tokenizer)
    start = recipe.pretrain.get(config.start_from)
    return Path(config.start_from) if start is None else run / "tokenizer" / start.tokenizer


def _description(recipe: Recipe, config: PretrainConfig, tokenizer: Tokenizer, exact: bool) -> ModelConfig:
    described = described_model(recipe, config, Path("/"))
    own = exact and (config.start_from is None or config.start_from in recipe.pretrain)
    size = tokenizer.vocabulary_size if own else max(described.vocabulary_size, tokenizer.vocabulary_size)
    return described.model_copy(update={"vocabulary_size": size})


def _origin(recipe: Recipe, run: Path, config: FinetuneConfig, tokenizer: Tokenizer, exact: bool) -> Model:
    """What a fine-tuning starts from, without its weights."""
    name = config.start_from
    if name is None:
        assert config.preset is not None
        described = model_config(config.preset, tokenizer.vocabulary_size)
        kind = language_kind(described)
    elif name not in recipe.pretrain:
        return empty_model(read_settings(Path(name)))[0]
    else:
        start = recipe.pretrain[name]
        kind = start.objective_settings().declaration().head
        described = _description(recipe, start, tokenizer, exact)
    with torch.device("meta"):
        return Model(described if kind in LANGUAGE_KINDS else with_head(described, "masked", kind), kind)
