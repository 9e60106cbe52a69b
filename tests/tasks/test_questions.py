"""Answers found in texts: targets and windows, the best stretch against all of them, figures, transformers."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.composing import compose
from myna.corpus.document import Span
from myna.corpus.guessing import columns_for
from myna.corpus.readers import read
from myna.corpus.sources import SourceConfig
from myna.errors import InputError
from myna.evaluation import baselines
from myna.evaluation.judging import judge_file
from myna.evaluation.metrics import answer_match
from myna.huggingface.families import with_head
from myna.huggingface.folder import write_model_folder
from myna.inference.loaded import load
from myna.inference.predict import predictions
from myna.model.heads import build
from myna.tasks.examples import Example
from myna.tasks.questions import Questions, best_stretch
from myna.tokens.tokenizer import Tokenizer
from myna.training.batches import make_batches

from .material import micro_config, tokenizer_folder
from .test_answers import config
from .test_tasks import make, random_examples


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.open(tokenizer_folder(tmp_path_factory.mktemp("tokenizer")))


def test_a_window_is_the_question_and_a_stretch_of_the_text_with_a_segment_for_each(tokenizer: Tokenizer) -> None:
    task = Questions(tokenizer, ("start", "end"), 24)
    example = Example("老王在北京", "x", pair="在哪", spans=(Span(3, 5, "answer"),))
    (item,) = task.items([example])
    pieces = [tokenizer.piece(id) for id in item.ids]
    assert pieces == ["[CLS]", "在", "[UNK]", "[SEP]", "老", "王", "在", "北", "京", "[SEP]"]
    assert item.segments is not None
    assert item.rows is not None
    assert item.segments.tolist() == [0] * 4 + [1] * 6
    assert item.rows.tolist() == [0, 4, 5, 6, 7, 8]
    assert np.argwhere(item.targets).tolist() == [[4, 0], [5, 1]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_the_answer_is_a_target_in_the_windows_that_hold_it_and_nothing_is_in_the_others(
    tokenizer: Tokenizer, seed: int
) -> None:
    task = Questions(tokenizer, ("start", "end"), 24)
    (example,) = random_examples("questions", 1, seed)
    items = task.items([example])
    seen = set()
    for item in items:
        assert item.targets.sum(0).tolist() == [1, 1]
        (first, last), text = item.targets.argmax(0), example.text
        seen |= set(range(int(item.starts[0]), int(item.ends[-1])))  # type: ignore[attr-defined]
        if first:
            found = text[item.starts[first - 1] : item.ends[last - 1]]  # type: ignore[attr-defined]
            assert example.spans
            assert found.strip() == text[example.spans[0].start : example.spans[0].end].strip()
    assert {n for n, c in enumerate(example.text) if not c.isspace()} <= seen
    # An answer of three characters is in a window whole, and most of the time in two.
    assert any(item.targets[1:].any() for item in items) == bool(example.spans)


def test_the_loss_is_the_mean_of_both_cross_entropies(tokenizer: Tokenizer) -> None:
    task, model = make("questions", tokenizer)
    model.double()
    items = task.items(random_examples("questions", 6))
    (batch,) = make_batches(task, items, range(len(items)), 10**9, None)
    order = np.argsort(items.lengths, kind="stable")
    parts = torch.split(task.outputs(model, batch), [len(items[int(n)].targets) for n in order])
    total = 0.0
    for number, logits in zip(order, parts, strict=True):
        right = torch.from_numpy(items[int(number)].targets).argmax(0)
        nats = torch.nn.functional.cross_entropy(logits.T, right, reduction="mean")
        total += nats.item() / items[int(number)].windows
    assert task.loss(model, batch).total(batch.counts).item() == pytest.approx(total / 6, rel=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12))
def test_the_best_stretch_is_the_best_of_all(seed: int, length: int, longest: int) -> None:
    starts, ends = np.random.default_rng(seed).normal(size=(2, length))
    every = [(starts[a] + ends[b], a, b) for a, b in itertools.product(range(length), repeat=2) if 0 <= b - a < longest]
    assert best_stretch(starts, ends, longest) == max(every)


def test_there_is_no_answer_where_every_window_says_so_and_training_had_such(tokenizer: Tokenizer) -> None:
    task = Questions(tokenizer, ("start", "end"), 24)
    example = Example("老王在北京很好" * 5, "x", pair="在", spans=(Span(3, 5, "answer"),))
    items = task.items([example])
    assert len(items) > 2
    nothing = [torch.cat([torch.full((1, 2), 5.0), torch.zeros(len(item.targets) - 1, 2)]) for item in items]
    somewhere = [logits.clone() for logits in nothing]
    somewhere[1][3, 0] = somewhere[1][4, 1] = 9.0
    assert task.decode(items, nothing)[0].words != ""
    task.adjust(config("questions"), [example, Example("老", "y", pair="王", spans=())], None)  # type: ignore[arg-type]
    assert task.decode(items, nothing)[0].answer()["answer"] == ""
    (found,) = task.decode(items, somewhere)
    expected = example.text[items[1].starts[2] : items[1].ends[3]]  # type: ignore[attr-defined]
    assert (found.words, found.answer()["probability"] > 0.9) == (expected, True)


def test_figures_by_hand() -> None:
    """Those of SQuAD's own script for these pairs, which knows no Han characters; and as many for Chinese."""
    said = ["the Eiffel tower!", "in Paris, France", "", "北京大学", "no"]
    right = [["Eiffel Tower"], ["Paris", "Paris, France"], [""], ["北京的大学"], [""]]
    found = answer_match(right, said)
    assert found[:, 0].tolist() == [1, 0, 1, 0, 0]
    np.testing.assert_allclose(found[:, 1], [1, 4 / 5, 1, 8 / 9, 0])


def test_the_likest_sentence() -> None:
    texts = ["a bird sings", "a fish swims", "a bird flies"]
    asked = [(["the fish sings loudly", "a fish", "a bird"], "which fish"), ([], "nothing")]
    assert baselines.likest_sentence(texts, asked, str.split) == ["a fish", ""]


def rows(tmp_path: Path, *values: object, **what: object) -> list[object]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))
    source = SourceConfig(path=str(path), text_column="context", pair_column="question", answer_column="answer")
    return list(read(source))


def test_rows_of_questions(tmp_path: Path) -> None:
    base = {"context": "老王在北京，小李在北京", "question": "在哪"}
    squad = {"text": ["北京", "在北京"], "answer_start": [9, 8]}
    found = rows(
        tmp_path,
        {**base, "answer": "北京"},
        {**base, "answer": "北京", "answer_start": 9},
        {**base, "answer": ""},
        {**base, "answer": squad},
        {**base, "answer": None},
        {**base, "context": "老王在上海", "answer": "上海", "answer_start": ""},
    )
    assert [row.spans and [span[:2] for span in row.spans] for row in found] == [  # type: ignore[attr-defined]
        [(3, 5)],
        [(9, 11)],
        (),
        [(9, 11), (8, 11)],
        None,
        [(3, 5)],
    ]
    groups = [row.group for row in found]  # type: ignore[attr-defined]
    assert len(set(groups[:5])) == 1
    assert groups[5] != groups[0]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"answer": "上海"}, 'rows.jsonl:2: the answer "上海" does not occur in the text; copy it from there'),
        (
            {"answer": "北京", "answer_start": 2},
            'rows.jsonl:2: at character 2 stands "在北", not the answer "北京"; mend',
        ),
        ({"answer": "北京", "answer_start": -4}, "rows.jsonl:2: the start of the answer is -4, not a number; count"),
        ({"answer": ["北京", 3]}, 'rows.jsonl:2: "answer" is no text; give the words of the text that answer'),
        ({"answer": {"text": ["北京"], "answer_start": []}}, 'rows.jsonl:2: "answer" has 1 answers and 0 starts; give'),
    ],
)
def test_an_answer_that_does_not_stand_there_is_told_by_its_line(
    tmp_path: Path, change: dict[str, object], error: str
) -> None:
    base = {"context": "老王在北京", "question": "在哪", "answer": "北京"}
    with pytest.raises(InputError) as raised:
        rows(tmp_path, base, {**base, **change})
    assert str(raised.value).startswith(f"{tmp_path}/{error}")


def test_where_an_answer_begins_is_read_by_every_way_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of a training, and one that a model is judged on; what is in other columns is no mistake."""
    monkeypatch.chdir(tmp_path)
    rest = {"question": "在哪", "answer": "北京", "answer_start": 9, "label": 3.5}
    lines = [json.dumps({"context": f"老王在北京，小李在北京{n}", **rest}, ensure_ascii=False) for n in range(20)]
    Path("rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    composed = compose("questions", "bert-micro", Path("rows.jsonl")).recipe.corpus["examples"].sources[0]
    judged, _ = columns_for(SourceConfig(path="rows.jsonl"), ("text", "pair", "answer"))
    for source in (composed, judged):
        first = next(iter(read(source)))
        assert [span[:2] for span in first.spans or ()] == [(9, 11)]
        assert first.pair == "在哪"


def test_transformers_has_the_same_logits_and_answers(tmp_path: Path, tokenizer: Tokenizer) -> None:
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    described = with_head(micro_config(tokenizer, initializer_range=0.5), "masked", "span")
    folder = tmp_path / "reader"
    write_model_folder(folder, build(described, "span", seed=3), tokenizer.folder, {})
    theirs, tokens = AutoModelForQuestionAnswering.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    loaded = load(folder)
    assert loaded.reads == "questions"
    for example in random_examples("questions", 6, longest=12):
        (said,) = predictions(loaded.model, loaded.task, loaded.task.items([example]))
        inputs = tokens(example.pair, example.text, return_tensors="pt", return_offsets_mapping=True)
        offsets, parts = inputs.pop("offset_mapping")[0], inputs.sequence_ids(0)
        with torch.no_grad():
            found = theirs(**inputs)
        inside = [n for n, part in enumerate(parts) if part == 1]
        kept = [0, *inside]
        starts, ends = (part[0, kept].double().softmax(0)[1:] for part in (found.start_logits, found.end_logits))
        every = [(float(starts[a] * ends[b]), a, b) for a in range(len(inside)) for b in range(a, len(inside))]
        probability, first, last = max(every)
        assert said.probabilities[0] == pytest.approx(probability, rel=1e-4)  # type: ignore[attr-defined]
        start, end = int(offsets[inside[first]][0]), int(offsets[inside[last]][1])
        assert (said.start, said.end) == (start, end)  # type: ignore[attr-defined]


def test_a_reader_is_trained_judged_and_asked(tmp_path: Path) -> None:
    from tests.test_finetuning_tasks import run

    model, scores, lines, details = run(tmp_path, "questions", epochs=12)
    assert scores["answer_exact"]["value"] > 0.9
    assert scores["answer_f1"]["value"] >= scores["answer_exact"]["value"]
    assert set(scores["answer_f1"]["baselines"]) == {"likest_sentence"}
    assert details["kind"] == "questions"
    assert any(line["answers"] == [""] for line in lines)
    loaded = load(model)
    assert loaded.predict([("很好，小李7。", "小")])[0]["answer"] == "小李"
    with pytest.raises(InputError, match="this model answers questions about a text; give the question beside"):
        loaded.predict("很好，小李7。")
    data = tmp_path / "more.jsonl"
    data.write_text(
        "".join(
            json.dumps({"context": f"不好，小李{n}。", "question": "小", "answers": "小李"}) + "\n" for n in range(9)
        )
    )
    assert judge_file(model, data)["answer_exact"]["value"] == 1.0
