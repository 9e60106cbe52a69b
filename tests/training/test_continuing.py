"""A training with wsd whose length is changed goes on, as if it had had that length from the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from myna import files
from myna.errors import InputError
from myna.settings import result_settings
from myna.training.continuing import beginning, why_anew
from myna.training.settings import TrainingConfig

from .runs import CONFIG, metrics, run, steps, weights

WSD = {"schedule": "wsd", "warmup_steps": 2, "log_steps": 1, "checkpoint_seconds": 1e9}


def trained(folder: Path, length: int, **changes: Any) -> bytes:
    """The weights after a training of so many steps in a folder, as far as it was not done there."""
    config = CONFIG.model_copy(update={**WSD, "steps": length, **changes})
    settings = {**result_settings(config), "objective": "masked"}
    found = beginning(settings)
    stable = None if found is None else {"settings": found}
    return weights(run(folder, config=config, identity={"settings": settings}, stable=stable))


@pytest.mark.parametrize("first, then", [(10, 16), (16, 10), (10, 11)])
def test_another_length_goes_on_to_the_same_weights_and_log(tmp_path: Path, first: int, then: int) -> None:
    expected = trained(tmp_path / "straight", then)
    trained(tmp_path / "changed", first)
    begun = (tmp_path / "changed" / "metrics.jsonl").read_text().splitlines()
    assert trained(tmp_path / "changed", then) == expected
    assert metrics(tmp_path / "changed") == metrics(tmp_path / "straight")
    # What both begin with was not done again: its lines have the clock of the first sitting.
    kept = (tmp_path / "changed" / "metrics.jsonl").read_text().splitlines()
    common = 8 if first == 10 else 0
    assert kept[:common] == begun[:common]
    assert steps(tmp_path / "changed")[-1] == then


def test_a_cut_off_cool_down_is_gone_back_from(tmp_path: Path) -> None:
    expected = trained(tmp_path / "straight", 20)

    def stop(what: str, share: float) -> None:
        if what.startswith("step 10"):
            raise KeyboardInterrupt

    config = CONFIG.model_copy(update={**WSD, "steps": 10})
    settings = {**result_settings(config), "objective": "masked"}
    stable = {"settings": beginning(settings)}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", config=config, identity={"settings": settings}, stable=stable, report=stop)
    assert steps(tmp_path / "cut") == [8, 10]
    # Left out in a cool-down that is no longer: there it may be a batch like any other.
    files.write_json(tmp_path / "cut" / "skipped.json", {"9": "the loss"})
    assert trained(tmp_path / "cut", 20) == expected
    assert json.loads((tmp_path / "cut" / "skipped.json").read_text()) == {}


def test_a_checkpoint_of_other_settings_is_refused_and_stays(tmp_path: Path) -> None:
    trained(tmp_path, 10)
    with pytest.raises(InputError, match="a checkpoint of another model or of other data"):
        trained(tmp_path, 16, learning_rate=0.5)
    assert steps(tmp_path) == [8, 10]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"steps": 30}, None),
        ({"steps": 30, "cooldown": 0.5, "cooldown_shape": "sqrt"}, None),
        ({"steps": 30, "warmup_steps": 3}, ""),
        ({"steps": 30, "beta2": 0.9}, ""),
    ],
)
def test_only_what_ends_a_training_may_differ(changes: dict[str, Any], expected: str | None) -> None:
    old = {**result_settings(TrainingConfig(steps=20, schedule="wsd", warmup_steps=2)), "objective": "masked"}
    assert why_anew(old, {**old, **changes}) == expected


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"warmup_steps": None}, "its warm-up is a share of the steps: with warmup_steps it would go on"),
        ({"warmup_steps": None, "warmup": 0}, None),
        ({"objective": "birds:Own"}, "an objective of one's own may depend on the number of steps"),
        ({"masked": {"ratio": 0.3, "last_ratio": 0.1}}, "last_ratio depends on the number of steps"),
        ({"schedule": "cosine"}, ""),
    ],
)
def test_what_depends_on_the_length_begins_anew_and_says_why(settings: dict[str, Any], expected: str | None) -> None:
    plain = result_settings(TrainingConfig(steps=20, schedule="wsd", warmup_steps=2))
    old = {**plain, "objective": "masked", **settings}
    assert why_anew(old, {**old, "steps": 30}) == expected
    assert (beginning(old) is None) == (expected is not None)
