"""Matrices in whole numbers: near the model that they are of, in any company the same, and a quarter as large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from myna.errors import InputError
from myna.huggingface.folder import write_model_folder
from myna.inference.loaded import load
from myna.inference.quantize import WholeNumbers, quantize
from myna.model.heads import build
from myna.presets import model_config

from ..tasks.material import tokenizer_folder

SIZES = {"hidden_size": 64, "layers": 2, "heads": 4, "feed_forward_size": 128, "maximum_length": 40}


def test_a_product_is_that_of_the_rounded_numbers() -> None:
    """Against float64: each row of both sides in steps of a 127th of its largest number, multiplied exactly."""
    plain, rows = nn.Linear(48, 24), torch.randn(700, 48) * torch.logspace(-3, 3, 700)[:, None]
    rows[5] = 0
    with torch.no_grad():
        said = WholeNumbers(plain)(rows)
        steps = [side.abs().amax(1, keepdim=True).double().clamp(min=1e-30) / 127 for side in (rows, plain.weight)]
        whole = [(side / step).round() * step for side, step in zip((rows, plain.weight), steps, strict=True)]
        expected = whole[0] @ whole[1].T + plain.bias
        spread = (rows.norm(dim=1, keepdim=True) * plain.weight.norm(dim=1)).clamp(min=1e-3)
    # Where a number lies in the middle of two steps, float32 and float64 may round it to either.
    assert ((said - expected).abs() / spread).max() < 2e-3
    assert torch.equal(said[5], plain.bias)


@pytest.mark.parametrize("preset", ["bert-mini", "qwen3-0.6b", "convbert-mini", "cnn-mini"])
def test_a_model_in_whole_numbers_says_nearly_the_same_and_alone_as_in_company(tmp_path: Path, preset: str) -> None:
    kept = {"key_value_heads": 2, "head_size": 16} if preset.startswith("qwen") else {}
    described = model_config(preset, 135, **{**SIZES, **kept})
    write_model_folder(tmp_path / "m", build(described, "sequence", ("a", "b"), seed=3), tokenizer_folder(tmp_path), {})
    exact, whole = load(tmp_path / "m"), load(tmp_path / "m", dtype="int8")
    draw = np.random.default_rng(1)
    lines = [draw.integers(5, 60, n).tolist() for n in (30, 4, 17, 30, 9)]
    said, together = torch.stack(exact.logits(lines)), torch.stack(whole.logits(lines))
    assert (said - together).abs().max() < 0.05 * said.abs().max()
    assert not torch.equal(said, together)
    alone = torch.cat([torch.stack(whole.logits([line])) for line in lines])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


def test_an_encoder_decoder_is_refused() -> None:
    with pytest.raises(InputError, match="int8 is for models of one stack"):
        quantize(build(model_config("bart-mini", 60, **{**SIZES, "decoder_layers": 2}), "sequence_to_sequence"))
