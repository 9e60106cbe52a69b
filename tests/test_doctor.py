"""``myna doctor``: what it says is there, and what it would do."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from typer.testing import CliRunner

from myna import doctor
from myna.cli import app


@pytest.fixture(autouse=True)
def in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "STEP_SECONDS", 0.5)
    monkeypatch.setattr(doctor, "RATE_SECONDS", 0.0)
    monkeypatch.setattr(doctor, "thread_counts", lambda: [1])


def test_it_says_what_is_there_and_what_a_run_would_choose() -> None:
    answer = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(answer.stdout)
    assert found["cores"] >= 1
    assert found["matrix"][0]["threads"] == 1
    assert found["memory_gb_per_second"] > 0
    assert set(found["training"]["fastest"]) == {"threads", "micro_batch_tokens", "precision"}
    assert found["problems"] == []
    said = doctor.describe(found)
    assert "This machine is ready." in said
    assert f'precision = "{found["training"]["fastest"]["precision"]}"' in said


def test_what_is_missing_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    requires = ["numpy>=2", 'nowhere-to-be-found>=1; extra == "odd"', "numpy; extra == 'even'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: requires)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - 5, 5))
    monkeypatch.setattr(doctor, "_training", lambda: {"model": "none", "fastest": {"threads": 1}, "measured": []})
    found = doctor.examine(tmp_path)
    assert found["extras"] == [
        {"name": "even", "missing": [], "install": "pip install 'myna[even]'"},
        {"name": "odd", "missing": ["nowhere-to-be-found"], "install": "pip install 'myna[odd]'"},
    ]
    said = doctor.describe(found)
    assert "pip install 'myna[odd]'" in said
    assert f"on the disk of {tmp_path}: make room" in said
    assert "This machine is ready." not in said
