"""The layout of models that no family can say: ``config.json`` is the description, tensors have our names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from myna.errors import InputError
from myna.huggingface.layout import Family, Head, Row, Settings
from myna.model.config import ModelConfig
from myna.model.heads import HEADS, LANGUAGE_KINDS, Model
from myna.settings import reason


class _Own(Family):
    """A family whose table is written anew for each model."""

    def config(self, content: Any, kind: str) -> ModelConfig:
        """The description as it stands."""
        try:
            return ModelConfig(**Settings(content).take("description"))
        except (TypeError, ValidationError) as error:
            what = reason(error) if isinstance(error, ValidationError) else "it is no description"
            raise InputError(f"config.json: description: {what}") from None

    def settings(self, config: ModelConfig, kind: str) -> dict[str, Any]:
        """``config.json`` of a description."""
        described = config.model_dump(exclude_defaults=True)
        return {"architectures": [self.heads[kind].architecture], "model_type": "myna", "description": described}

    def placed(self, model: Model) -> Iterator[tuple[Row, Tensor]]:
        """Each tensor under its own name."""
        for name, tensor in model.named_parameters():
            yield Row(name, (name,)), tensor


FAMILIES = {"myna": _Own("myna", "", (), (), {kind: Head(f"Myna:{kind}") for kind in (*LANGUAGE_KINDS, *HEADS)})}
