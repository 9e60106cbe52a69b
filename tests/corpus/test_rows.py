"""Rows of JSONL, CSV and TSV: texts, labels, tags, and errors that name file and line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.corpus.document import RawDocument, Span
from myna.corpus.readers import SourceConfig, read
from myna.errors import InputError


def rows(folder: Path, name: str, content: str, **settings: object) -> list[RawDocument]:
    path = folder / name
    path.write_bytes(content.encode())
    return list(read(SourceConfig(path=str(path), **settings)))


def row(folder: Path, **values: object) -> RawDocument:
    [document] = rows(folder, "a.jsonl", json.dumps(values, ensure_ascii=False))
    return document


def test_jsonl_rows_with_labels_and_groups(tmp_path: Path) -> None:
    content = (
        '{"text": "a", "label": "x", "group": 7}\n\n{"text": "b", "label": 1}\n{"text": "c", "labels": ["p", "q"]}\n'
    )
    first, second, third = rows(tmp_path, "a.jsonl", content)
    assert (first.text, first.label, first.group, first.line) == ("a", "x", "7", 1)
    assert (second.label, second.line) == ("1", 3)
    assert (third.label, third.labels) == (None, ("p", "q"))


def test_columns_are_named(tmp_path: Path) -> None:
    content = "review\tstars\tshop\ngood\tfive\ts1\n"
    [document] = rows(tmp_path, "a.tsv", content, text_column="review", label_column="stars", group_column="shop")
    assert (document.text, document.label, document.group) == ("good", "five", "s1")


def test_quoted_fields_hold_line_ends_and_lines_are_counted_right(tmp_path: Path) -> None:
    content = 'text,label\r\n"one\r\ntwo, ""three""",x\r\n\r\n"four\n\n\nfive",y\r\nsix,z\r\n'
    found = rows(tmp_path, "a.csv", content)
    assert [(d.line, d.text, d.label) for d in found] == [
        (2, 'one\r\ntwo, "three"', "x"),
        (5, "four\n\n\nfive", "y"),
        (9, "six", "z"),
    ]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=1))
def test_any_text_comes_through_csv(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with open(path, "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([["text"], *([text] for text in texts)])
    assert [document.text for document in read(SourceConfig(path=str(path), encoding="utf-8"))] == texts


def test_several_labels_in_a_table_stand_between_bars(tmp_path: Path) -> None:
    [first, second] = rows(tmp_path, "a.csv", "text,labels\na,x| y |x\nb,\n")
    assert (first.labels, second.labels) == (("x", "y"), ())


@pytest.mark.parametrize("key", ["tokens", "characters", "words"])
def test_tokens_with_tags_become_a_text_with_words_and_spans(tmp_path: Path, key: str) -> None:
    document = row(
        tmp_path, **{key: ["我", "爱", "New", "York", "City", "。"]}, tags=["O", "O", "B-LOC", "I-LOC", "I-LOC", "O"]
    )
    assert document.text == "我爱New York City。"
    assert document.spans == (Span(2, 15, "LOC"),)
    assert document.words is not None
    assert document.words.strings(document.text) == ["我", "爱", "New", "York", "City", "。"]


def test_bioes_and_neighbours(tmp_path: Path) -> None:
    document = row(tmp_path, tokens=list("甲乙丙丁戊己"), tags=["S-A", "B-A", "I-A", "E-A", "B-B", "B-B"])
    assert document.spans == (Span(0, 1, "A"), Span(1, 4, "A"), Span(4, 5, "B"), Span(5, 6, "B"))


def test_spans_beside_a_text_as_predictions_have_them(tmp_path: Path) -> None:
    spans = [{"start": 4, "end": 6, "label": "LOC", "text": "北京"}, {"start": 0, "end": 3, "label": "PER"}]
    assert row(tmp_path, text="李小明在北京", spans=spans).spans == (Span(0, 3, "PER"), Span(4, 6, "LOC"))


OVERLAP = '{"text": "ab", "spans": [{"start": 0, "end": 2, "label": "X"}, {"start": 1, "end": 2, "label": "Y"}]}'
TAGGED = '{"tokens": ["a", "b"], "tags": %s}'


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": \n', {}, r"a\.jsonl:2: this is no JSON: .*mend the line"),
        ("a.jsonl", '{"text": "a"}\n["a"]\n', {}, r'a\.jsonl:2: this is \["a"\], not an object'),
        ("a.jsonl", '{"txt": "a"}\n', {}, r'a\.jsonl:1: there is no column "text" \(there are: txt\)'),
        ("a.jsonl", "{}\n", {}, r'there is no column "text" \(there are: none\)'),
        ("a.jsonl", '{"text": null}\n', {}, r'a\.jsonl:1: "text" is null, not a text'),
        ("a.jsonl", '{"text": "a", "label": 1.5}\n', {}, r'"label" is 1\.5, not a name'),
        ("a.jsonl", '{"text": "a", "label": ["x"]}\n', {}, r'"label" is \["x"\], not a name'),
        ("a.jsonl", '{"text": "a", "labels": "x", "labels": 3}\n', {}, '"labels" is 3, not a list of names'),
        ("a.jsonl", '{"text": "a"}\n', {"label_column": "y"}, r'no column "y".*set label_column to one of them'),
        ("a.jsonl", "[" * 100_000 + "\n", {}, "a.jsonl:1: this is no JSON: it is nested too deeply; mend"),
        ("a.jsonl", '{"text": ' + "9" * 5000 + "}\n", {}, "a.jsonl:1: this is no JSON: it holds too long a number"),
        ("a.jsonl", "\n", {}, r"a\.jsonl: there is no text in this file; take it out"),
        ("a.csv", "text,label\n", {}, r"a\.csv: there is no text in this file; take it out"),
        ("a.jsonl", TAGGED % '["O"]', {}, r'a\.jsonl:1: there are 2 "tokens" and 1 "tags"'),
        ("a.jsonl", TAGGED % '["O", "PER"]', {}, 'the tag "PER" is not known; tags are O, B-NAME'),
        ("a.jsonl", TAGGED % '["O", "I-PER"]', {}, r'"I-PER" \(token 2\) goes on with nothing; begin with "B-PER"'),
        ("a.jsonl", TAGGED % '["B-ORG", "I-PER"]', {}, r'"I-PER" \(token 2\) goes on with nothing'),
        ("a.jsonl", '{"tokens": ["a", "b", "c"], "tags": ["B-A", "E-A", "I-A"]}', {}, r"token 3. goes on with nothing"),
        ("a.jsonl", '{"text": "a", "label": "\\ud800"}', {}, r'"label" is "\?", not a name'),
        ("a.jsonl", '{"text": "a", "labels": ["\\ud800"]}', {}, "not a list of names"),
        ("a.jsonl", TAGGED % '["O", "B-\\ud800"]', {}, "is not known"),
        ("a.jsonl", TAGGED % '["O", 3]', {}, '"tags" is not a list of strings'),
        ("a.jsonl", '{"tokens": ["a", ""], "tags": ["O", "O"]}', {}, '"tokens" is not a list of strings'),
        ("a.jsonl", '{"text": "ab", "spans": [{"start": 1, "end": 3, "label": "X"}]}', {}, "is no span of this text"),
        ("a.jsonl", OVERLAP, {}, "two spans overlap"),
        ("a.csv", "text,label\na,x\nb\n", {}, r"a\.csv:3: the header has 2 fields, this row 1"),
        ("a.csv", 'text,label\n"a\nb",x,y\n', {}, r"a\.csv:2: the header has 2 fields, this row 3"),
        ("a.csv", 'text,label\na,x\n"b,y\nc,z\n', {}, r"a\.csv:3: this row is broken"),
        ("a.csv", "text,text\na,x\n", {}, r'a\.csv:1: two columns are named "text"'),
        ("a.csv", "review,label\na,x\n", {}, r'a\.csv:2: there is no column "text" \(there are: review, label\)'),
        ("a.csv", "text,label\na,\n", {"label_column": "label"}, r'a\.csv:2: "label" is "", not a name'),
    ],
)  # fmt: skip
def test_bad_rows_are_named(tmp_path: Path, name: str, content: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows(tmp_path, name, content, **settings)
