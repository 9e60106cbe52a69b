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
from myna.corpus.guessing import about_columns, columns_for, guess_sides, sample_of
from myna.corpus.sources import SourceConfig
from myna.evaluation.abstaining import reached, sureness_of
from myna.evaluation.contamination import Contamination, beside, contamination, documents_of
from myna.evaluation.judges import JUDGES, Judged
from myna.evaluation.scoring import Scores
from myna.evaluation.significance import Estimate
from myna.evaluation.simple_methods import Simple
from myna.evaluation.slices import slices
from myna.inference.loaded import Loaded, load
from myna.inference.predict import predictions
from myna.ledger import Ledger
from myna.tasks import TARGETED
from myna.tasks.classification import Classification
from myna.tasks.embeddings import Embeddings
from myna.tasks.examples import Example, choose, counts, read_examples, read_splits
from myna.tasks.extraction import Extracted
from myna.tasks.multilabel import Multilabel
from myna.tasks.pairs import Pairs
from myna.tasks.questions import Questions
from myna.tasks.regression import VALUE
from myna.tasks.segmentation import Segmentation
from myna.tasks.task import Sure, Writes
from myna.tasks.words import TagsOfWords
from myna.tasks.writing import Written

if TYPE_CHECKING:
    from myna.finetuning import FinetuneConfig

VERSION = 5
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
    pretrained_on: Sequence[Path] = (),
) -> Ledger:
    """Judges the model on the test split and writes what it finds into ``folder``, which exists and is empty.

    The simple methods learn from the examples that the model was trained on. The test is looked for in the corpora
    that it was ``pretrained_on`` (``contamination.jsonl``). Without a test split the scores are empty. Raises an
    :class:`~myna.errors.InputError` for a damaged model or corpus, or labels the model does not have.
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
    scores.say_learned_from(simple.learned_from)
    details |= _sureness(loaded, tested, said)
    if scores.main is not None:
        details["slices"] = slices(tested, scores.main)
    if pretrained_on:
        report("looking for the test in what was read before", 0.9)
        found, figures = _contamination(loaded, tested, said, seed, pretrained_on)
        details["contamination"] = {**figures, "items": len(figures["items"])}
        lines = [{"id": each.id, **found.line(number)} for number, each in enumerate(tested)]
        files.write_text(folder / "contamination.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
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


def judge_file(
    model_folder: Path,
    data: Path,
    seed: int = 1,
    tell: Callable[[str], None] = lambda line: None,
    corpus: Path | None = None,
) -> dict[str, Any]:
    """The scores of a fine-tuned model on the examples of a file, as in ``scores.json``, without simple methods.

    ``tell`` is told which columns were taken that have other names than the task's fields. With a ``corpus`` there is
    ``contamination`` beside the scores: which examples stand in it, and the scores without them.
    """
    loaded = load(model_folder)
    items = loaded.task.items(examples_of(loaded, data, tell))
    examples, said = items.examples, predictions(loaded.model, loaded.task, items)
    scores = _judge(loaded, examples, said, seed, None)[0].metrics
    if corpus is None:
        return scores
    return {**scores, "contamination": _contamination(loaded, examples, said, seed, [corpus])[1]}


def _contamination(
    loaded: Loaded, examples: Sequence[Example], said: Sequence[Any], seed: int, corpora: Sequence[Path]
) -> tuple[Contamination, dict[str, Any]]:
    def without(numbers: Sequence[int]) -> dict[str, Any]:
        return _judge(loaded, [examples[n] for n in numbers], [said[n] for n in numbers], seed, None)[0].metrics

    found = contamination([example.whole for example in examples], documents_of(*corpora))
    return found, beside(found, [example.place for example in examples], without)


def examples_of(loaded: Loaded, data: Path, tell: Callable[[str], None] = lambda line: None) -> list[Example]:
    """The examples of a file for a model's task; its tags are read as those of the model.

    ``tell`` is told which columns were taken that have other names than the task's fields.
    """
    task, kind = loaded.facts.get("task"), loaded.task
    plain = isinstance(kind, Segmentation) or (isinstance(kind, TagsOfWords) and not kind.marks_spans)
    source = SourceConfig(path=str(data), tags="plain" if plain else "spans")
    if task in TARGETED:
        source, _, others = guess_sides(source, task, *sample_of(source))
        told = about_columns(others)
    else:
        fields = _fields_of(loaded)
        source, told = columns_for(source, fields, alone=len(fields) > 1)
    for line in told:
        tell(line)
    return read_examples(data, type(loaded.task), source)


def _fields_of(loaded: Loaded) -> tuple[str, ...]:
    """What a table must have for a model's task; of a task of somebody's own, and of spans, its text alone is known."""
    if isinstance(loaded.task, Questions):
        return ("text", "pair", "answer")
    text = ("text", "pair") if isinstance(loaded.task, (Pairs, Embeddings)) else ("text",)
    if loaded.labels == VALUE:
        return (*text, "value")
    if isinstance(loaded.task, Multilabel):
        return (*text, "labels")
    return (*text, "label") if isinstance(loaded.task, (Classification, Pairs)) else text


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
