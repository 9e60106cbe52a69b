"""Qwen2 (arXiv:2407.10671), 2.5 and Qwen3 (arXiv:2505.09388): Llama's layers.

Qwen2 has biases where queries, keys and values are made and nowhere else, Qwen3 norms over each head's queries and
keys. Layers with a window (use_sliding_window) are refused.
"""

from __future__ import annotations

from typing import Any

from myna.huggingface.layout import Family, Field, Settings, rows_of
from myna.huggingface.llama import (
    FIELDS,
    IGNORED,
    PARTS,
    ROWS,
    UNUSED,
    heads_of,
    read,
    read_biased,
    write,
    write_biased,
)

_LAYER = "model.layers.*.self_attn"
_FIELDS = [*FIELDS, Field("maximum_length", "max_position_embeddings", 32768)]
_MUST = {"use_sliding_window": False, "use_mrope": False}
# They say nothing while use_sliding_window is off.
_HARMLESS = ("sliding_window", "max_window_layers")


def _without_windows(settings: Settings) -> None:
    settings.must(layer_types=["full_attention"] * settings.take("num_hidden_layers"))


def _read_qwen2(settings: Settings) -> dict[str, Any]:
    _without_windows(settings)
    return read(settings)


def _read_qwen3(settings: Settings) -> dict[str, Any]:
    _without_windows(settings)
    return read_biased(settings, head_size=128)


FAMILIES = {
    "qwen2": Family(
        "qwen2",
        "model.",
        _FIELDS,
        ROWS,
        heads_of("Qwen2"),
        parts=PARTS | {"output_bias": False, "feed_forward_bias": False},
        must=_MUST,
        read=_read_qwen2,
        write=write,
        unused=UNUSED,
        ignored=IGNORED,
        harmless=_HARMLESS,
    ),
    "qwen3": Family(
        "qwen3",
        "model.",
        _FIELDS,
        [
            *ROWS,
            *rows_of("trunk.blocks.*.mixer.query_norm", f"{_LAYER}.q_norm"),
            *rows_of("trunk.blocks.*.mixer.key_norm", f"{_LAYER}.k_norm"),
        ],
        heads_of("Qwen3"),
        parts=PARTS | {"feed_forward_bias": False, "query_key_norm": True},
        must=_MUST,
        read=_read_qwen3,
        write=write_biased,
        unused=UNUSED,
        ignored=IGNORED,
        harmless=_HARMLESS,
    ),
}
