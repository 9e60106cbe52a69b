"""A fine-tuned model judged on the test split of its corpus, beside the simple methods on the same texts.

Reads a model's folder and a corpus, writes ``scores.json``, ``details.json`` (confusion matrix, figures by label,
differences) and ``predictions.jsonl``. Long texts are read whole, whatever training did with them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myna import files
from myna.corpus.document import Corpus
from myna.corpus.sources import SourceConfig
from myna.evaluation import metrics
from myna.evaluation.scoring import Scores
from myna.evaluation.significance import Estimate
from myna.evaluation.simple_methods import Simple
from myna.inference.loaded import Loaded, load
from myna.inference.predict import predictions
from myna.ledger import Ledger
from myna.tasks.classification import Classified
from myna.tasks.examples import Example, choose, counts, read_examples, read_splits
from myna.tasks.multilabel import Labelled, Multilabel
from myna.tasks.regression import VALUE, Valued
from myna.tasks.tagging import Tagged, Tagging
from myna.tasks.viterbi import spans_of
from myna.tasks.words import TaggedWords, TagsOfWords, are_bio, words_of

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
    scores, details = _judge(loaded, splits.test, said, seed, Simple(trained, corpus))
    _write(folder, scores, details, splits.test, said)
    return ledger


def judge_file(model_folder: Path, data: Path, seed: int = 1) -> dict[str, Any]:
    """The scores of a fine-tuned model on the examples of a file, as in ``scores.json``, without simple methods."""
    loaded = load(model_folder)
    examples = read_examples(data, type(loaded.task), _source_for(loaded, data))
    said = predictions(loaded.model, loaded.task, loaded.task.items(examples))
    return _judge(loaded, examples, said, seed, None)[0].metrics


def _source_for(loaded: Loaded, data: Path) -> SourceConfig:
    """How a file of examples is read: its tags as those of the model."""
    plain = isinstance(loaded.task, TagsOfWords) and not are_bio(loaded.labels)
    return SourceConfig(path=str(data), tags="plain" if plain else "spans")


def _judge(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Any], seed: int, simple: Simple | None
) -> tuple[Scores, dict[str, Any]]:
    if all(isinstance(prediction, Classified) for prediction in said):
        return _judge_labels(loaded, examples, said, seed, simple)
    if all(isinstance(prediction, Tagged) for prediction in said):
        return _judge_spans(examples, said, seed, simple)
    if all(isinstance(prediction, Labelled) for prediction in said):
        return _judge_several_labels(loaded, examples, said, seed, simple)
    if all(isinstance(prediction, Valued) for prediction in said):
        return _judge_values(examples, said, seed, simple)
    if all(isinstance(prediction, TaggedWords) for prediction in said):
        return _judge_words(loaded, examples, said, seed, simple)
    return _judge_by_task(loaded, examples, said, seed), {"kind": "other"}


def _judge_labels(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Classified], seed: int, simple: Simple | None
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
    examples: Sequence[Example], said: Sequence[Tagged], seed: int, simple: Simple | None
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
    names = sorted({span.label for line in (*expected, *ours) for span in line})
    rows = [_row(name, metrics.entity_counts(expected, ours, name).sum(0)) for name in names]
    return scores, {"kind": "tagging", "by_label": rows, "differences": scores.differences}


def _judge_several_labels(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Labelled], seed: int, simple: Simple | None
) -> tuple[Scores, dict[str, Any]]:
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
    examples: Sequence[Example], said: Sequence[Valued], seed: int, simple: Simple | None
) -> tuple[Scores, dict[str, Any]]:
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
) -> tuple[Scores, dict[str, Any]]:
    expected = [example.tags or () for example in examples]
    everyone: dict[str, Sequence[Sequence[str]]] = {"": [each.tags for each in said]}
    everyone |= simple.tags(examples) if simple else {}
    scores, rows = Scores(seed), []
    if are_bio(loaded.labels):
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


def _kind(loaded: Loaded) -> str:
    """What the report calls a model whose task was judged on nothing."""
    if loaded.labels == VALUE:
        return "regression"
    kinds = {Multilabel: "multilabel", TagsOfWords: "words", Tagging: "tagging"}
    return next((kind for task, kind in kinds.items() if isinstance(loaded.task, task)), "classification")


def line_of(example: Example, said: Any) -> Mapping[str, Any]:
    """A line of ``predictions.jsonl``."""
    line: dict[str, Any] = {"id": example.id, "text": example.text}
    if example.pair is not None:
        line["pair"] = example.pair
    if isinstance(said, Classified):
        answer = said.answer()
        return {**line, "label": example.label, "predicted": answer["label"], "scores": answer["scores"]}
    if isinstance(said, Tagged):
        marked = [span._asdict() for span in example.spans or ()]
        return {**line, "spans": marked, "predicted": _sure_spans(said)}
    if isinstance(said, Labelled):
        answer = said.answer()
        labels = None if example.labels is None else list(example.labels)
        return {**line, "labels": labels, "predicted": answer["labels"], "scores": answer["scores"]}
    if isinstance(said, Valued):
        return {**line, "value": example.value, "predicted": said.value}
    if isinstance(said, TaggedWords):
        answer, tags = said.answer(), None if example.tags is None else list(example.tags)
        return {**line, "tokens": answer["tokens"], "tags": tags, "predicted": answer["tags"]}
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
            stream.write((json.dumps(line_of(example, prediction), ensure_ascii=False) + "\n").encode())
