"""The settings of a training run. They import no torch, so that a recipe is read at once."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import PlainValidator, WithJsonSchema, model_validator

from myna.errors import InputError
from myna.settings import Section, setting

Optimizer = Literal["adamw", "sgd", "adafactor", "muon"]
Shape = Literal["constant", "linear", "cosine", "inverse_sqrt", "wsd"]
Cooldown = Literal["linear", "sqrt"]
Parallel = Literal["ddp", "fsdp"]
Tracker = Literal["tensorboard", "wandb"]
Precision = Literal["float32", "bfloat16"]


def _count_or_auto(given: Any) -> Any:
    if given == "auto" or (isinstance(given, int) and not isinstance(given, bool) and given > 0):
        return given
    raise ValueError('give a number above 0, or "auto"')


# A union of pydantic's would name its branches in an error.
Count = Annotated[
    int | Literal["auto"],
    PlainValidator(_count_or_auto),
    WithJsonSchema({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"const": "auto"}]}),
]
# A time, as 90s, 45m, 1.5h or 2d.
BUDGET = r"^\d+(\.\d+)?[smhd]$"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# What a budget chooses, besides the length, where a table does not say it.
_CHOSEN = ("batch_tokens", "learning_rate")


class TrainingConfig(Section):
    """How long and how to train. Exactly one of ``tokens``, ``steps``, ``epochs`` and ``budget`` says how long."""

    tokens: int | None = setting(None, "how long to train, in tokens", gt=0)
    steps: int | None = setting(None, "how long to train, in steps", gt=0)
    epochs: float | None = setting(None, "how long to train, in passes over the text", gt=0)
    budget: str | None = setting(
        None, "how long to train, in time, as 45m: what the table leaves out is chosen for it", pattern=BUDGET
    )
    batch_tokens: int = setting(1024, "tokens of a step, over all processes", gt=0)
    learning_rate: float = setting(1e-3, "the highest learning rate", gt=0)
    warmup: float = setting(0.1, "share of the steps in which the learning rate rises", ge=0, le=1)
    warmup_steps: int | None = setting(None, "steps in which the learning rate rises, instead of a share", ge=0)
    schedule: Shape = setting("linear", "how the learning rate falls after that; wsd: only over the last steps")
    cooldown: float = setting(
        0.2, "share of the steps, the last ones: wsd lets the learning rate fall, cooldown_weights hold", ge=0, le=1
    )
    cooldown_shape: Cooldown = setting("linear", "wsd: in a line, or (sqrt) fast first and then ever slower")
    optimizer: Optimizer = setting("adamw", "muon: for the matrices of the layers, with adamw for the rest")
    weight_decay: float = setting(0.01, "decay of matrices (not of norms, biases, embeddings)", ge=0)
    # Small batches meet a rare piece once in many steps; a shorter memory (0.98) forgets its gradient in between, and
    # a decoder of 12,000 pieces lost 0.2 bits per character by that.
    beta2: float = setting(0.999, "AdamW's memory of squared gradients", gt=0, lt=1)
    momentum: float | None = setting(None, "share of its last step that sgd (0.9), muon (0.95) repeats", ge=0, lt=1)
    nesterov: bool = setting(True, "sgd, muon: look ahead along the momentum")
    layer_decay: float = setting(1.0, "the learning rate of a layer, as a share of that of the one above", gt=0, le=1)
    clip: float = setting(1.0, "largest norm of a step's gradient", gt=0)
    patience: int | None = setting(None, "end after so many validations without a better score", gt=0)
    seed: int | None = setting(None, "the seed of this stage (default: the recipe's)")
    # Of the result: a product in bfloat16 has 8 bits. What "auto" found is the machine's, and kept by the run.
    precision: Literal["float32", "bfloat16", "auto"] | None = setting(
        None, "type of the products; auto: the faster one, measured (default: float32, on CUDA bfloat16)", "added"
    )
    micro_batch_tokens: Count | None = setting(
        None,
        "tokens computed at a time; a step is cut into these; auto: measured (default: by the model's size)",
        "speed",
    )
    recompute: bool = setting(False, "keep less of each layer, and compute it twice: less memory, slower", "speed")
    threads: Count | None = setting(
        None, "threads of torch; auto: measured (default: the processors there are, or their share of them)", "speed"
    )
    parallel: Parallel = setting(
        "ddp", "several processes: each holds the whole model, or (fsdp) its share of it", "speed"
    )
    checkpoint_seconds: float = setting(60.0, "time between checkpoints", "log", ge=0)
    keep: int = setting(2, "how many of the newest checkpoints stay", "log", gt=0)
    keep_every: int | None = setting(None, "make a checkpoint every so many steps, and let these stay", "log", gt=0)
    # No result hangs on it: without it a run that has such a batch has none.
    skip_bad_batches: bool = setting(False, "leave a batch out whose gradient is not a number, and count it", "log")
    track: list[Tracker] = setting([], "where else the metrics go", "log")
    log_steps: int = setting(10, "steps between lines of metrics.jsonl", "log", gt=0)

    @model_validator(mode="after")
    def _one_length(self) -> TrainingConfig:
        given = [name for name in ("tokens", "steps", "epochs", "budget") if getattr(self, name) is not None]
        if len(given) != 1:
            what = "give exactly one of tokens, steps, epochs and budget"
            raise ValueError(f"{what}, not {' and '.join(given) or 'none'}")
        if self.budget is not None and "schedule" in self.model_fields_set and self.schedule != "linear":
            raise ValueError('with a budget the learning rate falls in a line to its end; take "schedule" out')
        return self

    @property
    def left_to_budget(self) -> tuple[str, ...]:
        """The settings that the budget chooses, besides the length: none without one."""
        return () if self.budget is None else tuple(name for name in _CHOSEN if name not in self.model_fields_set)


def seconds_of(budget: str) -> float:
    """The seconds of a time as 45m; an :class:`InputError` for what is none."""
    if not re.match(BUDGET, budget):
        raise InputError(f"{budget!r} is no time", remedy="write it as 90s, 45m, 1.5h or 2d")
    return float(budget[:-1]) * _SECONDS[budget[-1]]
