"""The tasks whose answer is a text: what a model wrote, and how it is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Written:
    """The ``text`` that a model wrote, how many ``tokens`` it took, and why it ended: ``stop`` or ``length``."""

    text: str
    tokens: int
    finish: str

    def answer(self) -> dict[str, Any]:
        """The prediction as a user reads it: plain values for JSON."""
        return {"text": self.text, "tokens": self.tokens, "finish": self.finish}
