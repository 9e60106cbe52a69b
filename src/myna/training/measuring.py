"""What is fastest on this machine, found by real steps of the run that is about to begin.

A step that is measured goes forward and backward as any other, and leaves nothing behind: no weight, no moment of an
optimizer and no draw of the run is another than if nothing had been measured.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from myna import randomness
from myna.model.heads import Model
from myna.objectives.protocol import Batch, Items, Objective, Scheduled
from myna.training.precision import default_precision, device_of
from myna.training.recompute import recomputing
from myna.training.sampling import AnySampler
from myna.training.settings import Precision, TrainingConfig

# A run spends this much of its time, and never more than so many seconds, to find out what is fastest.
SHARE, MOST_SECONDS = 0.02, 20.0
# Tokens of a measured step: several micro-batches of the usual size; less where even that takes long.
MOST_TOKENS, LEAST_TOKENS = 16_384, 1_024
# What is not faster by so much is as likely noise, and another choice for nothing would be another run's last bits.
WORTH = 1.05
# What the backward pass keeps of a token in a layer, for each channel: 18 numbers (an attention's and a feed-forward
# network's of four times the width).
_KEPT_BYTES, _BYTES_A_CHANNEL = 160_000_000, 72
MICRO_BATCHES = (512, 1024, 2048, 4096)


@dataclass(frozen=True)
class Manner:
    """How a step is computed. Beyond ``precision``, it decides the last bits of a result and no more."""

    threads: int
    micro_batch_tokens: int
    precision: Precision

    @classmethod
    def kept(cls, machine: Mapping[str, Any]) -> Manner:
        """What a run began with, of its ``machine.json``; one that names no precision is older than the choice."""
        known = {"precision": "float32", **machine}
        return cls(**{field.name: known[field.name] for field in fields(cls)})

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{threads}, micro-batches of {self.micro_batch_tokens} tokens, {self.precision}"


@dataclass(frozen=True)
class Speed:
    """What a step took: ``seconds`` of the clock for ``tokens``."""

    manner: Manner
    seconds: float
    tokens: int

    @property
    def tokens_per_second(self) -> float:
        """How fast that is."""
        return self.tokens / self.seconds


def measure_step(
    model: Model,
    objective: Objective,
    items: Items,
    chosen: Sequence[int],
    manner: Manner,
    key: int,
    *,
    repeats: int = 2,
    limit: float = MOST_SECONDS,
) -> Speed:
    """The time of one step over the items ``chosen``, without its update: the fastest of ``repeats``, warmed up once.

    Batches are made as ``key`` says. After ``limit`` seconds nothing is repeated. Weights, their gradients, buffers,
    torch's generator and the number of threads are as before, to the bit.
    """
    from myna.training.batches import backward, make_batches

    with untouched(model, objective):
        torch.set_num_threads(manner.threads)
        times = []
        batches: list[Batch] = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            batches = make_batches(objective, items, chosen, manner.micro_batch_tokens, key)
            backward(objective, model, batches, manner.precision)
            if device_of(model).type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
            if sum(times) > limit:
                break
    return Speed(manner, min(times[1:] or times), sum(batch.size for batch in batches))


@contextlib.contextmanager
def untouched(model: Model, objective: Objective) -> Iterator[None]:
    """Puts back what steps without an update change: gradients, buffers, torch's generator, its threads."""
    modules = [model, *objective.modules().values()]
    gradients = {p: p.grad for module in modules for p in module.parameters()}
    buffers = {b: b.clone() for module in modules for b in module.buffers()}
    threads = torch.get_num_threads()
    for parameter in gradients:
        parameter.grad = None
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, kept in buffers.items():
                buffer.copy_(kept)


@dataclass(frozen=True)
class Choice:
    """The manner of a run and the ``speeds`` it was chosen by: none where nothing was to be measured or no time was."""

    manner: Manner
    speeds: tuple[Speed, ...] = ()

    def facts(self) -> dict[str, Any]:
        """What ``machine.json`` keeps of it."""
        rows = [{**asdict(speed.manner), "tokens_per_second": round(speed.tokens_per_second)} for speed in self.speeds]
        return {**asdict(self.manner), **({"measured": rows} if rows else {})}

    def __str__(self) -> str:
        if len(self.speeds) < 2:
            return f"too short a run to measure what is fastest: {self.manner}"
        rates = {speed.manner: speed.tokens_per_second for speed in self.speeds}
        usual = self.speeds[0].manner
        beside = "" if self.manner == usual else f"; without {rates[usual]:,.0f}"
        return f"chosen by measurement: {self.manner} ({rates[self.manner]:,.0f} tokens/s{beside})"


def usual_micro_batch(model: Model) -> int:
    """As many tokens as keep about 160 MB for the backward pass (sixteen times that on a GPU): 512, 1,024 … 4,096.

    Fewer would spend their time on what every micro-batch costs, on more a processor is hardly faster.
    """
    layers = max(1, model.config.layers + model.config.decoder_layers)
    room = _KEPT_BYTES * (1 if device_of(model).type == "cpu" else 16)
    tokens = room // (_BYTES_A_CHANNEL * layers * model.config.hidden_size)
    return 1 << min(max(int(tokens), 512), 4096).bit_length() - 1


def usual_manner(model: Model, config: TrainingConfig) -> Manner:
    """What a recipe asks for, and where it says ``auto`` what it would have without."""
    threads = config.threads if isinstance(config.threads, int) else torch.get_num_threads()
    tokens = config.micro_batch_tokens
    tokens = tokens if isinstance(tokens, int) else usual_micro_batch(model)
    named = config.precision
    precision = default_precision(device_of(model)) if named is None or named == "auto" else named
    return Manner(threads, tokens, precision)


def choose(
    model: Model,
    objective: Objective,
    items: Items,
    sampler: AnySampler,
    config: TrainingConfig,
    steps: int,
    most_seconds: float = MOST_SECONDS,
) -> Choice:
    """What a run of ``steps`` steps shall use where its recipe says ``auto``, by steps over some items of its first.

    The threads first, then the type of products, then micro-batches, whose best size depends on it. Measuring ends
    when ``SHARE`` of the time that the run will take is spent, or ``most_seconds``; a run so short that this is
    nothing takes what is usual.
    """
    usual = usual_manner(model, config)
    asked = {name for name in ("threads", "micro_batch_tokens", "precision") if getattr(config, name) == "auto"}
    if not asked:
        return Choice(usual)
    chosen = sampler.step(0).tolist()
    probe = _some_of(items, chosen, LEAST_TOKENS)
    if SHARE * steps * config.batch_tokens < 2 * int(items.lengths[probe].sum()):
        return Choice(usual)
    with recomputing([model, *objective.modules().values()] if config.recompute else []):
        first = objective.at(0.0) if isinstance(objective, Scheduled) else objective
        return _fastest(model, first, items, chosen, asked, usual, steps * config.batch_tokens, most_seconds)


def _fastest(
    model: Model,
    objective: Objective,
    items: Items,
    chosen: Sequence[int],
    asked: set[str],
    usual: Manner,
    run_tokens: int,
    most_seconds: float,
) -> Choice:
    began = time.perf_counter()
    probe = _some_of(items, chosen, LEAST_TOKENS)
    key = randomness.key(0, "measuring")
    first = measure_step(model, objective, items, probe, usual, key, repeats=1)
    ends = began + min(most_seconds, SHARE * run_tokens / first.tokens_per_second)
    # Up to a dozen contenders with three passes each.
    affordable = int((ends - time.perf_counter()) * first.tokens_per_second / 36)
    probe = _some_of(items, chosen, min(MOST_TOKENS, max(LEAST_TOKENS, affordable)))
    pass_seconds = int(items.lengths[probe].sum()) / first.tokens_per_second
    speeds: list[Speed] = []

    def try_out(manner: Manner) -> Speed | None:
        """Its speed, or None where there is no time for it, or no memory."""
        left = ends - time.perf_counter()
        if left < 3 * pass_seconds:
            return None
        try:
            speed = measure_step(model, objective, items, probe, manner, key, limit=left)
        except torch.OutOfMemoryError:
            return None
        speeds.append(speed)
        return speed

    best = try_out(usual)
    if best is None:
        return Choice(usual, (first,))
    for threads in thread_counts() if "threads" in asked else ():
        best = _faster(best, try_out(replace(usual, threads=threads)) if threads != usual.threads else None)
    types = [best]
    if "precision" in asked:
        other: Precision = "float32" if best.manner.precision == "bfloat16" else "bfloat16"
        types.append(try_out(replace(best.manner, precision=other)) or best)
    # Where a processor has no such products they are emulated, and more of them would take all the time.
    likely = [speed for speed in types if 1.5 * speed.tokens_per_second >= best.tokens_per_second]
    for of_type in sorted(likely, key=lambda speed: -speed.tokens_per_second):
        best = _faster(best, of_type)
        for tokens in MICRO_BATCHES if "micro_batch_tokens" in asked else ():
            # Larger ones take more memory: they are tried only while that pays.
            if tokens > 2 * of_type.manner.micro_batch_tokens:
                break
            if tokens != of_type.manner.micro_batch_tokens and tokens < 2 * of_type.tokens:
                of_type = _faster(of_type, try_out(replace(of_type.manner, micro_batch_tokens=tokens)))
        best = _faster(best, of_type)
    return Choice(best.manner, tuple(speeds))


def _faster(best: Speed, other: Speed | None) -> Speed:
    return other if other is not None and other.tokens_per_second > WORTH * best.tokens_per_second else best


def thread_counts() -> list[int]:
    """1, 2, 4 … and all that torch would use."""
    most = torch.get_num_threads()
    return [*(2**n for n in range(most.bit_length()) if 2**n < most), most]


def _some_of(items: Items, chosen: Sequence[int], tokens: int) -> list[int]:
    """The first of ``chosen`` that have ``tokens`` tokens together, or all of them."""
    reached = np.cumsum(items.lengths[np.asarray(chosen)])
    return list(chosen[: int(np.searchsorted(reached, tokens)) + 1])
