"""The plan of a recipe: what each of its trainings will take, from its run's folder or from a sample of its text."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from myna import stages
from myna.curves import curves_of, kept_of
from myna.errors import InputError, RunError
from myna.files import write_text
from myna.objectives.protocol import Batch
from myna.planning.budget import settle_finetuning, settle_pretraining, settled
from myna.planning.datasheets import DataSheet
from myna.planning.laws import supported_weights
from myna.planning.memory import StepMemory, answering_memory, parameters_of, step_memory, without_memory
from myna.planning.prepared import Prepared, prepare
from myna.planning.sample import sample_run
from myna.planning.trial import Trial, batches_of, steps_of
from myna.recipe import Recipe, to_toml
from myna.seeds import best_of, one_by_one
from myna.training.arithmetic import useful_flops
from myna.training.machine import available_bytes
from myna.training.schedules import Schedule, make_schedule

# A measurement's time, over all trainings of a recipe; a training's least.
MEASURED_SECONDS, _LEAST_SECONDS = 20.0, 2.0
# Steps whose micro-batches are looked at for the largest, and for the mean arithmetic.
_LOOKED_AT = 20
# Of the tensors of a step: what a process takes for them where that was not measured (docs/planning.md).
_HELD = 1.15
# The process with torch and all it imports, where that was not measured; the share of the matrix rate that a training
# reaches.
_PROCESS_BYTES, _SHARE_OF_RATE = 320 << 20, 0.5
_SMALLEST_MICRO_BATCH = 64


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of a training's process, by part; ``measured`` says that their sum was, else it is computed.

    ``answering`` is what a teacher, or the like, takes before the first step, when there are weights alone.
    """

    process: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    loss: int
    checkpoint: int
    peak: int
    room: int | None
    measured: bool
    answering: int = 0

    @property
    def fits(self) -> bool:
        """Whether it does, where it is known how much there is."""
        return self.room is None or self.peak <= self.room


@dataclass(frozen=True)
class Training:
    """What one training will take. Bytes, seconds, and counts; ``words`` are the weights of embeddings.

    ``remedies`` are changes with which it would fit, each with the peak that it then has.
    """

    key: str
    parameters: int
    words: int
    flops: float
    flops_per_token: float
    tokens: int
    epoch_tokens: int
    epochs: float
    steps: int
    supported: float
    memory: Memory
    disk: dict[str, int]
    seconds: float
    parts: dict[str, float]
    machine: str
    matrix_gflops: float | None
    schedule: Schedule
    remedies: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The plan of a recipe. It is not ``exact`` where its text was not prepared yet, and a sample of it was."""

    recipe: str
    folder: str
    exact: bool
    trainings: tuple[Training, ...]
    unplanned: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As values for JSON."""
        return asdict(self)


def plan(recipe: Recipe, folder: Path, gpu: DataSheet | None = None) -> Plan:
    """What the trainings of a recipe will take in ``folder``, in which nothing is written.

    With ``gpu`` nothing is measured. Raises an :class:`InputError` for what is wrong with the recipe or its text.
    """
    keys = [stage.key for stage in stages.plan(recipe, folder) if stage.kind.resumes]
    exact = _is_prepared(recipe, folder)
    recipe = _each_alone(recipe)
    with tempfile.TemporaryDirectory(prefix="myna-plan-") as made:
        scratch = Path(made)
        run, shares = (folder, {}) if exact else sample_run(recipe, scratch / "run")
        trainings, unplanned = [], {}
        for number, key in enumerate(keys):
            seconds = max(MEASURED_SECONDS / len(keys), _LEAST_SECONDS)
            place = scratch / str(number)
            place.mkdir()
            try:
                recipe = _with_choice(recipe, run, folder, key, place, exact)
                write_text(scratch / "recipe.toml", to_toml(recipe))
                trainings.append(plan_training(recipe, run, key, place, scratch / "recipe.toml", seconds, shares, gpu))
            except InputError as error:
                if exact:
                    raise error.at(key) if error.where is None else error from None
                unplanned[key] = str(error)
    return Plan(recipe.name, str(folder), exact, tuple(trainings), unplanned)


def plan_training(
    recipe: Recipe,
    run: Path,
    key: str,
    scratch: Path,
    resolved: Path,
    seconds: float = MEASURED_SECONDS,
    shares: dict[str, float] | None = None,
    gpu: DataSheet | None = None,
) -> Training:
    """What one training of a recipe, which stands in ``resolved`` too, will take; its text lies in ``run``.

    ``shares`` says how much of each corpus that text is, where it is a sample.
    """
    exact = not shares
    with without_memory():
        prepared = prepare(recipe, run, key, scratch, exact)
    model, objective, config = prepared.model, prepared.objective, prepared.config
    share = _share(recipe, key, shares or {})
    epoch_tokens = round(int(prepared.items.lengths.sum()) / share)
    steps = _steps(prepared, epoch_tokens)
    usual = prepared.manner.micro_batch_tokens
    samples = [batches_of(prepared, n, chosen, usual) for n, chosen in _some_steps(prepared, steps)]
    beside = list(objective.modules().values())
    flops = useful_flops(model, [batch for step in samples for batch in step], beside) / len(samples)
    largest = _largest(samples)
    tensors = step_memory(model, objective, config, largest)
    room = gpu.room if gpu else available_bytes()
    with without_memory():
        answers = {name: make() for name, make in prepared.answering.items()}
    answering = max(map(answering_memory, answers.values()), default=0)
    guess = _computed(tensors, room, gpu, answering)
    trial = None
    if gpu is None and guess.fits:
        trial = _measured(resolved, run, key, seconds, scratch, exact)
    memory = guess if trial is None else _from_trial(tensors, trial, room, answering)
    before = sum(each.flops() for each in answers.values()) / share
    parts, machine = _times(prepared, steps, flops, before, epoch_tokens, share, trial, gpu)
    parameters = parameters_of(model, objective)
    words = [p.numel() for name, p in parameters.items() if name.endswith("words.weight")]
    return Training(
        key,
        sum(p.numel() for p in parameters.values()),
        sum(words),
        flops * steps,
        flops / config.batch_tokens,
        steps * config.batch_tokens,
        epoch_tokens,
        steps * config.batch_tokens / epoch_tokens,
        steps,
        supported_weights(epoch_tokens),
        memory,
        _disk(tensors, config.keep, run, recipe, key, share),
        sum(parts.values()),
        parts,
        machine,
        None if trial is None else trial.matrix_gflops,
        make_schedule(config, steps),
        {} if memory.fits else dict(_remedies(prepared, memory, tensors, gpu)),
    )


def _with_choice(recipe: Recipe, run: Path, folder: Path, key: str, scratch: Path, exact: bool) -> Recipe:
    """The recipe with what a training's budget chose, or would choose now, in the place of the budget."""
    kind, _, name = key.partition(".")
    tables: dict[str, Any] = dict(getattr(recipe, kind))
    if tables[name].budget is None:
        return recipe
    chosen = settled(tables[name], folder / kind / name)
    if chosen is tables[name]:
        if not exact:
            raise InputError("a budget is settled when its text is prepared")
        settle: Any = settle_pretraining if kind == "pretrain" else settle_finetuning
        chosen, _ = settle(recipe, run, name, scratch, lambda what, share: None)
    tables[name] = chosen.model_copy(update={"budget": None})
    return recipe.model_copy(update={kind: tables})


def _each_alone(recipe: Recipe) -> Recipe:
    """The recipe with a table for each training; a teacher or summarizer of several seeds, or with a curve, is one."""
    several = {name: next(iter(found.values())) for name, found in best_of(recipe).items()}
    curves = {name: kept_of(name, curve) for name, curve in curves_of(recipe).items()}
    several |= {name: several.get(kept, kept) for name, kept in curves.items()}
    alone = one_by_one(recipe)
    tables = {
        name: config.model_copy(
            update={
                "teacher": several.get(config.teacher_name or "", config.teacher),
                "summarizer": several.get(config.summarizer or "", config.summarizer),
            }
        )
        for name, config in alone.finetune.items()
    }
    return alone.model_copy(update={"finetune": tables})


def _is_prepared(recipe: Recipe, folder: Path) -> bool:
    states = {stage.key: stage.state for stage in stages.plan(recipe, folder)}
    return all(state == "done" for key, state in states.items() if key.startswith(("corpus.", "tokenizer.", "tokens.")))


def _share(recipe: Recipe, key: str, shares: dict[str, float]) -> float:
    """How much of a training's text there is: of several corpora, by what they have in the sample."""
    kind, _, name = key.partition(".")
    corpora = recipe.pretrain[name].corpus if kind == "pretrain" else [recipe.finetune[name].corpus]
    known = [shares.get(corpus, 1.0) for corpus in corpora]
    return len(known) / sum(1 / share for share in known)


def _steps(prepared: Prepared, epoch_tokens: int) -> int:
    config = prepared.config
    if config.steps is not None:
        return config.steps
    tokens = config.tokens if config.tokens is not None else (config.epochs or 0) * epoch_tokens
    return max(1, round(tokens / config.batch_tokens))


def _some_steps(prepared: Prepared, steps: int) -> Iterator[tuple[int, Any]]:
    return islice(enumerate(steps_of(prepared)), min(_LOOKED_AT, steps))


def _largest(steps: Sequence[Sequence[Batch]]) -> list[Batch]:
    """Up to two micro-batches of a step, those with the most tokens and targets: the second finds gradients there."""
    ordered = sorted((batch for step in steps for batch in step), key=lambda b: (b.size, len(b.targets)))
    return ordered[-min(2, max(map(len, steps))) :]


def _computed(tensors: StepMemory, room: int | None, gpu: DataSheet | None, answering: int) -> Memory:
    process = 0 if gpu else _PROCESS_BYTES
    held = 1.0 if gpu else _HELD
    # A checkpoint of a model on a GPU is made in the memory of the machine.
    checkpoint = 0 if gpu else tensors.checkpoint
    activations, loss = round(tensors.activations * held), round(tensors.loss * held)
    still = tensors.weights + tensors.gradients + tensors.optimizer
    peak = process + max(still + max(activations, checkpoint), tensors.weights + round(answering * held))
    return Memory(
        process,
        tensors.weights,
        tensors.gradients,
        tensors.optimizer,
        activations - loss,
        loss,
        checkpoint,
        peak,
        room,
        False,
        answering,
    )


def _from_trial(tensors: StepMemory, trial: Trial, room: int | None, answering: int) -> Memory:
    """The parts as computed, and what the process held: what is left beside the still parts is that of a step."""
    still = tensors.weights + tensors.gradients + tensors.optimizer
    left = max(trial.peak_bytes - trial.process_bytes - still, 0)
    loss = min(tensors.loss, left)
    parts = (trial.process_bytes, tensors.weights, tensors.gradients, tensors.optimizer, left - loss, loss)
    return Memory(*parts, tensors.checkpoint, trial.peak_bytes, room, True, answering)


def _measured(resolved: Path, run: Path, key: str, seconds: float, scratch: Path, exact: bool) -> Trial | None:
    """The trial of a training in a process of its own; None where the machine had too little memory for it."""
    asked = [str(resolved), str(run), key, str(seconds), str(scratch), "exact" if exact else "sample"]
    command = [sys.executable, "-m", "myna.planning.trial", *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Trial(**json.loads(done.stdout.splitlines()[-1]))
    if done.returncode < 0 or "memory" in done.stderr.lower():
        return None
    said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
    raise RunError(f"the steps that were to be measured failed ({said})", where=key)


def _times(
    prepared: Prepared,
    steps: int,
    flops: float,
    before: float,
    epoch_tokens: int,
    share: float,
    trial: Trial | None,
    gpu: DataSheet | None,
) -> tuple[dict[str, float], str]:
    """Seconds by part, and in words which machine's they are."""
    config = prepared.config
    again = 4 / 3 if config.recompute else 1.0
    if gpu is not None:
        return _by_rate(flops * steps * again, before, gpu.flops), f"{gpu.name}, {gpu.number}, by its data sheet"
    if trial is None:
        from myna.training.machine import matrix_gflops

        rate = matrix_gflops() * 1e9 * _SHARE_OF_RATE
        return _by_rate(flops * steps * again, before, rate), "this machine, by its matrix rate alone"
    looks = prepared.validations or max(1, round(steps * config.batch_tokens / epoch_tokens))
    in_steps = steps * trial.step_seconds
    saves = looks + int(in_steps / config.checkpoint_seconds if config.checkpoint_seconds else steps)
    # Of a fine-tuning the whole split is looked at; of a pre-training so much of it as is enough.
    looked = trial.validation_seconds / (share if prepared.validations is None else 1.0)
    parts = {
        **{name: seconds / share for name, seconds in trial.answering_seconds.items()},
        "steps": in_steps,
        # Behind its last step a fine-tuning looks once more, at how sure its answers are.
        "validation": (looks + (prepared.validations is None)) * looked,
        "checkpoints": saves * trial.checkpoint_seconds,
        "making ready": trial.ready_seconds,
    }
    return parts, "this machine"


def _by_rate(flops: float, before: float, rate: float) -> dict[str, float]:
    return {"steps": flops / rate, **({"answers before them": before / rate} if before else {})}


def _disk(tensors: StepMemory, keep: int, run: Path, recipe: Recipe, key: str, share: float) -> dict[str, int]:
    kind, _, name = key.partition(".")
    disk = {"checkpoints": keep * (tensors.weights + tensors.optimizer), "model": tensors.weights}
    if kind == "pretrain":
        config = recipe.pretrain[name]
        folders = [run / "tokens" / f"{corpus}-{config.tokenizer}" for corpus in config.corpus]
        size = sum(path.stat().st_size for folder in folders for path in folder.iterdir() if path.is_file())
        disk["tokens"] = round(size / share)
    else:
        disk["best weights"] = tensors.weights
    return disk


def _remedies(
    prepared: Prepared, memory: Memory, tensors: StepMemory, gpu: DataSheet | None
) -> Iterator[tuple[str, int]]:
    """Changes that would make it fit, each computed: smaller micro-batches, recomputation, both, another optimizer."""
    assert memory.room is not None
    config, usual = prepared.config, prepared.manner.micro_batch_tokens
    (_, chosen) = next(_some_steps(prepared, 1))

    def peak(**changes: Any) -> int:
        changed = config.model_copy(update=changes)
        batches = _largest([batches_of(prepared, 0, chosen, changes.get("micro_batch_tokens", usual))])
        for parameter in parameters_of(prepared.model, prepared.objective).values():
            parameter.grad = None
        found = step_memory(prepared.model, prepared.objective, changed, batches)
        return _computed(found, memory.room, gpu, memory.answering).peak

    sizes = [usual >> n for n in range(1, 20)]
    for recompute in (False, True) if not config.recompute else (True,):
        words = {"recompute": True} if recompute and not config.recompute else {}
        for size in [usual, *(s for s in sizes if s >= _SMALLEST_MICRO_BATCH)]:
            changes = words if size == usual else {**words, "micro_batch_tokens": size}
            if changes and (found := peak(**changes)) <= memory.room:
                yield ", ".join(f"{name} = {json.dumps(value)}" for name, value in changes.items()), found
                break
    if config.optimizer in ("adamw", "muon") and (found := peak(optimizer="adafactor")) <= memory.room:
        yield 'optimizer = "adafactor"', found
    least = tensors.weights + tensors.gradients + tensors.optimizer
    if least > memory.room:
        yield f"a model of {math.floor(memory.room / least * 100)} % of the weights at most", memory.room
