"""Pre-training: tokens and an objective become a model.

Reads token stores, writes ``metrics.jsonl``, ``checkpoints/`` and ``model/`` into the stage's folder.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationInfo, create_model, field_validator, model_validator

from myna.ledger import Ledger
from myna.model.config import ModelConfig
from myna.objectives.settings import Declaration, ObjectiveTables
from myna.settings import Section, result_settings, setting
from myna.training.continuing import beginning
from myna.training.settings import TrainingConfig

if TYPE_CHECKING:
    from torch import nn

    from myna.objectives.language import LanguageObjective
    from myna.tokens.pieces import Pieces
    from myna.tokens.sampler import Reached
    from myna.tokens.sources import Sources
    from myna.tokens.store import TokenStore
    from myna.tokens.tokenizer import Tokenizer

VERSION = 2
Weights = dict[str, Annotated[float, Field(ge=0)]]
# Enough for an error of about 0.02 nats; more would only take time from the training.
VALIDATION_TOKENS = 20_000
# As many tokens at a time.
VALIDATION_BATCH = 4096


def _optional_parts() -> type[Section]:
    """The parts of a :class:`ModelConfig` as a table in which each may be left out."""
    fields: dict[str, Any] = {}
    for name, part in ModelConfig.model_fields.items():
        if name != "vocabulary_size":
            free = copy.copy(part)
            free.default, free.default_factory = None, None
            fields[name] = (part.annotation, free)
    return create_model("ModelParts", __base__=Section, **fields)


if TYPE_CHECKING:

    class ModelParts(Section):
        """Parts of a model; what is left out stays as the preset has it, or without one as a ModelConfig has it."""

else:
    ModelParts = _optional_parts()


class PretrainConfig(TrainingConfig, ObjectiveTables):
    """A ``[pretrain.NAME]`` table of a recipe."""

    corpus: list[str] = setting(description="the corpora to learn from")
    tokenizer: str = setting(description="the tokenizer to read them with")
    preset: str | None = setting(None, "the model's description by name, as bert-mini or gpt-mini")
    model: ModelParts = setting(
        ModelParts(),
        "changes to the preset's parts; without a preset, changes to the defaults: a bert-mini without segments",
    )
    start_from: str | None = setting(
        None, "go on from the weights of a model: another [pretrain] table's name, or a model's folder"
    )
    weights: Weights | None = setting(
        None,
        "how much of a step is drawn from each corpus, as { news = 3, reviews = 1 }, instead of all alike",
        "added",
    )
    cooldown_weights: Weights | None = setting(
        None, "the weights in the last steps, a share of cooldown, as for better text at the end", "added"
    )
    validations: int = setting(5, "how often the validation split is looked at", "log", gt=0)

    @model_validator(mode="before")
    @classmethod
    def _one_corpus_or_many(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("corpus"), str):
            return {**given, "corpus": [given["corpus"]]}
        return given

    @field_validator("weights", "cooldown_weights")
    @classmethod
    def _of_the_corpora(cls, weights: dict[str, float] | None, info: ValidationInfo) -> dict[str, float] | None:
        corpora = info.data.get("corpus")
        for name in weights or ():
            if corpora is not None and name not in corpora:
                raise ValueError(f'"{name}" is none of the corpora of this table; there are {", ".join(corpora)}')
        if weights is not None and not any(weights.values()):
            raise ValueError("every weight is 0; give one corpus more")
        return weights

    @model_validator(mode="after")
    def _every_corpus_weighed(self) -> PretrainConfig:
        if self.weights is None:
            if self.cooldown_weights is not None:
                raise ValueError("cooldown_weights go with weights, for the steps before")
            return self
        if self.budget is not None and self.cooldown_weights is not None:
            raise ValueError("with a budget the last steps are known too late for cooldown_weights; take them out")
        weights = [self.weights, self.cooldown_weights or {}]
        for name in self.corpus:
            if not any(given.get(name) for given in weights):
                raise ValueError(f'the corpus "{name}" has no weight; give it one, or take it out of corpus')
        if len(set(self.corpus)) < len(self.corpus):
            raise ValueError("a corpus stands twice among those that have weights; name each once")
        return self

    @model_validator(mode="after")
    def _one_model(self) -> PretrainConfig:
        if self.budget is None and self.preset is None and self.start_from is None and not self.model.model_fields_set:
            what = 'say what the model is: preset = "bert-mini" or another, its parts as model = { … }'
            raise ValueError(f"{what}, or start_from")
        if self.preset is not None and self.start_from is not None:
            raise ValueError("give either preset or start_from: a model that is there already is what it is")
        return self


def pretrain(
    config: PretrainConfig,
    tokenizer_folder: Path,
    token_folders: Sequence[Path],
    folder: Path,
    seed: int,
    report: Callable[[str, float], None] = lambda what, share: None,
    start_from: Path | None = None,
    seconds: float | None = None,
) -> Ledger:
    """Trains a model on the training splits of ``token_folders`` and writes ``folder/model``.

    It is a new one, or that in ``start_from``, with rows for the pieces that the tokenizer has more than its own. A
    folder with a checkpoint of the same run is gone on with. Where it is given ``seconds`` it ends by then.
    """
    from myna.huggingface.families import with_head
    from myna.huggingface.folder import write_model_folder
    from myna.model.heads import LANGUAGE_KINDS, build
    from myna.origin import Origin
    from myna.presets import model_config
    from myna.tokens.sources import Sources, SourceSampler
    from myna.tokens.special import with_special_tokens
    from myna.tokens.store import TokenStore
    from myna.tokens.tokenizer import Tokenizer
    from myna.training.loop import train
    from myna.training.processes import first_before_others, processes
    from myna.training.sampling import make_sampler

    seed = seed if config.seed is None else config.seed
    needed = config.objective_settings().declaration()
    tokenizer = Tokenizer.open(tokenizer_folder)
    with first_before_others():
        tokenizer = with_special_tokens(tokenizer, folder / "tokenizer", needed.mask, needed.sentinels)
    objective = make_objective(config, tokenizer)
    parts = config.model.model_dump(exclude_unset=True)
    origin = None if start_from is None else Origin.read(start_from)
    if origin is None:
        described = model_config(config.preset, tokenizer.vocabulary_size, **parts)
        if objective.head not in LANGUAGE_KINDS:
            described = with_head(described, "masked", objective.head)
        check_objective(config.objective, needed, described)
        model = build(described, objective.head, seed=seed)
    else:
        check_objective(config.objective, needed, origin.model.config)
        model = origin.continued(objective.head, tokenizer, parts, seed)
        described = model.config
    start, lineage = (None, []) if origin is None else (origin.weights, origin.lineage)
    del origin  # Its weights are copied, and would be held all the time.
    objective.equip(model, seed)
    stores = [TokenStore.open(place, "train") for place in token_folders]
    items = training_items(config, objective, stores, described.maximum_length)
    held_out = [TokenStore.open(place, "validation") for place in token_folders]
    validate = _validation(objective, model, held_out, described.maximum_length)
    settings = {**result_settings(config), "start_from": None}
    identity = {
        "model": described.model_dump(),
        "settings": settings,
        "start": start,
        "seed": seed,
        "tokens": int(items.lengths.sum()),
    }
    stable = beginning(settings)
    progress = train(
        model,
        objective,
        items,
        config,
        folder,
        seed,
        identity=identity,
        stable=None if stable is None else {**identity, "settings": stable},
        validate=validate,
        validations=config.validations,
        seconds=seconds,
        report=report,
    )
    if not processes().first:
        return Ledger()
    facts = {
        "name": folder.name,
        "task": f"{config.objective} language model",
        "corpora": ", ".join(config.corpus),
        "steps": progress.step,
        "tokens": progress.tokens,
        **config.objective_tables(),
    }
    if start is not None:
        facts |= {"start_from": config.start_from, "lineage": lineage}
    companions = objective.companions()
    left = {name: module for name, module in objective.modules().items() if name not in companions}
    if left:
        facts["trained_beside_and_not_kept"] = ", ".join(left)
    for name, companion in companions.items():
        write_model_folder(folder / name, companion, tokenizer.folder, facts | {"name": f"{folder.name}: {name}"})
    write_model_folder(folder / "model", model, tokenizer.folder, facts)
    sampler = make_sampler(items, config, seed)
    ledger = _ledger(stores, items.parts if isinstance(items, Sources) else [items], sampler.reached(progress.step))
    ledger.note("tokens trained, special ones included", progress.tokens)
    ledger.note("steps", progress.step)
    for name, module in left.items():
        ledger.note(f"parameters of {name}, trained beside the model and not kept", parameter_count(module))
    if isinstance(sampler, SourceSampler):
        for name in config.corpus:
            ledger.note(f"tokens drawn from {name}", sampler.given(name, progress.step))
            ledger.note(f"epochs of {name}", round(sampler.epochs(name, progress.step), 3))
    else:
        ledger.note("epochs", round(progress.tokens / int(items.lengths.sum()), 3))
    return ledger


def training_items(
    config: PretrainConfig, objective: LanguageObjective, stores: Sequence[TokenStore], maximum_length: int
) -> Pieces | Sources:
    """What a training learns from: the pieces of all stores, or with weights those of each by itself."""
    from myna.tokens.sources import Sources

    if config.weights is None:
        return objective.items(stores, maximum_length)
    named = zip(config.corpus, stores, strict=True)
    parts = {name: objective.items([store], maximum_length) for name, store in named}
    return Sources(parts, config.weights, config.cooldown_weights)


def parameter_count(module: nn.Module) -> int:
    """How many numbers a module has learnt."""
    return sum(parameter.numel() for parameter in module.parameters())


def make_objective(tables: ObjectiveTables, tokenizer: Tokenizer) -> LanguageObjective:
    """The objective of a recipe for a tokenizer, which has the special tokens that it needs."""
    from myna.objectives import find_objective
    from myna.objectives.language import Vocabulary

    settings = tables.objective_settings()
    vocabulary = Vocabulary.of(tokenizer, settings.declaration())
    return find_objective(tables.objective)(vocabulary, settings)


def check_objective(objective: str, needed: Declaration, described: ModelConfig) -> None:
    """Raises an :class:`~myna.errors.InputError` for a model that an objective with these needs cannot train."""
    from myna.errors import InputError

    if needed.two_stacks != bool(described.decoder_layers):
        remedy = "bart and t5 presets, encoders and decoders in one" if needed.two_stacks else "a bert or a gpt preset"
        model, remedy = "one stack" if needed.two_stacks else "an encoder-decoder", f"choose {remedy}"
    elif described.attention not in needed.attention:
        model = f"{described.attention} attention"
        remedy = "bert presets are masked, gpt presets are causal"
        remedy += f'; of parts, model = {{ attention = "{needed.attention[0]}" }} makes another'
    elif described.pointer:
        model, remedy = "a pointer", "take it out: it is learnt in a [finetune] table"
    else:
        return
    raise InputError(f'objective = "{objective}" does not go with {model}', remedy=remedy)


def _validation(
    objective: LanguageObjective, model: Any, stores: Sequence[Any], maximum_length: int
) -> Callable[[], dict[str, float]] | None:
    """The mean loss over pieces spread evenly over the validation splits; None where there is no text in them."""
    import torch

    from myna.training.batches import make_batches, total_counts

    objective = objective.at(1.0)
    items = objective.items(stores, maximum_length)
    if len(items) == 0:
        return None
    batches = make_batches(objective, items, validated(items), VALIDATION_BATCH, None)
    counts = total_counts(batches)

    def validate() -> dict[str, float]:
        with torch.inference_mode():
            terms = [term for batch in batches for term in objective.loss(model, batch).terms]
        loss = sum(float(term.sum) * term.weight / counts[term.name] for term in terms)
        return {"loss": loss, "score": -loss}

    return validate


def validated(items: Pieces) -> range:
    """Which pieces of the validation splits are looked at: evenly spread ones, of so many tokens as are enough."""
    return range(0, len(items), max(1, -(-int(items.lengths.sum()) // VALIDATION_TOKENS)))


def _ledger(stores: Sequence[TokenStore], parts: Sequence[Pieces], reached: Sequence[Reached]) -> Ledger:
    """Every document and token of the training splits: learned from, or beyond what the run had time for."""
    ledger = Ledger()
    documents, tokens = sum(s.documents for s in stores), sum(s.tokens for s in stores)
    held = [part.held(some) for part, some in zip(parts, reached, strict=True)]
    seen = {unit: sum(counts[unit] for counts in held) for unit in ("documents", "tokens")}
    empty = documents - sum(part.filled for part in parts)
    ledger.came_in(documents=documents, tokens=tokens)
    ledger.kept(**seen)
    ledger.dropped("without a token", documents=empty)
    left = {"documents": documents - empty - seen["documents"], "tokens": tokens - seen["tokens"]}
    ledger.dropped("not reached in the time given", **left)
    return ledger
