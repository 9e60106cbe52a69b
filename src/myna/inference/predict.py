"""Prediction with a fine-tuned model: one answer for each text, in their order.

Texts go through the model in the order of their lengths, without padding, and none is seen by another, so that an
answer does not depend on the other texts of the call. Long texts are read whole, in windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Never

import torch
from torch import Tensor

from myna.corpus.messages import messages_of
from myna.corpus.words import join
from myna.errors import InputError
from myna.model.heads import Model
from myna.tasks.examples import Example
from myna.tasks.pairs import Pairs
from myna.tasks.questions import Questions
from myna.tasks.task import Prediction, Task, TaskItems, Writes
from myna.tokens.sampler import micro_batches

# As many as keep a small model's matrix products large, and their activations in the cache of a processor.
BATCH_TOKENS = 4096

# What can be asked: a text, a pair of texts, the words of a text, a conversation.
Asked = str | tuple[str, str] | list[str] | list[dict[str, str]]


def predictions(model: Model, task: Task, items: TaskItems, batch_tokens: int = BATCH_TOKENS) -> Sequence[Prediction]:
    """What the model says of each example of ``items``. At most ``batch_tokens`` are computed at a time."""
    if isinstance(task, Writes):
        return task.write(model, items, batch_tokens)
    return task.decode(items, outputs_of(model, task, items, batch_tokens))


def outputs_of(model: Model, task: Task, items: TaskItems, batch_tokens: int = BATCH_TOKENS) -> list[Tensor]:
    """The logits of each item, ``(outputs, labels)``, in their order."""
    outputs = [torch.empty(0)] * len(items)
    with torch.inference_mode():
        for chosen in micro_batches(items.lengths, batch_tokens):
            batch = task.batch([items[i] for i in chosen], chosen, None)
            parts = torch.split(task.outputs(model, batch), [len(items[i].targets) for i in chosen])
            for i, part in zip(chosen, parts, strict=True):
                outputs[i] = part
    return outputs


def predict(
    model: Model,
    task: Task,
    texts: Sequence[Asked],
    batch_tokens: int = BATCH_TOKENS,
    least: float | None = None,
) -> list[dict[str, Any]]:
    """The answer to each text: ``{"label", "scores"}``, ``{"spans"}``, ``{"text", "tokens", "finish"}`` …

    Offsets are in characters of the text as given.

    With ``least``, for tasks that are :class:`~myna.tasks.task.Sure`, what is less probable is answered by None. A text
    that is empty is an :class:`InputError` that says which.
    """
    examples = unlabelled(texts)
    if not examples:
        return []
    if isinstance(task, Pairs) and any(example.pair is None for example in examples):
        raise InputError(
            "this model reads pairs of texts", remedy="give each with its second text (--pair, or a table)"
        )
    if isinstance(task, Questions) and any(example.pair is None for example in examples):
        remedy = "give the question beside the text (--pair, or a table)"
        raise InputError("this model answers questions about a text", remedy=remedy)
    said: Sequence[Any] = predictions(model, task, task.items(examples), batch_tokens)
    return [prediction.answer() if least is None else prediction.answer(least) for prediction in said]


def unlabelled(texts: Sequence[Asked]) -> list[Example]:
    """Examples of texts, of pairs of texts, of the words of texts, or of conversations; none of them empty."""
    found = []
    for number, asked in enumerate(texts, 1):
        name = f"text {number} of {len(texts)}"
        words = None
        if isinstance(asked, list) and any(isinstance(part, dict) for part in asked):
            found.append(_conversation(asked, name))
            continue
        parts: list[Any] = list(asked) if isinstance(asked, (tuple, list)) else [asked]
        for part in parts or [""]:
            _check(part, name)
        text, pair = parts[0] if parts else "", parts[1] if isinstance(asked, tuple) and len(parts) == 2 else None
        if isinstance(asked, list):
            text, starts, ends = join(parts)
            words = tuple(zip(starts, ends, strict=True))
        found.append(Example(text, name, pair=pair, words=words))
    return found


def _conversation(asked: Any, name: str) -> Example:
    def wrong(what: str, remedy: str | None) -> Never:
        raise InputError(f"{name}: {what}", remedy=remedy)

    messages = messages_of(asked, wrong)
    if messages[-1].role == "assistant":
        wrong("the last message is the assistant's, and there is nothing to answer", "end with the user's")
    for message in messages:
        _check(message.content, name)
    return Example("\n".join(message.content for message in messages), name, messages=messages)


def _check(text: Any, name: str) -> None:
    if not isinstance(text, str):
        raise InputError(f"{name} is no text but {type(text).__name__}")
    if not text.strip():
        raise InputError(f"{name} is empty", remedy="take it out")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"{name} holds bytes that are no text", remedy="give it as UTF-8")
