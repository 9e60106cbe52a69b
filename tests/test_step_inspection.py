"""``show --step``: the texts of a step are those that it learns from."""

from __future__ import annotations

import json
import shutil
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


def test_a_step_with_weights_has_documents_of_every_corpus(small: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small, run)
    shutil.copytree(run / "tokens" / "texts-characters", run / "tokens" / "more-characters")
    recipe = (run / "recipe.toml").read_text()
    begin = recipe.index("[pretrain.encoder]")
    weighed = recipe[begin:].replace(
        'corpus = ["texts"]', 'corpus = ["texts", "more"]\nweights = { texts = 1, more = 3 }', 1
    )
    (run / "recipe.toml").write_text(recipe[:begin] + weighed.replace("steps = 2", "steps = 40", 1))
    shown = [show_step(run / "pretrain" / "encoder", step) for step in (1, 40)]
    assert shown[0]["epochs"] == {"texts": 1, "more": 1}
    assert shown[1]["epochs"]["more"] > shown[1]["epochs"]["texts"] >= 1
    assert "of texts, " in describe_step(shown[1])
    counts = [sum(item["document"].startswith(name) for item in shown[0]["items"]) for name in ("texts:", "more:")]
    assert 0 < counts[0] < counts[1]
    assert sum(counts) == len(shown[0]["items"])


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
