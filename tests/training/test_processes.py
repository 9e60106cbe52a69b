"""Several processes meet, and answer a signal together."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from myna import files
from myna.errors import InputError, RunError
from myna.training.machines import use_machines
from myna.training.processes import Joined, joined
from myna.training.settings import TrainingConfig


class Mirrored(Joined):
    """Two processes that are told the same: what one of them says, the other says too."""

    def gather(self, value: Any) -> list[Any]:
        return [value, value]


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Joined:
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    return Mirrored()


def test_a_signal_ends_what_they_do_once_and_not_the_checkpoint_that_is_made_then(group: Joined) -> None:
    received: list[int | None] = [None]
    with group.answering(lambda: received[0]):
        assert group.together(lambda: 1) == [1, 1]
        received[0] = signal.SIGTERM
        with pytest.raises(SystemExit):
            group.together(lambda: 1)
        received[0] = signal.SIGINT
        assert group.together(lambda: "written") == ["written", "written"]
    with group.answering(lambda: signal.SIGINT), pytest.raises(KeyboardInterrupt):
        group.together(lambda: 1)


def test_they_meet_in_the_very_file_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Path] = []

    def meet(backend: str, store: dist.FileStore, **who: Any) -> None:
        places.append(Path(store.path))
        raise ValueError("enough")

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MYNA_MEET", str(tmp_path / "run #1?"))
    monkeypatch.setattr(dist, "init_process_group", meet)
    with pytest.raises(RunError, match="did not find each other"), joined():
        pass
    assert places == [tmp_path / "run #1?"]


def test_a_meeting_place_in_no_folder_is_told_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MYNA_MEET", str(tmp_path / "gone" / "here"))
    with pytest.raises(InputError, match="is in no folder"), joined():
        pass


def test_only_the_first_writes_down_what_it_goes_on_with(
    group: Joined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = {"threads": torch.get_num_threads(), "micro_batch_tokens": 64, "torch": "1.0", "cpu": "OTHER"}
    files.write_json(tmp_path / "machine.json", began)
    group.rank = 1
    monkeypatch.setattr(files, "write_json", None)
    config = TrainingConfig(steps=1, threads=1)
    assert use_machines(tmp_path, config, group, lambda: pytest.fail("chosen"), lambda what, share: None) == began
