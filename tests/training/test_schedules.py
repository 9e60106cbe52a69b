"""Schedules: each against the one of transformers or torch, and each a function of the step alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from transformers import optimization

from myna.training.schedules import Schedule, make_schedule
from myna.training.settings import TrainingConfig

STEPS, WARMUP, HIGHEST = 400, 40, 0.02


def schedule_of(shape: str, **settings) -> Schedule:
    given = {"warmup_steps": WARMUP, "learning_rate": HIGHEST, **settings}
    return make_schedule(TrainingConfig(steps=STEPS, schedule=shape, **given), STEPS)


def rates(make: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler], steps: int) -> list[float]:
    """The rates that a scheduler of torch's manner gives, step by step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=HIGHEST)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


REFERENCES = {
    "constant": lambda o: optimization.get_constant_schedule_with_warmup(o, WARMUP),
    "linear": lambda o: optimization.get_linear_schedule_with_warmup(o, WARMUP, STEPS),
    "cosine": lambda o: optimization.get_cosine_schedule_with_warmup(o, WARMUP, STEPS),
    "inverse_sqrt": lambda o: optimization.get_inverse_sqrt_schedule(o, WARMUP),
    "wsd": lambda o: optimization.get_wsd_schedule(o, WARMUP, 80, STEPS, decay_type="linear"),
    "wsd sqrt": lambda o: optimization.get_wsd_schedule(o, WARMUP, 80, STEPS, decay_type="1-sqrt"),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_each_is_that_of_transformers_after_the_warm_up(name: str) -> None:
    shape, _, cooldown = name.partition(" ")
    ours = schedule_of(shape, cooldown_shape=cooldown or "linear")
    theirs = rates(REFERENCES[name], STEPS)
    assert [ours.rate(step) for step in range(WARMUP, STEPS)] == pytest.approx(theirs[WARMUP:], rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("shape", ["constant", "linear", "cosine", "inverse_sqrt", "wsd"])
def test_the_warm_up_is_that_of_transformers_without_a_first_step_that_learns_nothing(shape: str) -> None:
    ours = schedule_of(shape)
    theirs = rates(lambda o: optimization.get_constant_schedule_with_warmup(o, WARMUP + 1), WARMUP + 2)
    assert [ours.rate(step) for step in range(WARMUP)] == pytest.approx(theirs[1 : WARMUP + 1], rel=1e-12)
    linear = rates(lambda o: torch.optim.lr_scheduler.LinearLR(o, 1 / (WARMUP + 1), 1.0, WARMUP), WARMUP + 1)
    assert [ours.rate(step) for step in range(WARMUP + 1)] == pytest.approx(linear, rel=1e-12)


@pytest.mark.parametrize("shape", ["linear", "cosine", "wsd"])
def test_the_end_is_zero_and_nothing_beyond_is_below(shape: str) -> None:
    assert schedule_of(shape).rate(STEPS) == pytest.approx(0, abs=1e-15)
    assert schedule_of(shape).rate(STEPS - 1) > 0


def test_a_warm_up_may_be_a_share_or_none_and_a_run_may_have_one_step() -> None:
    share = make_schedule(TrainingConfig(steps=30, warmup=0.25), 30)
    assert share.warmup == 7.5
    assert [round(share.rate(step) / share.highest, 3) for step in (0, 6, 7, 8)] == [0.125, 0.875, 1.0, 0.978]
    for shape in ("constant", "linear", "cosine", "inverse_sqrt", "wsd"):
        assert make_schedule(TrainingConfig(steps=1, warmup=0, cooldown=0.2, schedule=shape), 1).rate(0) == 1e-3
    with pytest.raises(ValidationError, match="warmup_steps"):
        TrainingConfig(steps=30, warmup_steps=-1)


@pytest.mark.parametrize("cooldown", [0.0, 0.5, 1.0])
def test_a_cool_down_may_take_nothing_or_all_that_the_warm_up_leaves(cooldown: float) -> None:
    schedule = schedule_of("wsd", cooldown=cooldown)
    assert schedule.cooldown == min(cooldown * STEPS, STEPS - WARMUP)
    found = [schedule.rate(step) for step in range(STEPS)]
    assert max(found) == HIGHEST
    assert all(math.isfinite(rate) and rate > 0 for rate in found)


def test_a_longer_run_of_wsd_begins_as_the_shorter_one_up_to_the_end_of_its_stable_part() -> None:
    config = TrainingConfig(steps=100, schedule="wsd", warmup_steps=10, cooldown_shape="sqrt")
    short, long = make_schedule(config, 100), make_schedule(config, 250)
    assert short.stable_steps == 80
    assert [short.rate(n) for n in range(80)] == [long.rate(n) for n in range(80)]
    assert short.rate(81) < long.rate(81)
    assert schedule_of("linear").stable_steps == 0
