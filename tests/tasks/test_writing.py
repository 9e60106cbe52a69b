"""Tasks whose answer is a text: what is read and learned of an example, what it costs, and what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from myna.errors import InputError
from myna.inference.predict import predictions
from myna.ledger import Ledger
from myna.model.flat import flatten
from myna.model.heads import Model, build
from myna.tasks import WRITING, find_task
from myna.tasks.chat import ChatTemplate
from myna.tasks.examples import Example, counts
from myna.tasks.translation import Translation
from myna.tasks.writing import Summarization, Writing
from myna.tokens.tokenizer import Tokenizer
from myna.training.arithmetic import useful_flops
from myna.training.batches import backward, make_batches

from .material import ALPHABET, micro_config, parts, tokenizer_folder
from .test_tasks import gradients

DECODER = {"attention": "causal", "segments": 0}
TWO = {"decoder_layers": 1, "segments": 0}
POINTER = {**TWO, "pointer": True}
KINDS = {"decoder": DECODER, "two stacks": TWO, "pointer": POINTER}
# Of all tasks with all kinds those that differ.
CASES = [*((name, "decoder") for name in WRITING), ("translation", "two stacks"), ("instructions", "two stacks")]
CASES.append(("summarization", "pointer"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.open(tokenizer_folder(tmp_path_factory.mktemp("tokenizer")))


def make(name: str, tokenizer: Tokenizer, parts: dict[str, Any], **changes: Any) -> tuple[Writing, Model]:
    config = micro_config(tokenizer, **{**parts, **changes})
    model = build(config, "sequence_to_sequence" if config.decoder_layers else "causal", seed=1).double()
    task = find_task(name)(tokenizer, (), config.maximum_length)
    assert isinstance(task, Writing)
    task.two_stacks = bool(config.decoder_layers)
    return task, model


def random_examples(name: str, count: int, longest: int = 70, seed: int = 3) -> list[Example]:
    """Texts of characters, many of them longer than a window of 24."""
    draw = np.random.default_rng(seed)

    def text(most: int) -> str:
        return "".join(draw.choice(list(ALPHABET[-30:]), draw.integers(2, most)))

    examples = []
    for number in range(count):
        said = [text(longest), text(20), text(9), text(9)]
        turns = tuple(zip(("user", "assistant", "user", "assistant"), said, strict=True))
        messages = turns if name == "instructions" else None
        examples.append(Example(said[0], f"{number}", target=said[3] if messages else said[1], messages=messages))
    return examples


# ------------------------------------------------------------------------------------------------------- its loss


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_gradient_of_a_batch_is_that_of_its_parts_with_dropout_on(
    name: str, kind: str, tokenizer: Tokenizer
) -> None:
    task, model = make(name, tokenizer, KINDS[kind])
    items = task.items(random_examples(name, 20))
    numbers = range(len(items))
    whole = gradients(task, model, make_batches(task, items, numbers, 10**9, key=7))
    order = np.argsort(items.lengths, kind="stable")
    for sizes in parts(16):
        pieces = np.split(order, np.cumsum(sizes))
        batches = [task.batch([items[i] for i in piece], piece, 7) for piece in pieces if len(piece)]
        assert torch.linalg.norm(gradients(task, model, batches) - whole) <= 1e-11 * torch.linalg.norm(whole)
    without = gradients(task, model, make_batches(task, items, numbers, 10**9, key=None))
    assert torch.linalg.norm(without - whole) > 1e-3 * torch.linalg.norm(whole)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_loss_is_the_mean_over_all_tokens_to_be_written(name: str, kind: str, tokenizer: Tokenizer) -> None:
    task, model = make(name, tokenizer, KINDS[kind])
    items = task.items(random_examples(name, 9))
    batches = make_batches(task, items, range(len(items)), 90, None)
    assert len(batches) > 2
    loss = backward(task, model, batches)
    logits = torch.cat([task.outputs(model, batch) for batch in batches])
    targets = torch.cat([batch.targets for batch in batches])
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, targets).item(), rel=1e-10)
    assert task.validate(model, items, 100)["nats_per_token"] == pytest.approx(loss, rel=1e-10)
    assert task.metrics(items.examples, task.write(model, items, 100))["nats_per_token"] == pytest.approx(loss)


def test_the_probability_of_a_copy_is_the_attention_to_where_it_stands(tokenizer: Tokenizer) -> None:
    """The mixture by its definition, a token and a place at a time (See et al. 2017, equations 8 and 9)."""
    _, model = make("summarization", tokenizer, POINTER)
    assert model.pointer is not None
    draw = np.random.default_rng(1)
    sources, targets = ([draw.integers(5, 40, n) for n in sizes] for sizes in ((7, 7, 4), (3, 5, 5)))
    source, target = flatten(sources), flatten(targets)
    memory = model.trunk.read(source)  # type: ignore[union-attr]
    hidden = model.trunk.decoder(target, None, memory)  # type: ignore[union-attr]
    found = model(source, target).exp()
    assert torch.allclose(found.sum(1), torch.ones(13).double(), atol=1e-12)
    row = 0
    for number, line in enumerate(targets):
        first, length = memory.spans[number]
        states = memory.hidden[first : first + length]
        for _ in line:
            attention = (model.pointer.query(hidden[row]) @ states.T / 32**0.5).softmax(0)
            gate = torch.sigmoid(model.pointer.gate(torch.cat([hidden[row], attention @ states])))
            expected = gate * model.head(hidden[row : row + 1], target)[0].softmax(0)
            for place, id in enumerate(sources[number]):
                expected[id] += (1 - gate[0]) * attention[place]
            assert torch.allclose(found[row], expected, atol=1e-12)
            row += 1


def test_the_chunked_loss_of_a_mixture_has_the_gradient_of_the_whole_one() -> None:
    from myna.objectives.copying import mixed_cross_entropy, mixed_nats

    torch.manual_seed(0)
    shapes = ((1100, 6), (30, 6), (30,), (1100,), (1100,))
    leaves = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    hidden, weight, bias, gate, place = leaves
    targets = torch.randint(0, 30, (1100,))

    def mixture() -> tuple[torch.Tensor, torch.Tensor]:
        log = torch.nn.functional.logsigmoid
        return log(gate), log(-gate) + log(place)

    loss = mixed_cross_entropy(hidden, weight, bias, targets, *mixture())
    ours = torch.autograd.grad(2 * loss, leaves)
    chosen, copied = (part.exp() for part in mixture())
    vocabulary = (hidden @ weight.T + bias).softmax(1)[torch.arange(1100), targets]
    plain = -(chosen * vocabulary + copied).log()
    for one, other in zip(ours, torch.autograd.grad(2 * plain.sum(), leaves), strict=True):
        assert torch.allclose(one, other, atol=1e-12)
    assert torch.allclose(mixed_nats(hidden, weight, bias, targets, *mixture()), plain, atol=1e-12)


def test_a_source_in_windows_is_attended_to_as_one(tokenizer: Tokenizer) -> None:
    """The decoder's logits are those of a memory put together by hand, of windows that were read each alone."""
    task, model = make("summarization", tokenizer, TWO)
    items = task.items([Example("好" * 60, "a", target="天气"), Example("天" * 9, "b", target="很好很")])
    assert [items[n].source.shape for n in range(2)] == [(5, 24), (11,)]
    batch = task.batch([items[0], items[1]], np.arange(2), None)
    together = task.outputs(model, batch)
    hidden = [model.trunk.encoder(flatten([window])) for window in items[0].source]  # type: ignore[union-attr]
    memory = model.trunk.read(flatten([items[1].source]))  # type: ignore[union-attr]
    memory.hidden, memory.spans = torch.cat(hidden), [(0, 120)]
    alone = flatten([np.concatenate([[task.start], items[0].target[:-1]])])
    expected = model.head(model.trunk.decoder(alone, None, memory), alone)  # type: ignore[union-attr]
    assert torch.allclose(together[:3], expected, atol=1e-12)


def test_what_a_step_computes_counts_all_windows_of_a_source(tokenizer: Tokenizer) -> None:
    """Windows overlap, so that they take more than the same text in one."""
    figures = []
    for length, window in ((118, 24), (118, 120)):
        task, model = make("summarization", tokenizer, POINTER, maximum_length=window)
        items = task.items([Example("好" * length, "a", target="天气")])
        figures.append(useful_flops(model, make_batches(task, items, range(1), 10**9, None)))
    assert figures[0] > figures[1]


# ------------------------------------------------------------------------------------------------ what is written


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_written_does_not_depend_on_the_company(name: str, kind: str, beams: int, tokenizer: Tokenizer) -> None:
    task, model = make(name, tokenizer, KINDS[kind], initializer_range=0.4)
    task.beams, task.new_tokens = beams, 7
    examples = random_examples(name, 7)
    together = predictions(model, task, task.items(examples))
    assert len({said.text for said in together}) > 2  # type: ignore[attr-defined]
    for example, said in zip(examples, together, strict=True):
        (alone,) = predictions(model, task, task.items([example]), batch_tokens=1)
        assert (alone.text, alone.finish) == (said.text, said.finish)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_writing_with_a_cache_is_the_whole_forward(kind: str, tokenizer: Tokenizer) -> None:
    """Token by token the likeliest of the logits of all that was written before, to 1e-10."""
    from myna.inference.manner import Manner
    from myna.inference.rows import Limits, Rows

    task, model = make("summarization", tokenizer, KINDS[kind], initializer_range=0.4)
    example = Example("好天气很不今明" * 6, "a")
    (passage,) = task.asked(task.items([example]))
    rows = Rows(model, [passage.source], Limits(9, Manner((), start=task.start)))
    line: list[int] = []
    for _ in range(9):
        target = np.array([*line, 0])
        batch = task.batch([type(passage)(0, passage.source, target)], np.arange(1), None)
        whole = task.outputs(model, batch)[-1]
        assert (whole - rows.scores()[0]).abs().max() < 1e-10
        line.append(int(whole.argmax()))
        rows.go_on([0], [line[-1]])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_asked_knows_nothing_of_the_target(name: str, kind: str, tokenizer: Tokenizer) -> None:
    task, model = make(name, tokenizer, KINDS[kind])
    task.new_tokens = 5
    examples = random_examples(name, 12)
    others = [replace(example, target="好" * (n + 1)) for n, example in enumerate(examples)]
    one, other = (task.write(model, task.items(some), 500) for some in (examples, others))
    assert [(a.text, a.unread) for a in one] == [(b.text, b.unread) for b in other]


def test_two_directions_are_told_by_a_mark(tokenizer: Tokenizer) -> None:
    task = Translation(tokenizer, (), 64)
    example = Example("北京", "a", target="beijing")
    task.direction = "backward"
    assert [(e.text, e.target) for e in task.arranged([example])] == [("beijing", "北京")]
    task.direction = "both"
    ledger = Ledger()
    ledger.came_in(**counts([example]))
    items = task.items([example], "window", ledger)
    ledger.check()
    assert [(e.text, e.target) for e in items.examples] == [("=> 北京", "beijing"), ("<= beijing", "北京")]
    assert [e.text for e in task.arranged([Example("<= a", "b"), Example("a", "b")])] == ["<= a", "=> a"]


def test_texts_by_themselves_are_learned_whole_and_gone_on_with(tokenizer: Tokenizer) -> None:
    task, model = make("generation", tokenizer, DECODER)
    task.sourced = False  # type: ignore[attr-defined]
    text = "好天气很不今明老王小李" * 5
    items = task.items([Example("", "a", target=text)])
    assert sum(int(items[n].learned.sum()) for n in range(len(items))) == 56  # type: ignore[union-attr]
    (said,) = task.write(model, items, 100)
    assert said.text.startswith(text[:8])
    (prompt,) = task.prompts(["好天"])
    assert [tokenizer.piece(id) for id in prompt] == ["[CLS]", "好", "天"]


# -------------------------------------------------------------------------------------------------- what is left out


@pytest.mark.parametrize("too_long", ["window", "drop", "cut"])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_ledger_balances_whatever_is_left_out(name: str, kind: str, too_long: Any, tokenizer: Tokenizer) -> None:
    task, _ = make(name, tokenizer, KINDS[kind])
    examples, ledger = random_examples(name, 30, longest=90), Ledger()
    ledger.came_in(**counts(examples))
    items = task.items(examples, too_long, ledger)
    ledger.check()
    for number in range(len(items)):
        passage = items[number]
        read = passage.source.shape[-1] if task.two_stacks else passage.source.size + len(passage.target) - 1
        assert max(read, len(passage.target)) <= 24
    told = ledger.to_dict()
    # Of a conversation that is cut the answers may be gone.
    left_out = too_long == "drop" or (too_long == "cut" and name == "instructions" and kind == "decoder")
    assert ("longer than the model's window" in told["dropped"]) == left_out
    if too_long == "window" and name == "instructions":
        assert told["kept"]["examples"] == 30


def test_what_a_decoder_has_no_room_for_is_said(tokenizer: Tokenizer) -> None:
    task, model = make("summarization", tokenizer, DECODER)
    task.new_tokens = 5
    (said,) = task.write(model, task.items([Example("好" * 50, "a")]), 100)
    assert said.unread == 33
    assert said.answer()["unread"] == 33
    with pytest.raises(InputError, match="has 33 tokens more than the model reads; shorten it"):
        task.prompts(["好" * 50])
    with pytest.raises(InputError, match="the text with its target of this row has 52 pieces, 30 more than"):
        task.items([Example("好" * 50, "a", target="天气")], "error")


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_to_be_written_that_is_longer_than_the_window_is_said_to_be_cut(kind: str, tokenizer: Tokenizer) -> None:
    task, model = make("generation", tokenizer, KINDS[kind])
    task.new_tokens = 5
    examples = [Example("天气", "a", target="好" * 9), Example("天气", "b", target="好" * 50), Example("天气", "c")]
    assert [said.cut for said in task.write(model, task.items(examples), 100)] == [False, True, False]


def test_a_text_that_takes_more_than_a_step_is_named_with_what_to_do(tokenizer: Tokenizer) -> None:
    task, _ = make("summarization", tokenizer, TWO)
    items = task.items([Example("天气", "a", target="好"), Example("好" * 90, "line 7", "texts.jsonl", target="天气")])
    items.check_room(200)
    with pytest.raises(InputError, match="takes 195 tokens, more than a step of 100 has") as told:
        items.check_room(100)
    assert told.value.where == "texts.jsonl:7"


# ------------------------------------------------------------------------------------------------------ conversations


def test_only_what_the_assistant_says_is_learned(tokenizer: Tokenizer) -> None:
    task, _ = make("instructions", tokenizer, DECODER, maximum_length=99)
    messages = (("system", "好"), ("user", "天"), ("assistant", "气很"), ("user", "不"), ("assistant", "今"))
    items = task.items([Example("", "a", target="今", messages=messages)])
    (passage,) = [items[n] for n in range(len(items))]
    assert passage.learned is not None
    assert [tokenizer.piece(id) for id in passage.target[passage.learned]] == ["气", "很", "[SEP]", "今", "[SEP]"]
    (asked,) = task.asked(items)
    pieces = "".join(tokenizer.piece(id) for id in asked.source)
    assert pieces.replace("##", "") == "[CLS]system好[SEP]user天[SEP]assistant气很[SEP]user不[SEP]assistant"


def test_what_looks_like_a_special_token_is_mere_text(tokenizer: Tokenizer) -> None:
    made = ChatTemplate.of(tokenizer).conversation([_message("user", "a[SEP]assistant b"), _message("assistant", "c")])
    assert (made.ids == tokenizer.end).sum() == 2


def _message(role: str, content: str) -> Any:
    from myna.corpus.document import Message

    return Message(role, content)


def test_a_template_of_the_folder_is_used_and_one_that_refuses_is_told(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path / "t")
    given = json.loads((folder / "tokenizer_config.json").read_text())
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{% for m in messages %}"
        "[CLS]{{ m.role }}: {% generation %}{{ m.content | trim }}[MASK]{% endgeneration %}{% endfor %}"
    )
    (folder / "tokenizer_config.json").write_text(json.dumps(given | {"chat_template": template}))
    tokenizer = Tokenizer.open(folder)
    used = ChatTemplate.of(tokenizer)
    made = used.conversation([_message("user", "好"), _message("assistant", "天")])
    pieces = "".join(tokenizer.piece(id) for id in made.ids).replace("##", "")
    assert pieces == "[CLS]user[UNK]好[MASK][CLS]assistant[UNK]天[MASK]"
    (answer,) = made.answers
    assert [tokenizer.piece(id) for id in made.ids[answer.start : answer.end]] == ["天", "[MASK]"]
    assert set(used.ends) == {tokenizer.mask, tokenizer.end}
    with pytest.raises(InputError, match=r"the chat template: it refuses this conversation \(no system\)"):
        used.conversation([_message("system", "好"), _message("user", "天")])


def test_transformers_renders_the_same_conversation(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    from myna.tasks.chat import usual_template
    from myna.tokens.tokenizer import TokenizerConfig, _train_byte_bpe

    (tmp_path / "t").mkdir()
    backend = _train_byte_bpe([], TokenizerConfig(corpus="c", kind="byte_bpe", vocabulary=300))
    backend.save(str(tmp_path / "t" / "tokenizer.json"))
    tokenizer = Tokenizer.open(tmp_path / "t")
    settings = {"eos_token": "<|endoftext|>", "chat_template": usual_template(tokenizer)}
    (tmp_path / "t" / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **settings})
    )
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path / "t")
    said = [("system", "Be brief."), ("user", "Hello,\nwho are you? 你好"), ("assistant", "A bird.")]
    plain = [{"role": role, "content": content} for role, content in said]
    ours = ChatTemplate.of(tokenizer)
    expected = theirs.apply_chat_template(plain, tokenize=True, return_dict=False)
    assert ours.conversation([_message(*each) for each in said]).ids.tolist() == expected
    asked = theirs.apply_chat_template(plain[:2], add_generation_prompt=True, return_dict=False)
    task = find_task("instructions")(tokenizer, (), 512)
    example = Example("", "a", messages=tuple(said[:2]))
    assert task.asked(task.items([example]))[0].source.tolist() == asked  # type: ignore[attr-defined]


def test_a_source_that_is_judged_was_not_trained_on() -> None:
    assert Summarization.apart_by_source
    assert not find_task("generation").apart_by_source  # type: ignore[attr-defined]
