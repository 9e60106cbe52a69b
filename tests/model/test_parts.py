"""Every part in every combination: documents stay apart, a decoder sees no future, the cache changes nothing.

What a part computes is compared with transformers' in ``tests/parity``; here are the contracts that hold for all.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from myna.model.cache import Cache, Memory
from myna.model.config import ModelConfig
from myna.model.flat import Flat, Run, flatten
from myna.model.heads import Model, build, last_tokens

VOCABULARY, LONGEST = 30, 32
MIXERS = ["attention", "convolution", "convolution+attention"]


@st.composite
def configs(draw: st.DrawFn, attention: str) -> ModelConfig:
    """Any combination of parts that goes together."""
    layers = draw(st.integers(1, 3))
    mixed = draw(st.lists(st.sampled_from(MIXERS), min_size=layers, max_size=layers))
    beside = "convolution+attention" in mixed
    shared = draw(st.booleans()) and not beside
    positions = draw(st.sampled_from(["learned", "sinusoidal", "rotary", "alibi", "relative", "none"]))
    if positions == "alibi" or positions == "relative":
        # A bias for each of the configured heads; a side of a mixer has fewer.
        mixed = ["attention" if mixer == "convolution+attention" else mixer for mixer in mixed]
    kernel = draw(st.sampled_from([1, 3, 5, 4] if attention == "causal" else [1, 3, 5]))
    window = draw(st.sampled_from([None, 1, 4]))
    return ModelConfig(
        vocabulary_size=VOCABULARY,
        hidden_size=16,
        layers=layers,
        heads=4,
        key_value_heads=2 if shared and "convolution+attention" not in mixed else None,
        feed_forward_size=20,
        maximum_length=LONGEST,
        embedding_size=draw(st.sampled_from([None, 8])),
        attention=attention,
        window=window,
        global_every=draw(st.sampled_from([0, 2])) if window else 0,
        query_key_norm=draw(st.booleans()),
        mixer=mixed,
        kernel_size=kernel,
        side_weights=draw(st.booleans()),
        positions=positions,
        rotary_share=draw(st.sampled_from([1.0, 0.5])),
        norm=draw(st.sampled_from(["layer_norm", "rms_norm"])),
        norm_place=draw(st.sampled_from(["post", "pre", "both"])),
        norm_epsilon=1e-5,
        activation=draw(st.sampled_from(["gelu", "gelu_tanh", "relu", "squared_relu", "silu"])),
        gated=draw(st.booleans()),
        tied=draw(st.booleans()),
        attention_dropout=draw(st.sampled_from([0.0, 0.2])),
        activation_dropout=draw(st.sampled_from([0.0, 0.2])),
        final_dropout=draw(st.sampled_from([0.0, 0.2])),
        initializer_range=0.3,
    )


def documents(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, VOCABULARY, length) for length in lengths]


LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=5).map(sorted)
EXAMPLES = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@EXAMPLES
@given(config=configs("causal") | configs("bidirectional"), lengths=LENGTHS)
def test_together_is_alone_with_dropout_too(config: ModelConfig, lengths: list[int]) -> None:
    model, texts = build(config, "masked", seed=1).double(), documents(lengths)
    numbers = np.arange(len(texts))
    for key in (None, 5):
        together = model(flatten(texts, numbers, key))
        alone = [model(flatten([text], numbers[n : n + 1], key)) for n, text in enumerate(texts)]
        assert (together - torch.cat(alone)).abs().max() <= 1e-12 * max(1.0, together.abs().max().item())


@EXAMPLES
@given(config=configs("causal"), length=st.integers(2, 12), data=st.data())
def test_no_output_has_a_gradient_from_what_follows(config: ModelConfig, length: int, data: st.DataObject) -> None:
    model = build(config, "causal", seed=1).double()
    place = data.draw(st.integers(0, length - 2))
    tokens = flatten(documents([length]))
    words = model.trunk.embeddings.words.weight.detach()[tokens.ids].clone().requires_grad_()
    model.trunk.embeddings.words.forward = lambda ids: words  # type: ignore[method-assign]
    model.trunk(tokens)[place].square().sum().backward()
    assert words.grad is not None
    assert words.grad[place + 1 :].abs().max() == 0
    assert words.grad[place].abs().max() > 0


@EXAMPLES
@given(config=configs("causal"), lengths=LENGTHS, steps=st.integers(1, 6), chunk=st.integers(1, 3))
def test_reading_on_with_the_cache_is_reading_the_whole(
    config: ModelConfig, lengths: list[int], steps: int, chunk: int
) -> None:
    """Prompts of different length together; then several tokens at a time, a row dropped half-way."""
    model, cache = build(config, "causal", seed=1).double().eval(), Cache(config.layers)
    texts, more = documents(lengths), documents([steps * chunk] * len(lengths), seed=9)
    rows = list(range(len(texts)))
    with torch.no_grad():
        start = flatten(texts)
        found = {row: [part] for row, part in enumerate(model.trunk(start, cache)[last_tokens(start)])}
        for step in range(steps):
            if step == 1 and len(rows) > 1:
                cache.select(range(1, len(rows)))
                rows = rows[1:]
            held = cache.lengths
            runs = [
                Run(n * chunk, held.count(length), chunk)
                for n, length in enumerate(held)
                if n == 0 or held[n - 1] != length
            ]
            ids = np.concatenate([more[row][step * chunk : (step + 1) * chunk] for row in rows])
            positions = (torch.tensor(held)[:, None] + torch.arange(chunk)).flatten()
            hidden = model.trunk(Flat(torch.from_numpy(ids), positions, tuple(runs)), cache)
            for row, part in zip(rows, hidden.split(chunk), strict=True):
                found[row] += list(part)
        for row, (text, rest) in enumerate(zip(texts, more, strict=True)):
            whole = model.trunk(flatten([np.concatenate([text, rest])]))[len(text) - 1 :]
            assert (whole[: len(found[row])] - torch.stack(found[row])).abs().max() <= 1e-10


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9)), min_size=1, max_size=5).map(sorted),
    positions=st.sampled_from(["learned", "relative", "rotary"]),
    norm_place=st.sampled_from(["post", "pre"]),
)
def test_a_decoder_reads_its_source_the_same_way_with_and_without_the_cache(
    lengths: list[tuple[int, int]], positions: str, norm_place: str
) -> None:
    config = ModelConfig(
        vocabulary_size=VOCABULARY,
        hidden_size=16,
        layers=1,
        decoder_layers=2,
        heads=4,
        feed_forward_size=20,
        maximum_length=LONGEST,
        positions=positions,
        norm_place=norm_place,
        initializer_range=0.3,
    )
    model = build(config, "sequence_to_sequence", seed=1).double()
    targets = documents([target for target, _ in lengths])
    sources = documents([source for _, source in lengths], seed=3)
    with torch.no_grad():
        together = model(flatten(sources), flatten(targets))
        alone = [model(flatten([s]), flatten([t])) for s, t in zip(sources, targets, strict=True)]
        assert (together - torch.cat(alone)).abs().max() <= 1e-12 * max(1.0, together.abs().max().item())
        memory = Memory.of(model.trunk.encoder(flatten(sources)), flatten(sources))
        memory.projected = {}
        cache, found = Cache(config.decoder_layers), []
        shortest = min(map(len, targets))
        for step in range(shortest):
            ids = torch.tensor([int(text[step]) for text in targets])
            one = Flat(ids, torch.full_like(ids, step), (Run(0, len(targets), 1),))
            found.append(model.head(model.trunk.decoder(one, cache, memory), one))
        for row, expected in enumerate(alone):
            assert (torch.stack(found)[:, row] - expected[:shortest]).abs().max() <= 1e-10


def test_a_prefix_is_seen_by_all_and_the_rest_backwards_only() -> None:
    config = ModelConfig(
        vocabulary_size=VOCABULARY, hidden_size=16, layers=2, heads=2, attention="prefix", initializer_range=0.3
    )
    model = build(config, "causal", seed=1).double()
    text = flatten(documents([6, 4]))
    tokens = Flat(text.ids, text.positions, text.runs, prefixes=torch.tensor([3, 1]))

    def changed_by(place: int) -> list[bool]:
        ids = tokens.ids.clone()
        ids[place] = (ids[place] + 1) % VOCABULARY
        after = model(Flat(ids, tokens.positions, tokens.runs, prefixes=tokens.prefixes))
        return (after != before).any(1).tolist()

    before = model(tokens)
    assert changed_by(2) == [True] * 6 + [False] * 4
    assert changed_by(4) == [False] * 4 + [True] * 2 + [False] * 4
    assert changed_by(7) == [False] * 7 + [True] * 3


def test_the_sides_of_a_mixer_begin_with_equal_weights() -> None:
    parts = {
        "vocabulary_size": VOCABULARY,
        "hidden_size": 16,
        "layers": 1,
        "heads": 4,
        "mixer": "convolution+attention",
    }
    plain = build(ModelConfig(**parts), "masked", seed=1).double()
    weighted = build(ModelConfig(**parts, side_weights=True), "masked", seed=1).double()
    tokens = flatten(documents([5, 9]))
    assert torch.equal(plain(tokens), weighted(tokens))


@pytest.mark.parametrize(
    "parts, message",
    [
        ({"heads": 3}, "heads = 3 does not divide hidden_size = 16"),
        ({"key_value_heads": 3}, "key_value_heads = 3 does not divide heads = 4"),
        ({"mixer": ["attention"]}, "mixer names 1 layers, and there are 4"),
        ({"mixer": ["attention"] * 4, "decoder_layers": 5}, "mixer names 4 layers, and the decoder has 5"),
        ({"mixer": "convolution", "kernel_size": 4}, "kernel_size = 4 must be odd"),
        ({"mixer": "convolution+attention", "convolution_ratio": 3}, "convolution_ratio = 3 must divide"),
        ({"mixer": "convolution", "attention": "prefix"}, 'attention = "prefix" goes with'),
        ({"mixer": "convolution+attention", "positions": "alibi"}, 'positions = "alibi"'),
        ({"positions": "rotary", "rotary_share": 0.3}, "even number of channels"),
        ({"positions": "relative", "relative_buckets": 3}, "relative_buckets = 3 must be 4 at least"),
        ({"positions": "relative", "relative_distance": 16}, "less than relative_distance = 16"),
        ({"rotary_scaling": {"kind": "llama3", "factor": 2.0, "low_frequency_factor": 4.0}}, "must be less than"),
        ({"global_every": 2}, "set window too"),
        ({"decoder_layers": 2, "window": 3}, "an encoder-decoder has"),
        ({"layer_groups": 3}, "layer_groups = 3 must divide layers"),
        ({"positions": "somewhere"}, "Input should be 'learned', 'sinusoidal'"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(parts: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**{"vocabulary_size": VOCABULARY, "hidden_size": 16, **parts})


def test_gradients_reach_every_weight() -> None:
    """A part that is built and never used would train for nothing."""
    config = ModelConfig(
        vocabulary_size=VOCABULARY,
        hidden_size=16,
        layers=3,
        heads=4,
        mixer=MIXERS,
        side_weights=True,
        segments=2,
        embedding_size=8,
        query_key_norm=True,
        tied=False,
    )
    model: Model = build(config, "masked", seed=1)
    model(flatten(documents([5, 9]))).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


def test_the_last_dropout_is_of_the_hidden_states_after_the_last_norm() -> None:
    sizes = {"vocabulary_size": VOCABULARY, "hidden_size": 64, "layers": 1, "heads": 2, "feed_forward_size": 20}
    config = ModelConfig(**sizes, norm_place="pre", dropout=0.0, final_dropout=0.25)
    model, texts = build(config, "masked", seed=1), documents([40] * 10)
    whole = model.trunk(flatten(texts, np.arange(10), None))
    dropped = model.trunk(flatten(texts, np.arange(10), 3))
    assert abs((dropped == 0).float().mean().item() - 0.25) < 0.01
    assert torch.allclose(dropped[dropped != 0], whole[dropped != 0] / 0.75)
