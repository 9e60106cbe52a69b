"""How texts that a model wrote, or chose from what it read, are judged, beside the simple methods of their task.

Summaries are judged by ROUGE, translations by BLEU and chrF, answers by ROUGE-L and whether they are exact; texts of a
kind by the bits that a character costs the model, how much they repeat themselves and how much of them is copied out of
training; verse by whether its form is kept. The first figure of a task is told again of the texts alone that are unlike
all that was trained on. What a figure of a text by itself is for the texts of the test split, written by people,
stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna.evaluation import metrics, texts
from myna.evaluation.contamination import new_texts
from myna.evaluation.copying import copy_counts, longest_copies
from myna.evaluation.scoring import Scores
from myna.evaluation.simple_methods import Simple
from myna.inference.loaded import Loaded
from myna.tasks.examples import Example
from myna.tasks.extraction import Extracted
from myna.tasks.writing import Written

# Which figures a task has, the first of which speaks for it, and its simple methods. Another has those of answers.
_FIGURES: dict[str, tuple[str, ...]] = {
    "summarization": ("rouge_l", "rouge_1", "rouge_2"),
    "extraction": ("rouge_l", "rouge_1", "rouge_2"),
    "translation": ("bleu", "chrf", "exact_match"),
    "generation": (),
    "instructions": ("rouge_l", "exact_match"),
}
KINDS = tuple(_FIGURES)
# So many of the longest copies are shown.
_SHOWN = 3
# Of fewer texts a figure says little: its interval is as wide as the scale.
_LEAST = 10

Said = Sequence[Written] | Sequence[Extracted]


def judge_texts(
    loaded: Loaded, examples: Sequence[Example], said: Said, seed: int, simple: Simple | None
) -> tuple[Scores, dict[str, Any]]:
    """The scores of texts, and what ``details.json`` has of them.

    ``alone`` are figures of the texts by themselves, of the model and by hand; ``copies`` the longest that stand in a
    training text word for word, by the places of their examples.
    """
    kind = str(loaded.facts.get("task", "written"))
    names = _FIGURES.get(kind, _FIGURES["instructions"])
    expected, ours = [example.target or "" for example in examples], [each.text for each in said]
    scores = Scores(seed)
    if kind == "generation":
        _add_bits(scores, expected, said, simple)
    figures = texts.figures_of(names, expected, ours)
    others = {
        name: texts.figures_of(names, expected, written)
        for name, written in _simple_texts(kind, examples, said, simple).items()
    }
    for name, (counts, metric) in figures.items():
        scores.add(name, metric, counts, {key: found[name][0] for key, found in others.items()})
    if names and simple is not None:
        _add_new(scores, names[0], figures, others, new_texts([e.text for e in examples], _sources(simple)))
    if kind == "generation" and texts.are_verse(expected):
        scores.add("form_kept", metrics.first_share, texts.form_counts(expected, ours), {})
    details: dict[str, Any] = {"kind": kind if kind in KINDS else "written", "differences": scores.differences}
    if "bleu" in names or "chrf" in names:
        details["signatures"] = texts.signatures(texts.bleu_tokenizer(expected))
    _add_alone(scores, details, expected, ours, simple, scored=kind == "generation")
    return scores, details


def line_of_text(example: Example, said: Written | Extracted) -> dict[str, Any]:
    """What ``predictions.jsonl`` has of a text."""
    told = {name: value for name, value in said.answer().items() if name != "text"}
    if isinstance(said, Written) and said.targets and not said.cut:
        told["bits"] = round(said.nats / math.log(2), 4)  # What the text by hand costs the model, with its end.
    return {"source": example.text, "target": example.target, "predicted": said.text, **told}


def _simple_texts(kind: str, examples: Sequence[Example], said: Said, simple: Simple | None) -> dict[str, list[str]]:
    if simple is None or kind == "generation":
        return {}
    if kind == "translation":
        return simple.translations(examples)
    if kind == "summarization":
        return simple.summaries(examples)
    if kind == "extraction":
        return simple.summaries(examples, [len(each.chosen) for each in said if isinstance(each, Extracted)])
    return simple.nearest(examples)


def _sources(simple: Simple) -> Iterator[str]:
    return (example.text for example in simple.all_trained)


def _add_new(
    scores: Scores, name: str, figures: texts.Figures, others: Mapping[str, texts.Figures], new: NDArray[np.bool_]
) -> None:
    """The first figure once more, of the texts alone that are unlike all that training read."""
    if new.all() or new.sum() < _LEAST:
        return
    counts, metric = figures[name]
    scores.add(f"{name}_new", metric, counts[new], {key: found[name][0][new] for key, found in others.items()})


def _add_bits(scores: Scores, expected: Sequence[str], said: Said, simple: Simple | None) -> None:
    """Of texts that the model's window holds whole: what is paid for the beginning of a longer one says too little."""
    paid = [each.nats / math.log(2) for each in said if isinstance(each, Written) and not each.cut]
    held = [text for text, each in zip(expected, said, strict=True) if isinstance(each, Written) and not each.cut]
    if simple is not None and len(held) < len(expected):
        simple.ledger.note("texts without bits, longer than the model's window", len(expected) - len(held))
    if not held:
        return
    characters = np.array([len(text) for text in held], np.float64)
    others = simple.bits(held) if simple else {}
    sums = {name: np.stack([each, characters], 1) for name, each in {"": np.array(paid), **others}.items()}
    scores.add("bits_per_character", metrics.bits_per_character, sums.pop(""), sums)


def _add_alone(
    scores: Scores,
    details: dict[str, Any],
    expected: Sequence[str],
    ours: Sequence[str],
    simple: Simple | None,
    scored: bool,
) -> None:
    """Variety, repetition and copies, of the model's texts and of those by hand."""
    both = {"model": ours, "by_hand": expected}
    alone: dict[str, dict[str, float]] = {
        f"distinct_{size}": {name: texts.distinct(written, size) for name, written in both.items()} for size in (1, 2)
    }

    found = {"repetition": {name: texts.repetition_counts(written) for name, written in both.items()}}
    if simple is not None:
        learned = [example.target or example.text for example in simple.all_trained]
        copies = longest_copies([*ours, *expected], learned)
        parts = {"model": copies[: len(ours)], "by_hand": copies[len(ours) :]}
        found["memorised"] = {name: copy_counts(written, parts[name]) for name, written in both.items()}
        longest = sorted(range(len(ours)), key=lambda place: -copies[place].length)[:_SHOWN]
        details["copies"] = [
            {"example": place, "text": ours[place][copies[place].start :][: copies[place].length]}
            for place in longest
            if copies[place].length
        ]
    for figure, counts in found.items():
        alone[figure] = {name: float(metrics.first_share(each.sum(0))) for name, each in counts.items()}
        if scored:
            scores.add(figure, metrics.first_share, counts["model"], {})
    details["alone"] = alone
