"""Two models are compared on the same texts: their figures are those that were written, and chance is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from myna.cli import app
from myna.errors import InputError
from myna.evaluation.compared_text import describe
from myna.evaluation.comparing import compare

LABELS = ("bad", "good")


def lines_of(right: list[bool], seed: int = 0) -> list[dict[str, Any]]:
    """Texts with one label each, which is answered rightly or not."""
    generator = np.random.default_rng(seed)
    found = []
    for number, fine in enumerate(right):
        label = LABELS[number % 2]
        said = label if fine else LABELS[1 - number % 2]
        sure = float(generator.uniform(0.5, 1))
        scores = {each: sure if each == said else 1 - sure for each in LABELS}
        found.append({"id": f"{number}", "text": f"text {number}", "label": label, "predicted": said, "scores": scores})
    return found


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def run_of(folder: Path, rights: dict[str, list[bool]], **settings: Any) -> Path:
    tables = "".join(
        f'[finetune.{name}]\ncorpus = "c"\nthreads = {len(name)}\n'
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        for name in rights
    )
    for name, right in rights.items():
        write(folder / "evaluate" / name / "predictions.jsonl", lines_of(right))
        (folder / "evaluate" / name / "scores.json").write_text("{}")
        (folder / "finetune" / name / "model").mkdir(parents=True)
    (folder / "recipe.toml").write_text(f"seed = 1\n[corpus.c]\nnoise = 0.3\n{tables}")
    return folder


def test_a_difference_has_its_interval_and_the_p_value_of_mcnemar(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    first, second = (list(generator.random(200) < share) for share in (0.7, 0.85))
    files = [
        write(tmp_path / name, lines_of(right, seed))
        for seed, (name, right) in enumerate((("a", first), ("b", second)))
    ]
    (found,) = compare(files[:1], files[1:])
    entry = found["scores"]["accuracy"]
    assert entry["first"]["value"] == np.mean(first)
    assert entry["difference"]["value"] == pytest.approx(np.mean(second) - np.mean(first))
    alone = [
        sum(a and not b for a, b in pairs)
        for pairs in (zip(first, second, strict=True), zip(second, first, strict=True))
    ]
    assert entry["difference"]["p"] == pytest.approx(stats.binomtest(alone[0], sum(alone)).pvalue)
    assert list(found["scores"]) == ["accuracy", "macro_f1", "mcc", "auc"]
    assert [found["answers"][side] for side in ("first", "second")] == alone
    shown = found["examples"]["second"]
    assert len(shown) == 5
    assert all(each["truth"] == each["second"] != each["first"] for each in shown)
    text = describe([found])
    assert "on the same 200 texts" in text
    assert "the second is better" in text
    assert f"the first alone {alone[0]}" in text


def test_the_order_of_the_lines_does_not_matter_and_copies_are_told_apart(tmp_path: Path) -> None:
    lines = lines_of([True, False] * 20)
    lines += [{**lines[0], "id": "copy", "predicted": "good"}]
    a, b = write(tmp_path / "a", lines), write(tmp_path / "b", lines[:40][::-1] + lines[40:])
    # The copy and its original change places, where the order is another; counted they are the same.
    (found,) = compare([a], [b])
    assert found["texts"] == 41
    assert found["scores"]["accuracy"]["difference"]["value"] == 0


def test_what_was_judged_on_other_texts_is_not_compared(tmp_path: Path) -> None:
    lines = lines_of([True] * 10)
    first = write(tmp_path / "a", lines)
    other = lambda name, changed: write(tmp_path / name, changed)  # noqa: E731
    spans = [{"id": "1", "text": "text 1", "spans": [], "predicted": []}]
    for second, said in (
        (other("b", lines[:8]), r"other texts than .*a: 8 and 10, 8 in both"),
        (other("c", [*lines[:9], {**lines[9], "text": "new"}]), "other texts than"),
        (other("d", [{**lines[0], "label": "good"}, *lines[1:]]), r"d:1: this text has another answer by hand"),
        (other("e", spans), "answers of another kind"),
        (other("f", [{"text": "a", "answer": {}}]), "no predictions that can be compared"),
        (other("g", [{**lines[0], "label": None}, *lines[1:]]), "g:1: this line has no answer by hand"),
        (other("h", [*lines[:9], {"text": "text 9", "label": "good"}]), "h:10: this line is no prediction as those"),
        (other("i", [*lines[:9], [1]]), "i:10: this line is no prediction"),  # type: ignore[list-item]
        (other("j", [3]), "no predictions that can be compared"),  # type: ignore[list-item]
        (other("k", []), "no predictions that can be compared"),
        (other("l", [{"source": "a", "target": "b", "predicted": "c"}]), "answers of another kind"),
        (tmp_path / "nothing", "there is nothing here"),
        (tmp_path, "there are no predictions here"),
    ):
        with pytest.raises(InputError, match=said):
            compare([first], [second])


def test_words_and_answers_that_are_none_are_said(tmp_path: Path) -> None:
    asked = {"id": "0", "text": "在北京", "pair": "?"}
    for line, wrong in (
        ({"words": ["在", "北京"], "predicted": ["在北京"]}, {"predicted": ["上", "海"]}),
        ({"answers": ["北京"], "predicted": "在"}, {"predicted": 3}),
        ({"source": "在", "target": "北京", "predicted": "在"}, {"predicted": None}),
    ):
        first = write(tmp_path / "first", [{**asked, **line}])
        second = write(tmp_path / "second", [{**asked, **line, **wrong}])
        with pytest.raises(InputError, match="second:1: this line is no prediction"):
            compare([first], [second])


def test_runs_are_compared_model_by_model_with_the_settings_that_differ(tmp_path: Path) -> None:
    one, two = [True, False] * 20, [True] * 30 + [False] * 10
    first = run_of(tmp_path / "first", {"mood": one, "old": one}, epochs=2, focal=0.0)
    second = run_of(tmp_path / "second", {"mood": two, "new": two}, epochs=3, focal=0.0)
    (found,) = compare([first], [second])
    assert found["name"] == "mood"
    assert found["settings"] == {"finetune.epochs": [2, 3]}  # Not the threads, of which no result depends.
    for path in (first / "finetune/mood", first / "finetune/mood/model", first / "evaluate/mood"):
        assert compare([path], [second])[0]["scores"] == found["scores"]
    with pytest.raises(InputError, match=r"no model has the same name: .*first has mood, old"):
        compare([first], [run_of(tmp_path / "third", {"a": two, "b": two})])


def test_several_runs_are_summarised_over_texts_and_over_runs(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    sides = [
        [write(tmp_path / f"{side}{n}", lines_of(list(generator.random(300) < share), n)) for n in range(3)]
        for side, share in (("a", 0.7), ("b", 0.8))
    ]
    (found,) = compare(*sides)
    entry = found["scores"]["accuracy"]
    runs = [entry[side]["runs"] for side in ("first", "second")]
    assert entry["first"]["value"] == pytest.approx(np.mean(runs[0]))
    assert (entry["first"]["least"], entry["first"]["most"]) == (min(runs[0]), max(runs[0]))
    welch = stats.ttest_ind(runs[1], runs[0], equal_var=False)
    assert entry["over_runs"]["p"] == pytest.approx(welch.pvalue)
    assert (
        entry["difference"]["low"] < entry["difference"]["value"] == pytest.approx(np.mean(runs[1]) - np.mean(runs[0]))
    )
    assert "answers" not in found
    assert "over runs" in describe([found])


@pytest.mark.parametrize(
    ("line", "changed", "scores"),
    [
        (
            {"labels": ["a", "b"], "predicted": ["a", "b"]},
            {"predicted": ["a"]},
            ["micro_f1", "macro_f1", "exact_match"],
        ),
        (
            {
                "spans": [{"start": 0, "end": 1, "label": "X"}],
                "predicted": [{"start": 0, "end": 1, "label": "X", "p": 1}],
            },
            {"predicted": []},
            ["entity_f1"],
        ),
        ({"tokens": ["a"], "tags": ["N"], "predicted": ["N"]}, {"predicted": ["V"]}, ["word_accuracy"]),
        (
            {"tokens": ["a"], "tags": ["B-X"], "predicted": ["B-X"]},
            {"predicted": ["O"]},
            ["entity_f1", "word_accuracy"],
        ),
        (
            {"text": "在北京", "words": ["在", "北京"], "predicted": ["在", "北京"]},
            {"predicted": ["在北", "京"]},
            ["word_f1"],
        ),
        (
            {"pair": "where?", "answers": ["The Hague"], "predicted": "hague"},
            {"predicted": ""},
            ["answer_f1", "answer_exact"],
        ),
    ],
)
def test_every_kind_of_answer_is_compared(tmp_path: Path, line: Any, changed: Any, scores: list[str]) -> None:
    lines = [{"id": str(n), "text": f"a{n}", **line} for n in range(30)]
    worse = [{**each, **changed} if n < 20 else each for n, each in enumerate(lines)]
    (found,) = compare([write(tmp_path / "a", lines)], [write(tmp_path / "b", worse)])
    assert list(found["scores"]) == scores
    assert found["answers"] == {"both": 10, "first": 20, "second": 0, "neither": 0}
    for entry in found["scores"].values():
        assert entry["first"]["value"] == 1
        assert entry["difference"]["high"] < 0
        assert entry["difference"]["p"] < 0.01
    assert describe([found])


def judged_texts(folder: Path, said: list[str], scores: tuple[str, ...], source: str, **more: Any) -> Path:
    """Texts that were written where ``今天天气好0`` and so on were expected, with figures that stand beside them."""
    lines = [
        {
            "id": str(n),
            "source": source and f"{source}{n}",
            "target": f"今天天气好{n}",
            "predicted": text,
            "tokens": 4,
            **more,
        }
        for n, text in enumerate(said)
    ]
    entry = {"value": 0.5, "low": 0.4, "high": 0.6, "examples": len(said)}
    write(folder / "predictions.jsonl", lines)
    (folder / "scores.json").write_text(json.dumps(dict.fromkeys(scores, entry)))
    return folder


def test_written_texts_are_compared_by_the_figures_that_they_were_judged_by(tmp_path: Path) -> None:
    right = [f"今天天气好{n}" for n in range(40)]
    wrong = ["日月" if n < 30 else text for n, text in enumerate(right)]
    for names in (("rouge_l", "rouge_1", "rouge_2"), ("bleu", "chrf", "exact_match")):
        first, second = (
            judged_texts(tmp_path / names[0] / side, said, names, "看") for side, said in (("a", wrong), ("b", right))
        )
        (found,) = compare([first], [second])
        assert list(found["scores"]) == list(names)
        for entry in found["scores"].values():
            assert entry["second"]["value"] == pytest.approx(1)
            assert entry["difference"]["low"] > 0
            assert entry["difference"]["p"] < 0.01
        assert "answers" not in found
        assert "the second is better" in describe([found])
    (alone,) = compare([first / "predictions.jsonl"], [second / "predictions.jsonl"])
    assert list(alone["scores"]) == ["rouge_l", "exact_match"]


def test_texts_by_themselves_are_compared_by_their_bits_and_copies_stand_side_by_side(tmp_path: Path) -> None:
    names = ("bits_per_character", "repetition", "memorised")
    said = [f"今天天气好{n}" for n in range(40)]
    first, second = (judged_texts(tmp_path / f"{bits}", said, names, "", bits=bits) for bits in (6.0, 3.0))
    (found,) = compare([first], [second])
    bits = found["scores"]["bits_per_character"]
    assert bits["first"]["value"] == pytest.approx(6 * 40 / sum(len(text) for text in said))
    assert bits["difference"]["p"] < 0.01
    assert "p" not in found["scores"]["memorised"]["difference"]
    text = describe([found])
    assert "no figures of each text are kept" in text
    assert "the second is better" in text


def test_bits_are_compared_on_the_texts_that_both_windows_hold(tmp_path: Path) -> None:
    names = ("bits_per_character", "rouge_l_new")
    said = [f"今天天气好{n}" for n in range(40)]
    sides = [judged_texts(tmp_path / f"{bits}", said, names, "", bits=bits) for bits in (6.0, 3.0)]
    for side, held in zip(sides, (range(30), range(10, 40)), strict=True):
        lines = [json.loads(line) for line in (side / "predictions.jsonl").read_text().splitlines()]
        write(
            side / "predictions.jsonl", [line if n in held else {**line, "bits": None} for n, line in enumerate(lines)]
        )
        entries = json.loads((side / "scores.json").read_text())
        (side / "scores.json").write_text(
            json.dumps({**entries, "rouge_l_new": {"value": 0.5, "examples": held.start}})
        )
    (found,) = compare([sides[0]], [sides[1]])
    values = [found["scores"]["bits_per_character"][side]["value"] for side in ("first", "second")]
    assert values == pytest.approx([bits * 20 / sum(len(text) for text in said[10:30]) for bits in (6, 3)])
    assert "rouge_l_new" not in found["scores"]  # Each is of other texts: of those unlike its own training's.


def test_numbers_have_no_right_and_wrong(tmp_path: Path) -> None:
    lines = [{"id": str(n), "text": f"a{n}", "value": float(n), "predicted": n + 0.1} for n in range(30)]
    worse = [{**each, "predicted": each["predicted"] + n % 3} for n, each in enumerate(lines)]
    (found,) = compare([write(tmp_path / "a", lines)], [write(tmp_path / "b", worse)])
    assert "answers" not in found
    assert found["scores"]["mean_absolute_error"]["difference"]["low"] > 0
    assert "the first is better" in describe([found])


def test_language_models_are_set_side_by_side(tmp_path: Path) -> None:
    def judged(name: str, value: float, examples: int) -> Path:
        (tmp_path / name).mkdir()
        score = {"value": value, "low": value - 1, "high": value + 1, "examples": examples}
        (tmp_path / name / "scores.json").write_text(json.dumps({"perplexity": score}))
        return tmp_path / name

    first = judged("a", 60.0, 100)
    (found,) = compare([first], [judged("b", 50.0, 100)])
    assert found["scores"]["perplexity"]["difference"] == {"value": -10.0}
    assert "no figures of each text are kept" in describe([found])
    with pytest.raises(InputError, match="other texts"):
        compare([first], [judged("c", 50.0, 99)])


def test_against_takes_all_that_follows(tmp_path: Path) -> None:
    paths = [str(write(tmp_path / str(n), lines_of([bool(n % 2), True] * 10, n))) for n in range(5)]
    result = CliRunner().invoke(app, ["compare", *paths[:2], "--against", *paths[2:], "--json"])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["compared"]
    assert (found["first"], found["second"]) == (paths[:2], paths[2:])
    assert CliRunner().invoke(app, ["compare", *paths[:2], "--json"]).exit_code == 0
