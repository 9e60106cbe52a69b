"""What the writing of Chinese asks of a tokenizer: which characters are Han, and where a space is written."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from myna.corpus.words import HAN

_HAN_RANGES = [(ord(first), ord(last or first)) for first, last in re.findall("(.)(?:-(.))?", HAN)]
# Written without spaces, as Han is: CJK punctuation, kana, bopomofo, full-width forms.
_CJK = f"[{HAN}\u3000-\u312f\u31a0-\u31ff\ufe30-\ufe4f\uff00-\uffef]"
_IS_CJK = re.compile(_CJK)
_SPACE_BESIDE_CJK = re.compile(f" (?={_CJK})|(?<={_CJK}) ")


def han(text: str) -> NDArray[np.bool_]:
    """Whether each character of ``text`` is Han: ``(characters,)``."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    mask = np.zeros(len(codes), bool)
    for first, last in _HAN_RANGES:
        mask |= (codes >= first) & (codes <= last)
    return mask


def spaced(left: str, right: str) -> bool:
    """Whether a space is to be written between two words: not beside another, Han, kana, or Chinese punctuation."""
    if not left or not right:
        return False
    return not any(_IS_CJK.match(side) or side.isspace() for side in (left[-1], right[0]))


def unspaced(word: str) -> bool:
    """Whether a word is all Han, kana or such, which stand in a text without spaces between words."""
    return all(map(_IS_CJK.match, word))


def close_up(text: str) -> str:
    """``text`` without the spaces beside Han, kana, or Chinese punctuation."""
    return _SPACE_BESIDE_CJK.sub("", text)
