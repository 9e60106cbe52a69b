"""Trainings in these tests do not measure the machine at their first start: that takes longer than they do."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _known_matrix_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myna.training.machine.matrix_gflops", lambda: 100.0)
