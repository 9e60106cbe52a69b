"""How the answers to questions are judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from myna.evaluation import metrics
from myna.evaluation.scoring import Scores
from myna.evaluation.simple_methods import Simple
from myna.inference.loaded import Loaded
from myna.tasks.examples import Example
from myna.tasks.questions import Answered, answers_of


def judge_questions(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Answered], seed: int, simple: Simple | None
) -> tuple[Scores, dict[str, Any]]:
    """``answer_f1`` and ``answer_exact``, as SQuAD counts them."""
    expected = [answers_of(example) for example in examples]
    others = simple.answers(examples) if simple else {}
    ours = metrics.answer_match(expected, [each.words for each in said])
    theirs = {name: metrics.answer_match(expected, each) for name, each in others.items()}
    scores = Scores(seed)
    for place, name in ((1, "answer_f1"), (0, "answer_exact")):
        columns = [place, 2]
        baselines = {key: each[:, columns] for key, each in theirs.items()}
        scores.add(name, metrics.first_share, ours[:, columns], baselines)
    return scores, {"kind": "questions", "differences": scores.differences}


def line_of_question(example: Example, said: Answered) -> dict[str, Any]:
    """A line of ``predictions.jsonl``: the answers by hand, and the model's."""
    answer = said.answer()
    by_hand = None if example.spans is None else answers_of(example)
    return {"answers": by_hand, "predicted": answer["answer"], **{k: v for k, v in answer.items() if k != "answer"}}
