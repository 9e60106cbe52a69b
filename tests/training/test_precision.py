"""Products in bfloat16: near the same gradients, in float32, for every kind of part."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from myna import files
from myna.model.config import ModelConfig
from myna.model.heads import build
from myna.objectives.causal import CausalLM
from myna.objectives.losses import linear_cross_entropy
from myna.objectives.masked import MaskedLM
from myna.objectives.settings import Causal, Masked
from myna.training.batches import backward, make_batches
from myna.training.settings import TrainingConfig

from ..model.test_transformer import SMALL
from ..stores import VOCABULARY, random_store
from .runs import CONFIG, metrics, run, weights

PARTS = {
    "post norm": {},
    "gated, rotary": {
        "attention": "causal",
        "norm": "rms_norm",
        "norm_place": "pre",
        "positions": "rotary",
        "query_key_norm": True,
        "key_value_heads": 1,
        "activation": "silu",
        "gated": True,
    },
    "convolution": {"mixer": "convolution", "attention": "causal"},
    "convolution and attention": {"mixer": "convolution+attention", "heads": 4, "side_weights": True},
    "relative": {"positions": "relative", "norm_place": "pre"},
    "alibi, attention dropout": {"positions": "alibi", "attention_dropout": 0.1, "window": 4},
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_gradients_in_bfloat16_are_near_those_in_float32(parts: dict) -> None:
    config = ModelConfig(**{**SMALL, "dropout": 0.1, "initializer_range": 0.1, **parts})
    causal = config.attention == "causal"
    # Both terms and the chunk's gradient go through the loss.
    settings = {"label_smoothing": 0.1, "z_loss": 1e-3}
    objective = CausalLM(VOCABULARY, Causal(**settings)) if causal else MaskedLM(VOCABULARY, Masked(**settings))
    items = objective.items([random_store([20, 31, 5, 17, 20], word=2)], 32)
    found = {}
    for precision in ("float32", "bfloat16"):
        model = build(config, objective.head, seed=1)
        loss = backward(objective, model, make_batches(objective, items, range(5), 60, 3), precision)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert {gradient.dtype for gradient in gradients} == {torch.float32}
        found[precision] = loss, torch.cat([gradient.flatten() for gradient in gradients])
    (exact, whole), (near, rough) = found["float32"], found["bfloat16"]
    assert near != exact
    assert near == pytest.approx(exact, rel=0.01)
    assert torch.cosine_similarity(whole, rough, dim=0) > 0.99
    assert rough.norm().item() == pytest.approx(whole.norm().item(), rel=0.05)


def test_what_is_summed_over_a_vocabulary_is_summed_in_float32() -> None:
    """65,536 equal logits: in bfloat16 their sum would stop at 256."""
    hidden, weight = torch.ones(2, 8), torch.ones(65_536, 8)
    with torch.autocast("cpu", torch.bfloat16):
        total = linear_cross_entropy(hidden, weight, None, torch.tensor([1, 2]))
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(2 * 16 * 0.693147, rel=1e-5)


def test_a_run_in_bfloat16_is_another_and_learns(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"precision": "bfloat16"})
    rough, exact = run(tmp_path / "rough", config=config), run(tmp_path / "exact")
    assert weights(rough) != weights(exact)
    assert all(p.dtype == torch.float32 for p in rough.parameters())
    for one, other in zip(metrics(tmp_path / "rough"), metrics(tmp_path / "exact"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=0.02)
    assert files.read_json(tmp_path / "rough" / "machine.json")["precision"] == "bfloat16"


def test_where_nothing_is_said_a_processor_is_exact(tmp_path: Path) -> None:
    assert TrainingConfig(steps=1).precision is None
    run(tmp_path)
    assert files.read_json(tmp_path / "machine.json")["precision"] == "float32"
