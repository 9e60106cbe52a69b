"""Made-up tests find what is broken on purpose, and nothing in a model that reads as it should."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.errors import InputError
from myna.evaluation.challenge import Check, challenge, checks, poles_of, run
from myna.evaluation.challenge_report import describe
from myna.evaluation.noise import Noise, noises, noisy, robustness
from myna.evaluation.scoring import Scores
from myna.inference.loaded import load
from myna.tasks.classification import Classified
from myna.tasks.examples import Example
from myna.tasks.tagging import Tagged

from ..tasks.material import NAMES, spans, tokenizer_folder
from .test_judging import TAGS, untrained

LABELS = ("negative", "positive")
PRAISE = ("好", "棒", "出色", "满意", "喜欢", "推荐", "good", "great", "excellent", "wonderful", "love", "recommended")
BLAME = ("差", "糟", "烂", "失望", "不要买", "bad", "terrible", "awful", "disappointing", "hate", "never again")


def says(positive: float) -> Classified:
    return Classified(LABELS[positive > 0.5], LABELS, np.array([1 - positive, positive]))


def reads_well(text: str) -> float:
    """Counts praise and blame; knows what a denial and a change of mind are."""
    text = re.split("现在|没想到|but now", text.lower())[-1]
    score = sum(text.count(word) for word in PRAISE) - sum(text.count(word) for word in BLAME if word != "不要买")
    score -= text.count("不要买")
    if re.search(r"不(?!要买|错)|not |don't", text) and not re.search("千万", text):
        score = -score
    return 0.5 + 0.1 * max(-4, min(4, score)) + (0.01 if score == 0 else 0)


def predictor(read: Callable[[str], float]) -> Callable[[Sequence[Example]], list[Classified]]:
    return lambda examples: [says(read(example.text)) for example in examples]


def reviews(count: int = 60) -> list[Example]:
    texts = [
        "小王说房间很好，住了1234天。服务也棒！下次还来北京。",
        "太差了，电池用了45小时就没电。很失望。不会再来上海。",
        "The food was good, and James liked it. We paid 350 dollars. London is great!",
        "A terrible place. Mary waited 90 minutes in Boston. Never again",
    ]
    return [Example(f"{texts[n % 4]}", str(n), label=LABELS[n % 2 == 0]) for n in range(count)]


def found(read: Callable[[str], float]) -> dict[tuple[str, str], dict[str, Any]]:
    rows = run(list(checks(LABELS, reviews(), seed=1)), predictor(read))
    return {(row["language"], row["check"]): row for row in rows}


def test_a_model_that_reads_as_it_should_passes_every_check() -> None:
    rows = found(reads_well)
    assert {key: row["failures"] for key, row in rows.items() if row["failures"]} == {}
    assert {row["expectation"] for row in rows.values()} == {"invariance", "direction", "minimum"}
    assert len(rows) == 2 * 14
    assert all(row["cases"] and row["rate"]["high"] > 0 for row in rows.values())


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (
            lambda text: 1 - reads_well(text) if text.rstrip().endswith(("。", "!")) else reads_well(text),
            "another mark at",
        ),
        (lambda text: 0.0 if re.search("小王|James|Mary|上海", text) else 1.0, "names swapped"),
        (lambda text: 1.0 if re.search("1234|45|350|90", text) else 0.0, "numbers changed"),
        (lambda text: float(text.startswith(("小王", "太", "The food", "A "))), "first sentence last"),
        (lambda text: 0.9 - 0.5 * ("推荐" in text or "love" in text), "praise added"),
        (lambda text: 0.1 + 0.5 * ("失望" in text or "hate" in text), "blame added"),
        (lambda text: 0.9 - 0.3 * bool(re.search("非常|特别|really|extremely", text)), "stronger praise"),
        (lambda text: 0.1 + 0.3 * bool(re.search("非常|特别|really|extremely", text)), "stronger blame"),
        (lambda text: reads_well(re.sub("不(?!要)|not | at all", "", text)), "praise denied"),
        (lambda text: reads_well(re.sub("现在.*|没想到.*|, but now.*", "", text)), "from bad to good"),
    ],
)
def test_what_is_broken_is_found_in_both_languages(broken: Callable[[str], float], expected: str) -> None:
    rows = found(broken)
    for language in ("zh", "en"):
        row = next(row for key, row in rows.items() if key[0] == language and key[1].startswith(expected))
        assert row["failures"] > 0, (language, expected)
        assert row["rate"]["value"] == row["failures"] / row["cases"]
        assert 1 <= len(row["examples"]) <= 5
        shown = row["examples"][0]
        assert shown.keys() in ({"before", "said_before", "text", "said"}, {"text", "said", "expected"})


def test_labels_of_good_and_bad_are_known_by_their_names() -> None:
    assert poles_of(("negative", "positive")) == ("positive", "negative")
    assert poles_of(("差评", "好评")) == ("好评", "差评")
    assert poles_of(("NEG", "Neutral", "POS")) == ("POS", "NEG")
    for labels in (("sport", "news"), ("positive", "other"), ("positive", "good", "bad"), ("positive",)):
        assert poles_of(labels) is None
    rows = {check.expectation for check in checks(("sport", "news"), reviews(), 1)}
    assert rows == {"invariance"}


def test_a_language_that_is_rare_in_the_data_is_not_checked() -> None:
    chinese = [example for example in reviews() if "房" in example.text or "电" in example.text]
    english = [example for example in reviews() if "food" in example.text]
    assert {check.language for check in checks(LABELS, chinese + english[:2], 1)} == {"zh"}


def test_marks_keep_their_places_in_every_case() -> None:
    texts = ["江泽民在北京。", "小李在上海，说100。", "老王和小李"]
    examples = [Example(text, str(n), spans=spans(text, NAMES)) for n, text in enumerate(texts)]
    made = [case for check in checks((), examples, 1) for case in check.cases]
    assert made
    assert all(case.before is not None and len(case.after.text) == len(case.before.text) for case in made)

    def finds(some: Sequence[Example]) -> list[Tagged]:
        return [Tagged(e.text, spans(e.text, NAMES), (), (), np.zeros((0, 0))) for e in some]

    rows = run([Check("names", "invariance", "zh", made)], finds)
    assert rows[0]["failures"] > 0  # The names that are put in are not all known.


@given(st.text(min_size=1, max_size=60), st.integers(0, 5))
def test_no_noise_empties_a_text_and_what_is_in_place_stays_there(text: str, seed: int) -> None:
    for noise in noises():
        changed = noise.change(text, random.Random(seed))
        assert bool(changed.strip()) == bool(text.strip()) or noise.name == "half_width"
        if noise.in_place is not None:
            assert len(noise.in_place(text, random.Random(seed))) == len(text)


def test_each_noise_does_what_it_is_called() -> None:
    known = {noise.name: noise for noise in noises()}
    of = lambda name, text: noisy(Example(text, "1"), known[name], 1).text  # noqa: E731
    assert of("lower_case", "ABC 好ß") == "abc 好ß"
    assert of("upper_case", "abc 好ß") == "ABC 好ß"
    assert of("full_width", "a1! 好") == "ａ１！ 好"
    assert of("half_width", "ａ１，　好。") == "a1, 好。"
    assert sorted(of("typos", "wonderful")) in (
        sorted("wonderful"),
        *(sorted("wonderful".replace(c, "", 1)) for c in "onderfu"),
    )
    assert of("typos", "wonderful") != "wonderful"
    assert of("typos", "房间很干净") != "房间很干净"
    assert of("typos", "a 1") == "a 1"
    pair = noisy(Example("AB", "1", pair="CD"), known["lower_case"], 1)
    assert (pair.text, pair.pair) == ("ab", "cd")
    assert noisy(Example("AB", "1"), known["typos"], 1) == noisy(Example("AB", "1"), known["typos"], 1)


def test_a_score_under_noise_is_that_of_the_changed_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [Example("GOOD" if n % 2 else "bad", str(n), label=LABELS[n % 2]) for n in range(100)]
    asked: list[str] = []

    def predict(some: Sequence[Example]) -> list[Classified]:
        asked.extend(example.text for example in some)
        return [says(0.9 if "GOOD" in example.text else 0.1) for example in some]

    def judge(some: Sequence[Example], said: Sequence[Any]) -> Scores:
        scores = Scores(1)
        scores.add_labels([e.label or "" for e in some], [each.label for each in said], {}, list(LABELS))
        return scores

    lower = Noise("lower_case", lambda text, draw: text.lower())
    monkeypatch.setattr("myna.evaluation.noise.noises", lambda: [lower, Noise("none", lambda text, draw: text)])
    said = predict(examples)
    asked.clear()
    (row,) = robustness(examples, said, predict, judge, seed=1)
    assert asked == ["good"] * 50
    assert (row["noise"], row["changed"], row["value"]) == ("lower_case", 50, 0.5)
    assert row["difference"]["value"] == -0.5
    assert row["difference"]["p"] < 0.001


def test_a_whole_challenge_of_a_model(tmp_path: Path) -> None:
    tokenizer_folder(tmp_path / "tokenizer")
    loaded = load(untrained(tmp_path / "model", "sequence", "classification", LABELS))
    whole = challenge(loaded, reviews(40), seed=1)
    assert list(whole) == ["scores", "robustness", "checks"]
    assert whole["scores"]["accuracy"]["examples"] == 40
    assert {"typos", "upper_case", "full_width"} <= {row["noise"] for row in whole["robustness"]}
    assert challenge(loaded, reviews(40), seed=1) == whole
    text = describe(whole, "data.jsonl")
    assert "Under noise: accuracy on 40 texts" in text
    assert "praise denied" in text
    tagger = load(untrained(tmp_path / "tagger", "token", "tagging", TAGS))
    named = [Example(t, str(n), spans=spans(t, NAMES)) for n, t in enumerate(["江泽民在北京a。", "小李在上海B。"] * 10)]
    rows = challenge(tagger, named, seed=1)
    assert {row["metric"] for row in rows["robustness"]} == {"entity_f1"}


def test_answers_that_cannot_be_challenged_are_told(tmp_path: Path) -> None:
    mine = "tests.evaluation.test_judging:Opaque"
    loaded = load(untrained(tmp_path / "model", "sequence", mine, LABELS))
    with pytest.raises(InputError, match="cannot be challenged"):
        challenge(loaded, reviews(4))
