"""A model's folder: a Hugging Face layout, with ``myna.json`` (what it is, checksums) and a model card beside.

``config.json``, ``model.safetensors``, ``tokenizer.json``, ``tokenizer_config.json``, ``myna.json``, ``README.md``.
No pickle is read or written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save

from myna import files
from myna.errors import InputError
from myna.huggingface.families import model_of, settings_of, tensors_of
from myna.huggingface.weights import Weights
from myna.model.heads import Model

FORMAT = 1


def write_model_folder(folder: Path, model: Model, tokenizer_folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes the model, whole or not at all. ``facts`` go into ``myna.json`` and the card."""
    named = _tokenizer_settings(tokenizer_folder)
    with files.new_folder(folder) as place:
        content = {
            "config.json": _json({**settings_of(model), **_special_ids(tokenizer_folder, model)}),
            "tokenizer.json": (tokenizer_folder / "tokenizer.json").read_bytes(),
            "tokenizer_config.json": _json({**named, "model_max_length": model.config.maximum_length}),
            "model.safetensors": save(tensors_of(model), metadata={"format": "pt"}),
            "README.md": _card(model, facts).encode(),
        }
        for name, data in content.items():
            with files.open_new(place / name) as stream:
                stream.write(data)
        described = {"format": FORMAT, "kind": model.kind, "labels": list(model.labels), **facts}
        described["files"] = files.manifest(place)
        with files.open_new(place / "myna.json") as stream:
            stream.write(_json(described))


def read_model_folder(folder: Path | str) -> tuple[Model, dict[str, Any]]:
    """The model in a folder of ours or of Hugging Face, and the facts of ``myna.json`` (empty where there is none).

    A missing, truncated or changed file, or a tensor that is not a number, is an :class:`InputError` that names it.
    """
    folder = Path(folder)
    files.check_folder(folder)
    facts: dict[str, Any] = {}
    if (folder / "myna.json").exists():
        facts = files.read_object(folder / "myna.json")
        if facts.get("format") != FORMAT:
            raise InputError(f"format {facts.get('format')} is not known to this version", where=folder / "myna.json")
        files.verify(folder, facts.get("files"))
    if not (folder / "config.json").exists():
        raise InputError("this is not a model's folder: it has no config.json", where=folder)
    settings = files.read_object(folder / "config.json")
    weights = Weights(folder)
    try:
        return model_of(settings, weights), facts
    except InputError as error:
        if error.where is None:
            raise InputError(error.what, where=folder, remedy=error.remedy) from None
        raise


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _tokenizer_settings(tokenizer_folder: Path) -> dict[str, Any]:
    """The content of ``tokenizer_config.json``, which older folders do not have."""
    path = tokenizer_folder / "tokenizer_config.json"
    return files.read_object(path) if path.exists() else {}


def _special_ids(tokenizer_folder: Path, model: Model) -> dict[str, int]:
    """The ids of special tokens, by the names that ``config.json`` has for them."""
    settings = _tokenizer_settings(tokenizer_folder)
    added = files.read_object(tokenizer_folder / "tokenizer.json").get("added_tokens", [])
    ids = {token["content"]: token["id"] for token in added}
    names = {"pad_token": "pad_token_id", "bos_token": "bos_token_id", "eos_token": "eos_token_id"}
    found = {name: ids[settings[token]] for token, name in names.items() if settings.get(token) in ids}
    first = ids.get(settings.get("cls_token") or settings.get("bos_token"))
    if model.config.decoder_layers and first is not None:
        found["decoder_start_token_id"] = first  # what every target is written behind
    return found


def _card(model: Model, facts: Mapping[str, Any]) -> str:
    kinds = {
        "masked": ("fill-mask", "A masked language model (encoder)"),
        "causal": ("text-generation", "A causal language model (decoder)"),
        "sequence": ("text-classification", "A text classifier"),
        "token": ("token-classification", "A tagger"),
        "span": ("question-answering", "A model that finds answers in a text"),
        "replaced": ("feature-extraction", "A detector of replaced tokens (encoder)"),
        "sentences": ("feature-extraction", "A chooser of sentences"),
        "sequence_to_sequence": ("text2text-generation", "An encoder-decoder"),
    }
    tag, what = kinds[model.kind]
    count = sum(parameter.numel() for parameter in model.parameters())
    lines = ["---", "library_name: transformers", f"pipeline_tag: {tag}", "tags: [myna]", "---", ""]
    lines += [f"# {facts.get('name', 'model')}", "", f"{what} of {count:,} parameters, made with Myna.", ""]
    if model.labels:
        lines += [f"Labels: {', '.join(model.labels)}.", ""]
    lines += [
        f"- {key.replace('_', ' ')}: {value}" for key, value in facts.items() if isinstance(value, (str, int, float))
    ]
    return "\n".join(lines) + "\n"
