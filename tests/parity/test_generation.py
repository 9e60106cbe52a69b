"""Decoding against transformers, token by token: decoders, encoder-decoders, and through foreign tokenizers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from myna.errors import InputError
from myna.inference.generate import Beams, Rules, write
from myna.inference.loaded import load
from myna.inference.manner import Manner

BART = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
SIZES = {"d_model": 32, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
LLAMA = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
IDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
PROMPTS = [[0, 7, 9, 2], [0, 2], [0, 5, 40, 8, 9, 31, 2], [0, 8, 9, 2]]
MAKE: dict[str, Callable[[int], Any]] = {
    "bart": lambda size: transformers.BartForConditionalGeneration(
        transformers.BartConfig(vocab_size=size, **BART, **SIZES, **IDS, scale_embedding=True)
    ),
    "t5": lambda size: transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=size,
            d_model=32,
            d_kv=8,
            d_ff=48,
            num_layers=2,
            num_heads=4,
            relative_attention_num_buckets=8,
            decoder_start_token_id=1,
            **IDS,
        )
    ),
    "gpt2": lambda size: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=size, n_positions=40, n_embd=32, n_layer=2, n_head=4, **IDS)
    ),
    "llama": lambda size: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(vocab_size=size, num_key_value_heads=2, **LLAMA, **{**IDS, "eos_token_id": [2, 3]})
    ),
}


def made(family: str, folder: Path, size: int = 60) -> Any:
    """A model of transformers whose weights are large enough for texts to differ, saved to a folder."""
    torch.manual_seed(2)
    model = MAKE[family](size).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1 if parameter.shape[0] == size else 0.8)
    if family == "bart":
        model.generation_config.forced_bos_token_id = 0
    model.save_pretrained(folder)
    return model


def theirs(model: Any, ids: list[int], tokens: int) -> list[int]:
    """What theirs writes after a prompt, or having read it."""
    given = torch.tensor([ids])
    mask = torch.ones_like(given)
    with torch.inference_mode():
        line = model.generate(given, attention_mask=mask, do_sample=False, max_new_tokens=tokens, num_beams=1)[0]
    return line[1 if model.config.is_encoder_decoder else len(ids) :].tolist()


@pytest.mark.parametrize("family", MAKE)
def test_greedy_decoding_is_theirs_token_by_token(family: str, tmp_path: Path) -> None:
    model = made(family, tmp_path)
    ours = load(tmp_path)
    forced = {"start": 2, "first": 0, "last": 2} if family == "bart" else {"start": 1} if family == "t5" else {}
    manner = Manner((2, 3) if family == "llama" else (2,), **forced)
    found = write(ours.model, [np.array(ids) for ids in PROMPTS], 15, manner)
    assert found == [theirs(model, ids, 15) for ids in PROMPTS]
    assert len({tuple(line) for line in found}) >= 3
    assert max(len(set(line)) for line in found) > 3


# A hundred prompts, half of each length, for theirs to be read without padding; few pieces, for ends to come.
PIECES = 14
MANY = [np.random.default_rng(n).integers(4, PIECES, length) for length in (4, 7) for n in range(50)]
WAYS: list[tuple[dict[str, Any], Beams | None, Rules]] = [
    ({}, None, Rules()),
    ({"no_repeat_ngram_size": 2}, None, Rules(no_repeat=2)),
    ({"no_repeat_ngram_size": 1, "min_new_tokens": 4}, None, Rules(no_repeat=1, min_tokens=4)),
    ({"repetition_penalty": 1.7, "min_new_tokens": 3}, None, Rules(repetition_penalty=1.7, min_tokens=3)),
    ({"num_beams": 2}, Beams(2), Rules()),
    ({"num_beams": 3, "length_penalty": 0.0, "early_stopping": True}, Beams(3, 0.0, True), Rules()),
    ({"num_beams": 4, "length_penalty": 2.0, "early_stopping": "never"}, Beams(4, 2.0, "never"), Rules()),
    ({"num_beams": 5, "length_penalty": 0.6, "no_repeat_ngram_size": 3}, Beams(5, 0.6), Rules(no_repeat=3)),
    ({"num_beams": 6, "repetition_penalty": 1.3, "min_new_tokens": 3}, Beams(6), Rules(3, 1.3)),
    ({"num_beams": 7, "length_penalty": -1.0, "early_stopping": "never"}, Beams(7, -1.0, "never"), Rules()),
    ({"num_beams": 8, "length_penalty": 1.5, "early_stopping": True}, Beams(8, 1.5, True), Rules()),
]


def _asked(way: tuple[dict[str, Any], Beams | None, Rules]) -> str:
    return " ".join(f"{name}={value}" for name, value in way[0].items()) or "greedy"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Any, Manner]]:
    """By family: a model of theirs, the same of ours, and how it writes."""

    @functools.cache
    def pair(family: str) -> tuple[Any, Any, Manner]:
        folder = tmp_path_factory.mktemp(family)
        model = made(family, folder, PIECES)
        ends = {"llama": (2, 3)}.get(family, (2,))
        forced: dict[str, int] = {"bart": {"start": 2, "first": 0, "last": 2}, "t5": {"start": 1}}.get(family, {})
        return model, load(folder).model, Manner(ends, **forced)

    return pair


# The search is one for all families: two go all ways, and the others see that their parts go with it.
@pytest.mark.parametrize(
    "family, way",
    [(f, way) for f in MAKE for n, way in enumerate(WAYS) if f in ("gpt2", "bart") or n % 3 == 0],
    ids=lambda value: value if isinstance(value, str) else _asked(value),
)
def test_what_is_written_is_theirs_token_by_token(
    pairs: Callable[[str], tuple[Any, Any, Manner]], family: str, way: tuple[Any, ...]
) -> None:
    model, ours, manner = pairs(family)
    asked, beams, rules = way
    expected: list[list[int]] = []
    for first in range(0, len(MANY), 50):
        given = torch.tensor(np.array(MANY[first : first + 50]))
        with torch.inference_mode():
            lines = model.generate(
                given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=10, **asked
            )
        lines = lines[:, 1 if model.config.is_encoder_decoder else given.shape[1] :].tolist()
        expected += [_ended(line, manner.ends) for line in lines]
    # Shuffled, so that rows of one length do not come in the order they are given.
    order = np.random.default_rng(0).permutation(len(MANY))
    found = write(ours, [MANY[number] for number in order], 10, manner, beams, rules)
    assert found == [expected[number] for number in order]
    assert len({tuple(line) for line in found}) > 10
    assert min(map(len, found)) < 10 or family == "bart" or (beams and beams.length_penalty > 1)


def _ended(line: list[int], ends: tuple[int, ...]) -> list[int]:
    """A line up to its end, without the padding after it."""
    first = next((place for place, token in enumerate(line) if token in ends), len(line) - 1)
    return line[: first + 1]


VOCABULARY = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnop", *(f"▁{c}" for c in "abcdefghijklmnop")]
SYMBOLS = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]


def tokenizer_of(kind: str, folder: Path) -> Any:
    """A tokenizer of a kind, as transformers saves it."""
    if kind == "unigram":
        backend = tokenizers.Tokenizer(models.Unigram([(piece, -1.0 - len(piece)) for piece in VOCABULARY], unk_id=3))
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    elif kind == "wordpiece":
        pieces = [*VOCABULARY[:4], *"abcdefghijklmnop", *(f"##{c}" for c in "abcdefghijklmnop")]
        backend = tokenizers.Tokenizer(models.WordPiece({p: n for n, p in enumerate(pieces)}, unk_token="<unk>"))
        backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece(cleanup=False)
    else:
        backend = tokenizers.Tokenizer(models.BPE({piece: n for n, piece in enumerate(SYMBOLS)}, []))
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 2)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "byte_bpe"])
@pytest.mark.parametrize("family", ["bart", "llama"])
def test_the_text_is_theirs_through_a_foreign_tokenizer(family: str, kind: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(kind, tmp_path)
    model = made(family, tmp_path, len(tokenizer))
    ours = load(tmp_path)
    for prompt in ("a bad cab", "pile on"):
        ids = tokenizer(prompt)["input_ids"]
        written = theirs(model, ids, 12)
        made_here = ours.generate(prompt, tokens=12, temperature=0)
        assert made_here.tokens == len(written)
        assert "".join(ours.stream(prompt, tokens=12, temperature=0)) == made_here.text
        whole = written if family == "bart" else ids + written
        text = tokenizer.decode(whole, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        shown = made_here.whole
        # What is left of a character that was cut in two is told in one way or the other.
        assert shown.replace("\ufffd", "") == text.replace("\ufffd", "") or text == ours.tokenizer.decode(whole)


def test_a_prompt_as_long_as_the_window_is_read_by_an_encoder_and_not_by_a_decoder(tmp_path: Path) -> None:
    tokenizer_of("wordpiece", tmp_path)
    model = made("gpt2", tmp_path, 36)
    with pytest.raises(InputError, match="has 42 tokens, the model reads 40"):
        load(tmp_path).generate("a " * 40, temperature=0)
    assert model.config.n_positions == 40
