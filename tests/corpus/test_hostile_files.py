"""248 tables that are wrong: each is one line and exit code 2, nothing is written, and little memory is taken."""

from __future__ import annotations

import resource
from pathlib import Path
from random import Random

import pytest

from myna import cli
from myna.composing import compose

from .hostile_files import HARMS, conll, hostile_files, jsonl, labelled, several, tagged, train, valued

COUNT = 8 * len(HARMS)
Capture = pytest.CaptureFixture[str]


def finetune(arguments: list[str], to: Path, capsys: Capture) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["finetune", *arguments, "--model", "bert-micro", "--to", str(to)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_each_of_248_hostile_files_is_one_line_and_exit_code_2(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "files").mkdir()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = []
    for what, arguments in hostile_files(tmp_path / "files", COUNT):
        code, out, err = finetune(arguments, tmp_path / "run", capsys)
        line = err.removesuffix("\n")
        told = line.startswith("myna: ") and line.isprintable() and len(line) < 600 and "; " in line
        if code != 2 or not told or out or "mistake in Myna" in line or (tmp_path / "run").exists():
            wrong.append(f"{what} {arguments}: {code} {err[:400]}")
    assert COUNT == 248
    assert not wrong, f"{len(wrong)} of {COUNT}\n" + "\n".join(wrong)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes


def test_the_tables_that_are_harmed_are_good_before(tmp_path: Path) -> None:
    for task, rows in (
        ("classification", labelled(Random(1))),
        ("regression", valued(Random(1))),
        ("multilabel", several(Random(1))),
        ("tagging", tagged(Random(1))),
    ):
        compose(task, "bert-micro", jsonl(tmp_path / "a.jsonl", rows))
    compose("tagging", "bert-micro", conll(tmp_path / "a.conll", tagged(Random(1))))


def test_what_the_task_does_not_need_is_no_mistake(tmp_path: Path, capsys: Capture) -> None:
    """Columns of other fields that cannot be read as these; of groups they are still read."""
    others = {"labels": 3, "spans": "none", "pair": 5, "value": "x", "tokens": [1], "tags": [2]}
    rows = [{**row, **others} for row in labelled(Random(1))]
    path = jsonl(tmp_path / "a.jsonl", rows)
    composed = compose("classification", "bert-micro", path)
    assert composed.recipe.corpus["examples"].sources[0].columns == ["text", "label", "group"]
    rows[3]["group"] = 1.5
    code, _, err = finetune(train("classification", jsonl(path, rows)), tmp_path / "run", capsys)
    assert (code, '"group" is 1.5, not a name' in err) == (2, True)
