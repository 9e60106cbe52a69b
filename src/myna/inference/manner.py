"""How a model writes, as its folder says: where its texts begin and end, and what is put around a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna import files
from myna.errors import InputError
from myna.tokens.tokenizer import Tokenizer

_GENERATION = "generation_config.json"


@dataclass(frozen=True)
class Manner:
    """``ends`` are the ids that end a text.

    A prompt is read between the special tokens that the tokenizer puts around a text itself, if any; where
    ``begins`` is set behind its start token alone, as Myna trains decoders. An encoder-decoder's text comes after the
    id ``start``; ``first`` and ``last`` are ids that it is made to begin with, and to end with where it is cut off.

    Of a model that was fine-tuned to write, ``read`` gives the ids that it reads of texts, and ``goes_on`` says whether
    what it writes goes on from the text, or answers it.
    """

    ends: tuple[int, ...]
    begins: bool = True
    start: int | None = None
    first: int | None = None
    last: int | None = None
    read: Callable[[Sequence[str]], list[NDArray[np.int64]]] | None = None
    goes_on: bool = True


def manner_of(
    folder: Path, settings: Mapping[str, Any], facts: Mapping[str, Any], tokenizer: Tokenizer, vocabulary: int
) -> Manner:
    """What ``generation_config.json``, or else ``config.json``, says; of decoders of Myna's making ``facts`` tell."""
    path = folder / _GENERATION
    given = {**settings, **(files.read_object(path) if path.exists() else {})}

    def ids(name: str) -> tuple[int, ...]:
        value = given.get(name)
        named = value if isinstance(value, list) else [] if value is None else [value]
        if not all(type(id) is int and 0 <= id < vocabulary for id in named):
            what = f"{name} = {str(value)[:80]} is no id of the vocabulary"
            raise InputError(what, where=path if path.exists() else folder / "config.json")
        return tuple(named)

    starts = ids("decoder_start_token_id") or ids("bos_token_id") or ids("pad_token_id")
    return Manner(
        ends=ids("eos_token_id") or (tokenizer.end,),
        begins="objective" in facts,
        start=next(iter(starts), None),
        first=next(iter(ids("forced_bos_token_id")), None),
        last=next(iter(ids("forced_eos_token_id")), None),
    )
