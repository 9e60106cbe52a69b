"""Conversations: a list of messages, each with a ``role`` and its ``content``, as chat formats have them.

The first is the system's or the user's; the system speaks first or not at all. A row of a table may hold the list as
JSON in a text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Never

from myna.corpus.cleaning import INVISIBLE
from myna.corpus.document import Message

ROLES = ("system", "user", "assistant")
_FORM = 'write it as [{"role": "user", "content": …}, {"role": "assistant", "content": …}]'


def messages_of(value: Any, wrong: Callable[[str, str | None], Never]) -> tuple[Message, ...]:
    """The messages in a value; ``wrong(what, remedy)`` is called for what is no conversation, and raises."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            wrong("the messages are a text that is no JSON", _FORM)
    if not isinstance(value, Sequence) or not value:
        wrong("there are no messages here, which are a list", _FORM)
    found = [_message(each, number, wrong) for number, each in enumerate(value, 1)]
    if found[0].role == "assistant":
        wrong("the first message is the assistant's", "let the user (or the system) speak first")
    late = next((number for number, each in enumerate(found, 1) if number > 1 and each.role == "system"), None)
    if late is not None:
        wrong(f"message {late} is the system's, which speaks first or not at all", "put it first, or take it out")
    return tuple(found)


def _message(value: Any, number: int, wrong: Callable[[str, str | None], Never]) -> Message:
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        wrong(f"message {number} has no content that is a text", _FORM)
    role, content = value.get("role"), value["content"]
    if role not in ROLES:
        wrong(f"message {number} has the role {str(role)[:40]!r}", f"the roles are {', '.join(ROLES)}")
    if not INVISIBLE.sub("", content).strip():
        wrong(f"message {number} is empty", "take it out, or the row")
    return Message(role, content)
