"""A model's folder: a Hugging Face layout, with ``myna.json`` (what it is, checksums) and a model card beside.

``config.json``, ``model.safetensors`` (or shards and their index), ``tokenizer.json``, ``tokenizer_config.json``,
``myna.json``, ``README.md``.
No pickle is read or written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from myna import files
from myna.errors import InputError
from myna.huggingface.families import bare_settings_of, empty_model, settings_of, tensors_of
from myna.huggingface.layout import Family, TensorError, quoted
from myna.huggingface.weights import ADAPTER_CONFIG, ADAPTERS, SINGLE, Weights, is_adapted, write_weights
from myna.model.heads import Model

FORMAT = 1
# The kind, in ``myna.json``, of what was trained as a trunk without a head.
TRUNK = "trunk"
_CONFIG = "config.json"


@dataclass(frozen=True)
class ModelFolder:
    """A model's folder, read: ``settings`` are its ``config.json``, ``facts`` its ``myna.json`` (empty: there is none).

    ``bare`` says that it holds a trunk, whose head here is zeros; ``left`` names tensors that the model has no use for.
    """

    model: Model
    settings: dict[str, Any]
    facts: dict[str, Any]
    family: Family
    bare: bool
    left: list[str]

    @property
    def embeddings(self) -> str:
        """The name of the tensor that has a row for each piece."""
        words = self.model.trunk.embeddings.words.weight
        return next(row.theirs[0] for row, tensor in self.family.placed(self.model) if tensor is words)


# ``adapter_config.json``, and the tensors of ``adapter_model.safetensors`` (``adapters.py``).
Adapters = tuple[dict[str, Any], dict[str, Tensor]]


def write_model_folder(
    folder: Path,
    model: Model,
    tokenizer_folder: Path,
    facts: Mapping[str, Any],
    chat_template: str | None = None,
    within: Mapping[str, Path] = MappingProxyType({}),
    adapters: Adapters | None = None,
    bare: bool = False,
) -> None:
    """Writes the model, its ``bare`` trunk, or its ``adapters``, whole or not at all.

    ``facts`` go into ``myna.json`` and the card.

    ``within`` are folders of other models that it needs, by the names that their copies have in its own.
    """
    kind = TRUNK if bare else model.kind
    settings = bare_settings_of(model) if bare else settings_of(model)
    named = _tokenizer_settings(tokenizer_folder)
    if chat_template is not None:
        named = {**named, "chat_template": chat_template}
    with files.new_folder(folder) as place:
        for name, other in within.items():
            files.copy_folder(other, place / name)
        content = {
            _CONFIG: to_json({**settings, **_special_ids(tokenizer_folder, model)}),
            "tokenizer.json": (tokenizer_folder / "tokenizer.json").read_bytes(),
            "tokenizer_config.json": to_json({**named, "model_max_length": model.config.maximum_length}),
            "README.md": _card(model, kind, facts).encode(),
        }
        described = {"kind": kind, "labels": list(model.labels), **facts}
        if adapters is None:
            fill(place, content, tensors_of(model, bare), described)
        else:
            fill(place, content | {ADAPTER_CONFIG: to_json(adapters[0])}, adapters[1], described, single=ADAPTERS)


def fill(
    place: Path,
    content: Mapping[str, bytes],
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    shard_size: int | None = None,
    single: str = SINGLE,
) -> None:
    """Puts files, weights and last ``myna.json`` into a new folder; beyond ``shard_size`` bytes weights are cut."""
    for name, data in content.items():
        with files.open_new(place / name) as stream:
            stream.write(data)
    write_weights(place, tensors, shard_size, single)
    described = {"format": FORMAT, **facts, "files": files.manifest(place)}
    with files.open_new(place / "myna.json") as stream:
        stream.write(to_json(described))


def read_model_folder(folder: Path | str) -> tuple[Model, dict[str, Any]]:
    """The model in a folder, in float32, and the facts of its ``myna.json``; errors as :func:`open_model_folder`."""
    found = open_model_folder(folder, torch.float32)
    return found.model, found.facts


def open_model_folder(
    folder: Path | str,
    dtype: torch.dtype | None = None,
    pickled: Mapping[str, Tensor] | None = None,
    wider: bool = False,
) -> ModelFolder:
    """What is in a folder of ours or of Hugging Face. ``dtype`` is what its weights become; None: what each is.

    With ``wider`` weights in float64 make it that. ``pickled`` are the tensors of a folder without safetensors, read
    by who trusts it. A missing, truncated or changed file, or a tensor that does not fit or is not a number, is an
    :class:`InputError` that names it.
    """
    folder = Path(folder)
    facts = read_facts(folder)
    settings = read_settings(folder)
    if pickled is None and is_adapted(folder):
        from myna.huggingface.adapters import open_adapted

        return open_adapted(folder, settings, facts, dtype, wider)
    tensors = Weights(folder) if pickled is None else pickled
    if wider and isinstance(tensors, Weights) and "F64" in tensors.dtypes:
        dtype = torch.float64
    try:
        model, family, bare = empty_model(settings, len(tensors))
        left = family.load(model, tensors, bare, dtype)
    except TensorError as error:
        place = tensors.file_of(error.tensor) if isinstance(tensors, Weights) else folder
        raise error.at(place) from None
    except InputError as error:
        raise in_config(error, folder) from None
    return ModelFolder(model, settings, facts, family, bare, left)


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts of ``myna.json``, none where it is not there, once the folder's files are as it says."""
    files.check_folder(folder)
    path = folder / "myna.json"
    if not path.exists():
        return {}
    facts = files.read_object(path)
    if facts.get("format") != FORMAT:
        raise InputError(f"format {quoted(facts.get('format'))} is not known to this version", where=path)
    files.verify(folder, facts.get("files"))
    return facts


def read_settings(folder: Path) -> dict[str, Any]:
    """The content of ``config.json``."""
    files.check_folder(folder)
    if not (folder / _CONFIG).exists():
        raise InputError("this is not a model's folder: it has no config.json", where=folder)
    return files.read_object(folder / _CONFIG)


def in_config(error: InputError, folder: Path) -> InputError:
    """An error of the tables with its place, which most often is ``config.json``."""
    if error.where is not None:
        return error
    inside = error.what.startswith(f"{_CONFIG}: ")
    where = folder / _CONFIG if inside else folder
    return InputError(error.what.removeprefix(f"{_CONFIG}: "), where=where, remedy=error.remedy)


def to_json(value: Any) -> bytes:
    """Readable JSON."""
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
    roles = {*names, "cls_token"}
    # Older folders have an object for each, with how it is to be matched.
    called = {role: entry["content"] if isinstance(entry := settings.get(role), dict) else entry for role in roles}
    found = {name: ids[called[role]] for role, name in names.items() if called[role] in ids}
    first = ids.get(called["cls_token"] or called["bos_token"])
    # A model of somebody else's may have another one.
    if (tokenizer_folder / _CONFIG).is_file():
        first = files.read_object(tokenizer_folder / _CONFIG).get("decoder_start_token_id", first)
    if model.config.decoder_layers and first is not None:
        found["decoder_start_token_id"] = first  # what every target is written behind
    return found


def _card(model: Model, kind: str, facts: Mapping[str, Any]) -> str:
    kinds = {
        "masked": ("fill-mask", "A masked language model (encoder)"),
        "causal": ("text-generation", "A causal language model (decoder)"),
        "sequence": ("text-classification", "A text classifier"),
        "token": ("token-classification", "A tagger"),
        "span": ("question-answering", "A model that finds answers in a text"),
        "replaced": ("feature-extraction", "A detector of replaced tokens (encoder)"),
        "sentences": ("feature-extraction", "A chooser of sentences"),
        TRUNK: ("feature-extraction", "A model that gives each text a vector"),
        "sequence_to_sequence": ("text2text-generation", "An encoder-decoder"),
    }
    tag, what = kinds[kind]
    count = sum(p.numel() for p in (model.trunk if kind == TRUNK else model).parameters())
    lines = ["---", "library_name: transformers", f"pipeline_tag: {tag}", "tags: [myna]", "---", ""]
    lines += [f"# {facts.get('name', 'model')}", "", f"{what} of {count:,} parameters, made with Myna.", ""]
    if model.labels:
        lines += [f"Labels: {', '.join(model.labels)}.", ""]
    lines += [
        f"- {key.replace('_', ' ')}: {value}" for key, value in facts.items() if isinstance(value, (str, int, float))
    ]
    return "\n".join(lines) + "\n"
