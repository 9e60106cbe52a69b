"""What is read of a long text to say something of it: all of it, its first window, or its summary.

A model that reads summaries has the model that makes them within its own folder, so that it answers for whole texts by
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from myna.errors import InputError
from myna.tasks.examples import Example

if TYPE_CHECKING:
    from myna.inference.loaded import Loaded

Read = Literal["whole", "first", "summary"]
Summarize = Callable[[Sequence[Example]], list[str]]
# The folder within a model's own.
SUMMARIZER = "summarizer"


def summaries_by(folder: Path) -> Summarize:
    """The summary of each example's text by the model in ``folder``; an :class:`InputError` where that makes none."""
    from myna.inference.loaded import load
    from myna.tasks.extraction import Extraction

    loaded: Loaded = load(folder)
    if not isinstance(loaded.task, Extraction):
        what = "this model does not choose sentences of a text"
        raise InputError(what, where=folder, remedy="train one with task = extraction")

    def summaries(examples: Sequence[Example]) -> list[str]:
        texts = [Example(example.text, example.id, example.source) for example in examples]
        said: Sequence[Any] = loaded.predict_examples(texts)
        return [each.text for each in said]

    return summaries
