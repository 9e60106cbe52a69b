"""Made-up tests of what a model should be able to do, in the manner of CheckList (Ribeiro et al., arXiv:2005.04118).

Each check is a set of cases with an expectation: that the answer stays (*invariance*: a name or a number is another,
the end has another mark, a sentence stands elsewhere), that it moves one way or not at all (*direction*: praise or
blame is added or made stronger), or that it is the right one (*minimum*: plain sentences, their denials, a change of
mind). The last two are for labels of good and bad, whose names are known in Chinese and English. A failure rate is no
score of the task: it says how a model reads, whatever the test set happens to hold.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from myna.errors import InputError
from myna.evaluation.baselines import HAN
from myna.evaluation.challenge_texts import NAMES, NEGATIVE, NEUTRAL, POSITIVE, TEMPLATES
from myna.evaluation.judges import JUDGES
from myna.evaluation.judging import examples_of
from myna.evaluation.noise import robustness
from myna.evaluation.scoring import Scores
from myna.evaluation.significance import share
from myna.inference.loaded import Loaded, load
from myna.tasks.classification import Classified
from myna.tasks.examples import Example, choose
from myna.tasks.multilabel import Labelled
from myna.tasks.regression import Valued
from myna.tasks.tagging import Tagged
from myna.tasks.words import TaggedWords

# Texts of the data that are read anew, and cases of a check made from them.
MOST_TEXTS = 2000
MOST_CASES = 500
# Failures that are shown.
SHOWN = 5
# A probability may move so far the wrong way, as in CheckList.
_TOLERANCE = 0.1
# A language is checked where so much of the data is in it.
_LEAST_SHARE = 0.1
_END = re.compile(r"[。！？!?.…~～]+\s*$")
_SENTENCE = re.compile(r"[^。！？!?.]+[。！？!?.]+\s*")
# Numbers that stand alone; one that is a mark, a share or part of a name is left.
_NUMBER = re.compile(
    r"(?<![A-Za-z\d.,/:-])\d{2,}(?![A-Za-z\d.,/:%％分星折年月日号-]| ?(?:stars?|points?|percent|out of)\b)"
)


@dataclass(frozen=True)
class Case:
    """A text, and the one that it is compared with where there is; ``expected`` is the label that is right, and
    ``rising`` the label whose probability must not fall.
    """

    after: Example
    before: Example | None = None
    expected: tuple[str, ...] = ()
    rising: str = ""


@dataclass(frozen=True)
class Check:
    """Cases with one expectation: ``invariance``, ``direction`` or ``minimum``."""

    name: str
    expectation: str
    language: str
    cases: Sequence[Case]


def challenge_file(model_folder: Path, data: Path, seed: int = 1) -> dict[str, Any]:
    """What :func:`challenge` says of a fine-tuned model and the examples of a file, with its ``scores``."""
    loaded = load(model_folder)
    return challenge(loaded, examples_of(loaded, data), seed)


def challenge(loaded: Loaded, examples: Sequence[Example], seed: int = 1) -> dict[str, Any]:
    """The ``scores`` of a model, its ``robustness``, and the ``checks`` with their failures.

    A row of ``checks`` has ``check``, ``expectation``, ``language``, ``cases``, ``failures``, their ``rate`` with an
    interval, and up to ``SHOWN`` ``examples`` of them. At most ``MOST_TEXTS`` examples are read anew. Raises an
    :class:`InputError` for a task whose answers can be compared with nothing.
    """
    # One tells of all: what writes would be long at it.
    kinds = {type(each) for each in loaded.predict_examples(examples[:1])}
    if not kinds <= {Classified, Labelled, Valued, Tagged, TaggedWords}:
        what = "the answers of this model's task cannot be challenged"
        raise InputError(what, where=loaded.folder, remedy="leave --challenge out")

    def judge(some: Sequence[Example], answers: Sequence[Any]) -> Scores:
        return JUDGES[type(answers[0])].judge(loaded, some, answers, seed, None)[0]

    said = loaded.predict_examples(examples)
    scores = judge(examples, said).metrics
    if len(examples) > MOST_TEXTS:
        examples = choose(examples, MOST_TEXTS, seed)
        said = loaded.predict_examples(examples)
    return {
        "scores": scores,
        "robustness": robustness(examples, said, loaded.predict_examples, judge, seed),
        "checks": run(list(checks(loaded.labels, examples, seed)), loaded.predict_examples),
    }


def run(checks: Sequence[Check], predict: Callable[[Sequence[Example]], Sequence[Any]]) -> list[dict[str, Any]]:
    """The checks with their failures; every text is asked about once."""
    asked: dict[Example, int] = {}
    for check in checks:
        for case in check.cases:
            for example in (case.after, case.before):
                if example is not None:
                    asked.setdefault(example, len(asked))
    said = predict(list(asked)) if asked else []
    rows = []
    for check in checks:
        failed = []
        for case in check.cases:
            after = said[asked[case.after]]
            before = None if case.before is None else said[asked[case.before]]
            if _fails(case, before, after):
                failed.append(_shown(case, before, after))
        rows.append(
            {
                "check": check.name,
                "expectation": check.expectation,
                "language": check.language,
                "cases": len(check.cases),
                "failures": len(failed),
                "rate": share(len(failed), len(check.cases)).to_dict(),
                "examples": failed[:SHOWN],
            }
        )
    return rows


def _fails(case: Case, before: Any, after: Any) -> bool:
    if case.expected:
        return bool(after.label not in case.expected)
    if case.rising:
        return bool(_probability(before, case.rising) - _probability(after, case.rising) > _TOLERANCE)
    return bool(_answer(before) != _answer(after))


def _answer(said: Any) -> Any:
    """What must not change: the labels, or the labels with their places."""
    if isinstance(said, Classified):
        return said.label
    if isinstance(said, Labelled):
        return frozenset(said.chosen)
    return frozenset(said.spans) if isinstance(said, Tagged) else said.tags


def _probability(said: Classified, label: str) -> float:
    return float(said.probabilities[said.labels.index(label)])


def _shown(case: Case, before: Any, after: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"text": case.after.whole, "said": _in_short(after, case.rising)}
    if case.before is not None:
        shown = {"before": case.before.whole, "said_before": _in_short(before, case.rising), **shown}
    if case.expected:
        shown["expected"] = " or ".join(case.expected)
    return shown


def _in_short(said: Any, label: str) -> str:
    if isinstance(said, Classified):
        of = label or said.label
        return f"{of} {_probability(said, of):.2f}"
    if isinstance(said, Labelled):
        return ", ".join(said.chosen) or "–"
    if isinstance(said, Tagged):
        return ", ".join(f"{said.text[span.start : span.end]} {span.label}" for span in said.spans) or "–"
    return " ".join(said.tags)


# ------------------------------------------------------------------------------------------------- what is checked


def checks(labels: Sequence[str], examples: Sequence[Example], seed: int) -> Iterator[Check]:
    """The checks that fit a model's labels and the languages of its data; none without a case."""
    poles = poles_of(labels)
    plain = [example for example in examples if example.value is None and example.words is None]
    by_language: dict[str, list[Example]] = {"zh": [], "en": []}
    for example in plain:
        by_language["zh" if HAN.search(example.text) else "en"].append(example)
    single = all(example.label is not None and example.pair is None for example in plain)
    for language, some in by_language.items():
        if len(some) <= _LEAST_SHARE * len(plain):
            continue
        found = [*_invariances(language, some, seed)]
        if poles is not None and single:
            found += [*_directions(language, some, poles, seed), *_minimum(language, poles)]
        yield from (check for check in found if check.cases)


def poles_of(labels: Sequence[str]) -> tuple[str, str] | None:
    """The labels of good and of bad, where all labels are one of these or stand between them."""
    known = {
        kind: [label for label in labels if label.casefold().strip() in names]
        for kind, names in (("good", POSITIVE), ("bad", NEGATIVE), ("between", NEUTRAL))
    }
    if len(known["good"]) != 1 or len(known["bad"]) != 1 or len(labels) != 2 + len(known["between"]):
        return None
    return known["good"][0], known["bad"][0]


def _invariances(language: str, examples: Sequence[Example], seed: int) -> Iterator[Check]:
    changes: dict[str, Callable[[str], str]] = {
        "another mark at the end": lambda text: _other_end(text, language),
        "names swapped": lambda text: _swapped_names(text, language, seed),
        "numbers changed": lambda text: _NUMBER.sub(lambda found: _other_number(found[0], seed), text),
        "first sentence last": _first_last,
    }
    for name, change in changes.items():
        cases = []
        for example in examples:
            made = replace(
                example, text=change(example.text), pair=None if example.pair is None else change(example.pair)
            )
            places = example.spans is not None
            moved = places and (len(made.text) != len(example.text) or change is _first_last)
            if made.whole != example.whole and made.text.strip() and not moved:
                cases.append(Case(_asked(made), _asked(example)))
        yield Check(name, "invariance", language, _some(cases, seed))


def _directions(language: str, examples: Sequence[Example], poles: tuple[str, str], seed: int) -> Iterator[Check]:
    templates = TEMPLATES[language]
    for name, phrases, pole in (("praise added", templates.praising, 0), ("blame added", templates.blaming, 1)):
        cases = []
        for number, example in enumerate(_some(examples, seed)):
            whole = example.text.rstrip() if _END.search(example.text) else _other_end(example.text, language)
            longer = replace(example, text=whole + phrases[number % len(phrases)])
            cases.append(Case(_asked(longer), _asked(example), rising=poles[pole]))
        yield Check(name, "direction", language, cases)
    for name, words, pole in (("stronger praise", templates.praise, 0), ("stronger blame", templates.blame, 1)):
        yield Check(
            name,
            "direction",
            language,
            [
                Case(
                    _text(stronger.format(thing=thing, word=word)),
                    _text(templates.flat.format(thing=thing, word=word)),
                    rising=poles[pole],
                )
                for stronger in templates.stronger
                for thing in templates.things
                for word in words
            ],
        )


def _minimum(language: str, poles: tuple[str, str]) -> Iterator[Check]:
    good, bad = poles
    t = TEMPLATES[language]

    def filled(name: str, templates: Sequence[str], words: Sequence[str], label: str) -> Check:
        texts = [each.format(thing=thing, word=word) for each in templates for thing in t.things for word in words]
        return Check(name, "minimum", language, [Case(_text(text), expected=(label,)) for text in texts])

    yield filled("plain praise", [t.flat], t.praise, good)
    yield filled("plain blame", [t.flat], t.blame, bad)
    yield filled("praise denied", t.denied, t.praise, bad)
    yield filled("blame denied", t.denied_blame, t.blame, good)
    yield filled("from bad to good", [better for better, _ in t.turned], [""], good)
    yield filled("from good to bad", [worse for _, worse in t.turned], [""], bad)


def _text(text: str) -> Example:
    return Example(text, "template")


def _asked(example: Example) -> Example:
    """An example without its answer, as a model is asked."""
    return Example(example.text, "data", pair=example.pair)


def _some(cases: Sequence[Any], seed: int) -> list[Any]:
    """At most ``MOST_CASES``, drawn by the seed, in their order."""
    if len(cases) <= MOST_CASES:
        return list(cases)
    places = sorted(random.Random(seed).sample(range(len(cases)), MOST_CASES))
    return [cases[place] for place in places]


def _other_end(text: str, language: str) -> str:
    """Without the marks at its end; with a full stop, where it had none."""
    bare = _END.sub("", text)
    return bare if bare != text else text.rstrip() + ("。" if language == "zh" else ".")


def _swapped_names(text: str, language: str, seed: int) -> str:
    """Each known name replaced by another of its kind, as long where there is one; a name is always the same other."""
    for kind in NAMES[language]:
        bound = r"\b" if language == "en" else ""
        pattern = re.compile(bound + "(?:" + "|".join(kind) + ")" + bound)
        text = pattern.sub(partial(_other_name, kind, seed), text)
    return text


def _other_name(kind: Sequence[str], seed: int, found: re.Match[str]) -> str:
    name = found[0]
    others = [other for other in kind if other != name]
    as_long = [other for other in others if len(other) == len(name)]
    return random.Random(f"{seed} {name}").choice(as_long or others)


def _other_number(number: str, seed: int) -> str:
    draw = random.Random(f"{seed} {number}")
    other = number
    while other == number:
        other = str(draw.randrange(10 ** (len(number) - 1), 10 ** len(number)))
    return other


def _first_last(text: str) -> str:
    """The first sentence behind the others, of three or more that all end with a mark."""
    parts = _SENTENCE.findall(text)
    if len(parts) < 3 or "".join(parts) != text:
        return text
    return "".join([*parts[1:-1], parts[-1].rstrip() + parts[0][len(parts[0].rstrip()) :], parts[0].rstrip()])
