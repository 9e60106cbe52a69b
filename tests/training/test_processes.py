"""Several processes meet, and answer a signal together."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from myna import files
from myna.errors import ElsewhereError, InputError, RunError
from myna.training import processes
from myna.training.machines import use_machines
from myna.training.meeting import Meeting
from myna.training.processes import Joined, joined, noticing, tells
from myna.training.settings import TrainingConfig

from ..several import finish, start


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
    monkeypatch.setattr(Meeting, "wait_for_all", lambda *of: None)
    with pytest.raises(RunError, match="did not find each other"), joined():
        pass
    assert places == [tmp_path / f"run #1?.{os.getpid()}"]
    assert not list(tmp_path.iterdir())


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


class Store(dict[str, bytes]):
    """A store of one process; what is done with it stands in ``done``."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def set(self, key: str, value: str) -> None:
        self[key] = value.encode()

    def check(self, keys: list[str]) -> bool:
        return all(key in self for key in keys)

    def compare_set(self, key: str, expected: str, value: str) -> bytes:
        self.done.append(key)
        return self.setdefault(key, value.encode())

    def add(self, key: str, number: int) -> int:
        self.done.append(key)
        return 2


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """What the second of two processes has joined."""
    made = Store()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    for name, gives in {"get_rank": 1, "get_world_size": 2, "init_process_group": None}.items():
        monkeypatch.setattr(dist, name, lambda *a, gives=gives, **k: gives)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: made.done.append("closed"))
    monkeypatch.setattr(dist.distributed_c10d, "_get_default_store", lambda: made)
    yield made
    processes._Current.told, processes._Current.joined = None, False


def test_who_finds_another_gone_ends_by_what_that_one_had_to_tell(store: Store) -> None:
    store.set("myna/cause", "0 2")
    with pytest.raises(ElsewhereError) as ended, joined(), noticing():
        raise RuntimeError("Connection closed by peer")
    assert ended.value.exit_code == 2
    assert not tells(ended.value)
    assert store.done == ["closed", "myna/left"]


def test_who_finds_another_gone_without_a_word_tells_that(store: Store) -> None:
    with pytest.raises(RunError, match="another process of this run has ended") as ended, joined(), noticing():
        raise RuntimeError("Connection closed by peer")
    assert tells(ended.value)
    assert store["myna/cause"] == b"1 1"


def test_the_cause_is_written_before_the_connections_are_closed(store: Store) -> None:
    with pytest.raises(InputError) as ended, joined():
        raise InputError("wrong")
    assert tells(ended.value)
    assert store["myna/cause"] == b"1 2"
    assert store.done == ["myna/cause", "closed", "myna/left"]


def test_a_process_that_was_one_of_several_ends_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with pytest.raises(SystemExit):
        processes.end(3)
    with joined():
        pass
    with pytest.raises(SystemExit):
        processes.end(3)
    assert codes == [3]


FAILS = """
import torch, torch.distributed as dist
from myna import cli, errors
from myna.training import processes

def work(*arguments, **options):
    with processes.joined() as group:
        under_way = dist.all_reduce(torch.zeros(9), async_op=True)
        if group.first:
            raise errors.InputError("this is wrong")
        group.gather(2)

cli.app = work
cli.main(["run"])
"""


def test_an_error_in_one_is_told_once_and_ends_all_with_its_code() -> None:
    """Outside of what they do together, and where something that was sent still holds the connection open."""
    ended = finish(start(2, [sys.executable, "-c", FAILS]))
    assert [code for code, _, _ in ended] == [2, 2]
    assert [error for _, _, error in ended] == ["myna: this is wrong\n", ""]
