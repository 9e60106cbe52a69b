"""What a section of a recipe is made of: typed fields that say what they mean and what they affect.

A field affects the ``result``, only the ``speed``, or only the ``log``. Only the first kind enters a fingerprint, so
that another number of threads or a chattier log never makes a stage run again. One that is ``added`` enters it where it
is given: without it all is as it was before there was such a field, and what was done by then stays done.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

Affects = Literal["result", "added", "speed", "log"]


class Section(BaseModel):
    """A section of a recipe: frozen, and without room for a key that does not exist."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def setting(default: Any = PydanticUndefined, description: str = "", affects: Affects = "result", **limits: Any) -> Any:
    """A field of a section. ``limits`` are pydantic's (``gt``, ``pattern``, …); no default: required."""
    extra: dict[str, Any] = {"affects": affects}
    if isinstance(default, (list, dict)):
        copy = default.copy
        return Field(default_factory=lambda: copy(), description=description, json_schema_extra=extra, **limits)
    return Field(default, description=description, json_schema_extra=extra, **limits)


def result_settings(section: Section) -> dict[str, Any]:
    """The fields that affect the result, plain and in the order of their names, with those of inner sections."""
    return {
        name: _plain(getattr(section, name)) for name in sorted(type(section).model_fields) if _matters(section, name)
    }


def reason(error: ValidationError) -> str:
    """What a section refused first, in a few words: the field and why."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{field}: {message}" if field else message


def _matters(section: Section, name: str) -> bool:
    extra = type(section).model_fields[name].json_schema_extra
    affects = extra.get("affects", "result") if isinstance(extra, dict) else "result"
    return affects == "result" or (affects == "added" and getattr(section, name) is not None)


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return result_settings(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    return value
