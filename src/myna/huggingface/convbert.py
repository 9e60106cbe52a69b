"""ConvBERT (Jiang et al. 2020, arXiv:2008.02496): ELECTRA's frame, half of a layer is convolution."""

from __future__ import annotations

from myna.huggingface.bert import attention_rows, layer_rows
from myna.huggingface.electra import (
    CLASSIFIER,
    FIELDS,
    GELU,
    GENERATOR,
    HARMLESS,
    MUST,
    NONE,
    UNUSED,
    read,
    wide_rows,
    write,
)
from myna.huggingface.layout import Family, Field, Head, Row, rows_of

_LAYER = "convbert.encoder.layer.*"
_MIXER, _SELF = "trunk.blocks.*.mixer", f"{_LAYER}.attention.self"

FAMILIES = {
    "convbert": Family(
        "convbert",
        "convbert.",
        [*FIELDS, Field("convolution_ratio", "head_ratio", 2), Field("kernel_size", "conv_kernel_size", 9)],
        [
            *wide_rows("convbert."),
            *attention_rows(_LAYER, f"{_MIXER}.attention"),
            Row(f"{_MIXER}.depthwise.weight", (f"{_SELF}.key_conv_attn_layer.depthwise.weight",)),
            Row(f"{_MIXER}.pointwise.weight", (f"{_SELF}.key_conv_attn_layer.pointwise.weight",), unsqueezed=-1),
            Row(f"{_MIXER}.pointwise.bias", (f"{_SELF}.key_conv_attn_layer.bias",), unsqueezed=-1),
            *rows_of(f"{_MIXER}.kernels", f"{_SELF}.conv_kernel_layer"),
            *rows_of(f"{_MIXER}.values", f"{_SELF}.conv_out_layer"),
            *layer_rows(_LAYER),
        ],
        {
            "masked": Head("ConvBertForMaskedLM", GENERATOR, GELU),
            "sequence": Head("ConvBertForSequenceClassification", CLASSIFIER, {"norm": False}),
            "token": Head("ConvBertForTokenClassification", rows_of("head.output", "classifier"), NONE),
            "span": Head("ConvBertForQuestionAnswering", rows_of("head.output", "qa_outputs"), NONE),
        },
        parts={"mixer": "convolution+attention"},
        # Feed-forward layers in groups, which no stack here has.
        must={**MUST, "num_groups": 1},
        read=read,
        write=write,
        ignored=(".position_ids",),
        unused=UNUSED,
        harmless=HARMLESS,
    )
}
