"""CoNLL, Parquet and folders of ``datasets``; numbers, pairs; which columns are taken; splits by label."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from myna.corpus.document import Corpus, RawDocument, Span, Split
from myna.corpus.guessing import guess_columns, kind_of_tags, sample_of
from myna.corpus.prepare import CorpusConfig, prepare
from myna.corpus.readers import SourceConfig, read
from myna.corpus.selection import Candidate, choose
from myna.errors import InputError
from myna.ledger import Ledger


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def read_all(path: Path, ledger: Ledger | None = None, **settings: object) -> list[RawDocument]:
    return list(read(SourceConfig(path=str(path), **settings), ledger))  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------------------- CoNLL


def test_sentences_of_conll_stand_between_blank_lines(tmp_path: Path) -> None:
    content = "-DOCSTART- -X- O O\n\nEU NNP B-ORG\nrejects VBZ O\n\nNew NNP B-LOC\nYork NNP E-LOC\n"
    first, second = read_all(write(tmp_path, "a.conll", content))
    assert (first.text, first.line, first.spans) == ("EU rejects", 3, (Span(0, 2, "ORG"),))
    assert second.words is not None
    assert second.words.tags == ["B-LOC", "I-LOC"]
    (plain, _) = read_all(tmp_path / "a.conll", tags="plain", tags_column="2")
    assert plain.words is not None
    assert (plain.words.tags, plain.spans) == (["NNP", "VBZ"], None)


def test_conllu_is_known_by_its_ten_columns(tmp_path: Path) -> None:
    rows = [
        "# newdoc",
        "# text = vámonos",
        "1-2\tvámonos" + "\t_" * 8,
        "1\tvamos\tir\tVERB" + "\t_" * 6,
        "2\tnos\tyo\tPRON" + "\t_" * 6,
    ]
    (sentence,) = read_all(write(tmp_path, "a.conllu", "\n".join(rows)), tags="plain")
    assert sentence.words is not None
    assert (sentence.text, sentence.words.tags) == ("vamos nos", ["VERB", "PRON"])


@pytest.mark.parametrize("between", [" ", "\t"])
def test_a_word_of_conll_may_be_the_sign_of_comments(tmp_path: Path, between: str) -> None:
    rows = ["# id 5 domain=en", "no _ _ O", "# _ _ O", "5 _ _ O", "", "# id 6 domain=en", "#1 _ _ O"]
    content = "\n".join(row if "id" in row else row.replace(" ", between) for row in rows)
    assert [document.text for document in read_all(write(tmp_path, "a.conll", content))] == ["no # 5", "#1"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("王 B-PER\n说\n", "a.conll:2: this line has 1 column, no word with its tag"),
        ("王 O\n说 I-PER\n", r'a.conll:2: the tag "I-PER" \(token 2\) goes on with nothing; begin with "B-PER"'),
    ],
)
def test_a_broken_line_of_conll_is_named(tmp_path: Path, content: str, error: str) -> None:
    with pytest.raises(InputError, match=error):
        read_all(write(tmp_path, "a.conll", content))


# -------------------------------------------------------------------------------------------- Parquet and datasets


FEATURES = {
    "text": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
}


def table(features: dict[str, object] | None = None) -> pa.Table:
    made = pa.table({"text": ["好", "不好"], "label": [1, 0]})
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()} if features else None
    return made.replace_schema_metadata(metadata)


def write_arrow(path: Path, rows: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)


def test_parquet_is_read_by_its_columns(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    assert [(d.text, d.label, d.line) for d in read_all(tmp_path / "a.parquet")] == [("好", "1", 1), ("不好", "0", 2)]
    pq.write_table(table(FEATURES), tmp_path / "a.parquet")
    assert [d.label for d in read_all(tmp_path / "a.parquet")] == ["pos", "neg"]
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match=r"a\.parquet: this file is damaged or of another format"):
        read_all(tmp_path / "a.parquet")


def test_a_folder_that_datasets_saved_has_its_splits_and_the_names_of_its_classes(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    for split in ("train", "test"):
        write_arrow(folder / split / "data-00000-of-00001.arrow", table(FEATURES))
        write(folder / split, "state.json", "{}")
    write_arrow(folder / "train" / "cache-1234.arrow", table())
    write(folder, "dataset_dict.json", '{"splits": ["train", "test"]}')
    found = read_all(folder)
    assert [(d.split, d.label) for d in found] == [(s, n) for s in ("test", "train") for n in ("pos", "neg")]
    # A part that is named itself is not of its split alone: validation can be taken out of it.
    assert [d.split for d in read_all(folder / "train")] == [None, None]


def test_tags_as_classes_get_their_names_too(tmp_path: Path) -> None:
    rows = pa.table({"tokens": [["王", "说"]], "ner_tags": [[1, 0]]})
    features = {"ner_tags": {"feature": {"names": ["O", "B-PER"], "_type": "ClassLabel"}, "_type": "Sequence"}}
    rows = rows.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    write_arrow(tmp_path / "a.arrow", rows)
    (document,) = read_all(tmp_path / "a.arrow", tags_column="ner_tags")
    assert document.spans == (Span(0, 1, "PER"),)


# ------------------------------------------------------------------------------------------------- numbers and pairs


def test_numbers_are_read_and_full_width_ones_are_noted(tmp_path: Path) -> None:
    ledger = Ledger()
    path = write(tmp_path, "a.csv", "text,score\na,3.5\nb,－４．２５\nc, 1e3 \n")
    assert [d.value for d in read_all(path, ledger, value_column="score")] == [3.5, -4.25, 1000.0]
    assert ledger.notes == {"numbers in full-width digits read as plain ones": 1}


@pytest.mark.parametrize("value", ["nan", "inf", "three", "1_000", ""])
def test_what_is_no_number_is_an_error_with_its_line(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, "a.csv", f"text,score\na,1\nb,{value}\n")
    with pytest.raises(InputError, match=r'a\.csv:3: "score" is .*, not a number; give every row a number'):
        read_all(path, value_column="score")


def test_a_byte_order_mark_is_passed_over_and_noted(tmp_path: Path) -> None:
    ledger = Ledger()
    (document,) = read_all(write(tmp_path, "a.csv", "\ufefftext,label\na,x\n"), ledger)
    assert document.text == "a"
    assert ledger.notes == {"byte-order marks passed over": 1}


def test_pairs_and_numbers_come_through_a_corpus_and_its_books_balance(tmp_path: Path) -> None:
    rows = [{"text": f"a\u200b {n}", "pair": f"b  {n}", "value": n} for n in range(30)]
    rows.append({"text": "a 1", "pair": "b 1", "value": 1})  # a copy
    rows.append({"text": "a 1", "pair": "c", "value": 5})  # another pair
    path = write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    config = CorpusConfig(sources=[SourceConfig(path=str(path))], words="none")
    (tmp_path / "corpus").mkdir()
    ledger = prepare(config, tmp_path / "corpus")
    assert ledger.to_dict()["dropped"]["copy"]["documents"] == 1
    corpus = Corpus.open(tmp_path / "corpus")
    found = [d for split in ("train", "validation", "test") for d in corpus.documents(split)]  # type: ignore[arg-type]
    assert {(d.text, d.pair, d.value) for d in found} == {
        *((f"a {n}", f"b {n}", float(n)) for n in range(30)),
        ("a 1", "c", 5.0),
    }
    assert corpus.has_labels


# ------------------------------------------------------------------------------------------------- which columns


def test_columns_are_guessed_and_told(tmp_path: Path) -> None:
    lines = ["评论,星,店", *(f"很长的评论很长的评论{n},{n % 2},店{n}" for n in range(8))]
    source = SourceConfig(path=str(write(tmp_path, "a.csv", "\n".join(lines))))
    sample, where = sample_of(source)
    found, said = guess_columns(source, ("text", "label"), sample, where)
    assert (found.text_column, found.label_column) == ("评论", "星")
    assert said == {"text": "评论", "label": "星"}
    named, said = guess_columns(source.model_copy(update={"text_column": "店"}), ("text",), sample, where)
    assert named.text_column == "店"
    with pytest.raises(InputError, match=r"there is no column for the value \(there are: 评论, 星, 店\); name it"):
        guess_columns(source, ("text", "value"), sample, where)
    with pytest.raises(InputError, match=r"there is no column for the pair \(there are: text, label\)"):
        guess_columns(source, ("text", "pair", "label"), [{"text": "a", "label": "b"}], where)


def test_tags_are_of_spans_where_they_look_so() -> None:
    assert kind_of_tags(["O", "B-PER", "I-PER"]) == "spans"
    assert kind_of_tags(["O", "O"]) == "plain"
    assert kind_of_tags(["n", "v", "B-x"]) == "plain"


# ------------------------------------------------------------------------------------------------------- by label


def candidates(labels: str) -> list[Candidate]:
    return [
        Candidate.of(f"0:a.csv:{n}", f"text {n}", RawDocument(f"text {n}", "a.csv", n, label=label), 1)
        for n, label in enumerate(labels)
    ]


def test_each_label_gives_its_share_whatever_the_order_of_the_rows() -> None:
    given = candidates("a" * 60 + "b" * 30 + "c" * 2)
    chosen = choose(given, Ledger(), 10, 10, stratify=True)

    def count(split: Split, label: str) -> int:
        return sum(s == split and c.label == (label, None, None) for s, c in zip(chosen, given, strict=True))

    assert [count("test", label) for label in "abc"] == [6, 3, 0]
    assert [count("validation", label) for label in "abc"] == [6, 3, 0]
    backwards = choose(given[::-1], Ledger(), 10, 10, stratify=True)
    assert backwards[::-1] == chosen


def test_sets_of_labels_that_hardly_come_again_give_their_share_together() -> None:
    sets = [names for size in (2, 3, 4) for names in combinations("abcdefgh", size)]
    rare = [("a", "rare"), ("b", "rare")]
    given = [
        Candidate.of(f"0:a.csv:{n}", f"text {n}", RawDocument(f"text {n}", "a.csv", n, labels=labels), 1)
        for n, labels in enumerate([*sets, *rare])
    ]
    chosen = choose(given, Ledger(), 10, 10, stratify=True)
    assert (chosen.count("test"), chosen.count("validation")) == (15, 15)  # of 154
    assert chosen[-2:] == ["train", "train"]
