"""How the words that a model cuts are judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from myna.evaluation import metrics
from myna.evaluation.scoring import Scores
from myna.evaluation.simple_methods import Simple
from myna.inference.loaded import Loaded
from myna.tasks.examples import Example
from myna.tasks.segmentation import Segmented, words_of


def judge_segmentation(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Segmented], seed: int, simple: Simple | None
) -> tuple[Scores, dict[str, Any]]:
    """``word_f1``: a word is right where it begins and ends as one by hand."""
    expected = [example.spans or () for example in examples]
    others = simple.words(examples) if simple else {}
    counted = {name: metrics.entity_counts(expected, found) for name, found in others.items()}
    scores = Scores(seed)
    ours = metrics.entity_counts(expected, [words_of(each) for each in said])
    scores.add("word_f1", metrics.micro_f1, ours, counted)
    return scores, {"kind": "segmentation", "differences": scores.differences}


def line_of_segmentation(example: Example, said: Segmented) -> dict[str, Any]:
    """A line of ``predictions.jsonl``: the words by hand and by the model."""
    by_hand = None if example.spans is None else [example.text[start:end] for start, end, _ in example.spans]
    return {"words": by_hand, "predicted": said.answer()["words"]}
