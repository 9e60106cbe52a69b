"""Layouts of Hugging Face, read and written by one table a family.

A row of a table names a tensor of ours and the tensors of theirs that it is made of: one, or several side by side
along the output (queries, keys, values). ``transposed`` marks GPT-2's ``Conv1D``, which keeps a matrix the other way.
``*`` stands for the number of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from torch import Tensor

from myna.errors import InputError
from myna.model.config import ModelConfig
from myna.model.heads import Model
from myna.settings import reason


class Row(NamedTuple):
    """Our name, theirs, and whether theirs is transposed."""

    ours: str
    theirs: tuple[str, ...]
    transposed: bool = False


def _pairs(ours: str, *theirs: str, transposed: bool = False) -> list[Row]:
    """The rows of a weight and its bias."""
    return [
        Row(f"{ours}.weight", tuple(f"{name}.weight" for name in theirs), transposed),
        Row(f"{ours}.bias", tuple(f"{name}.bias" for name in theirs)),
    ]


_BERT_LAYER = "bert.encoder.layer.*"
_BERT_PROJECTIONS = [f"{_BERT_LAYER}.attention.self.{part}" for part in ("query", "key", "value")]
_BERT_TRUNK = [
    Row("trunk.embeddings.words.weight", ("bert.embeddings.word_embeddings.weight",)),
    Row("trunk.embeddings.positions.weight", ("bert.embeddings.position_embeddings.weight",)),
    Row("trunk.embeddings.segments.weight", ("bert.embeddings.token_type_embeddings.weight",)),
    *_pairs("trunk.first_norm", "bert.embeddings.LayerNorm"),
    *_pairs("trunk.blocks.*.mixer.projection", *_BERT_PROJECTIONS),
    *_pairs("trunk.blocks.*.mixer.output", f"{_BERT_LAYER}.attention.output.dense"),
    *_pairs("trunk.blocks.*.mixer_norm", f"{_BERT_LAYER}.attention.output.LayerNorm"),
    *_pairs("trunk.blocks.*.feed_forward.inner", f"{_BERT_LAYER}.intermediate.dense"),
    *_pairs("trunk.blocks.*.feed_forward.output", f"{_BERT_LAYER}.output.dense"),
    *_pairs("trunk.blocks.*.feed_forward_norm", f"{_BERT_LAYER}.output.LayerNorm"),
]
_BERT_HEADS = {
    "masked": [
        *_pairs("head.dense", "cls.predictions.transform.dense"),
        *_pairs("head.norm", "cls.predictions.transform.LayerNorm"),
        Row("head.bias", ("cls.predictions.bias",)),
    ],
    "sequence": [*_pairs("head.dense", "bert.pooler.dense"), *_pairs("head.output", "classifier")],
    "token": _pairs("head.output", "classifier"),
}
_GPT2_TRUNK = [
    Row("trunk.embeddings.words.weight", ("transformer.wte.weight",)),
    Row("trunk.embeddings.positions.weight", ("transformer.wpe.weight",)),
    *_pairs("trunk.blocks.*.mixer_norm", "transformer.h.*.ln_1"),
    *_pairs("trunk.blocks.*.mixer.projection", "transformer.h.*.attn.c_attn", transposed=True),
    *_pairs("trunk.blocks.*.mixer.output", "transformer.h.*.attn.c_proj", transposed=True),
    *_pairs("trunk.blocks.*.feed_forward_norm", "transformer.h.*.ln_2"),
    *_pairs("trunk.blocks.*.feed_forward.inner", "transformer.h.*.mlp.c_fc", transposed=True),
    *_pairs("trunk.blocks.*.feed_forward.output", "transformer.h.*.mlp.c_proj", transposed=True),
    *_pairs("trunk.last_norm", "transformer.ln_f"),
]
# Copies and buffers that older files carry beside the weights; they say nothing new.
_IGNORED = ("cls.predictions.decoder.", "lm_head.weight", ".position_ids", ".attn.bias", ".attn.masked_bias")
# What our BERT heads do not have: the pooler of a model that ends in something else.
_UNUSED = ("bert.pooler.", "cls.seq_relationship.")
_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}


@dataclass(frozen=True)
class Family:
    """How a family is called, configured and laid out."""

    model_type: str
    prefix: str
    trunk: list[Row]
    heads: dict[str, list[Row]]
    architectures: dict[str, str]
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    write: Callable[[ModelConfig], dict[str, Any]]

    def rows(self, config: ModelConfig, kind: str) -> list[Row]:
        """The table of one model, a row for each of its tensors."""
        rows: list[Row] = []
        for row in [*self.trunk, *self.heads[kind]]:
            if "*" not in row.ours:
                rows.append(row)
                continue
            for n in range(config.layers):
                theirs = tuple(name.replace("*", str(n)) for name in row.theirs)
                rows.append(Row(row.ours.replace("*", str(n)), theirs, row.transposed))
        return rows


def _must(settings: Mapping[str, Any], **expected: Any) -> None:
    """Refuses a setting that this stack does not have, by its name. A missing one has the expected value."""
    for name, value in expected.items():
        if settings.get(name, value) != value:
            raise InputError(f"config.json: {name} = {settings[name]!r} is not supported, only {value!r}")


def _activation(settings: Mapping[str, Any], name: str, default: str) -> str:
    value = settings.get(name, default)
    if value not in _ACTIVATIONS:
        raise InputError(f"config.json: {name} = {value!r} is not supported, only {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[value]


def _read_bert(settings: Mapping[str, Any]) -> dict[str, Any]:
    _must(settings, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    _must(settings, tie_word_embeddings=True)
    return {
        "vocabulary_size": settings["vocab_size"],
        "hidden_size": settings["hidden_size"],
        "layers": settings["num_hidden_layers"],
        "heads": settings["num_attention_heads"],
        "feed_forward_size": settings["intermediate_size"],
        "maximum_length": settings["max_position_embeddings"],
        "segments": settings.get("type_vocab_size", 2),
        "norm_epsilon": settings.get("layer_norm_eps", 1e-12),
        "activation": _activation(settings, "hidden_act", "gelu"),
        "dropout": settings.get("hidden_dropout_prob", 0.1),
        "initializer_range": settings.get("initializer_range", 0.02),
        "attention": "bidirectional",
        "norm": "post",
    }


def _write_bert(config: ModelConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.feed_forward_size,
        "max_position_embeddings": config.maximum_length,
        "type_vocab_size": config.segments,
        "layer_norm_eps": config.norm_epsilon,
        "hidden_act": "gelu" if config.activation == "gelu" else "gelu_new",
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": config.initializer_range,
    }


def _read_gpt2(settings: Mapping[str, Any]) -> dict[str, Any]:
    _must(settings, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, reorder_and_upcast_attn=False)
    _must(settings, tie_word_embeddings=True, add_cross_attention=False)
    width = settings["n_embd"]
    return {
        "vocabulary_size": settings["vocab_size"],
        "hidden_size": width,
        "layers": settings["n_layer"],
        "heads": settings["n_head"],
        "feed_forward_size": settings.get("n_inner") or 4 * width,
        "maximum_length": settings["n_positions"],
        "segments": 0,
        "norm_epsilon": settings.get("layer_norm_epsilon", 1e-5),
        "activation": _activation(settings, "activation_function", "gelu_new"),
        "dropout": settings.get("resid_pdrop", 0.1),
        "initializer_range": settings.get("initializer_range", 0.02),
        "attention": "causal",
        "norm": "pre",
    }


def _write_gpt2(config: ModelConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocabulary_size,
        "n_embd": config.hidden_size,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_inner": config.feed_forward_size,
        "n_positions": config.maximum_length,
        "layer_norm_epsilon": config.norm_epsilon,
        "activation_function": "gelu" if config.activation == "gelu" else "gelu_new",
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": 0.0,
        "initializer_range": config.initializer_range,
    }


FAMILIES = {
    "bert": Family(
        "bert",
        "bert.",
        _BERT_TRUNK,
        _BERT_HEADS,
        {
            "masked": "BertForMaskedLM",
            "sequence": "BertForSequenceClassification",
            "token": "BertForTokenClassification",
        },
        _read_bert,
        _write_bert,
    ),
    "gpt2": Family(
        "gpt2", "transformer.", _GPT2_TRUNK, {"causal": []}, {"causal": "GPT2LMHeadModel"}, _read_gpt2, _write_gpt2
    ),
}


def family_of(config: ModelConfig) -> Family:
    """The family in whose layout a model is saved."""
    return FAMILIES["gpt2" if config.attention == "causal" else "bert"]


def settings_of(model: Model) -> dict[str, Any]:
    """The content of ``config.json``, the special tokens aside."""
    family = family_of(model.config)
    settings: dict[str, Any] = {"architectures": [family.architectures[model.kind]], "model_type": family.model_type}
    settings |= family.write(model.config) | {"tie_word_embeddings": True, "dtype": "float32"}
    if model.labels:
        settings["id2label"] = {str(number): name for number, name in enumerate(model.labels)}
        settings["label2id"] = {name: number for number, name in enumerate(model.labels)}
    return settings


def tensors_of(model: Model) -> dict[str, Tensor]:
    """The weights under the names and in the shapes of the family."""
    ours = dict(model.named_parameters())
    theirs: dict[str, Tensor] = {}
    for row in family_of(model.config).rows(model.config, model.kind):
        tensor = ours.pop(row.ours).detach()
        for name, part in zip(row.theirs, tensor.chunk(len(row.theirs)), strict=True):
            theirs[name] = (part.T if row.transposed else part).contiguous()
    assert not ours, f"no name for {sorted(ours)}"
    return theirs


def model_of(settings: Mapping[str, Any], tensors: Mapping[str, Tensor], where: Path) -> Model:
    """A model from the content of ``config.json`` and the tensors of ``model.safetensors``.

    A bare trunk (``BertModel``) is given the head of a language model, new; its weights are zero.
    """
    family = FAMILIES.get(str(settings.get("model_type")))
    if family is None:
        known = ", ".join(FAMILIES)
        raise InputError(f"config.json: model_type = {settings.get('model_type')!r} is not one of {known}", where=where)
    try:
        config = ModelConfig(**family.read(settings))
    except KeyError as error:
        raise InputError(f"config.json: {error.args[0]} is missing", where=where) from None
    except ValidationError as error:
        raise InputError(f"config.json: {reason(error)}", where=where) from None
    kind, bare = _kind(family, settings)
    labels = _labels(settings) if kind in ("sequence", "token") else []
    with torch.device("meta"):
        model = Model(config, kind, labels)
    given = {_full_name(name, family): tensor for name, tensor in tensors.items() if not _ignored(name)}
    ours: dict[str, Tensor] = {}
    expected = {name: p.shape for name, p in model.named_parameters()}
    for row in family.rows(config, kind):
        if bare and row.ours.startswith("head."):
            ours[row.ours] = torch.zeros(expected[row.ours])
            continue
        ours[row.ours] = _joined(row, given, expected[row.ours], where)
    left = [name for name in given if not name.startswith(_UNUSED)]
    if left:
        raise InputError(f"there is no place for the tensor {left[0]} in this model", where=where)
    model.load_state_dict(ours, assign=True)
    return model


def _kind(family: Family, settings: Mapping[str, Any]) -> tuple[str, bool]:
    kinds = {architecture: kind for kind, architecture in family.architectures.items()}
    kinds |= {"BertForPreTraining": "masked"} if family.model_type == "bert" else {}
    named = (settings.get("architectures") or [None])[0]
    if named in kinds:
        return kinds[named], False
    return next(iter(family.heads)), True


def _labels(settings: Mapping[str, Any]) -> list[str]:
    # transformers leaves out the names of two classes that were given none.
    names = settings.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    return [names[str(number)] for number in range(len(names))]


def _ignored(name: str) -> bool:
    return name.startswith(_IGNORED[:2]) or name.endswith(_IGNORED[2:])


def _full_name(name: str, family: Family) -> str:
    """The name in a model with a head: a bare trunk's tensors stand without the prefix."""
    # The oldest files call a norm's weight and bias so.
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    heads = ("cls.", "classifier.", "score.")
    return name if name.startswith((family.prefix, *heads)) else family.prefix + name


def _joined(row: Row, given: dict[str, Tensor], shape: torch.Size, where: Path) -> Tensor:
    parts = []
    for name in row.theirs:
        if name not in given:
            raise InputError(f"the tensor {name} is missing", where=where)
        part = given.pop(name)
        parts.append(part.T if row.transposed else part)
    tensor = torch.cat(parts).to(torch.float32) if len(parts) > 1 else parts[0].to(torch.float32).contiguous()
    if tensor.shape != shape:
        found = " and ".join(row.theirs)
        raise InputError(f"the tensor {found} is {tuple(tensor.shape)}, not {tuple(shape)}", where=where)
    return tensor
