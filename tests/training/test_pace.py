"""A training that is given a time ends by it, with a learning rate of 0, and goes on as it was after a cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from myna.training.pace import Pace, revisions
from myna.training.schedules import Schedule, make_schedule
from myna.training.settings import TrainingConfig, seconds_of

FIRST = make_schedule(TrainingConfig(steps=1000, learning_rate=1.0, warmup_steps=50), 1000)


def train(pace: Pace, step_seconds: float, step: int = 0, slower: float = 1.0) -> tuple[list[float], float]:
    """The learning rates of all steps that are left, and the seconds; from half of the time on ``slower``."""
    rates, seconds = [], step * step_seconds
    while step < (schedule := pace.schedule(step)).steps:
        rates.append(schedule.rate(step))
        step, seconds = step + 1, seconds + step_seconds * (slower if seconds > 50 else 1.0)
        pace.look(step, seconds)
    return rates, seconds


@pytest.mark.parametrize(("step_seconds", "slower"), [(0.1, 1.0), (0.05, 1.0), (0.3, 1.0), (0.1, 2.5), (0.1, 0.4)])
def test_it_ends_in_time_and_fully_decayed_whatever_the_speed(
    tmp_path: Path, step_seconds: float, slower: float
) -> None:
    rates, seconds = train(Pace(tmp_path, FIRST, 100.0), step_seconds, slower=slower)
    assert seconds == pytest.approx(100, rel=0.05)
    assert rates[-1] < 0.03
    assert max(abs(a - b) for a, b in zip(rates, rates[1:], strict=False)) < 0.03, "no jumps"


def test_without_a_time_nothing_is_changed_or_written(tmp_path: Path) -> None:
    rates, _ = train(Pace(tmp_path, FIRST, None), 0.1)
    assert rates == [FIRST.rate(step) for step in range(1000)]
    assert not list(tmp_path.iterdir())


def test_a_run_that_was_cut_off_has_the_same_ends_at_the_same_steps(tmp_path: Path) -> None:
    pace = Pace(tmp_path, FIRST, 100.0)
    rates, _ = train(pace, 0.2)
    found = revisions(tmp_path)
    assert 4 < len(found) < 9
    again = Pace(tmp_path, FIRST, 100.0)
    assert [again.schedule(step).rate(step) for step in range(len(rates))] == rates
    # It goes on from a checkpoint before the last end was set: what stands there is taken, and nothing is set anew.
    train(again, 5.0, step=found[-1].step - 3)
    assert revisions(tmp_path) == found


def test_what_is_due_moves_with_the_end_and_never_back(tmp_path: Path) -> None:
    pace, planned = Pace(tmp_path, FIRST, 100.0), range(200, 1001, 200)
    done: list[int] = []
    step, seconds = 0, 0.0
    while step < pace.schedule(step).steps:
        step, seconds = step + 1, seconds + (0.3 if step < 300 else 0.1)
        pace.look(step, seconds)
        due = pace.due(planned, step)
        assert {n for n in due if n < step} <= set(done), "none is due again, or too late"
        done += [step] if step in due else []
    assert len(done) == 5
    assert done[-1] == step
    # Whoever goes on from any step finds the same.
    again = Pace(tmp_path, FIRST, 100.0)
    assert [n for n in range(1, step + 1) if n in again.due(planned, n)] == done


def test_an_end_set_within_the_warm_up_shortens_it_by_as_much(tmp_path: Path) -> None:
    slow = Schedule("linear", 1000, 1.0, 200.0)
    pace = Pace(tmp_path, slow, 100.0)
    pace.look(20, 10.0)
    assert pace.schedule(19) == slow
    assert pace.schedule(20).steps == 200
    assert pace.schedule(20).warmup == 40
    assert pace.schedule(20).rate(199) < 0.01


def test_times_are_read() -> None:
    assert [seconds_of(text) for text in ("90s", "45m", "1.5h", "2d")] == [90, 2700, 5400, 172_800]
