"""What is wrong with a table is found, all of it, with file and line, and told by kind."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from myna import cli
from myna.checking.check import Checked, check
from myna.checking.findings import MOST, Findings
from myna.checking.text import describe
from myna.errors import InputError

from .material import NEITHER, reviews, write


def lines_of(checked: Checked, kind: str) -> list[int | None]:
    return [finding.line for finding in checked.findings.of(kind)]


def test_of_100_flipped_labels_most_are_among_the_first_200_suspicious(tmp_path: Path) -> None:
    rows = reviews(2_000)
    flipped = random.Random(1).sample(range(2_000), 100)
    for place in flipped:
        rows[place]["label"] = {"good": "bad", "bad": "good"}[rows[place]["label"]]
    checked = check(write(tmp_path / "a.jsonl", rows), "classification")
    first = set(lines_of(checked, "suspicious")[:200])
    sure = [float(finding.what.split()[-1]) for finding in checked.findings.of("suspicious")]
    assert sure == sorted(sure, reverse=True)
    assert len(first & {place + 1 for place in flipped}) >= 70
    assert checked.learned is not None
    assert checked.learned.tells
    assert not checked.findings.of("no signal")


def test_labels_drawn_by_chance_are_no_better_than_the_commonest(tmp_path: Path) -> None:
    draw = random.Random(2)
    rows = [{**row, "label": draw.choice(["a", "b", "c"])} for row in reviews(600)]
    checked = check(write(tmp_path / "a.jsonl", rows))
    assert checked.learned is not None
    assert checked.learned.metric == "accuracy"
    assert checked.learned.model["low"] < checked.learned.simplest["value"]
    assert checked.learned.gain["low"] <= 0
    (found,) = checked.findings.of("no signal")
    assert "is no better than" in found.what
    assert found.what in describe(checked)


def test_a_split_that_leaks_is_caught(tmp_path: Path) -> None:
    """Texts of training in the test, as they are and with another end; in no other place is there a leak."""
    rows = reviews(300)
    test = reviews(60, seed=9)
    for row in test:
        row["text"] = row["text"].replace("。", "，测试。")
    test[10] = {**rows[7], "text": rows[7]["text"].replace("，", " , ")}
    test[20] = {**rows[9], "text": rows[9]["text"] + "（转）"}
    checked = check(write(tmp_path / "a.jsonl", rows), test=write(tmp_path / "b.jsonl", test))
    assert lines_of(checked, "leak") == [11]
    assert lines_of(checked, "near leak") == [21]
    assert "is also one of train" in checked.findings.of("leak")[0].what
    assert "a.jsonl:10" in checked.findings.of("near leak")[0].what


def test_near_copies_are_found_in_the_splits_that_hashes_make(tmp_path: Path) -> None:
    rows = reviews(200)
    rows += [{**row, "text": row["text"] + "！再说一次"} for row in rows]
    checked = check(write(tmp_path / "a.jsonl", rows))
    assert not checked.findings.of("leak")
    assert len(checked.findings.of("near leak")) > 20
    assert set(checked.splits) == {"train", "validation", "test"}


def test_every_row_that_cannot_be_read_is_found_and_none_ends_the_check(tmp_path: Path) -> None:
    good: list[Any] = reviews(60)
    rows = [*good, '{"text": "cut', '["a"]', {"text": 3, "label": "good"}, {"text": " \u200b ", "label": "good"}]
    rows += [{"text": "no label", "label": None}, {"text": "here", "label": 1.5}, good[0], {**good[1], "label": "bad"}]
    path = write(tmp_path / "a.jsonl", [*rows, {"text": "alone", "label": "rare"}])
    path.write_bytes(path.read_bytes() + '{"text": "太慢了", "label": "bad"}\n'.encode("gb18030"))
    checked = check(path)
    assert lines_of(checked, "row") == [61, 62, 63, 66]
    assert (lines_of(checked, "empty"), lines_of(checked, "unlabelled")) == ([64], [65])
    assert (lines_of(checked, "encoding"), lines_of(checked, "rare")) == ([70], [69])
    assert (lines_of(checked, "repeat"), lines_of(checked, "contradiction")) == ([67], [68])
    assert checked.bad == 7
    assert sum(split["rows"] for split in checked.splits.values()) < 63
    order = [line.split(":")[0] for line in describe(checked).splitlines() if line and line[0].isalpha()]
    assert order.index("row") < order.index("encoding") < order.index("contradiction") < order.index("repeat")


def test_broken_quotes_of_csv_do_not_end_it(tmp_path: Path) -> None:
    rows = [f"{row['text']},{row['label']}" for row in reviews(40)]
    rows[4], rows[9] = 'a "quoted" one,good,more', '"he said "well" to me",good'
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    checked = check(tmp_path / "a.csv")
    assert lines_of(checked, "row") == [6, 11]
    assert sum(split["rows"] for split in checked.splits.values()) == 38


def test_tags_are_checked_row_by_row(tmp_path: Path) -> None:
    draw = random.Random(3)
    rows: list[Any] = [
        {"tokens": [*draw.sample(NEITHER, 4), "北京", str(n)], "tags": ["O"] * 4 + ["B-LOC", "O"]} for n in range(80)
    ]
    rows[5]["tags"] = ["O", "I-LOC", "O", "O", "B-LOC", "O"]
    rows[6]["tags"] = ["O"]
    rows[7]["tags"] = ["O"] * 6
    checked = check(write(tmp_path / "a.jsonl", rows))
    assert checked.task == "tagging"
    assert lines_of(checked, "tags") == [6, 7]
    assert lines_of(checked, "suspicious") == [8]
    assert '"北京" has the tag O, and elsewhere' in checked.findings.of("suspicious")[0].what


def test_numbers_far_from_their_text_are_found(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "score": 2.0 if row["label"] == "good" else -2.0} for row in reviews(400)]
    rows[30]["score"] = 40.0
    checked = check(write(tmp_path / "a.jsonl", rows))
    assert (checked.task, lines_of(checked, "suspicious")[0]) == ("regression", 31)
    assert checked.said[1] == 'reading the value from "score"'


def test_several_labels_that_look_wrong_are_found(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "labels": [row["label"], "hotel"][: 1 + n % 3]} for n, row in enumerate(reviews(600))]
    rows[40]["labels"] = ["good"]
    checked = check(write(tmp_path / "a.jsonl", rows))
    assert (checked.task, checked.learned is not None and checked.learned.metric) == ("multilabel", "label_accuracy")
    assert 41 in lines_of(checked, "suspicious")[:10]


def test_labels_of_the_test_and_their_balance(tmp_path: Path) -> None:
    rows = [{**row, "label": "good"} for row in reviews(100)]
    rows[0]["label"] = rows[1]["label"] = "bad"
    test = write(tmp_path / "b.jsonl", [{"text": f"新的{n}", "label": ("good", "mixed")[n % 2]} for n in range(4)])
    checked = check(write(tmp_path / "a.jsonl", rows), test=test, window=8)
    assert [finding.what for finding in checked.findings.of("unknown")] == ["training has no example of 'mixed'"]
    assert "'good' is 98.0 % of training" in checked.findings.of("balance")[0].what
    assert len(lines_of(checked, "long")) == 100
    assert checked.labels["good"] == {"train": 98, "test": 2}


def test_all_findings_are_in_a_file_to_mend_the_rows_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with 0 whatever it found."""
    rows = reviews(60)
    path = write(tmp_path / "a.jsonl", [*rows, *rows[:5], '{"text": 1}'])
    for name in ("findings.jsonl", "findings.csv"):
        with pytest.raises(SystemExit) as ended:
            cli.main(["check", str(path), "--to", str(tmp_path / name), "--json"])
        out, _ = capsys.readouterr()
        assert ended.value.code == 0
    told = json.loads(out)
    found = [json.loads(line) for line in (tmp_path / "findings.jsonl").read_text("utf-8").splitlines()]
    with open(tmp_path / "findings.csv", encoding="utf-8", newline="") as stream:
        as_csv = list(csv.DictReader(stream))
    assert [row["what"] for row in as_csv] == [row["what"] for row in found]
    assert list(found[0]) == ["file", "line", "kind", "what", "suggestion", "text"]
    assert (found[0]["kind"], found[0]["line"], told["findings"]["row"]["count"]) == ("row", 66, 1)
    drop = {row["line"] for row in found if row["kind"] in ("row", "repeat")}
    kept = [line for number, line in enumerate(path.read_text("utf-8").splitlines(), 1) if number not in drop]
    assert kept == [json.dumps(row, ensure_ascii=False) for row in rows]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.jsonl"], "no.jsonl: there is no such file or folder"),
        (["a.txt"], "a.txt: this is no table of examples; give JSONL, CSV"),
        (["a.jsonl", "--task", "taging"], "--task: there is no task 'taging' for this command; did you mean"),
        (["a.jsonl", "--task", "pairs"], "a.jsonl: there is no column for the pair"),
        (["a.jsonl", "--set", "epochs=3"], "--set: epochs says nothing of how files are read; name a column"),
        (["a.jsonl", "--window", "0"], "--window: a window of 0 tokens holds nothing; give 1 or more"),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", reviews(4))
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", *arguments])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith(f"myna: {said}")
    assert err.count("\n") == 1


def test_beyond_so_many_of_a_kind_findings_are_counted() -> None:
    findings = Findings()
    for line in range(MOST + 5):
        findings.add("repeat", "again", "take it out", "a.csv", line)
    assert (findings.counts["repeat"], len(findings.of("repeat"))) == (MOST + 5, MOST)


def test_findings_do_not_take_the_place_of_what_they_are_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path / "a.jsonl", reviews(20))
    kept = data.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(data)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    for place in (data, Path("../a.jsonl"), tmp_path / "link.jsonl", tmp_path / "found.jsonl"):
        with pytest.raises(InputError, match="the examples lie here; give --to another name, outside of them"):
            check(tmp_path if place.name == "found.jsonl" else data, to=place)
    with pytest.raises(InputError, match="the examples lie here"):
        check(write(tmp_path / "b.jsonl", reviews(20, 3)), test=data, to=data)
    with pytest.raises(InputError, match="other: this is a folder, not a file; give --to the name of a file"):
        check(data, to=tmp_path / "other")
    assert data.read_bytes() == kept
