"""SIGTERM and Ctrl-C end a training with a checkpoint, from wherever in it they come, and it goes on the same."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from myna.objectives.masked import MaskedLM
from myna.training import loop
from myna.training.interrupts import Interrupts
from myna.training.parallel import Alone
from myna.training.processes import Joined

from ..stores import VOCABULARY
from .runs import CONFIG, metrics, run, steps, weights

RARELY = CONFIG.model_copy(update={"checkpoint_seconds": 1e6, "log_steps": 1})
SIGNALS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}


def scores() -> dict[str, float]:
    return {"score": 0.5}


class Killed(MaskedLM):
    """Is sent a signal in the middle of the loss of a micro-batch."""

    def __init__(self, number: int, calls: int) -> None:
        super().__init__(VOCABULARY)
        self.number, self.calls = number, calls

    def at(self, share):
        return self  # the calls are counted over all steps

    def loss(self, model, batch):
        self.calls -= 1
        loss = super().loss(model, batch)
        if self.calls == 0:
            os.kill(os.getpid(), self.number)
        return loss


@pytest.mark.parametrize("number", SIGNALS)
def test_a_step_that_is_broken_off_never_was(tmp_path: Path, number: int) -> None:
    options = {"config": RARELY, "validate": scores, "validations": 1}
    whole = weights(run(tmp_path / "whole", **options))
    for calls in (1, 2, 9, 14):
        cut = tmp_path / str(calls)
        with pytest.raises(SIGNALS[number]) as ended:
            run(cut, objective=Killed(number, calls), **options)
        assert number != signal.SIGTERM or ended.value.code == 143
        done = len(metrics(cut))
        assert steps(cut) == [done] * (done > 0)
        assert weights(run(cut, **options)) == whole
        assert metrics(cut) == metrics(tmp_path / "whole")


def last_state(folder: Path) -> dict[str, object]:
    """What the newest checkpoint says of its run, but for the time that it took."""
    newest = max((folder / "checkpoints").glob("step-*"))
    return {name: value for name, value in json.loads((newest / "state.json").read_text()).items() if name != "seconds"}


@pytest.mark.parametrize("nth", [2, 3])
def test_a_validation_that_is_broken_off_is_made_once_more_and_not_twice(tmp_path: Path, nth: int) -> None:
    options = {"config": RARELY, "validations": 3}
    whole = weights(run(tmp_path / "whole", validate=scores, **options))
    killed = iter([n == nth for n in range(1, nth + 1)])

    def validate() -> dict[str, float]:
        if next(killed, False):
            os.kill(os.getpid(), signal.SIGTERM)
        return scores()

    with pytest.raises(SystemExit):
        run(tmp_path / "cut", validate=validate, **options)
    assert steps(tmp_path / "cut") == [3, 6, 9][:nth]
    assert weights(run(tmp_path / "cut", validate=validate, **options)) == whole
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")
    assert last_state(tmp_path / "cut") == last_state(tmp_path / "whole")


def test_what_is_held_ends_first() -> None:
    done = []
    with Interrupts() as interrupts, pytest.raises(SystemExit):
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(1)
        done.append(2)
    assert done == [1]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_in_another_thread_signals_are_left_to_the_main_one() -> None:
    found = []

    def work() -> None:
        with Interrupts() as interrupts, interrupts.held():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


class Agreeing(Joined):
    """Two processes that are told the same, of which there is one."""

    def __init__(self) -> None:
        self.rank, self.count, self.answered = 0, 2, 0
        self._answered, self._waiting = False, lambda: None

    def gather(self, value):
        self.answered += isinstance(value, dict) and value.get("signal") is not None
        return [value, value]


def test_a_signal_behind_the_last_step_is_answered_by_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = Agreeing()
    monkeypatch.setattr(loop, "processes", lambda: group)
    monkeypatch.setattr(loop, "wrap", lambda model, modules, *others: Alone(model, modules, group))

    def report(what: str, share: float) -> None:
        if what.startswith("step 9 of 9"):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit):
        run(tmp_path, config=RARELY, report=report)
    assert group.answered == 1
    assert steps(tmp_path) == [9]
