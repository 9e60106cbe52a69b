"""How vectors are judged: at which place each text finds its pair among the pairs of all texts that are judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna.evaluation import metrics
from myna.evaluation.retrieval import Pairing
from myna.evaluation.scoring import Scores
from myna.evaluation.simple_methods import Simple
from myna.inference.loaded import Loaded
from myna.tasks.embeddings import Embedded, places_of
from myna.tasks.examples import Example


def judge_embeddings(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Embedded], seed: int, simple: Simple | None
) -> tuple[Scores, dict[str, Any]]:
    """``mrr``, ``recall_at_1`` and ``recall_at_10``. In every draw of texts all pairs stay candidates."""
    pairing = Pairing.of([(example.text, example.pair or "") for example in examples])
    ours = places_of(pairing, said)
    others = simple.places(examples, pairing) if simple else {}
    scores = Scores(seed)
    for name in ("mrr", "recall_at_1", "recall_at_10"):
        theirs = {key: _sums(name, places) for key, places in others.items()}
        scores.add(name, metrics.first_share, _sums(name, ours), theirs)
    details = {"kind": "embeddings", "candidates": len(pairing.candidates), "differences": scores.differences}
    return scores, details


def _sums(name: str, places: NDArray[np.int64]) -> metrics.Floats:
    """What is counted of each text, ``(texts, 2)``: the figure, one."""
    figure = 1 / places if name == "mrr" else places <= int(name.rpartition("_")[2])
    return np.stack([figure, np.ones(len(places))], 1).astype(np.float64)


def line_of_embedding(example: Example, said: Embedded) -> dict[str, Any]:
    """A line of ``predictions.jsonl``: how near a text and its pair are to each other."""
    return {"likeness": said.likeness}
