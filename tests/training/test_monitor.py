"""The log and where else it goes; TensorBoard and W&B are stood in for, since neither is required."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from myna.errors import InputError
from myna.training.monitor import figures, open_monitors

from .runs import CONFIG, metrics, run

LINE = {"step": 4, "tokens": 40, "seconds": 1.5, "loss": 2.0}


class FakeWriter:
    """Remembers what TensorBoard's ``SummaryWriter`` is given."""

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step, self.given, self.closed = folder, purge_step, [], False

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.given.append((name, value, step))

    def close(self) -> None:
        self.closed = True


def test_tensorboard_gets_every_figure_at_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FakeWriter] = []
    fake = SimpleNamespace(SummaryWriter=lambda *a, **b: made.append(FakeWriter(*a, **b)) or made[-1])
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    run(tmp_path, config=CONFIG.model_copy(update={"track": ["tensorboard"]}), validate=lambda: {"score": 0.5})
    (writer,) = made
    assert (writer.folder, writer.purge_step, writer.closed) == (str(tmp_path / "tensorboard"), 1, True)
    assert [step for name, _, step in writer.given if name == "loss"] == [2, 4, 6, 8, 9]
    assert ("validation/score", 0.5, 9) in writer.given
    assert [line["loss"] for line in metrics(tmp_path) if "loss" in line] == [
        value for name, value, _ in writer.given if name == "loss"
    ]


def test_wandb_gets_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list = []
    fake = SimpleNamespace(log=lambda values, step: given.append((values, step)), finish=lambda: given.append("end"))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **options: fake))
    monitors = open_monitors(tmp_path, ["wandb", "wandb"], 0, 0)
    monitors.log(LINE)
    monitors.close()
    assert given == [({"tokens": 40, "seconds": 1.5, "loss": 2.0}, 4), "end"]
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == LINE


@pytest.mark.parametrize("name, module", [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_one_that_is_not_installed_is_named_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"needs the package {name}; pip install 'myna\[{name}\]'"):
        open_monitors(tmp_path, [name], 0, 0)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_what_is_no_number_is_no_figure() -> None:
    assert list(figures({"step": 3, "skipped": "the loss", "validation": {"score": 1, "loss": 2.5}})) == [
        ("validation/score", 1),
        ("validation/loss", 2.5),
    ]
