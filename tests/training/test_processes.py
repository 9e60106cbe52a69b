"""Several processes answer a signal together."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import torch.distributed as dist

from myna.training.processes import Joined


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
