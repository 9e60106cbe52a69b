"""The batch of one step of a training, from its sampler and the texts that lie in the run: ``myna show … --step N``.

Nothing is trained and no weights are read. What is shown is what the step learns from, before words are masked.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myna.errors import InputError
from myna.finetuning import FinetuneConfig
from myna.learner import labels_for
from myna.ledger import Ledger
from myna.planning.budget import settled
from myna.pretraining import PretrainConfig, make_objective, training_items
from myna.seeds import settings_of

if TYPE_CHECKING:
    from myna.model.config import ModelConfig
    from myna.tokens.sampler import Sampler
    from myna.training.sampling import AnySampler

_KINDS = ("pretrain", "finetune")


def show_step(path: Path | str, step: int) -> dict[str, Any]:
    """The batch of a step, counted from 1 as in ``metrics.jsonl``, of the training in ``path``, as values for JSON.

    ``path`` is a training's folder, or a run's that has one training. Raises an :class:`InputError` for any other, and
    for a step that the training does not have.
    """
    folder = _training(Path(path))
    run, kind = folder.parent.parent, folder.parent.name
    table = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    try:
        settings = settings_of(table[kind], folder.name)
    except KeyError:
        what = f"there is no training {kind}.{folder.name} in the run's recipe"
        several = next((key for key in ("curve", "seeds") if table[kind].get(folder.name, {}).get(key)), None)
        remedy = None if several is None else f"give that of one of its {'points' if several == 'curve' else several}"
        raise InputError(what, where=run / "recipe.toml", remedy=remedy) from None
    seed = settings.get("seed", table["seed"])
    if kind == "pretrain":
        sampler, items = _pretraining(settled(PretrainConfig(**settings), folder), folder, seed, step)
    else:
        config = settled(FinetuneConfig(**settings), folder)
        sampler, items = _finetuning(config, run, set(table.get("pretrain", ())), seed, step)
    return {
        "kind": "step",
        "path": str(folder),
        "step": step,
        "seed": seed,
        **_epochs(sampler, step),
        "tokens": sum(item["tokens"] for item in items),
        "items": items,
    }


def describe_step(facts: Mapping[str, Any]) -> str:
    """What :func:`show_step` gave, for a person: a line for each item, its pieces between bars."""
    by_source = (f"{epoch} of {name}" for name, epoch in facts.get("epochs", {}).items())
    epoch = facts["epoch"] if "epoch" in facts else ", ".join(by_source)
    lines = [
        f"step {facts['step']}  {facts['path']}",
        f"  epoch {epoch}, {len(facts['items'])} items, {facts['tokens']:,} tokens, special ones included",
        "",
    ]
    for item in facts["items"]:
        label = f"  [{item['label']}]" if item.get("label") else ""
        lines.append(f"  {item['document']}{label}  {'|'.join(item['pieces'])}")
    return "\n".join(lines)


def _training(path: Path) -> Path:
    if path.parent.name in _KINDS and (path.parent.parent / "recipe.toml").is_file():
        return path
    if not (path / "recipe.toml").is_file():
        raise InputError("--step is for a training", where=path, remedy="give its folder, as RUN/pretrain/NAME")
    found = [place for kind in _KINDS for place in sorted(path.glob(f"{kind}/*")) if place.is_dir()]
    if len(found) != 1:
        remedy = f"give one of {', '.join(map(str, found))}" if found else "let the run come to one first"
        raise InputError(f"this run has {len(found)} trainings", where=path, remedy=remedy)
    return found[0]


def _epochs(sampler: AnySampler, step: int) -> dict[str, Any]:
    """The epoch that a step begins in, or that of each source."""
    from myna.tokens.sources import SourceSampler

    if isinstance(sampler, SourceSampler):
        return {"epochs": {name: int(sampler.epochs(name, step - 1)) + 1 for name in sampler.sources.names}}
    return {"epoch": (step - 1) * sampler.batch_tokens // sampler.epoch_tokens + 1}


def _pretraining(config: PretrainConfig, folder: Path, seed: int, step: int) -> tuple[AnySampler, list[dict[str, Any]]]:
    from myna.tokens.store import TokenStore
    from myna.tokens.tokenizer import Tokenizer
    from myna.training.sampling import make_sampler

    run, widened = folder.parent.parent, folder / "tokenizer"
    tokenizer = Tokenizer.open(widened if widened.is_dir() else run / "tokenizer" / config.tokenizer)
    objective = make_objective(config, tokenizer)
    stores = [TokenStore.open(run / "tokens" / f"{name}-{config.tokenizer}", "train") for name in config.corpus]
    items = training_items(config, objective, stores, _longest(config, run, tokenizer.vocabulary_size))
    firsts = np.cumsum([0, *(store.documents for store in stores)])
    sampler = make_sampler(items, config, seed)
    shown = []
    for number in _chosen(sampler, config, step):
        document = int(items.documents[number])
        owner = int(np.searchsorted(firsts, document, side="right")) - 1
        item = items[number]
        # A pair of texts shows both as one.
        ids = getattr(item, "piece", item).ids.tolist()
        shown.append(
            {
                "document": f"{config.corpus[owner]}:{document - int(firsts[owner])}",
                "tokens": int(items.lengths[number]),
                "ids": ids,
                "pieces": [tokenizer.piece(id) for id in ids],
            }
        )
    return sampler, shown


def _longest(config: PretrainConfig, run: Path, vocabulary_size: int) -> int:
    from myna.presets import model_config

    parts = config.model.model_dump(exclude_unset=True)
    if config.start_from is None:
        return model_config(config.preset, vocabulary_size, **parts).maximum_length
    own = run / "pretrain" / config.start_from / "model"
    start = own if own.is_dir() else Path(config.start_from)
    return int(parts.get("maximum_length", _config_of(start).maximum_length))


def _config_of(folder: Path) -> ModelConfig:
    from myna.huggingface.families import empty_model
    from myna.huggingface.folder import read_settings

    return empty_model(read_settings(folder))[0].config


def _finetuning(
    config: FinetuneConfig, run: Path, pretrained: set[str], seed: int, step: int
) -> tuple[Sampler, list[dict[str, Any]]]:
    from myna.corpus.document import Corpus
    from myna.presets import model_config
    from myna.tasks import find_task
    from myna.tasks.examples import choose, read_splits
    from myna.tasks.task import Writes
    from myna.tokens.sampler import Sampler
    from myna.tokens.tokenizer import Tokenizer

    if config.start_from is None:
        start = run / "tokenizer" / str(config.tokenizer)
        described = model_config(config.preset, Tokenizer.open(start).vocabulary_size)
    else:
        own = run / "pretrain" / config.start_from / "model"
        start = own if config.start_from in pretrained else Path(config.start_from)
        described = _config_of(start)
    tokenizer, kind, ledger = Tokenizer.open(start), find_task(config.task), Ledger()
    splits = read_splits(Corpus.open(run / "corpus" / config.corpus), kind, ledger)
    trained = choose(splits.train, config.training_examples or len(splits.train), seed)
    task: Any = kind(tokenizer, labels_for(config, kind, splits.names), described.maximum_length)
    if isinstance(task, Writes):
        task.take_up(config, trained, described)
    items = task.items(trained, config.too_long, ledger)
    sampler = Sampler(items.lengths, config.batch_tokens, seed)
    shown = []
    for number in _chosen(sampler, config, step):
        item = items[int(number)]
        example = items.examples[item.example]
        pieces = [tokenizer.piece(int(id)) for id in item.ids]
        label = ", ".join(example.names) if example.value is None else f"{example.value:g}"
        line = {"document": example.id, "tokens": len(item.ids), "label": label}
        shown.append({**line, "ids": item.ids.tolist(), "pieces": pieces})
    return sampler, shown


def _chosen(sampler: AnySampler, config: PretrainConfig | FinetuneConfig, step: int) -> Iterator[int]:
    from myna.training.sampling import total_steps

    steps = total_steps(config, sampler)
    if not 1 <= step <= steps:
        raise InputError(f"this training has the steps 1 to {steps:,}", where=f"--step {step}")
    yield from sampler.step(step - 1).tolist()
