"""Objectives: what a language model is trained for. Each is one file; a user's own is ``my_module:MyObjective``.

Their settings, and what they need of a model and of a tokenizer, are in :mod:`myna.objectives.settings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myna.registry import Registry

if TYPE_CHECKING:
    from myna.objectives.language import LanguageObjective

# By name, so that a recipe is checked without importing torch.
OBJECTIVES = {
    "masked": "myna.objectives.masked:MaskedLM",
    "next_sentence": "myna.objectives.sentences:NextSentenceLM",
    "replaced": "myna.objectives.replaced:ReplacedTokens",
    "causal": "myna.objectives.causal:CausalLM",
    "prefix": "myna.objectives.prefix:PrefixLM",
    "hybrid": "myna.objectives.hybrid:HybridLM",
    "span_corruption": "myna.objectives.spans:SpanCorruptionLM",
    "infilling": "myna.objectives.infilling:InfillingLM",
    "mixture": "myna.objectives.mixture:Mixture",
}
_REGISTRY = Registry("objective", OBJECTIVES)


def check_objective_name(name: str) -> None:
    """Raises an :class:`InputError` for a name that is neither in ``OBJECTIVES`` nor of the form ``module:Class``."""
    _REGISTRY.check_name(name)


def check_objective_module(name: str) -> None:
    """Raises an :class:`InputError` for a user's own objective whose module is not there. Nothing of it is imported."""
    _REGISTRY.check_module(name)


def find_objective(name: str) -> type[LanguageObjective]:
    """The class of an objective by its name in ``OBJECTIVES``, or of a user's own as ``my_module:MyObjective``."""
    objective: type[LanguageObjective] = _REGISTRY.find(name)
    return objective
