"""A fine-tuned model judged on the test split of its corpus, beside the simple methods on the same texts.

Reads a model's folder and a corpus, writes ``scores.json``, ``details.json`` (confusion matrix, figures by label,
differences) and ``predictions.jsonl``. Long texts are read whole, whatever training did with them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myna import files
from myna.corpus.document import Corpus
from myna.corpus.guessing import guess_columns, guess_sides, sample_of
from myna.corpus.sources import SourceConfig
from myna.evaluation.judges import JUDGES, Judged
from myna.evaluation.scoring import Scores
from myna.evaluation.significance import Estimate
from myna.evaluation.simple_methods import Simple
from myna.inference.loaded import Loaded, load
from myna.inference.predict import predictions
from myna.ledger import Ledger
from myna.tasks import TARGETED
from myna.tasks.embeddings import Embeddings
from myna.tasks.examples import Example, choose, counts, read_examples, read_splits
from myna.tasks.extraction import Extracted
from myna.tasks.multilabel import Multilabel
from myna.tasks.questions import Questions
from myna.tasks.regression import VALUE
from myna.tasks.segmentation import Segmentation
from myna.tasks.tagging import Tagging
from myna.tasks.task import Writes
from myna.tasks.words import TagsOfWords
from myna.tasks.writing import Written

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

VERSION = 2
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
    items = loaded.task.items(splits.test, "window", windows)
    said, tested = predictions(loaded.model, loaded.task, items), items.examples
    ledger.note("windows beyond the first", windows.notes.get("windows beyond the first", 0))
    unread = sum(getattr(each, "unread", 0) for each in said)
    ledger.note("tokens of texts that had no room in the model's window", unread)
    report("simple methods", 0.6)
    own = seed if config.seed is None else config.seed
    every = choose(splits.train, config.training_examples or len(splits.train), own)
    trained = _within_budget(every, ledger)
    if isinstance(loaded.task, Writes):
        trained, every = loaded.task.arranged(trained), loaded.task.arranged(every)
    simple = Simple(trained, corpus, every, ledger, thorough=bool(config.thorough))
    scores, details = _judge(loaded, tested, said, seed, simple)
    _write(folder, scores, details, tested, said)
    return ledger


def judge_file(model_folder: Path, data: Path, seed: int = 1) -> dict[str, Any]:
    """The scores of a fine-tuned model on the examples of a file, as in ``scores.json``, without simple methods."""
    loaded = load(model_folder)
    examples = read_examples(data, type(loaded.task), _source_for(loaded, data))
    items = loaded.task.items(examples)
    return _judge(loaded, items.examples, predictions(loaded.model, loaded.task, items), seed, None)[0].metrics


def _source_for(loaded: Loaded, data: Path) -> SourceConfig:
    """How a file of examples is read: its tags as those of the model, its columns as a task has none but these."""
    task, name = loaded.task, loaded.facts.get("task")
    plain = isinstance(task, Segmentation) or (isinstance(task, TagsOfWords) and not task.marks_spans)
    source = SourceConfig(path=str(data), tags="plain" if plain else "spans")
    if isinstance(task, Questions):
        source, _ = guess_columns(source, ("text", "pair", "answer"), *sample_of(source))
    if name in TARGETED:
        source, _, _ = guess_sides(source, name, *sample_of(source))
    return source


def _judge(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Any], seed: int, simple: Simple | None
) -> Judged:
    kinds = {type(prediction) for prediction in said}
    judge = JUDGES.get(kinds.pop()) if len(kinds) == 1 else None
    if judge is None:
        return _judge_by_task(loaded, examples, said, seed), {"kind": "other"}
    return judge.judge(loaded, examples, said, seed, simple)


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
        read += len(example.text) + len(example.target or "")
        chosen.append(example)
    ledger.note("training examples that the simple methods did without", len(examples) - len(chosen))
    return chosen


def _kind(loaded: Loaded) -> str:
    """What the report calls a model whose task was judged on nothing."""
    if loaded.labels == VALUE:
        return "regression"
    kinds = {Multilabel: "multilabel", TagsOfWords: "words", Segmentation: "segmentation", Tagging: "tagging"}
    kinds |= {Questions: "questions", Embeddings: "embeddings"}
    task = loaded.facts.get("task")
    usual = task if task in TARGETED else "other" if isinstance(loaded.task, Writes) else "classification"
    return next((kind for task, kind in kinds.items() if isinstance(loaded.task, task)), usual)


def line_of(example: Example, said: Any) -> Mapping[str, Any]:
    """A line of ``predictions.jsonl``."""
    line: dict[str, Any] = {"id": example.id}
    if not isinstance(said, (Written, Extracted)):
        line["text"] = example.text
    if example.pair is not None:
        line["pair"] = example.pair
    judge = JUDGES.get(type(said))
    return {**line, **(judge.line(example, said) if judge else {"answer": said.answer()})}


def _write(
    folder: Path, scores: Scores, details: Mapping[str, Any], examples: Sequence[Example], said: Sequence[Any]
) -> None:
    files.write_json(folder / "scores.json", scores.metrics)
    files.write_json(folder / "details.json", details)
    with files.open_new(folder / "predictions.jsonl") as stream:
        for example, prediction in zip(examples, said, strict=True):
            stream.write((json.dumps(line_of(example, prediction), ensure_ascii=False) + "\n").encode())
