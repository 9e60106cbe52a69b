"""Examples of a corpus: nothing that was trained on is judged, and what does not serve is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.corpus.document import Corpus, Document, Span
from myna.errors import InputError
from myna.ledger import Ledger
from myna.tasks.classification import Classification
from myna.tasks.examples import Example, Splits, choose, counts, fingerprint_of, read_examples, read_splits
from myna.tasks.tagging import Tagging

from .material import corpus_folder, document, spans


def read(folder: Path, documents: list[Document], task: type = Classification) -> tuple[Splits, Ledger]:
    ledger = Ledger()
    splits = read_splits(Corpus.open(corpus_folder(folder / "corpus", documents)), task, ledger)
    return splits, ledger


def labelled(labels: dict[str, str]) -> list[Document]:
    """Documents from lines as ``{"train 1": "good"}``."""
    return [document(f"text of {key}", key.split()[0], n, label=label) for n, (key, label) in enumerate(labels.items())]


GOOD = {
    "train 1": "good",
    "train 2": "bad",
    "train 3": "good",
    "train 4": "bad",
    "validation 1": "bad",
    "test 1": "bad",
}


def test_labels_are_sorted_and_every_example_is_in_its_split(tmp_path: Path) -> None:
    splits, ledger = read(tmp_path, labelled(GOOD))
    assert splits.names == ("bad", "good")
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [4, 1, 1]
    assert splits.test[0] == Example("text of test 1", "test-5", "data.jsonl", "text of test 1", "bad")
    assert ledger.to_dict()["in"] == {"examples": 6, "labels": 6}


def test_a_text_that_was_trained_on_is_not_judged(tmp_path: Path) -> None:
    documents = labelled(GOOD)
    documents += [
        document("TEXT of: train 1!", "test", 7, label="good"),
        document("Text of test 1", "test", 8, label="bad"),
        document("text", "train", 9),
    ]
    splits, ledger = read(tmp_path, documents)
    assert [example.text for example in splits.test] == ["text of test 1"]
    dropped = ledger.to_dict()["dropped"]
    assert dropped["test: the text is in an earlier split"] == {"examples": 1, "labels": 1}
    assert dropped["test: the text is a repeat"] == {"examples": 1, "labels": 1}
    assert dropped["without a label"] == {"examples": 1}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"train 5": "fair"}, r"data.jsonl, train-6: the label 'fair' occurs once in training"),
        ({"test 2": "fair"}, r"data.jsonl, test-6: the label 'fair' is in the test split, and training never saw it"),
        ({"validation 2": "fair"}, r"validation-6: the label 'fair' is in the validation split"),
    ],
)
def test_a_label_that_does_not_serve_is_named(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, labelled({**GOOD, **changes}))


def test_a_corpus_without_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no text for training in this corpus has what this task learns.*label_column"
    ):
        read(tmp_path, [document("text")])
    with pytest.raises(InputError, match="there is no labelled text to validate with"):
        read(tmp_path / "2", labelled({key: label for key, label in GOOD.items() if "train" in key}))


def test_a_single_label_is_an_error() -> None:
    with pytest.raises(InputError, match="every example has the label 'good'"):
        Classification.labels_of(["good", "good"])


def test_one_of_several_labels_is_not_guessed() -> None:
    assert Classification.examples(document("x", labels=("good",)))[0].label == "good"
    with pytest.raises(InputError, match=r"data.jsonl, train-0: this has 2 labels"):
        Classification.examples(document("x", labels=("good", "cheap")))


def test_a_document_is_tagged_by_sentences() -> None:
    text = "江泽民在北京。老王！\n 在上海说"
    marked = spans(text, {"江泽民": "PER", "北京": "LOC", "老王": "PER", "上海": "LOC"})
    examples = Tagging.examples(document(text, spans=marked))
    assert [(e.text, [e.text[s.start : s.end] for s in e.spans or ()]) for e in examples] == [
        ("江泽民在北京。", ["江泽民", "北京"]),
        ("老王！", ["老王"]),
        ("在上海说", ["上海"]),
    ]
    assert [e.id for e in examples] == ["train-0.0", "train-0.1", "train-0.2"]
    assert Tagging.examples(document(text)) == []
    assert Tagging.labels_of(["PER", "LOC"]) == ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


@given(st.text(st.sampled_from("ab 好，。！\n；"), max_size=300), st.data())
def test_no_span_is_lost_between_sentences(text: str, data: st.DataObject) -> None:
    places = [n for n, character in enumerate(text) if not character.isspace()]
    starts = sorted(data.draw(st.sets(st.sampled_from(places)))) if places else []
    marked = tuple(Span(a, b + 1, "X") for a, b in zip(starts[::2], starts[1::2], strict=False))
    examples = Tagging.examples(document(text, spans=marked))
    found = [example.text[span.start : span.end] for example in examples for span in example.spans or ()]
    assert found == [text[span.start : span.end] for span in marked]


def test_a_file_of_labelled_texts(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text('text,label\n"很好, 很好",good\n不好,bad\n')
    assert [(e.text, e.label) for e in read_examples(table, Classification)] == [
        ("很好, 很好", "good"),
        ("不好", "bad"),
    ]
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"tokens": ["老", "王", "says"], "tags": ["B-PER", "I-PER", "O"]}\n{"characters": ["在"], "tags": ["O"]}\n'
    )
    first, second = read_examples(rows, Tagging)
    assert (first.text[:2], first.spans) == ("老王", (Span(0, 2, "PER"),))
    assert (second.text, second.spans) == ("在", ())


@pytest.mark.parametrize(
    "lines, message",
    [
        (
            ['{"text": "a", "label": "x"}', '{"text": " ", "label": "x"}'],
            r"rows.jsonl:2: the text of this row is empty",
        ),
        (['{"text": "a", "label": "x"}', '{"text": "b"}'], r"rows.jsonl:2: this row has no label"),
        (['{"tokens": ["a"], "tags": ["O"]}'], r"rows.jsonl:1: this row has no label for the model's task"),
    ],
)
def test_a_row_that_cannot_be_judged_is_named(tmp_path: Path, lines: list[str], message: str) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match=message):
        read_examples(tmp_path / "rows.jsonl", Classification)


@pytest.mark.parametrize(
    "id, place",
    [
        ("0:data/a.csv:7", "a.csv:7"),
        ("1:a.txt:12.3", "a.csv:12"),
        ("line 7", "a.csv:7"),
        ("line 7.2", "a.csv:7"),
        ("text 3 of 9", "a.csv, text 3 of 9"),
        ("train-7", "a.csv, train-7"),
    ],
)
def test_an_example_knows_its_file_and_its_line(id: str, place: str) -> None:
    assert Example("text", id, "a.csv").place == place
    assert Example("text", "text 3 of 9").place == "text 3 of 9"


def test_the_examples_of_a_folder_are_named_by_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.csv").write_text("text,label\na,x\n")
    (folder / "inner/b.csv").write_text("text,label\na,x\nb,\n")
    with pytest.raises(InputError, match=f"^{folder}/inner/b.csv:3: this row has no label"):
        read_examples(folder, Classification)
    (folder / "inner/b.csv").write_text("text,label\n")
    (example,) = read_examples(folder, Classification)
    assert example.place == f"{folder}/a.csv:2"
    (folder / "a.csv").write_text("text,label\n")
    with pytest.raises(InputError, match=f"^{folder}: there is no example here; give a row for each$"):
        read_examples(folder, Classification)


examples = st.lists(st.sampled_from(["good", "bad", "fair"]), min_size=3, max_size=40).map(
    lambda labels: [Example(f"text {n}", f"{n}", label=label) for n, label in enumerate(labels)]
)


@given(examples, st.integers(1, 40), st.integers(0, 5))
def test_fewer_examples_are_some_of_more_and_have_their_labels(given_: list[Example], count: int, seed: int) -> None:
    fewer, more = choose(given_, count, seed), choose(given_, count + 1, seed)
    assert len(fewer) == min(count, len(given_))
    assert {e.id for e in fewer} <= {e.id for e in more}
    names = {e.label for e in given_}
    if count >= len(names):
        assert {e.label for e in fewer} == names
    for name in names:
        share = sum(e.label == name for e in given_) / len(given_)
        assert abs(sum(e.label == name for e in fewer) - share * len(fewer)) <= len(names)


def test_which_examples_are_chosen_depends_on_text_and_seed_alone() -> None:
    line = [Example(f"text {n}", f"{n}", label="good") for n in range(50)]
    chosen = {e.text for e in choose(line, 10, 1)}
    assert chosen == {e.text for e in choose(line[::-1], 10, 1)}
    assert chosen != {e.text for e in choose(line, 10, 2)}


def test_the_fingerprint_tells_labels_apart() -> None:
    assert fingerprint_of([Example("a", "1", label="x")]) != fingerprint_of([Example("a", "1", label="y")])
    assert fingerprint_of([Example("a", "1", label="x")]) == fingerprint_of([Example("a", "2", label="x")])
    assert counts([Example("a", "1", spans=(Span(0, 1, "X"),)), Example("b", "2")]) == {"examples": 2, "labels": 1}
