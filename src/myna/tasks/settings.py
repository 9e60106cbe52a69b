"""Settings of a ``[finetune]`` table that are tables themselves. They import no torch."""

from __future__ import annotations

from typing import Literal

from myna.settings import Section, setting

Part = Literal["query", "key", "value", "output", "feed_forward"]


class Lora(Section):
    """``lora`` of a ``[finetune]`` table: the trunk learns in low-rank adapters beside its matrices alone."""

    rank: int = setting(8, "the rank of what is added to a matrix", gt=0)
    alpha: float = setting(16.0, "what is added is multiplied with alpha / rank", gt=0)
    dropout: float = setting(0.0, "share of an adapter's inputs that is dropped", ge=0, lt=1)
    of: list[Part] = setting(["query", "value"], "the matrices that are adapted", min_length=1)
    merge: bool = setting(True, "false: the saved model is the adapters and the head, beside the model they stand on")


class Distill(Section):
    """``distill`` of a ``[finetune]`` table: how much the teacher's answers count, and how they are read."""

    weight: float = setting(0.5, "what the teacher's answers count in the loss; the labels count the rest", gt=0, le=1)
    temperature: float = setting(2.0, "logits are divided by it, so that what is unlikely is heard too", gt=0)
