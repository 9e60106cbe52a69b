"""The models that a budget chooses among, where a recipe names none: one family for each kind of objective.

Sizes are those of the demo, of its longer recipe and of the presets. An encoder is of convolution, which learns most
from little text (docs/models.md); where the first token must see all of a text it is of attention.
"""

from __future__ import annotations

from typing import Any

from myna.objectives.settings import Declaration

# Width and layers, the smallest first.
SIZES = ((128, 2), (192, 3), (256, 4), (384, 6), (512, 8), (768, 12))
_LONGEST = 128
# Above this width the first weights are as BERT's; below, a larger spread learns sooner.
_NARROW = 256


def models(needed: Declaration) -> list[tuple[str, dict[str, Any]]]:
    """The models for an objective with these needs, the smallest first: a preset and changes to its parts."""
    return [_model(needed, width, layers) for width, layers in SIZES]


def _model(needed: Declaration, width: int, layers: int) -> tuple[str, dict[str, Any]]:
    parts: dict[str, Any] = {
        "hidden_size": width,
        "layers": layers,
        "heads": width // 64,
        "feed_forward_size": 4 * width,
        "maximum_length": _LONGEST,
        "initializer_range": 0.05 if width <= _NARROW else 0.02,
        "dropout": 0.0,
    }
    if needed.two_stacks:
        return "bart-tiny", {**parts, "decoder_layers": layers}
    if "bidirectional" in needed.attention:
        return "cnn-tiny" if needed.mixes else "bert-tiny", parts
    return "gpt-tiny", parts if "causal" in needed.attention else {**parts, "attention": "prefix"}
