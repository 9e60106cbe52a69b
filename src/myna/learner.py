"""The model that a fine-tuning trains: what it starts from, under the head of its task, and what of it learns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myna.errors import InputError

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig
    from myna.model.config import ModelConfig
    from myna.model.heads import Model
    from myna.origin import Origin
    from myna.tasks.task import Task


def read_origin(config: FinetuneConfig, start_from: Path, seed: int) -> Origin:
    """The model to start from: that of a folder, or a new one with a tokenizer of its own."""
    from myna.model.heads import build
    from myna.origin import Origin
    from myna.presets import model_config
    from myna.tokens.tokenizer import Tokenizer

    if config.preset is None:
        return Origin.read(start_from)
    described = model_config(config.preset, Tokenizer.open(start_from).vocabulary_size)
    return Origin(start_from, build(described, language_kind(described), seed=seed), {}, "")


def language_kind(described: ModelConfig) -> str:
    """The kind of language model that a description is, where nobody says another."""
    if described.decoder_layers:
        return "sequence_to_sequence"
    return "causal" if described.attention == "causal" else "masked"


def labels_for(config: FinetuneConfig, kind: type[Task], names: Iterable[str]) -> tuple[str, ...]:
    """The labels of the model that a training makes, for the names that labels have in the examples."""
    from myna.tasks.tagging import Tagging

    labels = kind.labels_of(names)
    return kind.in_scheme(labels) if config.scheme == "bioes" and issubclass(kind, Tagging) else labels


def made_for(
    task: type[Task], origin: Model, names: Iterable[str], config: FinetuneConfig, seed: int, where: Path
) -> Model:
    """The model that learns a task: ``origin`` itself where it writes, else its trunk under a new head."""
    if task.head == "language":
        return as_writer(origin, config, seed, where)
    return with_new_head(origin, task.head, labels_for(config, task, names), config, seed, where)


def as_writer(origin: Model, config: FinetuneConfig, seed: int, where: Path) -> Model:
    """A language model with the weights of ``origin`` or, ``from_scratch``, new ones; with a pointer if asked for."""
    from myna.model.heads import build

    if origin.kind not in ("causal", "sequence_to_sequence"):
        what = f"the task {config.task} needs a model that writes, and this is none"
        raise InputError(what, where=where, remedy="start from a decoder or an encoder-decoder")
    if config.pointer and not origin.config.decoder_layers:
        what = "pointer is for an encoder-decoder, and this is a decoder"
        raise InputError(what, where=where, remedy="take pointer out, or start from an encoder-decoder")
    changes: dict[str, Any] = {} if config.dropout is None else {"dropout": config.dropout}
    changes |= {} if config.pointer is None else {"pointer": config.pointer or None}
    model = build(origin.config.model_copy(update=changes), origin.kind, seed=seed)
    if not config.from_scratch:
        kept = {name: tensor for name, tensor in origin.state_dict().items() if name in model.state_dict()}
        model.load_state_dict({**model.state_dict(), **kept})
    return model


def with_new_head(
    origin: Model, head: str, labels: tuple[str, ...], config: FinetuneConfig, seed: int, where: Path
) -> Model:
    """The trunk of ``origin`` (its weights copied, or new ones ``from_scratch``) under a new head.

    A task without a head gets that of a language model, which it neither uses nor keeps.
    """
    from myna.huggingface.families import with_head
    from myna.huggingface.folder import TRUNK
    from myna.model.heads import build

    if origin.config.decoder_layers:
        what = f"the task {config.task} needs a model of one stack, and this is an encoder-decoder"
        raise InputError(what, where=where, remedy="start from a model with objective = masked")
    causal = origin.config.attention == "causal"
    if causal and config.pooling == "first":
        what = "the first token of a decoder sees nothing of the text"
        raise InputError(what, where=where, remedy='choose pooling = "last" or "mean"')
    # What was trained to see both ways, and a prefix alone, sees both ways here: the weights are the same.
    seen = {} if causal else {"attention": "bidirectional"}
    head = ("causal" if causal else "masked") if head == TRUNK else head
    described = with_head(origin.config.model_copy(update=seen), origin.kind, head)
    changes = {} if config.dropout is None else {"dropout": config.dropout}
    pooled = {} if config.pooling is None else {"pooling": config.pooling}
    headed = described.head.model_copy(update=changes | pooled)
    described = described.model_copy(update={**changes, "head": headed})
    model = build(described, head, labels, seed)
    if not config.from_scratch:
        model.trunk.load_state_dict(origin.trunk.state_dict())
    return model


def let_learn(model: Model, config: FinetuneConfig, seed: int) -> None:
    """Lets all of a model learn, or its head alone (``freeze``), or that and adapters in its trunk (``lora``)."""
    if config.freeze == "trunk":
        model.trunk.requires_grad_(False)
    if config.lora is not None:
        from myna.training.lora import adapt

        adapt(model, seed=seed, **config.lora.model_dump(exclude={"merge"}))
