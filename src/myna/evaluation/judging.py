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
from myna.corpus.guessing import guess_sides, sample_of
from myna.corpus.sources import SourceConfig
from myna.evaluation.abstaining import reached, sureness_of
from myna.evaluation.judges import JUDGES, Judged
from myna.evaluation.metrics import are_bio
from myna.evaluation.scoring import Scores
from myna.evaluation.significance import Estimate
from myna.evaluation.simple_methods import Simple
from myna.evaluation.slices import slices
from myna.inference.loaded import Loaded, load
from myna.inference.predict import predictions
from myna.ledger import Ledger
from myna.tasks import TARGETED
from myna.tasks.examples import Example, choose, counts, read_examples, read_splits
from myna.tasks.extraction import Extracted
from myna.tasks.regression import VALUE
from myna.tasks.task import Sure, Writes
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
    scores, details = _judge(loaded, tested, said, seed, Simple(trained, corpus, every))
    details |= _sureness(loaded, tested, said)
    if scores.main is not None:
        details["slices"] = slices(tested, scores.main)
    _write(folder, scores, details, tested, said)
    return ledger


def _sureness(loaded: Loaded, examples: Sequence[Example], said: Sequence[Any]) -> dict[str, Any]:
    """What ``details.json`` has of probabilities: ``calibration`` before and after the temperature, ``abstaining``."""
    now = sureness_of(loaded.task, examples, said)
    if now is None or not isinstance(loaded.task, Sure):
        return {}
    temperature = loaded.task.temperature
    calibration = {"temperature": temperature, "before": now.at(1 / temperature).to_dict(), "after": now.to_dict()}
    return {"calibration": calibration, "abstaining": reached(loaded.facts, now)}


def judge_file(model_folder: Path, data: Path, seed: int = 1) -> dict[str, Any]:
    """The scores of a fine-tuned model on the examples of a file, as in ``scores.json``, without simple methods."""
    loaded = load(model_folder)
    items = loaded.task.items(examples_of(loaded, data))
    return _judge(loaded, items.examples, predictions(loaded.model, loaded.task, items), seed, None)[0].metrics


def examples_of(loaded: Loaded, data: Path) -> list[Example]:
    """The examples of a file for a model's task; its tags are read as those of the model."""
    plain = isinstance(loaded.task, TagsOfWords) and not are_bio(loaded.labels)
    source = SourceConfig(path=str(data), tags="plain" if plain else "spans")
    task = loaded.facts.get("task")
    if task in TARGETED:
        source, _, _ = guess_sides(source, task, *sample_of(source))
    return read_examples(data, type(loaded.task), source)


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
    """What the report calls a model whose task was judged on nothing: as its task, and pairs by their answers."""
    if loaded.labels == VALUE:
        return "regression"
    task = str(loaded.facts.get("task"))
    if task not in TARGETED and isinstance(loaded.task, Writes):
        return "other"
    return "classification" if task == "pairs" else task


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
