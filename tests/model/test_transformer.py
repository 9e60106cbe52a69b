"""The stack: documents are separate, a decoder sees no future, dropout depends on nothing but its place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.model.cache import Cache
from myna.model.config import ModelConfig
from myna.model.flat import Flat, Run, flatten
from myna.model.heads import Model, build, first_tokens, last_tokens
from myna.model.layers import Dropout
from myna.model.positions import PositionScheme

SMALL = {
    "vocabulary_size": 50,
    "hidden_size": 24,
    "layers": 2,
    "heads": 3,
    "feed_forward_size": 40,
    "maximum_length": 32,
}
BERT = ModelConfig(**SMALL, segments=2, norm_place="post", attention="bidirectional", initializer_range=0.3)
GPT = ModelConfig(**SMALL, norm_place="pre", attention="causal", activation="gelu_tanh", initializer_range=0.3)
FAMILIES = pytest.mark.parametrize("config, kind", [(BERT, "masked"), (GPT, "causal")], ids=["bert", "gpt"])


def small(config: ModelConfig, kind: str) -> Model:
    return build(config, kind, seed=1).double()


def documents(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, 50, length) for length in lengths]


@FAMILIES
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 32), min_size=1, max_size=7), seed=st.integers(0, 100))
def test_documents_together_give_the_logits_of_each_alone(
    config: ModelConfig, kind: str, lengths: list[int], seed: int
) -> None:
    model, texts = small(config, kind), documents(lengths, seed)
    together = model(flatten(texts))
    alone = torch.cat([model(flatten([text])) for text in texts])
    assert (together - alone).abs().max() <= 1e-12 * max(1, alone.abs().max())


def test_a_decoder_sees_nothing_of_what_follows() -> None:
    model = small(GPT, "causal")
    [text] = documents([12])
    before = model(flatten([text]))
    for place in range(1, 12):
        changed = text.copy()
        changed[place] = (changed[place] + 1) % 50
        after = model(flatten([changed]))
        assert torch.equal(after[:place], before[:place])
        assert not torch.equal(after[place:], before[place:])


def test_an_encoder_sees_both_sides() -> None:
    model = small(BERT, "masked")
    [text] = documents([12])
    changed = text.copy()
    changed[11] = (changed[11] + 1) % 50
    assert not torch.allclose(model(flatten([text]))[0], model(flatten([changed]))[0])


@pytest.mark.parametrize("mixer", ["attention", "convolution", "convolution+attention"])
@FAMILIES
def test_mixers_have_the_gradient_that_finite_differences_have(config: ModelConfig, kind: str, mixer: str) -> None:
    parts = {**config.model_dump(), "mixer": mixer, "kernel_size": 3, "convolution_ratio": 3}
    parts["positions"] = "alibi" if mixer == "attention" else "rotary"
    part = small(ModelConfig(**parts), kind).trunk.blocks[0].mixer
    tokens = flatten(documents([2, 2, 3]))
    hidden = torch.randn(7, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    reach = PositionScheme(ModelConfig(**parts), 1)(tokens, None, hidden)
    assert torch.autograd.gradcheck(lambda h, *weights: part(h, reach), (hidden, *part.parameters()))


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), steps=st.integers(1, 8))
def test_decoding_with_the_cache_equals_reading_the_whole(lengths: list[int], steps: int) -> None:
    model, cache = small(GPT, "causal"), Cache(GPT.layers)
    texts = documents(sorted(lengths))
    more = documents([steps] * len(texts), seed=9)
    with torch.no_grad():
        start = flatten(texts)
        steps_logits = [model.head(model.trunk(start, cache)[last_tokens(start)], start)]
        for step in range(steps):
            ids = torch.tensor([int(text[step]) for text in more])
            held = list(cache.lengths)
            runs = tuple(Run(row, held.count(n), 1) for row, n in enumerate(held) if row == 0 or held[row - 1] != n)
            one = Flat(ids, torch.tensor(held), runs)
            steps_logits.append(model.head(model.trunk(one, cache), one))
        for row, (text, rest) in enumerate(zip(texts, more, strict=True)):
            whole = model(flatten([np.concatenate([text, rest])]))[len(text) - 1 :]
            stepwise = torch.stack([logits[row] for logits in steps_logits])
            assert (whole - stepwise).abs().max() <= 1e-10


def test_the_cache_keeps_the_rows_that_are_selected() -> None:
    model, cache = small(GPT, "causal"), Cache(GPT.layers)
    texts = documents([3, 4, 5])
    with torch.no_grad():
        model.trunk(flatten(texts), cache)
        cache.select([2, 0])
        assert cache.lengths == [5, 3]
        one = Flat(torch.tensor([7, 8]), torch.tensor([5, 3]), (Run(0, 1, 1), Run(1, 1, 1)))
        both = model.head(model.trunk(one, cache), one)
        for row, (text, token) in enumerate([(texts[2], 7), (texts[0], 8)]):
            whole = model(flatten([np.append(text, token)]))[-1]
            assert (both[row] - whole).abs().max() <= 1e-10


def test_rows_of_documents() -> None:
    tokens = flatten(documents([2, 2, 3, 1]))
    assert tokens.runs == (Run(0, 2, 2), Run(4, 1, 3), Run(7, 1, 1))
    assert first_tokens(tokens).tolist() == [0, 2, 4, 7]
    assert last_tokens(tokens).tolist() == [1, 3, 6, 7]
    assert tokens.positions.tolist() == [0, 1, 0, 1, 0, 1, 2, 0]


def dropped(rate: float, keys: torch.Tensor, place: int = 3, channels: int = 64) -> torch.Tensor:
    return Dropout(rate, channels, place)(torch.ones(len(keys), channels), keys) == 0


def token_keys(count: int, seed: int = 0, number: int = 0) -> torch.Tensor:
    keys = flatten([np.zeros(count, np.int64)], np.array([number]), seed).keys
    assert keys is not None
    return keys


def test_dropout_drops_its_share_evenly() -> None:
    mask = dropped(0.1, token_keys(4000)).double()
    assert abs(mask.mean() - 0.1) < 0.003
    assert (mask.mean(0) - 0.1).abs().max() < 0.03
    assert mask.mean(1).max() < 0.5


def test_dropout_is_independent_between_channels_tokens_and_places() -> None:
    keys = token_keys(20_000)
    mask = dropped(0.5, keys, channels=32).double() - 0.5
    correlation = (mask.T @ mask / len(mask) * 4 - torch.eye(32)).abs().max()
    assert correlation < 0.05
    neighbours = (mask[1:] * mask[:-1]).mean(0).abs().max() * 4
    assert neighbours < 0.05
    other = dropped(0.5, keys, place=4, channels=32).double() - 0.5
    assert (mask * other).mean(0).abs().max() * 4 < 0.05


def test_dropout_does_not_depend_on_the_company() -> None:
    texts = documents([5, 7, 9])
    together = flatten(texts, np.array([4, 2, 11]), key=8).keys
    assert together is not None
    for number, (text, keys) in enumerate(zip(texts, together.split([5, 7, 9]), strict=True)):
        alone = flatten([text], np.array([[4, 2, 11][number]]), key=8).keys
        assert alone is not None
        assert torch.equal(alone, keys)
    assert not torch.equal(token_keys(5, seed=8), token_keys(5, seed=9))
    assert not torch.equal(token_keys(5, number=1), token_keys(5, number=2))


def test_dropout_keeps_the_mean_and_is_off_without_keys() -> None:
    layer, ones = Dropout(0.25, 64, 0), torch.ones(2000, 64)
    assert abs(layer(ones, token_keys(2000)).mean() - 1) < 0.01
    assert torch.equal(layer(ones, None, 2 * ones), 3 * ones)
    with_residual = layer(ones, token_keys(2000), 2 * ones)
    assert torch.allclose(with_residual - 2, layer(ones, token_keys(2000)), atol=1e-6)


def test_the_gradient_of_dropout_is_its_mask() -> None:
    layer, keys = Dropout(0.5, 8, 0), token_keys(6)
    update = torch.ones(6, 8, dtype=torch.float64, requires_grad=True)
    residual = torch.ones(6, 8, dtype=torch.float64, requires_grad=True)
    layer(update, keys, residual).sum().backward()
    assert torch.equal(update.grad, layer(torch.ones(6, 8, dtype=torch.float64), keys))
    assert torch.equal(residual.grad, torch.ones(6, 8, dtype=torch.float64))


@FAMILIES
def test_initial_weights_depend_on_the_seed_and_the_name_alone(config: ModelConfig, kind: str) -> None:
    torch.manual_seed(0)
    first = build(config, kind, seed=5).state_dict()
    torch.manual_seed(1)
    again, other = build(config, kind, seed=5).state_dict(), build(config, kind, seed=6).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["trunk.embeddings.words.weight"], other["trunk.embeddings.words.weight"])
    words = first["trunk.embeddings.words.weight"]
    assert abs(words.std() - 0.3) < 0.03
