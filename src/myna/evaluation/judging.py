"""A fine-tuned model judged on the test split of its corpus, beside the simple methods on the same texts.

Reads a model's folder and a corpus, writes ``scores.json``, ``details.json`` (confusion matrix, figures by label,
differences) and ``predictions.jsonl``. Long texts are read whole, whatever training did with them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myna import files
from myna.corpus.document import Corpus
from myna.evaluation import baselines, metrics
from myna.evaluation.scoring import Scores
from myna.evaluation.significance import Estimate
from myna.inference.loaded import Loaded, load
from myna.inference.predict import predictions
from myna.ledger import Ledger
from myna.tasks.classification import Classified
from myna.tasks.examples import Example, choose, counts, read_examples, read_splits
from myna.tasks.tagging import Tagged
from myna.tasks.units import tags_of, units
from myna.tasks.viterbi import spans_of

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

VERSION = 1
# What the simple methods learn from: enough that more changes little, and they stay a matter of seconds.
BASELINE_CHARACTERS = 20_000_000
# A task of somebody else's is judged by its own metrics, anew for each draw.
_OTHER_RESAMPLES = 200

Report = Callable[[str, float], None]


def evaluate_task(
    model_folder: Path,
    corpus_folder: Path,
    config: FinetuneConfig,
    folder: Path,
    seed: int,
    report: Report = lambda what, share: None,
) -> Ledger:
    """Judges the model on the test split and writes what it finds into ``folder``, which exists and is empty.

    The simple methods learn from the examples that the model was trained on. Without a test split the scores are
    empty. Raises an :class:`~myna.errors.InputError` for a damaged model or corpus, or labels the model does not have.
    """
    loaded = load(model_folder)
    corpus = Corpus.open(corpus_folder)
    ledger, windows = Ledger(), Ledger()
    splits = read_splits(corpus, type(loaded.task), ledger)
    ledger.dropped("training split: the simple methods learn from it", **counts(splits.train))
    ledger.dropped("validation split: it chose the best epoch", **counts(splits.validation))
    ledger.kept(**counts(splits.test))
    if not splits.test:
        _write(folder, Scores(seed), {"kind": _kind(loaded)}, [], [])
        return ledger
    report("predicting", 0.1)
    said = predictions(loaded.model, loaded.task, loaded.task.items(splits.test, "window", windows))
    ledger.note("windows beyond the first", windows.notes.get("windows beyond the first", 0))
    report("simple methods", 0.6)
    own = seed if config.seed is None else config.seed
    trained = _within_budget(choose(splits.train, config.training_examples or len(splits.train), own), ledger)
    scores, details = _judge(loaded, splits.test, said, seed, _Simple(trained, corpus))
    _write(folder, scores, details, splits.test, said)
    return ledger


def judge_file(model_folder: Path, data: Path, seed: int = 1) -> dict[str, Any]:
    """The scores of a fine-tuned model on the examples of a file, as in ``scores.json``, without simple methods."""
    loaded = load(model_folder)
    examples = read_examples(data, type(loaded.task))
    said = predictions(loaded.model, loaded.task, loaded.task.items(examples))
    return _judge(loaded, examples, said, seed, None)[0].metrics


class _Simple:
    """The simple methods, which have seen the training examples."""

    def __init__(self, trained: Sequence[Example], corpus: Corpus) -> None:
        self.trained, self.corpus = trained, corpus

    def labels(self, examples: Sequence[Example]) -> dict[str, list[str]]:
        """What each method says of each text."""
        known = [example.label or "" for example in self.trained]
        words = _words_without_stop_words(self.corpus)
        both: tuple[Sequence[Example], Sequence[Example]] = (self.trained, examples)
        bags = [[words.get(e.id, []) for e in some] for some in both] if words else [None, None]
        texts = [[e.text for e in some] for some in both]
        return {
            "majority": baselines.majority(known, len(examples)),
            "tfidf_logistic_regression": baselines.tfidf_logistic_regression(texts[0], known, texts[1], *bags),
        }

    def spans(self, examples: Sequence[Example]) -> dict[str, Sequence[Collection[metrics.SpanTuple]]]:
        """The spans that each method finds in each text."""
        bounds = [[units(e.text) for e in some] for some in (self.trained, examples)]
        cut = [
            [[e.text[a:b] for a, b in line] for e, line in zip(some, lines, strict=True)]
            for some, lines in zip((self.trained, examples), bounds, strict=True)
        ]
        tags = [tags_of(line, e.spans or ())[0] for e, line in zip(self.trained, bounds[0], strict=True)]
        tagged = baselines.most_frequent_tag(cut[0], tags, cut[1])
        marked = [e.spans or () for e in self.trained]
        names = baselines.known_names([e.text for e in self.trained], marked, [e.text for e in examples])
        found = [spans_of(line, places) for line, places in zip(tagged, bounds[1], strict=True)]
        return {"most_frequent_tag": found, "known_names": names}


def _judge(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Any], seed: int, simple: _Simple | None
) -> tuple[Scores, dict[str, Any]]:
    if all(isinstance(prediction, Classified) for prediction in said):
        return _judge_labels(loaded, examples, said, seed, simple)
    if all(isinstance(prediction, Tagged) for prediction in said):
        return _judge_spans(examples, said, seed, simple)
    return _judge_by_task(loaded, examples, said, seed), {"kind": "other"}


def _judge_labels(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Classified], seed: int, simple: _Simple | None
) -> tuple[Scores, dict[str, Any]]:
    labels = list(loaded.labels)
    expected, ours = [example.label or "" for example in examples], [each.label for each in said]
    scores = Scores(seed)
    scores.add_labels(expected, ours, simple.labels(examples) if simple else {}, labels)
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
    examples: Sequence[Example], said: Sequence[Tagged], seed: int, simple: _Simple | None
) -> tuple[Scores, dict[str, Any]]:
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
    rows = []
    for label in sorted({span.label for line in (*expected, *ours) for span in line}):
        counts_of = metrics.entity_counts(expected, ours, label).sum(0)
        rows.append(
            {
                "label": label,
                "precision": float(metrics.precision(counts_of)),
                "recall": float(metrics.recall(counts_of)),
                "f1": float(metrics.micro_f1(counts_of)),
                "examples": int(counts_of[2]),
            }
        )
    return scores, {"kind": "tagging", "by_label": rows, "differences": scores.differences}


def _judge_by_task(loaded: Loaded, examples: Sequence[Example], said: Sequence[Any], seed: int) -> Scores:
    """The task's own metrics; the intervals by the bootstrap over examples."""
    scores = Scores(seed)
    generator = np.random.default_rng(seed)
    found = {name: value for name, value in loaded.task.metrics(examples, said).items() if name != "score"}
    drawn: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(_OTHER_RESAMPLES):
        places = generator.integers(0, len(examples), len(examples)).tolist()
        again = loaded.task.metrics([examples[i] for i in places], [said[i] for i in places])
        for name in found:
            drawn[name].append(again[name])
    for name, value in found.items():
        low, high = np.quantile(drawn[name], [0.025, 0.975]).tolist()
        estimate = Estimate(value, min(value, low), max(value, high))
        scores.metrics[name] = {**estimate.to_dict(), "examples": len(examples), "baselines": {}}
    return scores


def _within_budget(examples: Sequence[Example], ledger: Ledger) -> list[Example]:
    read, chosen = 0, []
    for example in examples:
        if read >= BASELINE_CHARACTERS:
            break
        read += len(example.text)
        chosen.append(example)
    ledger.note("training examples that the simple methods did without", len(examples) - len(chosen))
    return chosen


def _words_without_stop_words(corpus: Corpus) -> dict[str, list[str]]:
    from myna.corpus.words import stop_words

    stop = stop_words(corpus.language)
    found: dict[str, list[str]] = {}
    for split in ("train", "test"):
        for document in corpus.documents(split, ["text", "words"]) if corpus.has_words else ():
            if document.words is not None:
                found[document.id] = [w for w in document.words.strings(document.text) if w not in stop]
    return found


def _kind(loaded: Loaded) -> str:
    return {"sequence": "classification", "token": "tagging"}[loaded.model.kind]


def _line(example: Example, said: Any) -> Mapping[str, Any]:
    """A line of ``predictions.jsonl``."""
    line: dict[str, Any] = {"id": example.id, "text": example.text}
    if isinstance(said, Classified):
        answer = said.answer()
        return {**line, "label": example.label, "predicted": answer["label"], "scores": answer["scores"]}
    if isinstance(said, Tagged):
        marked = [span._asdict() for span in example.spans or ()]
        return {**line, "spans": marked, "predicted": _sure_spans(said)}
    return {**line, "answer": said.answer()}


def _sure_spans(said: Tagged) -> list[dict[str, Any]]:
    """The spans with a ``probability``: that of the tag of their least sure unit."""
    highest = said.probabilities.max(1) if len(said.units) else np.zeros(0)
    starts = np.array([start for start, _ in said.units], np.int64)
    found = []
    for span in said.spans:
        first, last = np.searchsorted(starts, [span.start, span.end])
        found.append({**span._asdict(), "probability": round(float(highest[first:last].min()), 4)})
    return found


def _write(
    folder: Path, scores: Scores, details: Mapping[str, Any], examples: Sequence[Example], said: Sequence[Any]
) -> None:
    files.write_json(folder / "scores.json", scores.metrics)
    files.write_json(folder / "details.json", details)
    with files.open_new(folder / "predictions.jsonl") as stream:
        for example, prediction in zip(examples, said, strict=True):
            stream.write((json.dumps(_line(example, prediction), ensure_ascii=False) + "\n").encode())
