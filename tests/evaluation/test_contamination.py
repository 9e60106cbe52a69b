"""Test text that stands in a corpus is found there, however it is set, and nothing else is."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from myna.corpus.document import Corpus
from myna.evaluation import contamination as module
from myna.evaluation.contamination import THRESHOLD, contamination, documents_of, in_words
from myna.evaluation.judging import evaluate_task, judge_file
from myna.finetuning import FinetuneConfig
from myna.huggingface.folder import write_model_folder
from myna.kinds import KINDS
from myna.model.heads import build
from myna.recipe import read_recipe
from myna.tokens.tokenizer import Tokenizer

from ..recipes import write_recipe
from ..tasks.material import corpus_folder, document, micro_config, tokenizer_folder

# Simplified characters, and their traditional forms where they have others.
SIMPLIFIED, TRADITIONAL = "书会说国来时对这为们过学问长东车马门见贝", "書會說國來時對這為們過學問長東車馬門見貝"
COMMON = "的一是不了在人有我他大中到上以要就出可也你生能而子那得于着下自之年发后作里"
ENGLISH = ["".join(random.Random(n).choices("aeioubcdfglmnprst", k=3 + n % 7)) for n in range(1_000)]


class Converter:
    """As OpenCC's, of a few characters."""

    def __init__(self, manner: str) -> None:
        assert manner == "t2s"

    def convert(self, text: str) -> str:
        return text.translate(str.maketrans(TRADITIONAL, SIMPLIFIED))


@pytest.fixture
def _opencc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "opencc", SimpleNamespace(OpenCC=Converter))
    module.simplifier.cache_clear()
    yield
    module.simplifier.cache_clear()


def chinese(draw: random.Random, length: int) -> str:
    return "".join(draw.choice(SIMPLIFIED + COMMON) + ("，" if draw.random() < 0.1 else "") for _ in range(length))


def english(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(ENGLISH) + ("," if draw.random() < 0.1 else "") for _ in range(words)) + "."


def altered(draw: random.Random, text: str) -> str:
    """Set anew: other lines, spaces, widths, punctuation and case, and traditional for simplified characters."""
    text = text.translate(str.maketrans(SIMPLIFIED, TRADITIONAL)) if not text.isascii() else text.upper()
    text = text.replace("，", "；").replace(",", " --")
    lines = [text[i : i + 17] for i in range(0, len(text), 17)] if not text.isascii() else text.split(" ")
    return draw.choice(["\n", "\n　　", "\r\n"]).join(lines)


@pytest.mark.usefixtures("_opencc")
def test_of_100_planted_items_all_but_one_are_found_with_their_documents() -> None:
    draw = random.Random(4)
    items = [
        chinese(draw, draw.randrange(20, 200)) if n % 2 else english(draw, draw.randrange(8, 60)) for n in range(300)
    ]
    planted = {n: items[n] if n % 4 < 2 else altered(draw, items[n]) for n in range(100)}
    documents = [
        (f"news.txt:{n}", "".join((chinese if n % 2 else english)(draw, 200) for _ in range(3))) for n in range(2_000)
    ]
    where = dict(zip(planted, draw.sample(range(2_000), 100), strict=True))
    for number, text in planted.items():
        name, other = documents[where[number]]
        documents[where[number]] = name, f"{other}\n{text}\n{other[:50]}"
    found = contamination(items, documents)
    verbatim, changed = [n for n in planted if n % 4 < 2], [n for n in planted if n % 4 >= 2]
    assert found.found[verbatim].sum() >= 50
    assert found.found[changed].sum() >= 48  # of 50, as of the others
    assert not found.found[100:].any()
    named = [found.documents[n] == f"news.txt:{where[n]}" for n in planted]
    assert sum(named) >= 99
    figures = found.to_dict()
    assert (figures["examples"], figures["contaminated"], figures["simplified"]) == (300, int(found.found.sum()), True)


def test_opencc_knows_the_simplified_form_of_each_character() -> None:
    module.simplifier.cache_clear()
    table = module.simplifier()
    assert table is not None
    assert "".join(chr(table[ord(character)]) for character in TRADITIONAL + COMMON) == SIMPLIFIED + COMMON


def test_the_share_is_that_of_the_runs_which_are_there() -> None:
    """By hand: of 41 runs of 12 among 52 characters the first half's 15."""
    draw = random.Random(5)
    item = "".join(draw.sample(COMMON + SIMPLIFIED, 52))
    found = contamination([item, "太短了"], [("a:1", f"前面{item[:26]}后面"), ("a:2", "别的")])
    assert found.shares[0] == pytest.approx(15 / 41)
    assert np.isnan(found.shares[1])
    assert found.documents == ("a:1", None)
    assert (found.found.tolist(), THRESHOLD) == ([False, False], 0.5)


def test_a_long_document_and_a_long_item_are_cut_without_losing_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 500)
    draw = random.Random(6)
    item, text = chinese(draw, 3_000), [chinese(draw, 700) for _ in range(2)]
    found = contamination([item], [("book:1", text[0] + item + text[1])])
    assert (found.shares[0], found.documents[0]) == (1.0, "book:1")
    assert found.read == len(text[0] + item + text[1])


def test_megabytes_are_searched_in_seconds() -> None:
    draw = random.Random(7)
    block = [chinese(draw, 1_000) for _ in range(50)]
    documents = [(f"a:{n}", block[n % 50] + str(n)) for n in range(4_000)]  # 12 MB in UTF-8
    began = time.process_time()
    found = contamination([chinese(draw, 100) for _ in range(1_000)] + block[:1], documents)
    assert found.found.sum() == 1
    assert time.process_time() - began < 6  # 100 MB in less than a minute, on a slow processor too


def test_a_corpus_is_read_by_its_training_split_and_other_text_as_it_is(tmp_path: Path) -> None:
    made = [document(f"文章{n}", ("train", "test")[n % 2], n) for n in range(4)]
    corpus = corpus_folder(tmp_path / "corpus", made)
    assert [text for _, text in documents_of(corpus)] == ["文章0", "文章2"]
    (tmp_path / "a.csv").write_text("text\n一\n二\n", encoding="utf-8")
    assert list(documents_of(tmp_path / "a.csv")) == [("a.csv:2", "一"), ("a.csv:3", "二")]
    assert [name for name, _ in documents_of(corpus, tmp_path / "a.csv")][-1] == "a.csv: a.csv:3"


def classifier(folder: Path) -> Path:
    tokenizer = Tokenizer.open(tokenizer_folder(folder.parent / "tokenizer"))
    model = build(micro_config(tokenizer), "sequence", ("bad", "good"), 1)
    write_model_folder(folder, model, tokenizer.folder, {"task": "classification"})
    return folder


def test_a_score_is_given_without_what_was_read_before(tmp_path: Path) -> None:
    """In the stage of a run, and for a file: the score of the other examples is the one of a file of these alone."""
    draw = random.Random(8)
    texts = [chinese(draw, 30) for _ in range(60)]
    splits = ["train"] * 30 + ["validation"] * 10 + ["test"] * 20
    rows = [document(t, s, n, label=("bad", "good")[n % 2]) for n, (t, s) in enumerate(zip(texts, splits, strict=True))]
    corpus = corpus_folder(tmp_path / "corpus", rows)
    read = corpus_folder(tmp_path / "news", [document("".join(texts[40:47]), "train", 0)])
    model = classifier(tmp_path / "model")
    (tmp_path / "evaluate").mkdir()
    config = FinetuneConfig(task="classification", corpus="c", start_from="encoder")
    evaluate_task(model, corpus, config, tmp_path / "evaluate", 1, pretrained_on=[read])
    lines = [json.loads(line) for line in (tmp_path / "evaluate/contamination.jsonl").read_text().splitlines()]
    test = list(Corpus.open(corpus).documents("test"))
    assert [line["id"] for line in lines] == [each.id for each in test]
    assert [line["share"] == 1.0 for line in lines] == [n < 7 for n in range(20)]
    details = json.loads((tmp_path / "evaluate/details.json").read_text())["contamination"]
    assert (details["contaminated"], details["examples"], details["items"]) == (7, 20, 7)

    def file(name: str, some: list) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps({"text": d.text, "label": d.label}) + "\n" for d in some))
        return path

    alone = judge_file(model, file("clean.jsonl", test[7:]), 1)
    scores = judge_file(model, file("all.jsonl", test), 1, corpus=read)
    assert details["without"]["accuracy"]["value"] == alone["accuracy"]["value"]
    assert scores["contamination"]["without"] == alone
    assert in_words(scores["contamination"])[0] == "7 of 20 examples (35.0 %) stand in the corpus"


def test_a_stage_reads_the_corpora_of_all_that_its_model_was_pretrained_on(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    kind = next(kind for kind in KINDS if kind.module == "myna.evaluation.judging")
    inputs = ("finetune.sentiment", "corpus.reviews", "corpus.news")
    assert kind.stages(read_recipe(path))["sentiment"].inputs == inputs
    scratch = read_recipe(path, ["finetune.sentiment.from_scratch=true"])
    assert kind.stages(scratch)["sentiment"].inputs == inputs[:2]
