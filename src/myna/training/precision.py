"""The type in which products are made. Weights, sums, norms and what an optimizer keeps stay in float32."""

from __future__ import annotations

import torch
from torch import nn

from myna.training.settings import Precision


def computing(model: nn.Module, precision: Precision) -> torch.autocast:
    """While it is entered (for a forward pass alone), the products of ``model`` are made in ``precision``."""
    return torch.autocast(device_of(model).type, torch.bfloat16, enabled=precision == "bfloat16")


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights lie."""
    return next(model.parameters()).device


def default_precision(device: torch.device) -> Precision:
    """That of a recipe which names none: on a processor exact, on CUDA the type that its matrix units are made for."""
    return "bfloat16" if device.type == "cuda" else "float32"
