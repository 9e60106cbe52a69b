"""The training loop, written once: for every objective and every task.

A step takes its items from the sampler, orders them by length, cuts them into micro-batches, and adds up their
gradients with the counts of the whole step, so that it does not matter how it was cut. Everything it draws is a
function of (seed, step, place), so that a run that was cut off goes on as if it had not been: the same losses and the
same weights, bit for bit on one CPU with the same number of threads.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from myna import files, randomness
from myna.errors import InputError, RunError
from myna.model.heads import Model
from myna.objectives.protocol import Batch, Grouped, Items, Objective, Scheduled
from myna.tokens.sampler import Sampler, micro_batches
from myna.training.checkpoint import fill, newest_checkpoint, restore, save_checkpoint
from myna.training.machine import note_peak, use_machine
from myna.training.schedules import learning_rate
from myna.training.settings import TrainingConfig

Report = Callable[[str, float], None]


@dataclass
class Progress:
    """What a run knows of itself beside its weights; all of it is in a checkpoint."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None


@dataclass
class _Training:
    """One run: the pieces that the loop's functions share."""

    model: Model
    objective: Objective
    items: Items
    config: TrainingConfig
    folder: Path
    seed: int
    sampler: Sampler
    steps: int
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    progress: Progress = field(default_factory=Progress)


def train(
    model: Model,
    objective: Objective,
    items: Items,
    config: TrainingConfig,
    folder: Path,
    seed: int,
    *,
    identity: Mapping[str, Any],
    validate: Callable[[], dict[str, float]] | None = None,
    validations: int | None = None,
    keep_best: bool = False,
    report: Report = lambda what, share: None,
) -> Progress:
    """Trains ``model`` in place, in ``folder``, going on from the newest checkpoint there.

    ``identity`` says which run this is; a checkpoint of another one is an :class:`InputError`. ``validate`` gives
    figures with a ``score`` (higher is better), at the end of every epoch or ``validations`` times in all. With
    ``keep_best`` the model is left with the weights of the best score, the first of equals; else with the last.
    """
    machine = use_machine(folder, config.threads, config.micro_batch_tokens, report)
    config = config.model_copy(update={"micro_batch_tokens": machine["micro_batch_tokens"]})
    parameters = dict(model.named_parameters())
    for name, module in objective.modules().items():
        parameters |= {f"{name}:{n}": p for n, p in module.named_parameters()}
    seed = seed if config.seed is None else config.seed
    sampler = Sampler(items.lengths, config.batch_tokens, seed)
    steps = total_steps(config, sampler)
    run = _Training(
        model, objective, items, config, folder, seed, sampler, steps, parameters, make_optimizer(parameters, config)
    )
    due = _validation_steps(run, validations) if validate else set()
    _resume(run, identity, report)
    began = time.monotonic() - run.progress.seconds
    saved = time.monotonic()
    while run.progress.step < steps:
        measured = _step(run)
        run.progress.seconds = time.monotonic() - began
        done = run.progress.step
        if done % config.log_steps == 0 or done == steps:
            _log(run, measured)
        report(f"step {done} of {steps}, loss {measured['loss']:.3f}", done / steps)
        if validate and done in due:
            figures = validate()
            _log(run, {"validation": figures})
            _keep_best(run, figures["score"], keep_best)
            run.progress.seconds = time.monotonic() - began
        if done == steps or done in due or time.monotonic() - saved >= config.checkpoint_seconds:
            save_checkpoint(folder, parameters, run.optimizer, _state(run, identity))
            if run.progress.best is not None:
                _clear_older_best(run)
            saved = time.monotonic()
    if keep_best and run.progress.best is not None:
        _restore_best(run)
    note_peak(folder)
    return run.progress


def total_steps(config: TrainingConfig, sampler: Sampler) -> int:
    """How many steps the settings ask for."""
    if config.steps is not None:
        return config.steps
    tokens = config.tokens if config.tokens is not None else (config.epochs or 0) * sampler.epoch_tokens
    return sampler.steps_of(tokens)


def make_batches(
    objective: Objective, items: Items, chosen: Sequence[int], most_tokens: int, key: int | None
) -> list[Batch]:
    """The micro-batches of one step. ``chosen`` are its items; their place in it is what their draws depend on."""
    lengths = items.lengths[np.asarray(chosen)]
    group = objective.group if isinstance(objective, Grouped) else 1
    return [
        objective.batch([items[int(chosen[n])] for n in numbers], numbers, key)
        for numbers in micro_batches(lengths, most_tokens, group)
    ]


def backward(objective: Objective, model: Model, batches: Sequence[Batch]) -> float:
    """Adds the gradients of a step to the parameters, and gives its loss.

    The counts of all micro-batches are added up first, so that every backward is final.
    """
    counts = total_counts(batches)
    total = 0.0
    for batch in batches:
        loss = objective.loss(model, batch).total(counts)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


def total_counts(batches: Sequence[Batch]) -> dict[str, int]:
    """How many targets each term has in all batches of a step."""
    counts: dict[str, int] = {}
    for batch in batches:
        for name, count in batch.counts.items():
            counts[name] = counts.get(name, 0) + count
    return counts


def _step(run: _Training) -> dict[str, float]:
    config, progress = run.config, run.progress
    key = randomness.key(run.seed, "step", progress.step)
    objective = run.objective
    if isinstance(objective, Scheduled):
        objective = objective.at(progress.step / run.steps)
    chosen = run.sampler.step(progress.step).tolist()
    batches = make_batches(objective, run.items, chosen, config.micro_batch_tokens, key)
    run.optimizer.zero_grad(set_to_none=True)
    loss = backward(objective, run.model, batches)
    norm = nn.utils.clip_grad_norm_(run.parameters.values(), config.clip).item()
    if not (math.isfinite(loss) and math.isfinite(norm)):
        what = f"the loss or its gradient is not a number at step {progress.step + 1}"
        raise RunError(what, where=run.folder, remedy="lower learning_rate and run again")
    rate = learning_rate(progress.step, run.steps, config.learning_rate, config.warmup, config.schedule)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.step()
    progress.step += 1
    progress.tokens += sum(batch.size for batch in batches)
    return {"loss": loss, "learning_rate": rate, "gradient_norm": norm}


def make_optimizer(parameters: Mapping[str, nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW (arXiv:1711.05101); only matrices decay, and embeddings do not."""
    decayed = [p for name, p in parameters.items() if p.ndim > 1 and ".embeddings." not in f".{name}"]
    others = [p for p in parameters.values() if not any(p is d for d in decayed)]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2), eps=1e-8, fused=True)


def _validation_steps(run: _Training, validations: int | None) -> set[int]:
    if validations is None:
        epoch = run.sampler.epoch_tokens / run.config.batch_tokens
        validations = max(1, round(run.steps / epoch))
    return {max(1, round(run.steps * n / validations)) for n in range(1, validations + 1)}


def _state(run: _Training, identity: Mapping[str, Any]) -> dict[str, Any]:
    return {"identity": dict(identity), **vars(run.progress)}


def _resume(run: _Training, identity: Mapping[str, Any], report: Report) -> None:
    checkpoint = newest_checkpoint(run.folder, lambda message: report(message, 0.0))
    metrics = run.folder / "metrics.jsonl"
    if checkpoint is None:
        files.write_text(metrics, "")
        return
    if checkpoint.state.get("identity") != dict(identity):
        raise InputError(
            "this is a checkpoint of another model or of other data",
            where=checkpoint.folder,
            remedy="remove that folder, or run in another one with --to",
        )
    restore(checkpoint, run.parameters, run.optimizer)
    run.progress = Progress(**{name: checkpoint.state[name] for name in vars(run.progress)})
    _cut_metrics(metrics, run.progress.step)
    epoch = run.progress.step * run.config.batch_tokens // run.sampler.epoch_tokens
    report(f"goes on at step {run.progress.step}, epoch {epoch + 1}", run.progress.step / run.steps)


def _cut_metrics(path: Path, step: int) -> None:
    """Takes away the lines beyond ``step``, and a last one that a crash cut short; a log that is lost begins anew."""
    if not path.exists():
        files.write_text(path, "")
    size = 0
    with open(path, "rb") as stream:
        for line in stream:
            try:
                if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                    break
            except (ValueError, KeyError, TypeError):
                break
            size += len(line)
    files.truncate(path, size)


def _log(run: _Training, figures: Mapping[str, Any]) -> None:
    progress = run.progress
    line = {"step": progress.step, "tokens": progress.tokens, "seconds": round(progress.seconds, 3), **figures}
    files.append_text(run.folder / "metrics.jsonl", json.dumps(line) + "\n")


def _keep_best(run: _Training, score: float, keep: bool) -> None:
    best = run.progress.best
    if best is not None and score <= best["score"]:
        return
    run.progress.best = {"step": run.progress.step, "score": score}
    if keep:
        weights = save({name: p.detach() for name, p in run.parameters.items()})
        files.write_bytes(_best_path(run), weights)


def _restore_best(run: _Training) -> None:
    path = _best_path(run)
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        remedy = f"remove {path.parent} and run again: the training then begins anew"
        raise InputError(f"the weights of the best score are damaged ({error})", where=path, remedy=remedy) from None
    fill(run.parameters, weights, path)


def _best_path(run: _Training) -> Path:
    """The weights of the best score. The step is in the name: a crash before the checkpoint leaves the older one."""
    assert run.progress.best is not None
    return run.folder / "checkpoints" / f"best-{run.progress.best['step']:08d}.safetensors"


def _clear_older_best(run: _Training) -> None:
    for path in (run.folder / "checkpoints").glob("best-*.safetensors"):
        if path != _best_path(run):
            files.remove(path)
