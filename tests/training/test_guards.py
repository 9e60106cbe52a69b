"""What is not a number is found in its step and named; what is left out is left out again by a resume."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from myna import files
from myna.errors import RunError
from myna.model.heads import Model
from myna.objectives.masked import MaskedLM
from myna.objectives.protocol import Batch, Loss
from myna.training import loop
from myna.training.parallel import Alone

from ..stores import VOCABULARY
from .runs import CONFIG, metrics, run, steps, weights


@dataclasses.dataclass(frozen=True)
class WeighedBatch(Batch):
    """A batch with a number as an input."""

    weight: torch.Tensor | None = None


class Harmed(MaskedLM):
    """Does ``harm`` to a model or a batch when its ``step`` (from 1) comes."""

    def __init__(self, harms: dict[int, Callable[[Model, WeighedBatch], None]]) -> None:
        super().__init__(VOCABULARY)
        self.harms, self.keys = harms, []

    def batch(self, items, numbers, key) -> WeighedBatch:
        self.keys += [key] if key not in self.keys else []
        plain = super().batch(items, numbers, key)
        fields = {field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)}
        return WeighedBatch(**fields, weight=torch.ones(()))

    def loss(self, model: Model, batch: WeighedBatch) -> Loss:
        self.harms.get(self.step, lambda model, batch: None)(model, batch)
        loss = super().loss(model, batch)
        return Loss(tuple(dataclasses.replace(term, sum=term.sum * batch.weight) for term in loss.terms))

    @property
    def step(self) -> int:
        return len(self.keys)


def in_weight(name: str) -> Callable[[Model, WeighedBatch], None]:
    def harm(model: Model, batch: WeighedBatch) -> None:
        with torch.no_grad():
            dict(model.named_parameters())[name].flatten()[-1] = float("nan")

    return harm


def in_gradient(name: str, value: float) -> Callable[[Model, WeighedBatch], None]:
    def harm(model: Model, batch: WeighedBatch) -> None:
        parameter = dict(model.named_parameters())[name]
        if not parameter._backward_hooks:
            parameter.register_hook(lambda gradient: torch.full_like(gradient, value))

    return harm


def in_input(model: Model, batch: WeighedBatch) -> None:
    assert batch.weight is not None
    batch.weight.fill_(float("inf"))


NAMES = ["trunk.embeddings.words.weight", "trunk.blocks.0.mixer.projection.weight", "head.bias"]


def stopped(folder: Path, objective: MaskedLM) -> str:
    with pytest.raises(RunError) as error:
        run(folder, objective=objective)
    return str(error.value)


def test_forty_that_are_injected_are_each_found_within_their_step_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(3)
    for number, (kind, name) in zip(range(40), itertools.cycle(itertools.product("wgis", NAMES)), strict=False):
        step, value = draw.randint(2, 8), draw.choice([float("nan"), float("inf"), -float("inf")])
        expected = {"w": f"the weight {name}", "g": f"the gradient of {name}", "i": "the input weight"}.get(kind)
        harms = {"w": in_weight(name), "g": in_gradient(name, value), "i": in_input}
        objective = Harmed({step: harms[kind]} if kind in harms else {})
        with monkeypatch.context() as patch:
            if kind == "s":
                part = draw.choice(["exp_avg", "exp_avg_sq"])
                expected = f"the optimizer's {name}.{part}"
                harm_state(patch, name, part, step)
            said = stopped(tmp_path / str(number), objective)
        assert f": {expected} is not a number at step {step} (documents " in said, (number, said)
        # What was saved is from before, and finite.
        assert steps(tmp_path / str(number))[-1] == step - 1


def harm_state(patch: pytest.MonkeyPatch, name: str, part: str, step: int) -> None:
    real = Alone.backward

    def backward(self: Alone, objective: Harmed, model: Model, *rest: Any) -> float:
        if objective.step == step:
            kept = optimizers[0].parts[0].state[dict(model.named_parameters())[name]]
            kept[part].flatten()[0] = float("nan")
        return real(self, objective, model, *rest)

    optimizers: list = []
    make = loop.make_optimizer
    patch.setattr(loop, "make_optimizer", lambda *a: (optimizers.append(make(*a)), optimizers[0])[1])
    patch.setattr(Alone, "backward", backward)


def test_a_part_of_the_model_that_overflows_is_named(tmp_path: Path) -> None:
    def harm(model: Model, batch: WeighedBatch) -> None:
        model.trunk.blocks[0].feed_forward.inner.weight.data.fill_(1e30)
        model.trunk.blocks[0].feed_forward.output.weight.data.fill_(1e30)

    said = stopped(tmp_path, Harmed({3: harm}))
    assert "the output of trunk.blocks.0.feed_forward" in said
    assert "at step 3 (documents" in said
    assert "; lower learning_rate, or leave such batches out with --skip-bad-batches" in said


SKIPPING = CONFIG.model_copy(update={"skip_bad_batches": True})


def bad_at(*numbers: int) -> Harmed:
    return Harmed(dict.fromkeys(numbers, in_input))


def test_a_bad_batch_is_left_out_and_counted_and_a_resume_leaves_it_out_again(tmp_path: Path) -> None:
    whole = weights(run(tmp_path / "whole", config=SKIPPING, objective=bad_at(3, 7)))
    lines = metrics(tmp_path / "whole")
    assert [line["step"] for line in lines if "skipped" in line] == [3, 7]
    assert lines[1] == {"step": 3, "tokens": lines[1]["tokens"], "skipped": "the input weight"}
    # Cut off before the checkpoint of step 7; this time the batch would be good, and is left out all the same.
    cut = tmp_path / "cut"
    run(cut, config=SKIPPING, objective=bad_at(3, 7))
    for number in (8, 9):
        files.remove(cut / "checkpoints" / f"step-0000000{number}")
    assert steps(cut) == []
    run(cut, objective=MaskedLM(VOCABULARY))
    assert metrics(cut) == lines
    assert weights(run(cut)) == whole


def test_a_good_run_is_the_same_with_and_without(tmp_path: Path) -> None:
    assert weights(run(tmp_path / "a", config=SKIPPING)) == weights(run(tmp_path / "b"))


def test_a_bad_weight_and_bad_batches_without_end_stop_the_run_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the weight head\.bias is not a number at step 2"):
        run(tmp_path / "a", config=SKIPPING, objective=Harmed({2: in_weight("head.bias")}))
    config = SKIPPING.model_copy(update={"steps": 30})
    with pytest.raises(RunError, match=r"at step 14 .*; the 10 steps before it were skipped: lower learning_rate"):
        run(tmp_path / "b", config=config, objective=bad_at(*range(4, 31)))
