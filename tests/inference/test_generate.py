"""Generation: together is as alone, sampling follows the distribution, and everything is a function of the seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

from myna.errors import InputError
from myna.inference.choosing import choose
from myna.inference.forms import Fitting, Form, is_han
from myna.inference.generate import Beams, Rules, Sampling, generate, stream
from myna.inference.options import described
from myna.model.flat import flatten
from myna.model.heads import Model, build
from myna.presets import model_config
from myna.tokens.tokenizer import BYTES, Tokenizer, TokenizerConfig, train_tokenizer

from ..tokens.corpora import write_corpus

TEXTS = ["今天天气很好，我们去公园散步。", "The weather is fine today.", "北京的春天来得很早。", "春天，鸟儿开始唱歌。"]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Tokenizer]:
    folder = tmp_path_factory.mktemp("decoder")
    corpus = write_corpus(folder / "corpus", TEXTS * 3)
    (folder / "tokenizer").mkdir()
    train_tokenizer([corpus], TokenizerConfig(corpus="x", kind="byte_bpe", vocabulary=300), folder / "tokenizer")
    tokenizer = Tokenizer.open(folder / "tokenizer")
    parts = {"hidden_size": 32, "layers": 2, "heads": 2, "feed_forward_size": 64, "maximum_length": 40}
    # Rows beyond the tokenizer's pieces, as models padded for speed have them; and a spread that makes it choosy.
    config = model_config("gpt-micro", tokenizer.vocabulary_size + 9, **parts, initializer_range=0.4)
    return build(config, "causal", seed=3), tokenizer


GREEDY = Sampling(temperature=0)


def test_greedy_takes_the_most_likely_token_of_the_whole_text_each_time(decoder: tuple[Model, Tokenizer]) -> None:
    model, tokenizer = decoder
    [found] = generate(model, tokenizer, ["今天"], 12, GREEDY)
    ids = [tokenizer.start, *tokenizer.backend.encode("今天").ids]
    written: list[int] = []
    for _ in range(12):
        logits = model(flatten([np.array(ids + written)]))[-1, : tokenizer.vocabulary_size]
        written.append(int(logits.argmax()))
        if written[-1] == tokenizer.end:
            break
    stopped = written[-1] == tokenizer.end
    assert found.text == tokenizer.decode(written[:-1] if stopped else written).rstrip("\ufffd")
    assert (found.tokens, found.finish) == (len(written), "stop" if stopped else "length")


def test_prompts_of_different_length_together_are_as_each_alone(decoder: tuple[Model, Tokenizer]) -> None:
    model, tokenizer = decoder
    prompts = ["春", *TEXTS, "", "天气"]
    together = generate(model, tokenizer, prompts, 15, GREEDY)
    assert together == [generate(model, tokenizer, [prompt], 15, GREEDY)[0] for prompt in prompts]
    assert len({result.text for result in together}) > 2


def test_the_window_is_never_overrun(decoder: tuple[Model, Tokenizer]) -> None:
    model, tokenizer = decoder
    [found] = generate(model, tokenizer, [TEXTS[0]], 500, Sampling(seed=2))
    begun = len(tokenizer.backend.encode(TEXTS[0]).ids) + 1
    assert found.tokens <= 40 - begun + 1
    with pytest.raises(InputError, match="the model reads 40; shorten it"):
        generate(model, tokenizer, ["今天天气很好，我们去公园散步。" * 9], 5)


def test_sampling_is_a_function_of_the_seed(decoder: tuple[Model, Tokenizer]) -> None:
    model, tokenizer = decoder
    one, again, other = (generate(model, tokenizer, ["春"], 20, Sampling(seed=s))[0].text for s in (1, 1, 2))
    assert one == again != other


def draws(logits: list[float], count: int = 4000, **options: Any) -> np.ndarray:
    line = torch.tensor([logits]).expand(count, -1)
    drawn = choose(line, [(n, 0) for n in range(count)], [5] * count, Sampling(**options))
    return np.bincount(drawn, minlength=len(logits)) / count


def test_samples_follow_the_distribution() -> None:
    logits = [2.0, 1.0, 0.0, -1.0]
    for temperature in (0.5, 1.0, 2.0):
        shares = np.exp(np.array(logits) / temperature)
        shares /= shares.sum()
        observed = draws(logits, temperature=temperature) * 4000
        assert ((observed - 4000 * shares) ** 2 / (4000 * shares)).sum() < 16.3  # chi-square, 3 degrees, 0.1 %


def test_top_k_and_top_p_cut_the_tail() -> None:
    logits = np.log([0.5, 0.3, 0.15, 0.05]).tolist()
    assert draws(logits, top_k=2) == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    assert draws(logits, top_k=9) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)
    assert draws(logits, top_p=0.6) == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    assert draws(logits, top_p=0.4)[0] == 1
    assert draws(logits, top_p=1.0) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_min_p_cuts_what_is_too_unlikely_beside_the_likeliest() -> None:
    logits = np.log([0.5, 0.3, 0.15, 0.05]).tolist()
    assert draws(logits, 1500, min_p=0.5) == pytest.approx([0.625, 0.375, 0, 0], abs=0.05)
    assert draws(logits, 100, min_p=1.0)[0] == 1
    # In the order of transformers: top_k, then top_p of what is left, then min_p.
    assert draws(logits, 100, top_k=3, top_p=0.8, min_p=0.61)[0] == 1


@pytest.mark.parametrize("options", [{}, {"top_k": 50}, {"top_p": 0.9}, {"min_p": 0.2}, {"top_k": 3000, "top_p": 0.99}])
def test_draws_from_a_large_vocabulary_follow_the_closed_form(options: dict[str, Any]) -> None:
    logits = np.random.default_rng(0).normal(0, 2, 5000).astype(np.float32)
    order = np.argsort(-logits)
    shares = np.exp(logits[order].astype(float) / 1.3)
    shares[options.get("top_k", 5000) :] = 0
    shares /= shares.sum()
    if "top_p" in options:
        shares[np.cumsum(shares) - shares >= options["top_p"]] = 0
    shares[shares < options.get("min_p", 0) * shares[0]] = 0
    shares /= shares.sum()
    observed = draws(logits.tolist(), 600, temperature=1.3, **options)[order] * 600
    assert observed[shares == 0].sum() == 0
    # Sixteen groups of neighbours in likelihood, about equally likely: 15 degrees, 0.1 %.
    groups = np.minimum((np.cumsum(shares) - shares) * 16, 15).astype(int)
    expected = np.bincount(groups, shares, 16) * 600
    found = np.bincount(groups, observed, 16)
    filled = expected > 0
    assert ((found - expected)[filled] ** 2 / expected[filled]).sum() < 37.7


@pytest.mark.parametrize("choice", [Sampling(seed=4), Sampling(0), Beams(4), Beams(3, 2.0, True)])
def test_whatever_the_choice_together_is_as_alone(decoder: tuple[Model, Tokenizer], choice: Sampling | Beams) -> None:
    prompts, rules = ["春", *TEXTS[1:], "", "天气", "The"], Rules(2, 1.3, 3)
    together = generate(*decoder, prompts, 12, choice, rules=rules)
    for number, prompt in enumerate(prompts):
        # What is drawn depends on the number of the prompt: the empty ones before it keep it.
        before = [""] * number if isinstance(choice, Sampling) and choice.temperature else []
        assert together[number] == generate(*decoder, [*before, prompt], 12, choice, rules=rules)[-1]


def test_samples_of_a_prompt_differ_and_the_first_is_the_one_alone(decoder: tuple[Model, Tokenizer]) -> None:
    found = generate(*decoder, ["春", "天气"], 12, Sampling(seed=1), samples=3)
    assert [each.prompt for each in found] == ["春"] * 3 + ["天气"] * 3
    assert found[::3] == generate(*decoder, ["春", "天气"], 12, Sampling(seed=1))
    assert len({each.text for each in found[:3]}) == 3
    assert found[:2] == generate(*decoder, ["春"], 12, Sampling(seed=1), samples=2)
    best = generate(*decoder, ["春"], 12, Beams(4), samples=3)
    assert len({each.text for each in best}) > 1
    assert best[0] == generate(*decoder, ["春"], 12, Beams(4))[0]


@pytest.mark.parametrize("choice", [Sampling(seed=2), Sampling(0), Beams(3)])
@pytest.mark.parametrize("stop", [(), ("。",), ("th", "天")])
def test_a_stream_is_the_text_in_pieces(
    decoder: tuple[Model, Tokenizer], choice: Sampling | Beams, stop: tuple[str, ...]
) -> None:
    for prompt in ("春", "The", *TEXTS[2:]):
        pieces = list(stream(*decoder, prompt, 30, choice, stop=stop))
        [whole] = generate(*decoder, [prompt], 30, choice, stop=stop)
        assert "".join(pieces) == whole.text
        assert not any(piece.endswith("\ufffd") or not piece for piece in pieces)
        assert len(pieces) > 3 or isinstance(choice, Beams) or len(whole.text) < 10 or stop


def test_a_text_ends_before_what_it_is_to_stop_at(decoder: tuple[Model, Tokenizer]) -> None:
    [free] = generate(*decoder, ["春"], 30, Sampling(seed=2))
    stop = free.text[3:5]
    [found] = generate(*decoder, ["春"], 30, Sampling(seed=2), stop=["not there", stop])
    assert found.text == free.text[: free.text.index(stop)]
    assert (found.finish, found.tokens < free.tokens) == ("stop", True)
    for choice in (Beams(3), Sampling(seed=5)):
        assert all(stop not in each.text for each in generate(*decoder, TEXTS, 15, choice, stop=[stop]))


def keeps(text: str, form: Form) -> bool:
    """Whether a text is of a form: told from the text alone."""
    place = 0
    for number, length in enumerate(form.lines):
        line, end = text[place : place + length], form.end_of(number)
        place += length + len(end)
        if len(line) != length or not all(map(is_han, line)) or text[place - len(end) : place] != end:
            return False
    return place == len(text)


FORMS = [Form.of("4x2"), Form.of("2,4,2", ["、\n", "！"]), Form.of("2x4", []), Form.of("1x9", ["——"])]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_random_model_keeps_the_form_with_characters_in_bytes(decoder: tuple[Model, Tokenizer], form: Form) -> None:
    model, tokenizer = decoder
    rules = Rules(repetition_penalty=1.5, no_repeat=1)  # which would bar the second comma
    found = [
        *generate(model, tokenizer, ["春"], 3, Sampling(2.0), form=form, samples=21),
        *generate(model, tokenizer, ["", "b"], 3, Sampling(0), rules=rules, form=form),
        *generate(model, tokenizer, ["天"], 3, Beams(2), rules=rules, form=form, samples=2),
    ]
    assert len(found) == 25  # of four forms: a hundred
    assert all(keeps(each.text, form) and each.finish == "stop" for each in found), found
    # Some characters were whole pieces, others bytes, and pieces may be of several.
    assert len({each.tokens for each in found}) > 3
    pieces = "".join(stream(model, tokenizer, "春", 3, Sampling(2.0), form=form))
    assert pieces == found[0].text


def test_pieces_of_several_characters_and_of_their_bytes_are_fitted(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(tmp_path)
    fitting = Fitting(Form.of("2x2"), tokenizer, tokenizer.vocabulary_size)
    id_of = {piece: id for id, piece in enumerate(fitting._pieces) if piece is not None}

    def fits(before: str | bytes, piece: str | bytes) -> bool:
        state = fitting.begin
        for byte in before.encode() if isinstance(before, str) else before:
            state = fitting.after(state, id_of[bytes([byte])])
        return bool(fitting.allowed(state)[id_of[piece.encode() if isinstance(piece, str) else piece]])

    assert fits("", "春天")
    assert not fits("春", "春天")
    assert fits("春", "天，")
    assert not fits("", "天，")
    assert fits("春", "天，春")
    assert not fits("春天，春", "天，春")
    # A character's first bytes, its rest with the next character, and what is no Han.
    assert fits("", "春".encode()[:2])
    assert fits("春".encode()[:2], "春".encode()[2:] + "天".encode())
    assert not fits("春" + "天", "春".encode()[:2])
    assert not fits("", "a")
    assert not fits("", "ー".encode()[:1] + b"\x83")
    assert fitting.complete(fitting.after((6, b""), -1)) is False


@pytest.mark.parametrize("kind", ["wordpiece", "sentencepiece"])
def test_a_form_is_kept_with_pieces_that_are_no_bytes(kind: str, tmp_path: Path) -> None:
    special, han = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "</s>"], [*"春天来很早", "春天", "，", "。", "a"]
    if kind == "wordpiece":
        names = [*special, *han, "##天", "##春天", "##a"]
        backend = tokenizers.Tokenizer(
            tokenizers.models.WordPiece({n: i for i, n in enumerate(names)}, unk_token="[UNK]")
        )
        backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        backend.decoder = tokenizers.decoders.WordPiece(cleanup=False)
    else:
        names = [*special, *han, "▁", "▁春", "▁a"]
        backend = tokenizers.Tokenizer(tokenizers.models.Unigram([(n, -1.0) for n in names], unk_id=1))
        backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
        backend.decoder = tokenizers.decoders.Metaspace()
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer, form = Tokenizer.open(tmp_path), Form.of("2x3,4")
    sizes = {"hidden_size": 16, "layers": 1, "heads": 2, "feed_forward_size": 32, "maximum_length": 40}
    model = build(model_config("gpt-micro", len(names) + 3, **sizes), "causal", seed=1)
    found = generate(model, tokenizer, ["a", ""], 5, Sampling(seed=1), form=form, samples=10)
    assert all(keeps(each.text, form) for each in found), found
    assert len({each.tokens for each in found}) > 1
    with pytest.raises(InputError, match=r"this tokenizer writes no .*, which ends a line"):
        generate(model, tokenizer, ["a"], form=Form.of("2x3", ["\n"]))


def byte_tokenizer(folder: Path) -> Tokenizer:
    """The bytes, and some pieces that hold several characters or parts of them."""
    symbols = {byte: symbol for symbol, byte in BYTES.items()}
    names = ["".join(symbols[b] for b in piece) for piece in PIECES]
    vocabulary = {name: n for n, name in enumerate(["<|endoftext|>", *symbols.values(), *names])}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.save(str(folder / "tokenizer.json"))
    return Tokenizer.open(folder)


PIECES = [text.encode() for text in ("春", "天", "，", "春天", "天，", "天，春", "。", "春。")]
PIECES += [PIECES[0][:2], PIECES[0][2:] + PIECES[1], b"\xe3\x83"]


@pytest.mark.parametrize("text", ["", "4", "0x7", "4x", "4x7x2", "x", "4*7", "4x7,"])
def test_a_form_is_written_in_one_way(text: str) -> None:
    if text == "4":
        assert Form.of(text).lines == (4,)
        return
    with pytest.raises(InputError, match="give it as 4x7"):
        Form.of(text)


def test_a_form_too_long_for_the_window_or_the_tokenizer_is_refused(decoder: tuple[Model, Tokenizer]) -> None:
    with pytest.raises(InputError, match="the form can take 96 tokens, the model writes 38 after the prompt at most"):
        generate(*decoder, ["春"], form=Form.of("4x7"))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_beams": 4}, 'generate has no setting num_beams; use "beams"'),
        ({"do_sample": False}, 'use "temperature" \\(0 takes'),
        ({"num_return_sequences": 2}, "call generate_many"),
        ({"beem": 2}, 'did you mean "beams"'),
        ({"beams": 4, "top_k": 3}, "top_k is for what is drawn, and beams draw nothing; leave top_k out"),
        ({"length_penalty": 2.0}, "length_penalty is for beams; give beams too"),
        ({"line_ends": "，"}, "line_ends is for a form"),
        ({"beams": 99}, "beams is 99; give 2 to 64"),
        ({"beams": 2, "early_stopping": "soon"}, "early_stopping is 'soon'; give"),
        ({"no_repeat": -1}, "no_repeat is -1; give"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0; give"),
        ({"min_p": 2.0}, "min_p is 2.0; give"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        described(options)


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1.0}, {"temperature": float("inf")}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="; give"):
        Sampling(**wrong)


def test_an_encoder_does_not_generate(decoder: tuple[Model, Tokenizer]) -> None:
    encoder = build(model_config("bert-tiny", 300), "masked")
    with pytest.raises(InputError, match="does not generate text"):
        generate(encoder, decoder[1], ["春"])
    with pytest.raises(InputError, match="tokens is 0"):
        generate(*decoder, ["春"], 0)
