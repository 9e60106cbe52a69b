"""How the predictions of each task are judged: figures with intervals, figures by label, and a line of each.

A judge is found by the class of the predictions, so that a task of somebody's own which predicts labels is judged as
Myna's own are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myna.evaluation import metrics
from myna.evaluation.judged_embeddings import judge_embeddings, line_of_embedding
from myna.evaluation.judged_questions import judge_questions, line_of_question
from myna.evaluation.judged_segmentation import judge_segmentation, line_of_segmentation
from myna.evaluation.scoring import Scores
from myna.evaluation.simple_methods import Simple
from myna.evaluation.written import judge_texts, line_of_text
from myna.inference.loaded import Loaded
from myna.tasks.classification import Classified
from myna.tasks.embeddings import Embedded
from myna.tasks.examples import Example
from myna.tasks.extraction import Extracted
from myna.tasks.multilabel import Labelled
from myna.tasks.questions import Answered
from myna.tasks.regression import Valued
from myna.tasks.segmentation import Segmented
from myna.tasks.tagging import Tagged
from myna.tasks.viterbi import spans_of
from myna.tasks.words import TaggedWords, words_of
from myna.tasks.writing import Written

# Scores, and what ``details.json`` has; of the model, examples, predictions, the seed and the simple methods.
Judged = tuple[Scores, dict[str, Any]]


@dataclass(frozen=True)
class Judge:
    """``judge`` gives scores and details (``kind`` among them); ``line`` what ``predictions.jsonl`` has of one."""

    judge: Callable[[Loaded, Sequence[Example], Sequence[Any], int, Simple | None], Judged]
    line: Callable[[Example, Any], dict[str, Any]]


def _judge_labels(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Classified], seed: int, simple: Simple | None
) -> Judged:
    labels = list(loaded.labels)
    expected, ours = [example.label or "" for example in examples], [each.label for each in said]
    scores = Scores(seed)
    scores.add_labels(expected, ours, simple.labels(examples) if simple else {}, labels)
    has = np.array([[label == right for label in labels] for right in expected], bool).reshape(-1, len(labels))
    probabilities = np.array([each.probabilities for each in said]).reshape(-1, len(labels))
    scores.add("auc", metrics.area_under_curve, metrics.placements(has, probabilities), {})
    cells = metrics.confusion(expected, ours, labels)
    figures = zip(
        labels,
        metrics.precision_by_class(cells).tolist(),
        metrics.recall_by_class(cells).tolist(),
        metrics.f1_by_class(cells).tolist(),
        cells.sum(1).tolist(),
        strict=True,
    )
    names = ("label", "precision", "recall", "f1", "examples")
    return scores, {
        "kind": "classification",
        "labels": labels,
        "confusion": cells.tolist(),
        "by_label": [dict(zip(names, row, strict=True)) for row in figures],
        "differences": scores.differences,
    }


def _judge_spans(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Tagged], seed: int, simple: Simple | None
) -> Judged:
    expected = [set(example.spans or ()) for example in examples]
    ours = [set(each.spans) for each in said]
    others = simple.spans(examples) if simple else {}
    scores = Scores(seed)
    scores.add(
        "entity_f1",
        metrics.micro_f1,
        metrics.entity_counts(expected, ours),
        {name: metrics.entity_counts(expected, found) for name, found in others.items()},
    )
    names = sorted({span.label for line in (*expected, *ours) for span in line})
    rows = [_row(name, metrics.entity_counts(expected, ours, name).sum(0)) for name in names]
    return scores, {"kind": "tagging", "by_label": rows, "differences": scores.differences}


def _judge_several_labels(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Labelled], seed: int, simple: Simple | None
) -> Judged:
    labels, expected = list(loaded.labels), [example.labels or () for example in examples]
    ours = metrics.label_counts(expected, [each.chosen for each in said], labels)
    found = simple.several_labels(examples) if simple else {}
    others = {name: metrics.label_counts(expected, each, labels) for name, each in found.items()}
    scores = Scores(seed)
    scores.add("micro_f1", metrics.micro_f1_of_labels, ours, others)
    scores.add("macro_f1", metrics.macro_f1_of_labels, ours, others)
    scores.add("exact_match", metrics.exact_match, ours, others)
    rows = [_row(label, counts_of) for label, counts_of in zip(labels, ours.sum(0)[:-1], strict=True)]
    return scores, {"kind": "multilabel", "by_label": rows, "differences": scores.differences}


def _judge_values(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Valued], seed: int, simple: Simple | None
) -> Judged:
    expected = np.array([example.value for example in examples], np.float64)
    everyone = {"": np.array([each.value for each in said]), **(simple.values(examples) if simple else {})}
    sums = {name: metrics.moments(expected, each) for name, each in everyone.items()}
    # Ranks are those among all of the texts, in every draw of them.
    ranked = {name: metrics.moments(metrics.ranks(expected), metrics.ranks(each)) for name, each in everyone.items()}
    scores = Scores(seed)
    for name, metric, statistics in (
        ("r2", metrics.r_squared, sums),
        ("pearson", metrics.pearson, sums),
        ("spearman", metrics.pearson, ranked),
        ("mean_absolute_error", metrics.mean_absolute_error, sums),
    ):
        scores.add(name, metric, statistics[""], {key: each for key, each in statistics.items() if key})
    return scores, {"kind": "regression", "differences": scores.differences}


def _judge_words(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[TaggedWords], seed: int, simple: Simple | None
) -> Judged:
    expected = [example.tags or () for example in examples]
    everyone: dict[str, Sequence[Sequence[str]]] = {"": [each.tags for each in said]}
    everyone |= simple.tags(examples) if simple else {}
    scores, rows = Scores(seed), []
    if all(each.spans is not None for each in said):
        bounds = [words_of(example) for example in examples]
        marked = [spans_of(tags, line) for tags, line in zip(expected, bounds, strict=True)]
        spans = {
            name: [spans_of(tags, line) for tags, line in zip(each, bounds, strict=True)]
            for name, each in everyone.items()
        }
        counted = {name: metrics.entity_counts(marked, each) for name, each in spans.items()}
        scores.add("entity_f1", metrics.micro_f1, counted.pop(""), counted)
        names = sorted({span.label for line in (*marked, *spans[""]) for span in line})
        rows = [_row(name, metrics.entity_counts(marked, spans[""], name).sum(0)) for name in names]
    right = {name: _right_words(expected, each) for name, each in everyone.items()}
    scores.add("word_accuracy", metrics.exact_match, right.pop(""), right)
    if not rows:
        cells: Counter[tuple[str, str]] = Counter()
        for tags, each in zip(expected, said, strict=True):
            cells.update(zip(tags, each.tags, strict=True))
        for label in sorted({tag for pair in cells for tag in pair}):
            sides = [sum(n for pair, n in cells.items() if pair[place] == label) for place in (1, 0)]
            rows.append(_row(label, np.array([cells[label, label], *sides])))
    return scores, {"kind": "words", "by_label": rows, "differences": scores.differences}


def _right_words(expected: Sequence[Sequence[str]], said: Sequence[Sequence[str]]) -> metrics.Floats:
    """Of each text how many words are right, and how many there are: ``(texts, 1, 2)``."""
    rows = [
        (sum(a == b for a, b in zip(right, tags, strict=True)), len(right))
        for right, tags in zip(expected, said, strict=True)
    ]
    return np.array(rows, np.float64).reshape(-1, 1, 2)


def _row(label: str, counts_of: metrics.Floats) -> dict[str, Any]:
    """A line of the figures by label, of how many are right, predicted and expected."""
    return {
        "label": label,
        "precision": float(metrics.precision(counts_of)),
        "recall": float(metrics.recall(counts_of)),
        "f1": float(metrics.micro_f1(counts_of)),
        "examples": int(counts_of[2]),
    }


def _sure_spans(said: Tagged) -> list[dict[str, Any]]:
    """The spans with a ``probability``: that of the tag of their least sure unit."""
    highest = said.probabilities.max(1) if len(said.units) else np.zeros(0)
    starts = np.array([start for start, _ in said.units], np.int64)
    found = []
    for span in said.spans:
        first, last = np.searchsorted(starts, [span.start, span.end])
        found.append({**span._asdict(), "probability": round(float(highest[first:last].min()), 4)})
    return found


def _line_of_label(example: Example, said: Classified) -> dict[str, Any]:
    answer = said.answer()
    return {"label": example.label, "predicted": answer["label"], "scores": answer["scores"]}


def _line_of_spans(example: Example, said: Tagged) -> dict[str, Any]:
    return {"spans": [span._asdict() for span in example.spans or ()], "predicted": _sure_spans(said)}


def _line_of_labels(example: Example, said: Labelled) -> dict[str, Any]:
    answer = said.answer()
    labels = None if example.labels is None else list(example.labels)
    return {"labels": labels, "predicted": answer["labels"], "scores": answer["scores"]}


def _line_of_value(example: Example, said: Valued) -> dict[str, Any]:
    return {"value": example.value, "predicted": said.value}


def _line_of_words(example: Example, said: TaggedWords) -> dict[str, Any]:
    answer, tags = said.answer(), None if example.tags is None else list(example.tags)
    return {"tokens": answer["tokens"], "tags": tags, "predicted": answer["tags"]}


JUDGES: dict[type, Judge] = {
    Classified: Judge(_judge_labels, _line_of_label),
    Tagged: Judge(_judge_spans, _line_of_spans),
    Labelled: Judge(_judge_several_labels, _line_of_labels),
    Valued: Judge(_judge_values, _line_of_value),
    TaggedWords: Judge(_judge_words, _line_of_words),
    Segmented: Judge(judge_segmentation, line_of_segmentation),
    Embedded: Judge(judge_embeddings, line_of_embedding),
    Answered: Judge(judge_questions, line_of_question),
    Written: Judge(judge_texts, line_of_text),
    Extracted: Judge(judge_texts, line_of_text),
}
