"""A plan in words: a table for each training, and its learning rate drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from myna.evaluation.quantities import duration, size
from myna.inspection import columns, plain
from myna.planning.laws import PASSES, TOKENS_A_WEIGHT
from myna.planning.plan import Memory, Plan, Training
from myna.training.schedules import Schedule

_WIDTH, _HEIGHT = 60, 6
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def describe(plan: Plan) -> str:
    """A plan, for a person."""
    lines = [f"plan of {plan.recipe}, in {plan.folder}"]
    if not plan.exact:
        lines.append(
            "  the text is not prepared yet: tokens, steps and times are estimates, from a sample of the files"
        )
    for training in plan.trainings:
        lines += ["", training.key, *columns(list(_rows(training)))]
        lines += ["", *_plot(training.schedule)]
    for key, why in plan.unplanned.items():
        lines += ["", key, f"  cannot be planned before its corpus is prepared: {why}"]
    if len(plan.trainings) > 1:
        lines += ["", f"all trainings: {_time(sum(training.seconds for training in plan.trainings))}"]
    lines.append("preparing the text, judging the models and the report take their own time")
    return "\n".join(lines)


def draw(schedule: Schedule, width: int = _WIDTH) -> str:
    """The learning rate over a run in one line of blocks, the highest one full."""
    rates = [schedule.rate(step) for step in _steps(schedule, width)]
    return "".join(_EIGHTHS[max(1, round(rate / schedule.highest * 8))] for rate in rates)


def _plot(schedule: Schedule) -> Iterator[str]:
    """The learning rate over a run as a plot of a few lines."""
    steps = _steps(schedule, _WIDTH)
    heights = [max(1, round(schedule.rate(step) / schedule.highest * 8 * _HEIGHT)) for step in steps]
    for row in range(_HEIGHT - 1, -1, -1):
        label = f"{schedule.highest:>9.3g}" if row == _HEIGHT - 1 else " " * 9
        yield f"  {label} │{''.join(_EIGHTHS[min(max(height - 8 * row, 0), 8)] for height in heights).rstrip()}"
    yield f"  {'0':>9} └{'─' * len(steps)}"
    first = f"step 1, warm-up to {schedule.warmup:,.0f}" if schedule.warmup else "step 1"
    yield f"  {'':9}  {first}{f'{schedule.shape}, {schedule.steps:,} steps':>{max(len(steps) - len(first), 1)}}"


def _steps(schedule: Schedule, width: int) -> Sequence[int]:
    count = min(width, schedule.steps)
    return [min(round((n + 0.5) * schedule.steps / count), schedule.steps - 1) for n in range(count)]


def _rows(training: Training) -> Iterator[list[str]]:
    own = training.parameters - training.words
    yield ["parameters", f"{training.parameters:,}", f"{training.words:,} of them embeddings"]
    yield ["useful arithmetic", f"{training.flops:.3g} FLOP", f"{training.flops_per_token:,.0f} a token"]
    yield [
        "length",
        f"{training.tokens:,} tokens",
        f"{training.steps:,} steps, {training.epochs:.2f} passes over {training.epoch_tokens:,}",
    ]
    yield ["time", _time(training.seconds), _on_which(training)]
    yield from (["", _time(seconds), name] for name, seconds in training.parts.items() if len(training.parts) > 1)
    yield from _memory_rows(training.memory)
    yield ["disk", _bytes(sum(training.disk.values())), ", ".join(f"{n} {_bytes(b)}" for n, b in training.disk.items())]
    yield [
        "this text supports",
        f"{training.supported:,.0f} weights",
        f"{PASSES} passes, {TOKENS_A_WEIGHT} tokens a weight (arXiv:2203.15556, 2305.16264); this model has {own:,}",
    ]
    if training.epochs > PASSES:
        yield ["", "", f"more than {PASSES} passes: what is read again teaches ever less"]
    if not training.memory.fits:
        yield ["does not fit", "", "" if training.remedies else "and neither smaller micro-batches nor recompute help"]
        yield from (["", _bytes(peak), f"with {change}"] for change, peak in training.remedies.items())


def _memory_rows(memory: Memory) -> Iterator[list[str]]:
    how = "measured, in a process of its own" if memory.measured else "computed"
    room = "" if memory.room is None else f"; there are {_bytes(memory.room)}"
    yield ["memory", _bytes(memory.peak), f"{how}{room}"]
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "state of the optimizer": memory.optimizer,
        "activations of a micro-batch": memory.activations,
        "logits of a chunk, and the gradient of their matrix": memory.loss,
        "the process with torch": memory.process,
    }
    yield from (["", _bytes(part), name] for name, part in parts.items() if part)
    if memory.answering:
        yield ["", _bytes(memory.answering), "what answers before the first step, beside the weights alone"]
    if memory.checkpoint > memory.activations + memory.loss:
        yield ["", _bytes(memory.checkpoint), "a checkpoint while it is made, instead of activations and logits"]


def _on_which(training: Training) -> str:
    rate = training.matrix_gflops
    if not rate:
        return f"on {training.machine}"
    share = training.flops / max(training.parts["steps"], 1e-9) / rate / 1e9
    return f"on {training.machine}, measured: {share:.0%} of its matrix rate, {rate:,.0f} GFLOP/s"


def _time(seconds: float) -> str:
    return plain(duration(seconds))


def _bytes(count: float) -> str:
    return plain(size(int(count)))
