"""A few real steps of a training, without touching any run: how long its parts take, and the memory they take.

    python -m myna.planning.trial RECIPE RUN KEY SECONDS SCRATCH EXACT

is the same in a process of its own, whose peak is then that of the training alone; it prints what was measured as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from myna import randomness
from myna.objectives.protocol import Batch, Scheduled
from myna.planning.memory import parameters_of
from myna.planning.prepared import Prepared, prepare
from myna.recipe import read_recipe
from myna.tokens.sampler import Sampler
from myna.training import checkpoint, guards
from myna.training.arithmetic import useful_flops
from myna.training.batches import make_batches, total_counts
from myna.training.machine import matrix_gflops, peak_bytes, resident_bytes, use_settings
from myna.training.optimizers import Optimizers, make_optimizer
from myna.training.parallel import Alone
from myna.training.processes import ALONE
from myna.training.recompute import recomputing
from myna.training.sampling import AnySampler, make_sampler

# Steps whose speed is looked at: more would only take time.
_MOST_STEPS = 60
# A look at the validation split is measured on so much of it, of the time that there is.
_VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class Trial:
    """What was measured: seconds of a step, of a whole look at the validation split, of writing a checkpoint, and of
    making all ready; the matrix rate meanwhile. ``process_bytes`` is what the process held before the model was made,
    ``peak_bytes`` what it held at most. ``steps`` were taken, of ``tokens`` tokens in all. ``answering_seconds`` are
    those of all answers of a teacher and the like, by name.
    """

    steps: int
    tokens: int
    step_seconds: float
    validation_seconds: float
    checkpoint_seconds: float
    ready_seconds: float
    matrix_gflops: float
    process_bytes: int
    peak_bytes: int
    answering_seconds: dict[str, float] = field(default_factory=dict)


def steps_of(prepared: Prepared) -> Iterator[NDArray[np.int64]]:
    """The items of the steps, one after the other; of text that is less than a step, each several times."""
    lengths, budget = prepared.items.lengths, prepared.config.batch_tokens
    count, whole = len(lengths), int(lengths.sum())
    sampler: AnySampler
    if budget <= whole:
        sampler = make_sampler(prepared.items, prepared.config, prepared.seed)
    else:
        every = lengths[np.arange(count)]
        sampler = Sampler(np.tile(every, 1 + budget // max(whole, 1)), budget, prepared.seed)
    step = 0
    while True:
        yield sampler.step(step) % count
        step += 1


def batches_of(prepared: Prepared, step: int, chosen: NDArray[np.int64], micro_batch_tokens: int) -> list[Batch]:
    """The micro-batches of a step, as the loop has them at its beginning."""
    objective = prepared.objective
    if isinstance(objective, Scheduled):
        objective = objective.at(0.0)
    key = randomness.key(prepared.seed, "step", step)
    return make_batches(objective, prepared.items, chosen.tolist(), micro_batch_tokens, key)


def measure(prepared: Prepared, seconds: float) -> dict[str, float]:
    """Takes real steps for about so many seconds, at least two, and gives what ``Trial`` has of them.

    Where one step alone would take longer, some of its micro-batches stand for all. The model learns meanwhile.
    """
    config, model, objective = prepared.config, prepared.model, prepared.objective
    parameters = parameters_of(model, objective)
    optimizer = make_optimizer(parameters, config)
    beside = list(objective.modules().values())
    began, paces, rates, tokens = time.monotonic(), [], [matrix_gflops()], 0
    with recomputing([model, *beside] if config.recompute else []):
        for step, chosen in enumerate(steps_of(prepared)):
            started = time.monotonic()
            batches = batches_of(prepared, step, chosen, prepared.manner.micro_batch_tokens)
            left = seconds * (1 - _VALIDATION_SHARE) - (started - began)
            share = _gradients(prepared, optimizer, batches, beside, max(left, seconds / 4))
            between = time.monotonic()
            _update(optimizer, config.learning_rate, config.clip)
            ended = time.monotonic()
            size = sum(batch.size for batch in batches)
            # The first step makes what all others find: it is left out where there is another.
            paces.append(((between - started) / share + ended - between) / size)
            tokens += size
            if step and (ended - began > seconds * (1 - _VALIDATION_SHARE) or step + 1 >= _MOST_STEPS):
                break
            if step % 5 == 1:
                rates.append(matrix_gflops(1))
    looked = _validation(prepared, seconds * _VALIDATION_SHARE)
    saved = time.monotonic()
    for tensors in ({name: p.detach() for name, p in parameters.items()}, optimizer.state()):
        save(tensors)
    saved = time.monotonic() - saved
    rates.append(matrix_gflops())
    return {
        "steps": len(paces),
        "tokens": tokens,
        "step_seconds": statistics.median(paces[1:]) * config.batch_tokens,
        "validation_seconds": looked,
        "checkpoint_seconds": saved,
        "matrix_gflops": round(statistics.median(rates), 1),
    }


def _gradients(
    prepared: Prepared, optimizer: Optimizers, batches: Sequence[Batch], beside: Sequence[nn.Module], seconds: float
) -> float:
    """Leaves the gradients of a step, or of as many of its batches as there is time for, and gives their share."""
    optimizer.zero_grad()
    counts, began, done = total_counts(batches), time.monotonic(), list[Batch]()
    alone = Alone(prepared.model, {}, ALONE, prepared.manner.precision)
    # In the loop's own order: what an allocator holds depends on which sizes come after which.
    for batch in batches:
        alone.backward(prepared.objective, prepared.model, [batch], counts)
        done.append(batch)
        if time.monotonic() - began > seconds:
            break
    if len(done) == len(batches):
        return 1.0
    return useful_flops(prepared.model, done, beside) / useful_flops(prepared.model, batches, beside)


def _update(optimizer: Optimizers, rate: float, clip: float) -> None:
    parameters = [p for p in optimizer.parameters.values() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    nn.utils.clip_grads_with_norm_(parameters, clip, norm)
    # So slowly that nothing can go wrong: how long it takes does not depend on it.
    optimizer.step(rate * 1e-3)
    guards.fault_of_weights(optimizer)


def _validation(prepared: Prepared, seconds: float) -> float:
    """The time of a whole look at the validation split, by the median of as many of its parts as there is time for."""
    paces: list[float] = []
    began, done = time.monotonic(), 0
    while time.monotonic() - began < seconds or len(paces) < 2:
        work, tokens = prepared.look(len(paces))
        if not tokens:
            break
        started = time.monotonic()
        work()
        paces.append((time.monotonic() - started) / tokens)
        done += tokens
        if done >= prepared.validation_tokens:
            break
    # The first part makes what all others find.
    return statistics.median(paces[1:] or paces) * prepared.validation_tokens if paces else 0.0


def answer(prepared: Prepared, seconds: float) -> dict[str, float]:
    """The seconds of all that is answered before the training begins, by who answers.

    By the median of as many parts as there is time for, one at least. Each who answers is gone behind the answers.
    """
    found = {}
    for name, make in prepared.answering.items():
        answers, paces, began = make(), list[float](), time.monotonic()
        while not paces or time.monotonic() - began < seconds:
            started = time.monotonic()
            work, count = answers.part(len(paces))
            if not count:
                break
            work()
            paces.append((time.monotonic() - started) / count)
        found[name] = statistics.median(paces) * len(answers.examples) if paces else 0.0
    return found


def _restore_best(prepared: Prepared, scratch: Path) -> None:
    """Keeps weights and takes them up again, as a fine-tuning does at its end: a file that is read is memory too."""
    parameters = parameters_of(prepared.model, prepared.objective)
    checkpoint.save_best(scratch, {name: p.detach() for name, p in parameters.items()}, 0)
    checkpoint.restore_best(scratch, parameters, 0)


def main(recipe: str, run: str, key: str, seconds: str, scratch: str, exact: str) -> None:
    """Prints the :class:`Trial` of a training."""
    described = read_recipe(recipe)
    process, began = resident_bytes(), time.monotonic()
    prepared = prepare(described, Path(run), key, Path(scratch), exact == "exact")
    ready = time.monotonic() - began
    answered = answer(prepared, float(seconds) / 4)
    # As in the loop: what making ready has freed by now went back to the system, what steps free does not.
    use_settings(prepared.manner.threads)
    measured = measure(prepared, float(seconds))
    if prepared.validations is None:
        _restore_best(prepared, Path(scratch))
    memory = {"process_bytes": process, "peak_bytes": peak_bytes()}
    print(json.dumps({**measured, "ready_seconds": ready, **memory, "answering_seconds": answered}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
