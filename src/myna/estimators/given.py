"""Texts and labels as somebody gives them to an estimator, as rows of a table; what cannot be one is an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from myna.errors import InputError
from myna.inference.predict import unlabelled


def listed(values: Any, what: str) -> list[Any]:
    """The values of a list, an array or a column of a table, one for each text."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InputError(f"{what} are {type(values).__name__}", remedy="give a list, with one for each text")
    dimensions = getattr(values, "ndim", 1)
    if dimensions != 1:
        raise InputError(f"{what} have {dimensions} dimensions", remedy="give one column")
    return list(values)


def asked_of(texts: Any) -> list[Any]:
    """Texts, pairs of them as tuples, or lists of words, as plain values; an :class:`InputError` for what is none."""
    found = [plain_text(text) for text in listed(texts, "texts")]
    if not found:
        raise InputError("there are no texts", remedy="give at least one")
    for number, text in enumerate(found, 1):
        if isinstance(text, tuple) and len(text) != 2:
            raise InputError(f"text {number} is a tuple of {len(text)}", remedy="give two texts, or a list of words")
    unlabelled(found)
    return found


def plain_text(text: Any) -> Any:
    """Strings and lists of NumPy's as those of Python; what is no text as it is."""
    if isinstance(text, (list, np.ndarray)):
        return [str(word) if isinstance(word, str) else word for word in text]
    return str(text) if isinstance(text, str) else text


def rows_of(X: Any, y: Any, name: str, plain: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """The rows of a table: each text, or pair of texts, with its answer."""
    texts, answers = asked_of(X), answers_of(X, y)
    if len({type(text) for text in texts}) > 1 or isinstance(texts[0], list):
        raise InputError("texts are of several kinds, or lists of words", remedy="give strings, or pairs of them")
    names = ("text",) if isinstance(texts[0], str) else ("text", "pair")
    parts = [dict(zip(names, [text] if isinstance(text, str) else text, strict=True)) for text in texts]
    return [{**part, name: plain(answer)} for part, answer in zip(parts, answers, strict=True)]


def tagged_rows(X: Any, y: Any) -> list[dict[str, Any]]:
    """The rows of a table of words with their tags."""
    texts, tags = asked_of(X), [listed(each, "the tags of a text") for each in answers_of(X, y)]
    for number, (words, own) in enumerate(zip(texts, tags, strict=True), 1):
        if not isinstance(words, list):
            raise InputError(f"text {number} is no list of words", remedy="cut it into words")
        if len(words) != len(own):
            raise InputError(f"text {number} has {len(words)} words and {len(own)} tags", remedy="give each one tag")
    return [{"tokens": words, "tags": list(map(str, own))} for words, own in zip(texts, tags, strict=True)]


def answers_of(X: Any, y: Any) -> list[Any]:
    answers, count = listed(y, "labels"), len(listed(X, "texts"))
    if len(answers) != count:
        raise InputError(f"there are {count} texts and {len(answers)} labels", remedy="give one label for each text")
    return answers


def plain(values: Any) -> list[Any]:
    """As JSON has them."""
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def name_of(label: Any) -> str:
    """What the model calls a class."""
    (label,) = plain([label])
    if not isinstance(label, (str, int, float)) or label != label:
        raise InputError(f"a label is {label!r}", remedy="give each text a string or a number")
    return str(label)


def number_of(value: Any) -> float:
    (value,) = plain([value])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"a value is {value!r}, not a number", remedy="give each text a number")
    return float(value)


def classes_of(y: Any) -> list[Any]:
    """The classes, sorted; an :class:`InputError` where two would have one name, or cannot be sorted."""
    try:
        found = plain(sorted(set(plain(listed(y, "labels")))))
    except TypeError:
        raise InputError("labels are of several types", remedy="give all as strings, or all as numbers") from None
    if len(set(map(name_of, found))) < len(found):
        raise InputError("two labels have the same name", remedy="give all as strings, or all as numbers")
    return found
