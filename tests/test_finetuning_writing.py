"""``myna finetune`` for tasks that write: columns, what is refused, and a model from its training to its answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from myna import cli
from myna.composing import compose
from myna.corpus.document import Corpus, Message
from myna.corpus.prepare import CorpusConfig, prepare
from myna.corpus.readers import read
from myna.corpus.sources import SourceConfig
from myna.errors import InputError
from myna.inference.loaded import load
from myna.step_inspection import show_step
from myna.tasks.writing import Writing
from tests.tasks.material import encoder_folder
from tests.test_composing import jsonl, refused, write

__all__ = ["write"]

DIGITS = "一二三四五六七八九"
QUESTION = {"role": "user", "content": "好"}
ANSWER = {"role": "assistant", "content": "天"}


def pairs(count: int) -> list[dict[str, Any]]:
    """Numbers, and the same in other signs."""
    return [{"source": f"{n} {n + 1}", "target": f"好{n % 7}"} for n in range(count)]


def others(row: dict[str, Any], count: int = 60) -> list[dict[str, Any]]:
    """So many rows of the same columns, with different texts."""

    def other(value: Any, n: int) -> Any:
        if isinstance(value, list):
            return [{**message, "content": f"{message['content']}{n}"} for message in value]
        return f"{value}{n}"

    return [{name: other(value, n) for name, value in row.items()} for n in range(count)]


# ------------------------------------------------------------------------------------------------------ the columns


@pytest.mark.parametrize(
    ("task", "row", "columns", "said"),
    [
        ("summarization", {"text": "ab", "summary": "a"}, ("text", "summary", None), 'the target from "summary"'),
        ("translation", {"source": "a", "target": "b", "origin": "x"}, ("source", "target", None), ""),
        ("generation", {"title": "a", "text": "b"}, ("text", None, None), ""),
        ("generation", {"prompt": "a", "completion": "b"}, ("prompt", "completion", None), 'the text from "prompt"'),
        ("instructions", {"messages": [QUESTION, ANSWER]}, ("text", None, "messages"), ""),
    ],
)
def test_columns_are_taken_by_their_usual_names(write: Any, task: str, row: Any, columns: Any, said: str) -> None:
    composed = compose(task, "gpt-micro", write("a.jsonl", jsonl(*others(row))))
    (source,) = composed.recipe.corpus["examples"].sources
    assert (source.text_column, source.target_column, source.messages_column) == columns
    assert composed.recipe.tokenizer["pieces"].kind == "byte_bpe"
    assert said in composed.said[0]


def test_a_source_for_what_is_generated_is_named(write: Any) -> None:
    changes = ["text_column=title", "target_column=text"]
    rows = others({"title": "a", "text": "b"})
    composed = compose("generation", "bart-micro", write("a.jsonl", jsonl(*rows)), changes=changes)
    (source,) = composed.recipe.corpus["examples"].sources
    assert (source.text_column, source.target_column) == ("title", "text")


@pytest.mark.parametrize(
    ("task", "rows", "said"),
    [
        ("translation", [{"source": "a"}], "a.jsonl: there is no column for the target (there are: source); name it"),
        ("translation", [{"source": "a", "target": "b"}, {"source": "c"}], 'a.jsonl:2: there is no column "target"'),
        ("summarization", [{"text": "a", "summary": None}], 'a.jsonl:1: "summary" is null, not a text; give every row'),
        ("translation", [{"source": " ", "target": "b"}], "a.jsonl:1: the text of this row is empty; take the row out"),
        ("translation", [{"source": "a", "target": "\u200b"}], "a.jsonl:1: the target of this row is empty; take"),
        ("instructions", [{"messages": []}], "a.jsonl:1: there are no messages here, which are a list; write it as"),
        ("instructions", [{"messages": [ANSWER]}], "a.jsonl:1: the first message is the assistant's; let the user (or"),
        ("instructions", [{"messages": [QUESTION]}], "a.jsonl:1: this row has no answer of the assistant; give every"),
        ("instructions", [{"messages": [QUESTION, {"role": "human", "content": "b"}]}], "a.jsonl:1: message 2 has the"),
        ("instructions", [{"messages": [QUESTION, {"role": "user"}]}], "a.jsonl:1: message 2 has no content that is"),
        ("instructions", [{"messages": [QUESTION, {"role": "system", "content": "b"}]}], "a.jsonl:1: message 2 is the"),
        ("instructions", [{"messages": [QUESTION, {**ANSWER, "content": "\ufeff"}]}], "a.jsonl:1: message 2 is empty;"),
        ("instructions", [{"messages": "[{]"}], "a.jsonl:1: the messages are a text that is no JSON; write it as"),
    ],
)
def test_what_cannot_be_learned_is_told_by_its_line(write: Any, task: str, rows: Any, said: str) -> None:
    assert refused(task, write("a.jsonl", jsonl(*rows)), model="gpt-micro").startswith(said)


def test_a_model_that_does_not_write_is_refused(write: Any, tmp_path: Path) -> None:
    rows = write("a.jsonl", jsonl(*pairs(9)))
    assert '"bert-micro" is an encoder, and this task writes; choose a gpt or a bart' in refused("translation", rows)
    model = encoder_folder(tmp_path / "encoder")
    said = refused("translation", rows, model=str(model))
    assert said.startswith('--model: the model in "encoder" is no model that writes, and this task does; start from')
    said = refused("translation", rows, model="gpt-micro", changes=("pooling=mean",))
    assert "pooling is not for task = translation" in said


# -------------------------------------------------------------------------------------------------------- the corpus


def test_targets_and_conversations_go_through_a_corpus_and_the_books_balance(tmp_path: Path) -> None:
    rows = [{**row, "target": f" {row['target']}\u200b "} for row in pairs(20)]
    turns = [[QUESTION, {**ANSWER, "content": f"天\r\n{n}"}] for n in range(20)]
    (tmp_path / "a.jsonl").write_text(jsonl(*rows, rows[0], {**rows[0], "target": "other"}))
    (tmp_path / "b.jsonl").write_text(jsonl(*({"messages": each} for each in turns)))
    (tmp_path / "c").mkdir()
    sources = [
        SourceConfig(path=str(tmp_path / "a.jsonl"), text_column="source", target_column="target"),
        SourceConfig(path=str(tmp_path / "b.jsonl"), messages_column="messages"),
    ]
    ledger = prepare(CorpusConfig(sources=sources), tmp_path / "c")
    ledger.check()
    # A copy is one on both sides; another target of the same text is none.
    assert ledger.to_dict()["dropped"]["copy"]["documents"] == 1
    corpus = Corpus.open(tmp_path / "c")
    kept = {d.id: d for split in ("train", "validation", "test") for d in corpus.documents(split)}  # type: ignore
    assert len(kept) == 41
    assert kept["0:a.jsonl:1"].target == "好0"
    assert kept["1:b.jsonl:3"].messages == (Message("user", "好"), Message("assistant", "天\n2"))
    assert kept["1:b.jsonl:3"].text == "好\n天\n2"
    assert sum(len(d.text) + len(d.target or "") for d in kept.values()) == ledger.to_dict()["kept"]["characters"]


def test_a_column_called_target_is_no_target_but_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,target\na,good\n")
    (row,) = read(SourceConfig(path=str(tmp_path / "a.csv"), label_column="target"))
    assert (row.label, row.target) == ("good", None)


# --------------------------------------------------------------------------------------------------------- all of it


def run(task: str, model: Path, *arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["finetune", task, "--model", str(model), "--to", "out", "--set", "threads=1", *arguments])
    assert ended.value.code == 0


def test_nothing_is_written_of_the_validation_split(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loss alone chooses the epoch; to write all of it would take as long as to judge the model."""
    asked: set[str] = set()

    def asks(task: Writing, items: Any, *others: Any) -> Any:
        asked.update(example.text for example in items.examples)
        return plainly(task, items, *others)

    plainly = Writing.asked
    monkeypatch.setattr(Writing, "asked", asks)
    model = encoder_folder(tmp_path / "m", "sequence_to_sequence", decoder_layers=1, segments=0)
    train, test = write("a.jsonl", jsonl(*pairs(40))), write("b.jsonl", jsonl(*pairs(45)[40:]))
    run("summarization", model, "--train", str(train), "--test", str(test), "--set", "epochs=1")
    assert asked == {pair["source"] for pair in pairs(45)[40:]}


def test_a_translation_from_training_to_its_answers(write: Any, tmp_path: Path, capsys: Any) -> None:
    model = encoder_folder(tmp_path / "m", "sequence_to_sequence", decoder_layers=1, segments=0)
    train, test = write("a.jsonl", jsonl(*pairs(40))), write("b.jsonl", jsonl(*pairs(45)[40:], pairs(41)[40]))
    settings = [
        part
        for each in ("epochs=1", "pointer=true", "direction=both", "beams=2", "new_tokens=8")
        for part in ("--set", each)
    ]
    run("translation", model, "--train", str(train), "--test", str(test), *settings)
    out = tmp_path / "out"
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [(line["source"], line["target"]) for line in lines[:2]] == [("=> 40 41", "好5"), ("<= 好5", "40 41")]
    assert len(lines) == 12
    (figures,) = json.loads((out / "scores.json").read_text()).values()
    assert {"nats_per_token", "exact_match"} <= figures.keys() or "bleu" in figures
    loaded = load(out / "model")
    assert loaded.model.pointer is not None
    said = loaded.predict(["40 41", "<= 好5"])
    assert said == [{key: line[name] for key, name in KEYS} for line in lines[:2]]
    # The verb that generates reads as the task does.
    assert loaded.generate("40 41", tokens=8, beams=2).text == said[0]["text"]
    step = show_step(out / "finetune/translation", 1)
    assert step["items"][0]["pieces"][:3] == ["[CLS]", "[UNK]", "[UNK]"]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["predict", "out/model", "--file", "b.jsonl", "--json"])
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["text"] for each in printed] == [line["predicted"] for line in lines[::2]]


KEYS = (("text", "predicted"), ("tokens", "tokens"), ("finish", "finish"))


def test_instructions_leave_their_template_in_the_folder(write: Any, tmp_path: Path) -> None:
    model = encoder_folder(tmp_path / "m", "causal", attention="causal", segments=0, maximum_length=64)
    turns = [[{"role": "user", "content": f"好{n}"}, {"role": "assistant", "content": f"天{n}"}] for n in range(30)]
    train = write("a.jsonl", jsonl(*({"messages": each} for each in turns)))
    run("instructions", model, "--train", str(train), "--set", "epochs=1", "--set", "new_tokens=6")
    settings = json.loads((tmp_path / "out/model/tokenizer_config.json").read_text())
    assert "add_generation_prompt" in settings["chat_template"]
    loaded = load(tmp_path / "out/model")
    asked = loaded.predict([turns[0][:1], "好0"])  # type: ignore[list-item]
    assert asked[0] == asked[1]
    assert loaded.generate("好0", tokens=6, temperature=0).text == asked[0]["text"]
    with pytest.raises(InputError, match="text 1 of 1: the last message is the assistant's"):
        loaded.predict([turns[0]])  # type: ignore[list-item]
