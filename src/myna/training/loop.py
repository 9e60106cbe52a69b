"""The training loop, written once: for every objective and every task.

A step takes its items from the sampler, orders them by length, cuts them into micro-batches, and adds up their
gradients with the counts of the whole step, so that it does not matter how it was cut. Everything it draws is a
function of (seed, step, place), so that a run that was cut off goes on as if it had not been: the same losses and the
same weights, bit for bit on one CPU with the same number of threads.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from myna import files, randomness
from myna.errors import InputError, RunError
from myna.model.heads import Model
from myna.objectives.protocol import Batch, Items, Objective, Scheduled
from myna.training import checkpoint, guards
from myna.training.batches import added, make_batches, total_counts
from myna.training.continuing import Owner
from myna.training.interrupts import Interrupts
from myna.training.machine import lasting, note_peak, release_freed_memory
from myna.training.machines import use_machines
from myna.training.measuring import Manner, choose
from myna.training.monitor import Monitors, open_monitors
from myna.training.optimizers import Optimizers, make_optimizer
from myna.training.pace import Pace
from myna.training.parallel import Alone, wrap
from myna.training.processes import Processes, processes
from myna.training.recompute import recomputing
from myna.training.sampling import AnySampler, make_sampler, total_steps
from myna.training.schedules import Schedule, make_schedule
from myna.training.settings import TrainingConfig
from myna.training.throughput import Throughput

Report = Callable[[str, float], None]


@dataclass
class Progress:
    """What a run knows of itself beside its weights; all of it is in a checkpoint.

    ``validated`` is the last step with a validation, ``worse`` how many of them came after the best one, ``skipped``
    the steps (from 1) whose batch was left out, ``best_sha256`` that of the kept weights of the best score.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    best_sha256: str | None = None
    validated: int = 0
    worse: int = 0
    skipped: list[int] = field(default_factory=list)


@dataclass
class _Training:
    """One run: the pieces that the loop's functions share."""

    model: Model
    objective: Objective
    items: Items
    config: TrainingConfig
    folder: Path
    seed: int
    owner: Owner
    keeps_best: bool
    sampler: AnySampler
    pace: Pace
    schedule: Schedule
    optimizer: Optimizers
    manner: Manner
    throughput: Throughput
    interrupts: Interrupts
    progress: Progress
    monitors: Monitors
    bad: dict[int, str]
    parallel: Alone

    @property
    def processes(self) -> Processes:
        return self.parallel.processes


def train(
    model: Model,
    objective: Objective,
    items: Items,
    config: TrainingConfig,
    folder: Path,
    seed: int,
    *,
    identity: Mapping[str, Any],
    stable: Mapping[str, Any] | None = None,
    validate: Callable[[], dict[str, float]] | None = None,
    validations: int | None = None,
    keep_best: bool = False,
    seconds: float | None = None,
    report: Report = lambda what, share: None,
) -> Progress:
    """Trains ``model`` in place, in ``folder``, going on from the newest checkpoint there.

    ``identity`` says which run this is; a checkpoint of another one is an :class:`InputError`. ``stable`` says the same
    of the stable part of ``wsd`` alone, where it does not depend on the length: one of a run of another length is gone
    on with from there. ``validate`` gives figures with a ``score`` (higher is better), at the end of every epoch or
    ``validations`` times in all. With ``keep_best`` the model is left with the weights of the best score, the first of
    equals; else with the last. Where one process is given ``seconds``, the length is set anew by its own speed on the
    way, for it to end by then (:mod:`.pace`).

    Where there are several processes (``training/processes.py``) all call it alike, and the first alone writes.

    SIGTERM and Ctrl-C end it with a checkpoint. What is not a number ends it with a :class:`RunError` that names it.
    """
    group = processes()
    seed = seed if config.seed is None else config.seed
    sampler = make_sampler(items, config, seed)
    steps = total_steps(config, sampler)
    machine = use_machines(
        folder, config, group, lambda: choose(model, objective, items, sampler, config, steps), report
    )
    manner = Manner.kept(machine)
    parallel = wrap(model, objective.modules(), config, group, manner.precision)
    schedule, optimizer = make_schedule(config, steps), make_optimizer(parallel.parameters, config)
    ours = Owner(dict(identity), None if stable is None else dict(stable), schedule.stable_steps, lasting(machine))
    progress = _resume(folder, optimizer, ours, report, parallel)
    pace = Pace(folder, schedule, seconds)
    schedule = pace.schedule(progress.step)
    if progress.step:
        epoch = progress.step * config.batch_tokens // sampler.epoch_tokens
        report(f"goes on at step {progress.step}, epoch {epoch + 1}", progress.step / schedule.steps)
    recomputed = [model, *objective.modules().values()] if config.recompute else []
    with Interrupts() as interrupts, group.answering(interrupts.waiting), recomputing(recomputed):
        run = _Training(
            model,
            objective,
            items,
            config,
            folder,
            seed,
            ours,
            keep_best,
            sampler,
            pace,
            schedule,
            optimizer,
            manner,
            Throughput(model, machine["matrix_gflops"] * group.count, objective.modules().values()),
            interrupts,
            progress,
            open_monitors(folder, config.track, progress.step, progress.validated) if group.first else Monitors([]),
            _known_bad(folder),
            parallel,
        )
        try:
            # Several processes answer a signal together, between two steps.
            with interrupts.held() if group.count > 1 else contextlib.nullcontext():
                _go_on(run, validate, validations, report)
                # One that came behind the last of their talks is answered here; a later one when all is whole again.
                group.together(lambda: None)
                parallel.finish()
        finally:
            run.monitors.close()
    if keep_best and progress.best is not None:
        checkpoint.restore_best(folder, parallel.parameters, progress.best["step"])
    if group.first:
        note_peak(folder)
    release_freed_memory()
    return progress


def _go_on(
    run: _Training, validate: Callable[[], dict[str, float]] | None, validations: int | None, report: Report
) -> None:
    """All steps that are left, with their validations and checkpoints."""
    progress, config = run.progress, run.config
    began = time.monotonic() - progress.seconds
    saved, last_saved = time.monotonic(), (progress.step, progress.validated)
    try:
        while True:
            steps = run.schedule.steps
            due = _validation_steps(run, validations) if validate else set()
            if validate and progress.step in due and progress.validated < progress.step:
                (figures, *_) = run.parallel.agree(partial(run.parallel.inside, validate))
                with run.interrupts.held():
                    progress.seconds = time.monotonic() - began
                    _note_validation(run, figures)
            always = progress.step == steps or progress.step in due or _is_kept(run)
            long = run.processes.from_first(time.monotonic() - saved >= config.checkpoint_seconds)
            # A step whose checkpoint a signal wrote before its validation is written again, with what that found.
            if last_saved < (progress.step, progress.validated) and (always or long):
                with run.interrupts.held():
                    _save(run)
                saved, last_saved = time.monotonic(), (progress.step, progress.validated)
            if progress.step >= steps or _is_stale(run):
                return
            _step(run, began, report)
    except (KeyboardInterrupt, SystemExit):
        with run.interrupts.held():
            if last_saved < (progress.step, progress.validated):
                _save(run)
        raise


def _step(run: _Training, began: float, report: Report) -> None:
    """One step. Until its update a signal can break it off, and nothing has happened."""
    progress, steps = run.progress, run.schedule.steps
    started = time.monotonic()
    chosen = run.sampler.step(progress.step).tolist()
    key = randomness.key(run.seed, "step", progress.step)
    objective = run.objective
    if isinstance(objective, Scheduled):
        objective = objective.at(progress.step / steps)
    some = partial(make_batches, objective, run.items, chosen, run.manner.micro_batch_tokens, key)
    batches: list[Batch] = []

    def make() -> dict[str, Any]:
        batches.extend(some(run.processes.rank, run.processes.count))
        return {"counts": total_counts(batches), "tokens": sum(batch.size for batch in batches)}

    made = run.processes.together(make)
    tokens, counts = sum(part["tokens"] for part in made), added([part["counts"] for part in made])
    measured = _gradient(run, objective, chosen, batches, counts, some)
    with run.interrupts.held():
        if "skipped" in measured:
            _note_skipped(run, measured["skipped"])
        else:
            run.optimizer.step(measured["learning_rate"])
            fault = run.parallel.agreed(guards.fault_of_weights(run.optimizer))
            if fault:
                raise _not_a_number(run, fault, chosen, "lower learning_rate and run again")
        progress.step += 1
        progress.tokens += tokens
        progress.seconds = time.monotonic() - began
        if "skipped" in measured or progress.step % run.config.log_steps == 0 or progress.step == steps:
            _log(run, measured)
        run.pace.look(progress.step, progress.seconds)
        run.schedule = run.pace.schedule(progress.step)
    run.throughput.step(batches, time.monotonic() - started, tokens)
    how = f"loss {measured['loss']:.3f}" if "loss" in measured else "skipped"
    speed = run.throughput.describe(run.schedule.steps - progress.step)
    report(f"step {progress.step} of {run.schedule.steps}, {how}, {speed}", progress.step / run.schedule.steps)


def _gradient(
    run: _Training,
    objective: Objective,
    chosen: Sequence[int],
    batches: Sequence[Batch],
    counts: Mapping[str, int],
    spare: Callable[[], list[Batch]],
) -> dict[str, Any]:
    """Leaves the clipped gradient of a step in the parameters, and gives its figures, or why it is ``skipped``."""
    step = run.progress.step
    if step + 1 in run.bad:
        return {"skipped": run.bad[step + 1]}
    run.optimizer.zero_grad()
    losses = run.parallel.agree(lambda: run.parallel.backward(objective, run.model, batches, counts, spare))
    run.parallel.add_up()
    loss, norm = sum(losses), run.parallel.norm()
    parameters = [p for p in run.optimizer.parameters.values() if p.grad is not None]
    if math.isfinite(loss) and math.isfinite(norm.item()):
        nn.utils.clip_grads_with_norm_(parameters, run.config.clip, norm)
        return {"loss": loss, "learning_rate": run.schedule.rate(step), "gradient_norm": norm.item()}
    fault = run.parallel.fault_of_step(objective, run.model, run.optimizer, batches)
    if not run.config.skip_bad_batches or fault.startswith("the weight"):
        remedy = "lower learning_rate, or leave such batches out with --skip-bad-batches"
        raise _not_a_number(run, fault, chosen, remedy)
    most = guards.MOST_SKIPPED_IN_A_ROW
    if run.progress.skipped[-most:] == list(range(step + 1 - most, step + 1)):
        raise _not_a_number(run, fault, chosen, f"the {most} steps before it were skipped: lower learning_rate")
    return {"skipped": fault}


def _note_skipped(run: _Training, fault: str) -> None:
    """Writes down at once which step is left out: a run that is cut off now leaves it out again."""
    step = run.progress.step + 1
    run.progress.skipped.append(step)
    if step not in run.bad:
        run.bad[step] = fault
        if run.processes.first:
            files.write_json(run.folder / "skipped.json", run.bad)


def _not_a_number(run: _Training, fault: str, chosen: Sequence[int], remedy: str) -> RunError:
    where = guards.documents_of(run.items, chosen)
    return RunError(
        f"{fault} is not a number at step {run.progress.step + 1} ({where})", where=run.folder, remedy=remedy
    )


def _known_bad(folder: Path) -> dict[int, str]:
    """The steps whose batch was left out before, in a sitting that was cut off perhaps, and why."""
    path = folder / "skipped.json"
    return {int(step): fault for step, fault in files.read_object(path).items()} if path.exists() else {}


def _forget_bad(folder: Path, step: int) -> None:
    """Lets the batches behind a step be tried anew: those left out there were of a run of another length."""
    known = _known_bad(folder)
    if known:
        files.write_json(folder / "skipped.json", {n: fault for n, fault in known.items() if n <= step})


def _validation_steps(run: _Training, validations: int | None) -> set[int]:
    steps = run.pace.planned_steps
    if validations is None:
        epoch = run.sampler.epoch_tokens / run.config.batch_tokens
        validations = max(1, round(steps / epoch))
    planned = (max(1, round(steps * n / validations)) for n in range(1, validations + 1))
    return run.pace.due(planned, run.progress.step)


def _note_validation(run: _Training, figures: dict[str, float]) -> None:
    progress = run.progress
    _log(run, {"validation": figures})
    progress.validated = progress.step
    progress.worse += 1
    if progress.best is None or figures["score"] > progress.best["score"]:
        progress.best, progress.worse = {"step": progress.step, "score": figures["score"]}, 0
        if run.keeps_best:
            weights = run.parallel.wholes()
            kept = checkpoint.save_best(run.folder, weights, progress.step) if run.processes.first else None
            progress.best_sha256 = run.processes.from_first(kept)


def _is_stale(run: _Training) -> bool:
    """Whether as many validations as ``patience`` says have come after the best one."""
    return run.config.patience is not None and run.progress.worse >= run.config.patience


def _is_kept(run: _Training) -> bool:
    """Whether the step is one whose checkpoint stays: every n-th, and where the stable part of ``wsd`` ends."""
    step, every = run.progress.step, run.config.keep_every
    return bool(every and step % every == 0) or step == run.schedule.stable_steps != 0


def _save(run: _Training) -> None:
    fault = run.parallel.agreed(guards.fault_of_state(run.optimizer))
    if fault:
        what = f"{fault} is not a number at step {run.progress.step}"
        raise RunError(what, where=run.folder, remedy="lower learning_rate and run again")
    best = run.progress.best
    steps = (run.schedule.stable_steps, *((best["step"],) if best and not run.keeps_best else ()))
    keeping = checkpoint.Keeping(run.config.keep, run.config.keep_every, steps)
    state = {**run.owner.state(), **vars(run.progress)}
    run.parallel.save(run.folder, run.optimizer, state, keeping)
    if run.processes.first:
        checkpoint.clear_unused_best(run.folder)


def _resume(folder: Path, optimizer: Optimizers, ours: Owner, report: Report, parallel: Alone) -> Progress:
    """Fills parameters and optimizer from the newest checkpoint, where there is one, and gives how far it is."""
    newest = parallel.newest(
        lambda: checkpoint.newest_checkpoint(
            folder, lambda message: report(message, 0.0), lambda found: ours.suits(found.state)
        )
    )
    if newest is None:
        return Progress()
    if not ours.owns(newest.state) and not ours.begins_as(newest.state):
        raise InputError(
            "this is a checkpoint of another model or of other data",
            where=newest.folder,
            remedy="remove that folder, or run in another one with --to",
        )
    checkpoint.restore(newest, optimizer, parallel.own)
    progress = Progress(**{name: newest.state[name] for name in vars(Progress()) if name in newest.state})
    if not ours.owns(newest.state):
        progress.worse = 0  # Whose patience was at its end is not for a run that shall be longer.
        if parallel.processes.first:
            _forget_bad(folder, progress.step)
        parallel.processes.together(lambda: None)
    return progress


def _log(run: _Training, figures: Mapping[str, Any]) -> None:
    progress = run.progress
    line = {"step": progress.step, "tokens": progress.tokens, "seconds": round(progress.seconds, 3), **figures}
    run.monitors.log(line)
