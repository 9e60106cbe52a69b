"""What a longer training begins with too: the stable part of warm-up–stable–decay.

With ``schedule = "wsd"`` a step of the stable part does not depend on the length of the training, and one whose length
is changed goes on from there, as if it had had the new length from the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from myna.objectives import OBJECTIVES

# What nothing before the end of the stable part depends on.
ENDING = ("steps", "tokens", "epochs", "cooldown", "cooldown_shape", "cooldown_weights")


def beginning(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings that the stable part of a pre-training depends on; None where that depends on its length.

    ``settings`` are those that affect the result.
    """
    if settings.get("schedule") != "wsd" or _hangs_on_length(settings):
        return None
    return _without_ending(settings)


def why_anew(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Why a pre-training that was begun with other settings begins anew: None where it goes on.

    Nothing is said where more than its length differs, or there is no stable part.
    """
    if _without_ending(old) != _without_ending(new) or new.get("schedule") != "wsd":
        return ""
    return _hangs_on_length(new) or None


def _without_ending(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in ENDING}


def _hangs_on_length(settings: Mapping[str, Any]) -> str:
    """What before the cool-down depends on the length; nothing where nothing does."""
    if settings.get("warmup_steps") is None and settings.get("warmup") != 0:
        return "its warm-up is a share of the steps: with warmup_steps it would go on"
    if settings.get("objective") not in OBJECTIVES:
        return "an objective of one's own may depend on the number of steps"
    if any(isinstance(table, Mapping) and table.get("last_ratio") is not None for table in settings.values()):
        return "last_ratio depends on the number of steps"
    return ""


@dataclass(frozen=True)
class Owner:
    """The run that a checkpoint is of: its whole ``identity``, that of its ``stable`` part, where a run of another
    length begins as this does, how many steps that part has, and the ``machine`` that the run began on, as far as its
    bits hang on it."""

    identity: Mapping[str, Any]
    stable: Mapping[str, Any] | None
    stable_steps: int
    machine: Mapping[str, Any] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        stable = None if self.stable is None else {"identity": self.stable, "steps": self.stable_steps}
        return {"identity": self.identity, "stable": stable, "machine": dict(self.machine)}

    def owns(self, state: Mapping[str, Any]) -> bool:
        """Whether a checkpoint is of this run."""
        return bool(state.get("identity") == self.identity)

    def begins_as(self, state: Mapping[str, Any]) -> bool:
        """Whether a checkpoint is of a run that differs in its length alone."""
        theirs = state.get("stable")
        return theirs is not None and self.stable is not None and bool(theirs["identity"] == self.stable)

    def suits(self, state: Mapping[str, Any]) -> bool:
        """Whether this run would have come through a checkpoint; that of a run which is none of ours is not judged."""
        if self.owns(state) or not self.begins_as(state):
            return True
        return bool(state["step"] <= min(self.stable_steps, state["stable"]["steps"]))
