"""The same test texts as somebody else might have typed them, and what that does to a score.

A noise changes a text by a function of the text and the seed. What it leaves as it was counts as it was; a noise that
changes no text is left out. For tasks that mark places only what keeps every character in its place is done.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from myna.evaluation.baselines import HAN
from myna.evaluation.scoring import paired

if TYPE_CHECKING:
    from myna.evaluation.scoring import Scores
    from myna.tasks.examples import Example

# A slip of the hand for so many words of four letters or more, and for so many Han characters; one at least.
_WORDS_A_SLIP, _HAN_A_SLIP = 10, 20
_LONGER_WORD = re.compile(r"[A-Za-z]{4,}")
_TO_FULL: Mapping[int, int] = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_TO_HALF: Mapping[int, int] = {wide: code for code, wide in _TO_FULL.items()} | {0x3000: 0x20}

Draw = random.Random


@dataclass(frozen=True)
class Noise:
    """``change`` gives the text changed; ``in_place`` is the same with every character in its place, where there is."""

    name: str
    change: Callable[[str, Draw], str]
    in_place: Callable[[str, Draw], str] | None = None


def _typos(text: str, draw: Draw, in_place: bool = False) -> str:
    """In Latin words two letters change places or one is lost; of Han characters one is lost or stands twice."""
    letters = list(text)
    words = [match.span() for match in _LONGER_WORD.finditer(text)]
    for start, end in draw.sample(words, min(len(words), max(1, len(words) // _WORDS_A_SLIP))):
        place = draw.randrange(start + 1, end - 1)
        if in_place or draw.random() < 0.5:
            letters[place], letters[place + 1 - 2 * (place + 1 >= end)] = letters[place + 1], letters[place]
        else:
            letters[place] = ""
    han = [] if in_place else [match.start() for match in HAN.finditer(text)]
    for place in draw.sample(han, min(max(0, len(han) - 1), max(1, len(han) // _HAN_A_SLIP))):
        letters[place] = "" if draw.random() < 0.5 else letters[place] * 2
    changed = "".join(letters)
    return changed if changed.strip() else text


def _each(change: Callable[[str], str], text: str, draw: Draw) -> str:
    """Every character changed that stays one."""
    return "".join(other if len(other := change(letter)) == 1 else letter for letter in text)


def _translated(table: Mapping[int, int], text: str, draw: Draw) -> str:
    return text.translate(table)


def _converted(converter: Any, text: str, draw: Draw) -> str:
    """A conversion of OpenCC; where it would change the length, the text as it was."""
    changed = str(converter.convert(text))
    return changed if len(changed) == len(text) else text


def noises() -> list[Noise]:
    """All of them; those between traditional and simplified characters where OpenCC is installed."""
    found = [Noise("typos", _typos, partial(_typos, in_place=True))]
    in_place: dict[str, Callable[[str, Draw], str]] = {
        "lower_case": partial(_each, str.lower),
        "upper_case": partial(_each, str.upper),
        "full_width": partial(_translated, _TO_FULL),
        "half_width": partial(_translated, _TO_HALF),
    }
    if find_spec("opencc") is not None:
        from opencc import OpenCC

        in_place["traditional"] = partial(_converted, OpenCC("s2t"))
        in_place["simplified"] = partial(_converted, OpenCC("t2s"))
    return found + [Noise(name, change, change) for name, change in in_place.items()]


def noisy(example: Example, noise: Noise, seed: int) -> Example:
    """The example with its text, and its pair, changed. One that marks places has every character in its place."""
    marks = example.spans is not None or example.words is not None
    change = noise.in_place if marks else noise.change
    if change is None:
        return example

    def changed(text: str) -> str:
        return change(text, Draw(f"{seed} {noise.name} {text}"))

    return replace(example, text=changed(example.text), pair=None if example.pair is None else changed(example.pair))


def robustness(
    examples: Sequence[Example],
    said: Sequence[Any],
    predict: Callable[[Sequence[Example]], Sequence[Any]],
    judge: Callable[[Sequence[Example], Sequence[Any]], Scores],
    seed: int,
) -> list[dict[str, Any]]:
    """The main score under each noise: how many texts were ``changed``, the estimate, and the ``difference`` that the
    noise makes, with its interval and p.

    ``said`` is what was predicted of the examples as they are; ``predict`` and ``judge`` are asked for the rest.
    """
    clean = judge(examples, said).main
    assert clean is not None
    rows = []
    for noise in noises():
        made = [noisy(example, noise, seed) for example in examples]
        places = [n for n, (one, other) in enumerate(zip(examples, made, strict=True)) if one.whole != other.whole]
        if not places:
            continue
        answers = dict(zip(places, predict([made[n] for n in places]), strict=True))
        measure = judge(made, [answers.get(n, each) for n, each in enumerate(said)]).main
        assert measure is not None
        rows.append(
            {
                "noise": noise.name,
                "metric": measure.name,
                "examples": len(examples),
                "changed": len(places),
                **measure.estimate(measure.statistics).to_dict(),
                "difference": paired(measure.statistics, clean.statistics, measure.metric, seed),
            }
        )
    return rows
