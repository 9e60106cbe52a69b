"""The whole stage: sources in, a corpus and a ledger that balances out."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from myna import files
from myna.corpus.dedup import fold
from myna.corpus.document import SPLITS, Corpus, Document
from myna.corpus.prepare import CorpusConfig, prepare
from myna.errors import InputError
from myna.ledger import Ledger


def make(folder: Path, *sources: dict[str, object], **settings: object) -> tuple[Corpus, Ledger]:
    folder.mkdir()
    ledger = prepare(CorpusConfig(sources=list(sources), **settings), folder)
    return Corpus.open(folder), ledger


def everything(corpus: Corpus) -> list[Document]:
    return [document for split in SPLITS for document in corpus.documents(split)]


def lines(folder: Path, *texts: str, name: str = "a.txt") -> dict[str, object]:
    (folder / name).write_text("\n".join(texts), encoding="utf-8")
    return {"path": str(folder / name), "format": "lines"}


def jsonl(folder: Path, *rows: dict[str, object], name: str = "a.jsonl") -> dict[str, object]:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"path": str(folder / name)}


def test_what_came_in_is_kept_or_dropped_with_a_reason(tmp_path: Path) -> None:
    source = lines(tmp_path, "很好  ！", "很好", "！！！", "", " 不好\u200b", "cafe\u0301", "第四个", "很好。")
    corpus, ledger = make(tmp_path / "c", source)
    assert {d.text for d in everything(corpus)} == {"很好 ！", "不好", "caf\u00e9", "第四个"}
    assert ledger.to_dict() == {
        "in": {"documents": 8, "characters": 5 + 2 + 3 + 0 + 4 + 5 + 3 + 3, "labels": 0},
        "kept": {"documents": 4, "characters": 4 + 2 + 4 + 3, "labels": 0},
        "dropped": {
            "Unicode normalisation": {"characters": 1},
            "copy": {"documents": 2, "characters": 5, "labels": 0},
            "empty": {"documents": 1, "characters": 0, "labels": 0},
            "invisible characters": {"characters": 1},
            "no letter and no digit": {"documents": 1, "characters": 3, "labels": 0},
            "white space": {"characters": 2},
        },
        "added": {},
        "notes": ledger.notes,
    }
    assert corpus.ledger.to_dict() == ledger.to_dict()


LINE = st.text("中国a! \u200b\u3000e\u0301ﬁ\x00\x0b\u2028&;", max_size=6) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=12
)


@settings(max_examples=50)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"text": LINE}, optional={"label": st.sampled_from("xy"), "group": st.sampled_from("gh")}
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["NFC", "NFKC", "none"]),
    st.booleans(),
)
def test_the_ledger_balances_for_any_text(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], form: str, deduplicate: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    source = jsonl(folder, *rows, {"text": "one"}, {"text": "two"}, {"text": "three"})
    corpus, ledger = make(folder / "c", source, normalize=form, deduplicate=deduplicate, unescape=True)
    ledger.check()
    plain = ledger.to_dict()
    assert plain["in"]["characters"] == sum(len(str(row["text"])) for row in rows) + 11
    assert plain["in"]["documents"] == len(rows) + 3
    kept = everything(corpus)
    assert plain["kept"]["documents"] == len(kept) == sum(corpus.count(split) for split in SPLITS)
    assert plain["kept"]["characters"] == sum(len(document.text) for document in kept)
    for document in kept:
        assert document.words is not None
        assert "".join(document.words.strings(document.text)) == "".join(document.text.split())
    if deduplicate:
        assert len({fold(document.text) for document in kept}) == len(kept)


def test_no_group_and_no_text_is_on_two_sides(tmp_path: Path) -> None:
    rows = [{"text": f"text {n % 150}", "group": f"thread {n % 40}"} for n in range(400)]
    corpus, _ = make(tmp_path / "c", jsonl(tmp_path, *rows), validation=20, test=20)
    assert all(corpus.count(split) for split in SPLITS)
    for what in (lambda d: d.group, lambda d: fold(d.text)):
        sides = [{what(document) for document in corpus.documents(split)} for split in SPLITS]
        assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]


def test_words_of_the_source_are_kept_and_others_are_cut(tmp_path: Path) -> None:
    rows = jsonl(tmp_path, {"tokens": ["研究生", "命"], "tags": ["O", "O"]}, {"text": "研究生命起源"}, {"text": "x y"})
    found = {}
    for how in ("segment", "given", "none"):
        corpus, _ = make(tmp_path / how, rows, words=how)
        found[how] = {d.text: d.words and d.words.strings(d.text) for d in everything(corpus)}
        assert corpus.has_spans
    assert found["segment"] == {
        "研究生命": ["研究生", "命"],
        "研究生命起源": ["研究", "生命", "起源"],
        "x y": ["x", "y"],
    }
    assert found["given"] == {"研究生命": ["研究生", "命"], "研究生命起源": ["研究生命起源"], "x y": ["x", "y"]}
    assert set(found["none"].values()) == {None}


def test_spans_stand_on_their_words_after_cleaning(tmp_path: Path) -> None:
    tokens = ["Mr", "\u200b", "Cafe\u0301", "in", "Paris\u00a0"]
    row = {"tokens": tokens, "tags": ["B-PER", "I-PER", "I-PER", "O", "B-LOC"]}
    corpus, ledger = make(tmp_path / "c", jsonl(tmp_path, row), validation=0, test=0)
    [document] = corpus.documents("train")
    assert [(document.text[s.start : s.end], s.label) for s in document.spans or ()] == [
        ("Mr Caf\u00e9", "PER"),
        ("Paris", "LOC"),
    ]
    ledger.check()


def test_a_span_that_vanishes_is_counted(tmp_path: Path) -> None:
    row = {"tokens": ["\u200b", "x"], "tags": ["B-PER", "B-LOC"], "label": "l"}
    _, ledger = make(tmp_path / "c", jsonl(tmp_path, row), validation=0, test=0)
    plain = ledger.to_dict()
    assert (plain["in"]["labels"], plain["kept"]["labels"]) == (3, 2)
    assert plain["dropped"]["span of nothing but removed characters"] == {"labels": 1}


def test_half_a_surrogate_pair_in_a_text_is_taken_out(tmp_path: Path) -> None:
    corpus, _ = make(tmp_path / "c", jsonl(tmp_path, {"text": "a\ud800b"}), validation=0, test=0)
    assert [d.text for d in everything(corpus)] == ["ab"]


def test_a_split_of_its_own_source(tmp_path: Path) -> None:
    train = lines(tmp_path, *(f"line {n}" for n in range(50)), "shared", name="train.txt")
    test = {**lines(tmp_path, "shared", "unseen", name="test.txt"), "split": "test"}
    corpus, ledger = make(tmp_path / "c", train, test)
    assert [d.text for d in corpus.documents("test")] == ["shared", "unseen"]
    assert ledger.to_dict()["dropped"]["copy"]["documents"] == 1


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    source = lines(tmp_path, *(f"第{n}个文本 and more" for n in range(300)))
    for name in ("one", "two"):
        make(tmp_path / name, source, shard_characters=1000)
    assert files.manifest(tmp_path / "one") == files.manifest(tmp_path / "two")


def test_reports_rise_to_the_end(tmp_path: Path) -> None:
    said: list[tuple[str, float]] = []
    source = lines(tmp_path, *("word " * 40 + str(n) for n in range(8_000)))
    (tmp_path / "c").mkdir()
    prepare(CorpusConfig(sources=[source]), tmp_path / "c", lambda what, share: said.append((what, share)))
    shares = [share for _, share in said]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert sum(what == "reading a.txt" for what, _ in said) > 1


@pytest.mark.parametrize(
    ("texts", "settings", "message"),
    [
        (("", " ", "！"), {}, r"nothing is left of the corpus: 3 documents came in, all were dropped \(empty: 2"),
        (("a", "b", "c"), {"minimum_characters": 5}, r"too short: 3.*look at the sources, minimum_characters"),
        (
            ("one", "ONE"),
            {},
            r"too few documents for train, validation, test \(different texts or groups: 1\)",
        ),
    ],
)
def test_a_corpus_that_cannot_be(
    tmp_path: Path, texts: tuple[str, ...], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make(tmp_path / "c", lines(tmp_path, *texts), **settings)


def test_an_error_in_a_source_comes_through_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text"\n')
    with pytest.raises(InputError, match=r"bad\.jsonl:2: this is no JSON"):
        make(tmp_path / "c", {"path": str(tmp_path / "bad.jsonl")})


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError, match="90 per cent at most"):
        CorpusConfig(sources=[{"path": "a"}], validation=50, test=50)
    with pytest.raises(ValidationError, match="at least 1 item"):
        CorpusConfig(sources=[])


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["spool.parquet", "train-00000.parquet", "test-00000.parquet"])
def test_a_full_disk_is_one_error_and_no_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    source = lines(tmp_path, *("word " * 40 + str(n) for n in range(3000)))
    real = files.open_new
    monkeypatch.setattr(files, "open_new", lambda path: real(Path("/dev/full") if path.name == name else path))
    with pytest.raises(OSError, match="No space left on device"):
        make(tmp_path / "c", source)
    gc.collect()
