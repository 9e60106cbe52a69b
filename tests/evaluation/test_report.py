"""The report: one page that asks nothing of the network, says what the figures say, and shows any text as text."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from myna import files
from myna.errors import InputError
from myna.evaluation.report import write_report

from .made_up_run import make_run, recipe

VOID = {"meta", "link", "br", "img", "hr"}


class Page(HTMLParser):
    """Checks that every element is closed in its turn; collects attributes, anchors and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "chinese-news")


def page_of(run: Path, language: str = "en", title: str | None = None) -> str:
    write_report(recipe(language, title), run, run / "report.html", run / "scores.json")
    return (run / "report.html").read_text("utf-8")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_whole_small_and_asks_nothing_of_the_network(run: Path, language: str) -> None:
    html = page_of(run, language)
    page = Page(html)
    assert len(html.encode()) < 1_000_000
    assert not re.search(r"<script|@import|url\(", html)
    for _, name, value in page.attributes:
        if name in ("src", "href", "srcset", "data", "action", "poster"):
            assert value.startswith(("#", "data:"))
    anchors = {value for _, name, value in page.attributes if name == "id"}
    links = {value for tag, name, value in page.attributes if tag == "a" and name == "href"}
    assert links
    assert {link.removeprefix("#") for link in links} <= anchors
    assert ("html", "lang", {"en": "en", "zh": "zh-Hans"}[language]) in page.attributes


def test_the_first_screen_says_what_was_made_and_where_a_simple_method_wins(run: Path) -> None:
    text = Page(page_of(run)).text
    first = text[: text.index("Try the models")]
    assert "made 4 models in 5 min" in first
    assert "sentiment worse 81.2 % Accuracy 84.3 % TF-IDF + logistic regression" in first
    assert "encoder better 61.4 Perplexity" in first
    assert "decoder no sure difference 6.11" in first
    assert "A simple method does better, by 3.1 points (95 %: 1.3 to 4.8): TF-IDF + logistic regression, 84.3 %" in text


def test_the_parts_of_the_report_are_there(run: Path) -> None:
    text = Page(page_of(run)).text
    for part in (
        "690",  # the confusion matrix
        "改革开放",  # a sample
        "公路",  # a guess for a hidden word
        "… 220 more characters",  # a long mistake is cut, and says so
        "李铁映 PER missed",
        "长江大桥 LOC wrong",
        "dropped: copy",
        "投资",  # a key word
        "103",  # the matrix rate
        "tokens = 3000000",  # the recipe
    ):
        assert part in text, part
    assert text.count("pretrain.encoder") >= 2


def test_the_commands_can_be_pasted_where_the_run_was_started(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent.parent)
    text = Page(page_of(run)).text
    place = run.relative_to(run.parent.parent)
    assert f"myna generate {place}/pretrain/decoder/model --prompt '今天上午，'" in text
    assert f"myna predict {place}/finetune/sentiment/model --text '房间很干净" in text
    monkeypatch.chdir("/")
    assert f"myna show {str(run)[1:]}" in Page(page_of(run)).text


def test_chinese_words_come_with_the_setting(run: Path) -> None:
    text = Page(page_of(run, "zh")).text
    assert "最好的简单方法" in text
    assert "Best simple method" not in text


def test_scores_are_gathered_by_the_name_of_the_stage(run: Path) -> None:
    page_of(run)
    scores = json.loads((run / "scores.json").read_text())
    assert list(scores) == ["encoder", "decoder", "sentiment", "entities"]
    assert scores["sentiment"]["accuracy"]["baselines"]["majority"]["value"] == 0.522
    assert set(scores["decoder"]["bits_per_character"]) == {"value", "low", "high", "examples", "baselines"}


def test_the_same_run_gives_the_same_page(run: Path) -> None:
    assert page_of(run) == page_of(run)


def test_text_that_looks_like_html_is_shown_as_text(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    evil = "<script>alert(1)</script><img src=https://example.com/x>"
    line = {"text": evil * 2, "label": evil, "predicted": "b", "scores": {"b": 0.9}}
    files.write_text(run / "evaluate/sentiment/predictions.jsonl", json.dumps(line) + "\n")
    html = page_of(run, title=evil)
    assert "<script" not in html
    assert "<img" not in html
    assert evil in Page(html).text


def test_a_run_with_little_in_it_has_a_report_too(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    text = Page(page_of(tmp_path / "run")).text
    assert "Nothing has been evaluated yet." in text
    assert json.loads((tmp_path / "run" / "scores.json").read_text()) == {}


def test_what_is_left_of_a_stage_that_the_recipe_names_no_more_is_passed_over(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    page_of(run)
    before = (run / "report.html").read_text(), (run / "scores.json").read_text()
    for old, new in (("finetune/sentiment", "finetune/old"), ("evaluate/sentiment", "evaluate/old")):
        shutil.copytree(run / old, run / new)
    shutil.copytree(run / "tokens/news-zh", run / "tokens/news-old")
    page_of(run)
    assert ((run / "report.html").read_text(), (run / "scores.json").read_text()) == before


def test_a_damaged_file_of_the_run_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    files.write_text(run / "evaluate/entities/predictions.jsonl", '{"text": "a"\n')
    with pytest.raises(InputError, match=r"predictions\.jsonl:1"):
        page_of(run)
    files.write_bytes(run / "finetune/entities/model/model.safetensors", b"\x08\0\0\0\0\0\0\0nothing!")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        page_of(run)


def test_reading_the_settings_imports_nothing_heavy() -> None:
    heavy = ["torch", "sklearn", "scipy", "jinja2", "pyarrow", "matplotlib", "numpy"]
    code = f"import sys, myna.evaluation.report; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_how_far_a_model_can_be_relied_on_is_told_in_both_languages(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run/evaluate/sentiment/details.json"
    details = files.read_object(path)
    said = {"ece": 0.068, "brier": 0.123, "nll": 0.4}
    bins = [{"probability": p, "right": p - 0.1, "answers": 100} for p in (0.6, 0.8, 0.95)]
    estimate = {"value": 0.89, "low": 0.87, "high": 0.9}
    details["calibration"] = {
        "temperature": 1.39,
        "before": {**said, "bins": bins},
        "after": {**said, "ece": 0.031, "bins": bins},
    }
    details["abstaining"] = [
        {"asked": 0.9, "threshold": 0.783, "coverage": estimate, "precision": estimate, "answers": 1350},
        {"asked": 0.99, "threshold": None},
    ]
    part = {"by": "length", "part": "2–26", "metric": "accuracy", "examples": 429, **estimate}
    details["slices"] = [part, {**part, "by": "source", "part": "<b>.txt"}]
    details["differences"]["accuracy"]["tfidf_logistic_regression"]["p"] = 0.0004
    files.write_json(path, details)
    text = Page(page_of(tmp_path / "run")).text
    for part_of in (
        "Calibration error (ECE) 3.1 %, Brier's score 0.123. Before the temperature of 1.39",
        "90 % 0.783 89.0 % 87.0 – 90.0 % 89.0 % 87.0 – 90.0 %",
        "99 % not reached on the validation split",
        "characters 2–26 429 89.0 % 87.0 – 90.0 %",
        "source <b>.txt",
        "a gap as large would come in less than 0.1 % of draws (permutation test)",
    ):
        assert part_of in text, part_of
    chinese = Page(page_of(tmp_path / "run", "zh")).text
    assert "校准误差（ECE）" in chinese
    assert "不到 0.1" in chinese


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            "12 of 1,668 test texts (0.7 %): half or more of each was read in pre-training. Without them: Accuracy",
        ),
        ("zh", "1,668 条测试文本中有 12 条（0.7 %）一半以上的内容出现在模型预训练读过的文本里。去掉它们：准确率"),
    ],
)
def test_test_texts_that_were_read_before_are_told_with_the_score_without(
    tmp_path: Path, language: str, said: str
) -> None:
    run = make_run(tmp_path / "run")
    place = run / "evaluate/sentiment/details.json"
    figures = {"examples": 1668, "contaminated": 12, "share": 12 / 1668, "too_short": 0, "corpus_characters": 9}
    without = {"accuracy": {"value": 0.809, "low": 0.79, "high": 0.83}}
    files.write_json(place, {**files.read_json(place), "contamination": {**figures, "without": without}})
    assert f"{said} 80.9 %" in Page(page_of(run, language)).text
    files.write_json(place, {**files.read_json(place), "contamination": {**figures, "contaminated": 0, "without": {}}})
    clean = Page(page_of(run, language)).text
    assert said[:20] not in clean
    assert "(9 characters)" in clean or "9 个字符" in clean
