"""Every test runs without a network and on as many threads as the machine shares out."""

from __future__ import annotations

import os
import socket

import hypothesis
import pytest

# Several workers share the machine; a thread each is the fastest, and results depend on the number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A machine that others use is slow at times, and no test is of time.
hypothesis.settings.register_profile("shared machines", deadline=None)
hypothesis.settings.load_profile("shared machines")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere is a failure: Myna makes none unless it is asked to."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a test tried to connect to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
