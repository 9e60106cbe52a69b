"""What to train in a time that is given, chosen from measured speed and rules, and written down once.

``choice.json`` in the stage's folder has what was chosen and why; every resume reads it, so that it is the same run.

* **Model**: of the sizes of a family (``ladder.py``) the one of the least loss by the law of arXiv:2305.16264
  (``laws.py``), with the tokens that its measured speed allows. What the recipe names is kept.
* **Steps**: as many as fit into the time, with validations and checkpoints; on the way the end is set anew by the speed
  that the training has (``training/pace.py``), and the learning rate falls to 0 at it.
* **batch_tokens** and **learning_rate**, from the demo's (512 and 2e-3 at a width of 128, for 600,000 tokens): with the
  tokens D a batch grows as D^¼ and the rate falls as D^-⅛ (DeepSeek LLM, arXiv:2401.02954, finds C^0.33 and C^-0.125
  with the arithmetic; steps that are small cost nothing on a processor), the rate also as 1/√ of the width.
* **Dropout** is 0.1 where the text is read more than four times, else 0.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from myna import files
from myna.finetuning import FinetuneConfig
from myna.planning.ladder import models
from myna.planning.laws import PASSES, predicted_loss
from myna.pretraining import ModelParts, PretrainConfig
from myna.recipe import Recipe
from myna.training.pace import revisions
from myna.training.settings import seconds_of

if TYPE_CHECKING:
    from myna.planning.prepared import Prepared

Report = Callable[[str, float], None]
Config = TypeVar("Config", PretrainConfig, FinetuneConfig)

FILE = "choice.json"
# The time for measuring all candidates: a share of the budget, and at most so many seconds.
_MEASURED_SHARE, _MEASURED_SECONDS = 0.05, 20.0
# What the rules start from: the demo's encoder.
_TOKENS, _BATCH, _RATE, _WIDTH = 600_000, 512, 2e-3, 128
_BATCH_GRAIN = 64


@dataclass(frozen=True)
class _Candidate:
    """A model, and how far it would come: the settings that make it, what was measured, and the law's loss."""

    config: PretrainConfig
    name: str
    weights: int
    width: int
    longest: int
    epoch_tokens: int
    token_seconds: float
    beside_seconds: float
    tokens: float
    loss: float


def settle_pretraining(
    recipe: Recipe, run: Path, name: str, folder: Path, report: Report
) -> tuple[PretrainConfig, float]:
    """The settings of a pre-training with a budget, and the seconds for its steps: chosen now, or when it began."""
    config = recipe.pretrain[name]
    if not (folder / FILE).exists():
        began = time.monotonic()
        candidates = _measured(recipe, run, name)
        best = min(candidates, key=lambda candidate: candidate.loss)
        _write(folder, config, began, _chosen(config, best, candidates), best.beside_seconds)
    return _settled(config, folder, report)


def settle_finetuning(
    recipe: Recipe, run: Path, name: str, folder: Path, report: Report
) -> tuple[FinetuneConfig, float]:
    """The same of a fine-tuning, of which only the length is chosen: its model is what it starts from."""
    from myna.planning.prepared import prepare
    from myna.planning.trial import answer

    config = recipe.finetune[name]
    if not (folder / FILE).exists():
        began, budget = time.monotonic(), seconds_of(config.budget or "")
        with tempfile.TemporaryDirectory(prefix="myna-budget-") as scratch:
            brief = config.model_copy(update={"steps": 1})
            prepared = prepare(_with(recipe, "finetune", name, brief), run, f"finetune.{name}", Path(scratch))
            ready, share = time.monotonic() - began, min(_MEASURED_SHARE * budget, _MEASURED_SECONDS)
            # A teacher answers before the first step, and the steps have what is left.
            ready += sum(answer(prepared, share / 4).values())
            token_seconds, look = _speed(prepared, share)
        epoch_tokens = int(prepared.items.lengths.sum())
        # One look at the validation split at the end of each epoch.
        tokens = max(budget - (time.monotonic() - began) - ready, 0) / (token_seconds + look / epoch_tokens)
        steps = max(1, int(tokens / config.batch_tokens))
        why = f"{steps} steps of {config.batch_tokens} tokens, {tokens / epoch_tokens:.1f} passes"
        _write(folder, config, began, {"settings": {"steps": steps}, "why": why}, ready)
    return _settled(config, folder, report)


def settled(config: Config, folder: Path) -> Config:
    """The settings of a training with those that its budget chose, as they are written down in its folder."""
    if config.budget is None or not (folder / FILE).exists():
        return config
    chosen = files.read_object(folder / FILE)
    changes = dict(chosen["settings"])
    if "model" in changes:
        changes["model"] = ModelParts(**changes["model"])
    if found := revisions(folder):
        changes["steps"] = found[-1].steps
    return config.model_copy(update=changes)


def _settled(config: Config, folder: Path, report: Report) -> tuple[Config, float]:
    chosen = files.read_object(folder / FILE)
    report(f"budget {config.budget}: {chosen['why']}", 0.0)
    changed = settled(config, folder)
    # The identity of the run is what was chosen; ends that were set since are read by the loop.
    return changed.model_copy(update={"steps": chosen["settings"]["steps"]}), float(chosen["seconds"])


def _write(
    folder: Path, config: PretrainConfig | FinetuneConfig, began: float, chosen: dict[str, Any], beside: float
) -> None:
    """Writes the choice down. For the steps there is the budget without what choosing took and making ready will."""
    budget = seconds_of(config.budget or "")
    seconds = max(budget - (time.monotonic() - began) - beside, budget / 10)
    files.write_json(folder / FILE, {"budget": config.budget, "seconds": round(seconds, 1), **chosen})


def _measured(recipe: Recipe, run: Path, name: str) -> list[_Candidate]:
    """The candidates from the smallest on, up to the first that the law finds worse than the one before."""
    config, found = recipe.pretrain[name], list[_Candidate]()
    began, budget = time.monotonic(), seconds_of(config.budget or "")
    seconds = min(_MEASURED_SHARE * budget, _MEASURED_SECONDS) / 4
    for changed, called in _candidates(config):
        found.append(_candidate(recipe, run, name, changed, called, began, budget, seconds))
        if len(found) > 1 and found[-1].loss >= found[-2].loss:
            break
    return found


def _candidates(config: PretrainConfig) -> Iterator[tuple[PretrainConfig, str]]:
    """The settings of each candidate, and its name. A model that the recipe names is the only one."""
    if (
        config.preset is not None
        or config.start_from is not None
        or {"hidden_size", "layers"} & config.model.model_fields_set
    ):
        yield config, "the recipe's model"
        return
    own = config.model.model_dump(exclude_unset=True)
    for preset, parts in models(config.objective_settings().declaration()):
        changes = {"preset": preset, "model": ModelParts(**{**parts, **own})}
        yield (
            config.model_copy(update=changes),
            f"{parts['hidden_size']} × {parts['layers']} ({preset.partition('-')[0]})",
        )


def _candidate(
    recipe: Recipe,
    run: Path,
    name: str,
    config: PretrainConfig,
    called: str,
    began: float,
    budget: float,
    seconds: float,
) -> _Candidate:
    from myna.planning.prepared import prepare
    from myna.training.arithmetic import matrix_weights

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="myna-budget-") as scratch:
        brief = config.model_copy(update={"steps": 1})
        prepared = prepare(_with(recipe, "pretrain", name, brief), run, f"pretrain.{name}", Path(scratch))
    ready = time.monotonic() - started
    token_seconds, look = _speed(prepared, seconds)
    left = budget - (time.monotonic() - began) - ready - config.validations * look
    described = prepared.model.config
    epoch_tokens = int(prepared.items.lengths.sum())
    tokens = max(left, budget / 10) / token_seconds
    weights = matrix_weights(prepared.model.trunk)
    loss = predicted_loss(weights, epoch_tokens, tokens)
    width, longest = described.hidden_size, int(prepared.items.lengths.max())
    return _Candidate(config, called, weights, width, longest, epoch_tokens, token_seconds, ready, tokens, loss)


def _speed(prepared: Prepared, seconds: float) -> tuple[float, float]:
    """Seconds of a token and of a look at the validation split, with what checkpoints take in the first."""
    from myna.planning.trial import measure
    from myna.training.machine import use_settings

    use_settings(prepared.manner.threads)
    measured = measure(prepared, seconds)
    between = max(prepared.config.checkpoint_seconds, measured["step_seconds"])
    share = measured["checkpoint_seconds"] / between
    return measured["step_seconds"] * (1 + share) / prepared.config.batch_tokens, measured["validation_seconds"]


def _chosen(config: PretrainConfig, best: _Candidate, candidates: list[_Candidate]) -> dict[str, Any]:
    """The settings of the best candidate, and in words what was chosen and why."""
    settings: dict[str, Any] = {}
    left = config.left_to_budget
    batch = config.batch_tokens
    if "batch_tokens" in left:
        grown = _BATCH * (best.tokens / _TOKENS) ** 0.25
        batch = max(_BATCH_GRAIN, round(grown / _BATCH_GRAIN) * _BATCH_GRAIN, best.longest)
        batch = settings["batch_tokens"] = min(batch, best.epoch_tokens)
    rate = config.learning_rate
    if "learning_rate" in left:
        falls = (best.tokens / _TOKENS) ** -0.125 * (_WIDTH / best.width) ** 0.5
        rate = settings["learning_rate"] = float(f"{_RATE * falls:.2g}")
    steps = settings["steps"] = max(1, int(best.tokens / batch))
    if config.warmup_steps is None:
        settings["warmup_steps"] = round(config.warmup * steps)
    passes = best.tokens / best.epoch_tokens
    if best.config is not config:
        dropout = {"dropout": 0.1} if passes > PASSES and "dropout" not in config.model.model_fields_set else {}
        settings["preset"] = best.config.preset
        settings["model"] = {**best.config.model.model_dump(exclude_unset=True), **dropout}
    losses = ", ".join(f"{c.name}: {c.tokens / c.epoch_tokens:.1f} passes, {c.loss:.3f}" for c in candidates)
    compared = f" (by the law of arXiv:2305.16264 {losses})" if len(candidates) > 1 else ""
    why = (
        f"{best.name}, {best.weights:,} weights{compared}; {steps:,} steps of {batch:,} tokens, {passes:.1f} passes "
        f"over {best.epoch_tokens:,}; learning_rate = {rate:g}"
    )
    return {"settings": settings, "why": why}


def _with(recipe: Recipe, kind: str, name: str, config: Any) -> Recipe:
    return recipe.model_copy(update={kind: {**getattr(recipe, kind), name: config}})
