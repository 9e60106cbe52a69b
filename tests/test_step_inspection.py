"""``show --step``: the texts of a step are those that it learns from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from myna import stages
from myna.errors import InputError
from myna.step_inspection import describe_step, show_step
from myna.tokens.store import TokenStore

from .faults.small_run import write_recipe


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole small run."""
    folder = tmp_path_factory.mktemp("small")
    return stages.run(write_recipe(folder), folder / "run")


@pytest.mark.parametrize("name, tokenizer", [("encoder", "characters"), ("decoder", "bytes")])
def test_the_steps_of_an_epoch_hold_its_documents_and_the_tokens_that_were_logged(
    small: Path, name: str, tokenizer: str
) -> None:
    batches = [show_step(small / "pretrain" / name, step) for step in (1, 2)]
    lines = [json.loads(line) for line in (small / "pretrain" / name / "metrics.jsonl").read_text().splitlines()]
    assert sum(batch["tokens"] for batch in batches) == lines[-1]["tokens"]
    assert [batch["epoch"] for batch in batches] == [1, 1]
    store = TokenStore.open(small / "tokens" / f"texts-{tokenizer}", "train")
    for item in (item for batch in batches for item in batch["items"]):
        corpus, _, number = item["document"].partition(":")
        start, end = store.bounds[int(number)], store.bounds[int(number) + 1]
        assert corpus == "texts"
        assert set(item["ids"]) <= set(store.ids[start:end].tolist())
        assert len(item["pieces"]) == len(item["ids"])


@pytest.mark.parametrize("name, label", [("moods", "good"), ("names", "LOC")])
def test_a_step_of_a_finetuning_has_its_examples_with_their_labels(small: Path, name: str, label: str) -> None:
    batch = show_step(small / "finetune" / name, 2)
    assert label in {item["label"] for item in batch["items"]}
    shown = describe_step(batch)
    assert f"[{label}]" in shown
    assert "我|第|" in shown


def test_what_has_no_such_step_is_told(small: Path) -> None:
    with pytest.raises(InputError, match=r"--step 3: this training has the steps 1 to 2"):
        show_step(small / "pretrain" / "encoder", 3)
    with pytest.raises(InputError, match=r"this run has 4 trainings; give one of .*pretrain/decoder, "):
        show_step(small, 1)
    with pytest.raises(InputError, match="--step is for a training; give its folder"):
        show_step(small / "corpus" / "texts", 1)


def test_the_command_prints_it_for_people_and_for_machines(small: Path) -> None:
    command = [sys.executable, "-m", "myna", "show", str(small / "pretrain" / "encoder"), "--step", "1"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text.startswith("step 1  ")
    plain = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert len(text.splitlines()) == 3 + len(plain["items"])
