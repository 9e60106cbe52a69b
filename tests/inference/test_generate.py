"""Generation: together is as alone, sampling follows the distribution, and everything is a function of the seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from myna.errors import InputError
from myna.inference.choosing import choose
from myna.inference.generate import Sampling, generate
from myna.model.flat import flatten
from myna.model.heads import Model, build
from myna.presets import model_config
from myna.tokens.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer

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


def draws(logits: list[float], count: int = 4000, **options: float) -> np.ndarray:
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
