"""Written texts are judged by the figures of their task, beside its simple methods, and shown in the report."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from myna.evaluation import texts
from myna.evaluation.findings import Manner, kind_of
from myna.evaluation.judging import line_of
from myna.evaluation.mistakes import written_texts
from myna.evaluation.ngrams import CharacterNgrams
from myna.evaluation.simple_methods import Simple
from myna.evaluation.written import judge_texts, line_of_text
from myna.tasks.examples import Example
from myna.tasks.extraction import Extracted
from myna.tasks.writing import Written

TRAINED = [Example(f"今天天气很好{n}。明天下雨{n}。", f"t{n}", target=f"天气很好{n}。") for n in range(6)]
TESTED = [Example(f"后天天气不好{n}。我在北京。", f"e{n}", target=f"天气不好{n}。") for n in range(8)]


def judged(task: str, said: list[Any], examples: list[Example] = TESTED, simple: bool = True) -> tuple[Any, Any]:
    loaded: Any = SimpleNamespace(facts={"task": task})
    scores, details = judge_texts(loaded, examples, said, 1, Simple(TRAINED, None) if simple else None)  # type: ignore[arg-type]
    json.dumps([scores.metrics, details])
    return scores.metrics, details


def written(*lines: str, **what: Any) -> list[Written]:
    return [Written(line, len(line), "stop", **what) for line in lines]


@pytest.mark.parametrize("task", ["summarization", "extraction"])
def test_summaries_are_judged_by_rouge_beside_sentences_of_the_text(task: str) -> None:
    said: list[Any] = written(*(f"天气不好{n}" for n in range(8)))
    if task == "extraction":
        said = [Extracted(each.text, "", ((0, 1),), np.ones(1), (0,)) for each in said]
    scores, details = judged(task, said)
    assert list(scores) == ["rouge_l", "rouge_1", "rouge_2"]
    expected = [example.target or "" for example in TESTED]
    for place, name in enumerate(texts.ROUGE):
        counts = texts.rouge_counts(expected, [each.text for each in said])
        assert scores[name]["value"] == pytest.approx(counts[:, place].mean())
        assert set(scores[name]["baselines"]) == {"first_sentence", "textrank", "nearest_source"}
    firsts = texts.rouge_counts(expected, [f"后天天气不好{n}。" for n in range(8)])
    assert scores["rouge_1"]["baselines"]["first_sentence"]["value"] == pytest.approx(firsts[:, 0].mean())
    assert details["kind"] == task
    assert details["differences"]["rouge_l"]["first_sentence"]["value"] > 0


def test_extracted_summaries_stand_beside_as_many_sentences() -> None:
    said: Any = [Extracted("a", "", ((0, 1), (1, 2)), np.ones(2), (0, 1)) for _ in TESTED]
    scores, _ = judged("extraction", said)
    assert "first_sentences" in scores["rouge_l"]["baselines"]


def test_translations_have_bleu_chrf_and_their_signatures() -> None:
    scores, details = judged("translation", written(*(f"天气不好{n}。" for n in range(8))))
    assert {name: scores[name]["value"] for name in scores} == pytest.approx({"bleu": 1, "chrf": 1, "exact_match": 1})
    assert set(scores["bleu"]["baselines"]) == {"nearest_source", "dictionary"}
    assert "tok:zh" in details["signatures"]["bleu"]
    assert "nc:6" in details["signatures"]["chrf"]


def test_texts_of_a_kind_are_judged_by_their_bits_and_their_copies() -> None:
    examples = [Example("", f"{n}", target="今天天气很好。明天下雨。") for n in range(4)]
    line = "今天天气很好0。明天下雨0。"
    scores, details = judged("generation", written("好好好好好好", line, line, "天", nats=6.0), examples)
    assert list(scores) == ["bits_per_character", "repetition", "memorised"]
    assert scores["bits_per_character"]["value"] == pytest.approx(6 / math.log(2) / 12)
    model = CharacterNgrams(5, [example.target or "" for example in TRAINED])
    grams = model.bits([example.target or "" for example in examples]).sum() / 48
    assert scores["bits_per_character"]["baselines"]["character_5gram"]["value"] == pytest.approx(grams)
    assert scores["repetition"]["value"] == pytest.approx(2 / (3 + 2 * 9))
    # "天气很好0。" stands in training: six characters, which is no copy yet.
    assert scores["memorised"]["value"] == 0
    assert details["alone"]["distinct_1"]["by_hand"] == pytest.approx(8 / 40)
    learned = [*TRAINED, Example("", "t", target=f"说{line}")]
    loaded: Any = SimpleNamespace(facts={"task": "generation"})
    some: Any = Simple(TRAINED, None, learned)  # type: ignore[arg-type]
    again, details = judge_texts(loaded, examples, written(line, "天", "气", "好" + line), 1, some)
    assert again.metrics["memorised"]["value"] == pytest.approx(2 * len(line) / (2 * len(line) + 3))
    assert [copy["text"] for copy in details["copies"]] == [line, line]


def test_answers_are_judged_by_rouge_and_exactness_and_a_task_of_ones_own_too() -> None:
    for task, kind in (("instructions", "instructions"), ("my_module:Mine", "written")):
        scores, details = judged(task, written(*(f"天气不好{n}。" for n in range(8))))
        assert (list(scores), details["kind"]) == (["rouge_l", "exact_match"], kind)
        assert scores["exact_match"]["value"] == 1


def test_without_training_text_nothing_is_said_of_simple_methods_or_copies() -> None:
    scores, details = judged("summarization", written(*"abcdefgh"), simple=False)
    assert scores["rouge_l"]["baselines"] == {}
    assert "copies" not in details
    assert "memorised" not in details["alone"]


def test_a_line_of_predictions_has_both_texts() -> None:
    line = line_of(TESTED[0], Written("天", 1, "length"))
    source, target = "后天天气不好0。我在北京。", "天气不好0。"
    assert line == {
        "id": "e0",
        "source": source,
        "target": target,
        "predicted": "天",
        "tokens": 1,
        "finish": "length",
    }
    line = line_of(TESTED[0], Extracted("我在北京。", source, ((0, 8), (8, 13)), np.array([0.25, 0.75]), (1,)))
    sentence = {"start": 8, "end": 13, "text": "我在北京。", "probability": 0.75}
    assert line == {"id": "e0", "source": source, "target": target, "predicted": "我在北京。", "sentences": [sentence]}


def test_the_best_and_the_worst_texts_are_shown_once() -> None:
    lines = [
        {"source": "x" * 400, "target": "天地玄黄", "predicted": said}
        for said in ("天地", "日月", "天地玄黄", "天", "月")
    ]
    best, worst, count = written_texts(lines, most=2)
    assert count == 5
    assert [text.written for text in best] == ["天地玄黄", "天地"]
    assert [text.written for text in worst] == ["日月", "月"]
    assert best[0].source == "x" * 280 + " …"
    few, none, _ = written_texts(lines[:2])
    assert [text.written for text in (*few, *none)] == ["天地", "日月"]
    first, none, _ = written_texts(lines, scored=False, most=1)
    assert ([text.written for text in first], none, first[0].score) == (["天地"], [], None)


def test_figures_of_written_texts_are_in_hundredths() -> None:
    bleu = Manner(True, "hundred")
    assert (bleu.text(0.2751), bleu.bound(0.031)) == ("27.5", "3.1")
    assert bleu.gap(lambda name, **places: f"{name} {places['value']}", 0.031) == "hundredths 3.1"
    model: Any = SimpleNamespace(details={"kind": "translation"})
    assert kind_of(model) == "translation"


def test_the_report_shows_written_texts_in_both_languages(tmp_path: Path) -> None:
    from .made_up_run import make_run
    from .test_report import Page, page_of

    run = make_run(tmp_path / "chinese-news")
    place = run / "evaluate" / "entities"
    examples = [Example("一篇<长>文。", "1", target="长文。"), Example("另一篇。", "2", target="另。")]
    said = written("长文。", "<b>不对")
    scores, details = judged("summarization", said, examples)
    details["signatures"] = {"bleu": "tok:zh"}
    details["copies"] = [{"example": 0, "text": "今天天气很好啊"}]
    (place / "scores.json").write_text(json.dumps(scores))
    (place / "details.json").write_text(json.dumps(details))
    lines = (json.dumps(line_of(example, each)) for example, each in zip(examples, said, strict=True))
    (place / "predictions.jsonl").write_text("\n".join(lines))
    for language, shown in (
        ("en", ["What it writes, good and bad", "the short form of a text: ROUGE-L", "the first sentence"]),
        ("zh", ["它写的文字：好的和差的", "写出文本的摘要", "第一句", "TextRank"]),
    ):
        text = Page(page_of(run, language)).text
        for words in (*shown, "一篇<长>文。", "<b>不对", "tok:zh", "今天天气很好啊", "100.0"):
            assert words in text, words


def test_a_text_of_which_the_window_held_the_beginning_has_no_bits() -> None:
    examples = [Example("天气", f"{n}", target="今天天气很好。明天下雨。" * (1 + 9 * n)) for n in range(2)]
    said = [*written("好", nats=6.0), *written("好", nats=7.0, cut=True)]
    scores, _ = judged("generation", said, examples)
    assert scores["bits_per_character"]["value"] == pytest.approx(6 / math.log(2) / 12)
    assert scores["bits_per_character"]["examples"] == 1
    assert "bits_per_character" not in judged("generation", said[1:], examples[1:])[0]
    lines = [line_of_text(example, replace(each, targets=3)) for example, each in zip(examples, said, strict=True)]
    assert [line.get("bits") for line in lines] == [round(6 / math.log(2), 4), None]
    assert "bits" not in line_of_text(examples[0], said[0])  # Nothing by hand, nothing paid.


def test_verse_is_judged_by_whether_its_form_is_kept() -> None:
    poem = "白日依山尽，黄河入海流。\n欲穷千里目，更上一层楼。"
    examples = [Example("五言绝句：登楼", f"{n}", target=poem) for n in range(4)]
    other = "春眠不觉晓，处处闻啼鸟。\n夜来风雨声，花落知多少？"
    said = written(other, other.replace("，", "\n"), other[:-3], other.replace("春", "春春"))
    scores, _ = judged("generation", said, examples)
    assert scores["form_kept"]["value"] == 0.5
    prose = [Example("天气", f"{n}", target="今天天气很好。明天下雨，后天也下雨。") for n in range(4)]
    assert "form_kept" not in judged("generation", said, prose)[0]


def test_the_first_figure_is_told_again_of_the_texts_that_are_unlike_those_of_training() -> None:
    near = [Example(TRAINED[n].text + "今"[: n % 2], f"n{n}", target="好") for n in range(4)]
    far = [
        Example("长江后浪推前浪，一代新人换旧人" + "甲乙丙丁戊己庚辛壬癸"[n], f"f{n}", target="坏") for n in range(10)
    ]
    short = [Example("长江" + "甲乙"[n], f"s{n}", target="坏") for n in range(2)]
    scores, _ = judged("translation", written(*"坏坏坏坏", *"坏好坏坏坏坏坏坏坏坏", *"坏坏"), [*near, *far, *short])
    assert scores["bleu_new"]["examples"] == 10
    counts = texts.bleu_counts(["坏"] * 10, [*"坏好坏坏坏坏坏坏坏坏"], "zh")
    assert scores["bleu_new"]["value"] == pytest.approx(float(texts.bleu(counts.sum(0))))
    assert set(scores["bleu_new"]["baselines"]) == {"nearest_source", "dictionary"}
    assert "bleu_new" not in judged("translation", written(*"坏" * 10), far)[0]
