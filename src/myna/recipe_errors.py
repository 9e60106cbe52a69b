"""What is wrong with a recipe, in words: the key, why, and the nearest that is right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from myna.settings import Section
from myna.toml import KeyPath, inline

# Names that people bring from transformers and its neighbours, ours for them, and what differs.
KNOWN_ELSEWHERE: dict[str, tuple[str, str]] = {
    "num_train_epochs": ("epochs", ""),
    "num_epochs": ("epochs", ""),
    "max_steps": ("steps", ""),
    "num_train_steps": ("steps", ""),
    "train_batch_size": ("batch_tokens", "counted in tokens, not in examples"),
    "per_device_train_batch_size": ("batch_tokens", "counted in tokens, not in examples"),
    "per_gpu_train_batch_size": ("batch_tokens", "counted in tokens, not in examples"),
    "batch_size": ("batch_tokens", "counted in tokens, not in examples"),
    "micro_batch_size": ("micro_batch_tokens", "counted in tokens, not in examples"),
    "gradient_accumulation_steps": ("micro_batch_tokens", "a batch is cut into micro-batches of so many tokens"),
    "lr": ("learning_rate", ""),
    "max_lr": ("learning_rate", ""),
    "warmup_ratio": ("warmup", "a share of the steps"),
    "num_warmup_steps": ("warmup_steps", ""),
    "num_decay_steps": ("cooldown", "a share of the steps, as 0.2"),
    "lr_scheduler_type": ("schedule", ""),
    "lr_decay_style": ("schedule", ""),
    "max_grad_norm": ("clip", ""),
    "clip_grad": ("clip", ""),
    "gradient_clip_val": ("clip", ""),
    "adam_beta2": ("beta2", ""),
    "logging_steps": ("log_steps", ""),
    "save_steps": ("checkpoint_seconds", "in seconds, not in steps"),
    "checkpoint_steps": ("checkpoint_seconds", "in seconds, not in steps"),
    "eval_steps": ("validations", "how often in all"),
    "num_threads": ("threads", ""),
    "data_seed": ("seed", ""),
    "mlm_probability": ("ratio", ""),
    "mask_ratio": ("ratio", ""),
    "wwm": ("unit", '"word"'),
    "whole_word": ("unit", '"word" or "piece"'),
    "label_smoothing_factor": ("label_smoothing", ""),
    "model_type": ("preset", "as bert-mini or gpt-mini"),
    "architecture": ("preset", "as bert-mini or gpt-mini"),
    "num_hidden_layers": ("layers", ""),
    "n_layer": ("layers", ""),
    "num_attention_heads": ("heads", ""),
    "n_head": ("heads", ""),
    "intermediate_size": ("feed_forward_size", ""),
    "n_inner": ("feed_forward_size", ""),
    "n_embd": ("hidden_size", ""),
    "d_model": ("hidden_size", ""),
    "max_position_embeddings": ("maximum_length", "in tokens"),
    "n_positions": ("maximum_length", "in tokens"),
    "n_ctx": ("maximum_length", "in tokens"),
    "block_size": ("maximum_length", "in tokens"),
    "max_length": ("maximum_length", "in tokens"),
    "max_seq_length": ("maximum_length", "in tokens"),
    "hidden_dropout_prob": ("dropout", ""),
    "resid_pdrop": ("dropout", ""),
    "classifier_dropout": ("dropout", ""),
    "vocab_size": ("vocabulary", ""),
    "min_frequency": ("minimum_frequency", ""),
    "do_lower_case": ("lowercase", ""),
    "model": ("start_from", "a [pretrain] table's name, or a model's folder"),
    "model_name_or_path": ("start_from", "a [pretrain] table's name, or a model's folder"),
    "task_name": ("task", ""),
    "max_train_samples": ("training_examples", ""),
    "truncation": ("too_long", '"window", "drop", "cut" or "error"'),
    "dataset": ("corpus", "the name of a [corpus] table"),
    "dataset_name": ("corpus", "the name of a [corpus] table"),
    "train_file": ("path", ""),
    "data_files": ("path", ""),
    "file": ("path", ""),
    "text_column_name": ("text_column", ""),
    "label_column_name": ("label_column", ""),
}


@dataclass(frozen=True)
class Problem(Exception):
    """One thing that is wrong: at which key, what, and what to do about it."""

    path: KeyPath
    what: str
    remedy: str | None = None


def problems(error: ValidationError, root: type[Section]) -> list[Problem]:
    """What pydantic refused: tables without a name first, then keys that do not exist; others follow from these."""
    found = [_problem(details, root) for details in error.errors(include_url=False)]
    nameless = "name it: "
    return sorted(
        found,
        key=lambda p: (not (p.remedy or "").startswith(nameless), not p.what.startswith("there is no key")),
    )


def near(name: str, names: Iterable[str]) -> str:
    """The name that was meant, or all that there are, as a remedy."""
    known = list(names)
    close = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"there {'is' if len(known) == 1 else 'are'} {', '.join(known)}" if known else ""


def _problem(details: ErrorDetails, root: type[Section]) -> Problem:
    path: KeyPath = tuple(part for part in details["loc"] if part != "[key]")
    kind, given = details["type"], details["input"]
    table, key = _table_name(path[:-1]), str(path[-1]) if path else ""
    section = section_at(root, path[:-1])
    if kind == "extra_forbidden":
        return Problem(path, f'there is no key "{key}" in {table}', _nearest_key(key, section, path))
    if kind == "missing":
        field = section.model_fields.get(key) if section else None
        if field is not None and get_origin(field.annotation) is dict:
            return Problem(path, f"there is no [{_dotted((*path, 'NAME'))}]", f"add one: {field.description}")
        remedy = f"it says {field.description}" if field is not None and field.description else None
        return Problem(path, f'the key "{key}" is missing in {table}', remedy)
    if kind == "string_pattern_mismatch":
        return Problem(path, f"{_shown(given)} cannot be a name", "use letters, digits, _ and -")
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        remedy = f"name it: [{path[0]}.NAME]" if len(path) == 2 else None
        return Problem(path, f"{_dotted(path)} is a table, not {_shown(given)}", remedy)
    if kind == "literal_error":
        choices = details["ctx"]["expected"]
        names = [choice.strip("'") for choice in choices.replace(" or ", ", ").split(", ")]
        close = difflib.get_close_matches(str(given), names, 1)
        remedy = f'did you mean "{close[0]}"?' if close else f"choose {choices}"
        return Problem(path, f"{_dotted(path)} cannot be {_shown(given)}", remedy)
    message = details["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return Problem(path, f"{_table_name(path) if isinstance(given, dict) else _dotted(path)}: {message}")
    # "Input should be greater than 0" and "List should have at least 1 item after validation, not 0"
    expected = message.partition("should ")[2].partition(" after validation")[0]
    remedy = f"write {int(given)}" if kind == "int_type" and isinstance(given, float) and given.is_integer() else None
    if kind == "list_type":
        remedy = "put it between [ and ]"
    return Problem(path, f"{_dotted(path)} should {expected}, it is {_shown(given)}", remedy)


def section_at(annotation: Any, path: KeyPath) -> type[Section] | None:
    """The kind of section that stands at ``path``, below ``annotation``; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        if not path:
            return annotation
        field = annotation.model_fields.get(str(path[0]))
        return section_at(field.annotation, path[1:]) if field else None
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (dict, list, tuple):
        return section_at(inner[-1] if origin is dict else inner[0], path[1:]) if path else None
    return next((found for part in inner if (found := section_at(part, path))), None)


def _nearest_key(key: str, section: type[Section] | None, path: KeyPath) -> str | None:
    if section is None:
        return None
    inner = next((name for name in section.model_fields if key in _keys_of_items(section, name)), None)
    if inner is not None:
        return f"it belongs in [[{_dotted((*path[:-1], inner))}]]"
    places = {name.rsplit(".", 1)[-1]: name for name in reversed(list(_keys(section)))}
    wanted, note = KNOWN_ELSEWHERE.get(key, (key, ""))
    if wanted in places:
        return f'use "{places[wanted]}"' + (f" ({note})" if note else "")
    close = difflib.get_close_matches(key, section.model_fields, 1) or difflib.get_close_matches(key, places, 1)
    if close:
        return f'did you mean "{places[close[0]]}"?'
    return f"there are {', '.join(section.model_fields)}"


def _keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    """The keys of a section, then those of the sections directly in it, dotted."""
    yield from (prefix + name for name in section.model_fields)
    for name, field in section.model_fields.items():
        inner = section_at(field.annotation, ())
        if inner is not None:
            yield from _keys(inner, f"{prefix}{name}.")


def _keys_of_items(section: type[Section], name: str) -> Iterable[str]:
    """The keys of the tables in an array of tables."""
    annotation = section.model_fields[name].annotation
    item = section_at(annotation, (0,)) if get_origin(annotation) is list else None
    return item.model_fields if item else ()


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _table_name(path: KeyPath) -> str:
    return f"[{_dotted(path)}]" if path else "the recipe"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    try:
        text = inline(value)
    except TypeError:
        text = str(value)
    return text if len(text) <= 40 else text[:40] + " …"
