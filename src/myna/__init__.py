"""Myna: from text you own to a language model you can use.

``myna.run(recipe)`` does what a recipe describes and is not done yet; ``myna.load(folder)`` gives a model that
predicts or generates; ``myna.TextClassifier().fit(texts, labels)`` and its like go by scikit-learn's manner. Each is
imported when it is first used: ``import myna`` alone imports no library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from myna.errors import MynaError
    from myna.estimators import Summarizer, TextClassifier, TextRegressor, TokenTagger, Translator
    from myna.inference.loaded import load
    from myna.stages import run

__all__ = [
    "MynaError",
    "Summarizer",
    "TextClassifier",
    "TextRegressor",
    "TokenTagger",
    "Translator",
    "load",
    "run",
]

_PUBLIC = {
    "MynaError": "myna.errors",
    **dict.fromkeys(("TextClassifier", "TextRegressor", "TokenTagger", "Summarizer", "Translator"), "myna.estimators"),
    "load": "myna.inference.loaded",
    "run": "myna.stages",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("myna")
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'myna' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
