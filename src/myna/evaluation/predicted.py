"""What a model said of the test texts, read again from ``predictions.jsonl``: without the model, and without torch.

Of each kind of answers here stands what is right, what was said, and the statistics of each example that its scores
are functions of.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myna import files
from myna.errors import InputError
from myna.evaluation import metrics, texts
from myna.evaluation.gathering import read_lines
from myna.evaluation.scoring import right_answers, single_label_counts
from myna.evaluation.significance import Metric, Statistics

Line = Mapping[str, Any]
# A score's metric and the statistics of each example.
Measured = dict[str, tuple[Metric, Statistics]]

# With more labels, what tells about each of them takes more memory than the answer is worth.
_MOST_LABELS = 200


@dataclass(frozen=True)
class Predicted:
    """The predictions of one model. ``scores`` are those that were written beside them, ``run`` is the run's folder.

    ``lines`` is None of a model whose evaluation keeps none, as a language model's.
    """

    name: str
    path: Path
    lines: Sequence[Line] | None
    scores: Mapping[str, Any]
    run: Path | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of answers: ``truth`` and ``said`` of a line, and whether the one is ``right`` by the other; None where
    an answer is better or worse, and seldom right.

    ``measured`` gives the statistics of several models' lines on the same texts, for each model; it is told the names
    of the scores that were written of all of them.
    """

    key: str
    truth: Callable[[Line], Hashable]
    said: Callable[[Line], Hashable]
    measured: Callable[[Sequence[Sequence[Line]], Sequence[str]], list[Measured]]
    right: Callable[[Any, Any], bool] | None = operator.eq


def is_counted(predicted: Predicted) -> bool:
    """Whether its scores can be counted anew from its lines; those of vectors cannot."""
    return _find_kind(predicted) is not None


def asked_of(line: Line) -> tuple[Any, Any, tuple[Any, ...]]:
    """What a model was asked: the text, or the source of what was to be written (a text by itself is its own); its
    pair; its words."""
    text, words = line.get("text", line.get("source")), line.get("tokens")
    text = line["target"] if text == "" and "target" in line else text
    # Of a text that was written ``tokens`` is how many the model took.
    return text, line.get("pair"), tuple(words) if isinstance(words, list) else ()


def _find_kind(predicted: Predicted) -> Kind | None:
    lines = predicted.lines or ()
    first = lines[0] if lines and isinstance(lines[0], Mapping) else {}
    return next((kind for kind in KINDS if kind.key in first and "predicted" in first), None)


def kind_of(predicted: Predicted) -> Kind:
    """The kind of a file's lines; an :class:`InputError` for one that is none, and for a line of another kind."""
    kind, lines = _find_kind(predicted), predicted.lines or ()
    if kind is None:
        remedy = "give predictions.jsonl of a fine-tuned model, as in evaluate/NAME"
        raise InputError("these are no predictions that can be compared", where=predicted.path, remedy=remedy)
    for number, line in enumerate(lines, 1):
        if isinstance(line, Mapping) and line.get(kind.key, "") is None:
            what = "this line has no answer by hand to compare with"
            raise InputError(what, where=predicted.path, line=number)
        if not _is_whole(line, kind):
            raise InputError("this line is no prediction as those before it", where=predicted.path, line=number)
    return kind


def _is_whole(line: Any, kind: Kind) -> bool:
    """Whether a line has a text, an answer by hand and a prediction, each as its kind has them."""
    try:
        both = kind.truth(line), kind.said(line)
        paired = kind.key != "tags" or len(line["tags"]) == len(line["predicted"])
        asked = asked_of(line)
        hash((asked, both))
        return paired and isinstance(asked[0], str) and isinstance(line.get("scores", {}), Mapping)
    except (TypeError, KeyError, ValueError, AttributeError):
        return False


def find(path: Path) -> list[Predicted]:
    """What was said by the models at a path: a run, one of its evaluations or trainings, a model in it, or a file.

    Raises an :class:`InputError` where there is none.
    """
    if not path.exists():
        raise InputError("there is nothing here", where=path)
    if path.is_file():
        return [Predicted(path.stem, path, list(read_lines(path)), {})]
    if (path / "recipe.toml").is_file():
        found = [_read(folder) for folder in sorted(path.glob("evaluate/*")) if (folder / "scores.json").is_file()]
        if not found:
            raise InputError("nothing in this run has been judged", where=path, remedy="let the run end first")
        return found
    folder = path.parent if path.name == "model" else path
    if folder.parent.name in ("finetune", "pretrain"):
        folder = folder.parent.parent / "evaluate" / folder.name
    if (folder / "scores.json").is_file() or (folder / "predictions.jsonl").is_file():
        return [_read(folder)]
    remedy = "give a run, a folder of its evaluate/ or finetune/, or a predictions.jsonl"
    raise InputError("there are no predictions here", where=path, remedy=remedy)


def _read(folder: Path) -> Predicted:
    lines = folder / "predictions.jsonl"
    scores = folder / "scores.json"
    run = folder.absolute().parent.parent
    return Predicted(
        folder.name,
        folder,
        list(read_lines(lines)) if lines.is_file() else None,
        files.read_object(scores) if scores.is_file() else {},
        run if (run / "recipe.toml").is_file() else None,
    )


# ------------------------------------------------------------------------------------------------ the kinds of answers


def _labels(models: Sequence[Sequence[Line]], written: Sequence[str]) -> list[Measured]:
    expected = [line["label"] for line in models[0]]
    names = {*expected, *(line["predicted"] for lines in models for line in lines)}
    scored = [line.get("scores") for lines in models for line in lines]
    known = sorted(names.union(*(each for each in scored if each)))
    has = np.array([[label == right for label in known] for right in expected], bool)
    found = []
    for lines in models:
        said = [line["predicted"] for line in lines]
        measured: Measured = {"accuracy": (metrics.rate, right_answers(expected, said))}
        if len(known) <= _MOST_LABELS:
            counted = single_label_counts(expected, said, known)
            measured["macro_f1"] = (metrics.macro_f1_of_labels, counted)
            measured["mcc"] = (metrics.matthews_of_labels, counted)
        if len(known) <= _MOST_LABELS and all(scored):
            sure = np.array([[line["scores"].get(label, 0.0) for label in known] for line in lines], np.float64)
            measured["auc"] = (metrics.area_under_curve, metrics.placements(has, sure))
        found.append(measured)
    return found


def _several_labels(models: Sequence[Sequence[Line]], written: Sequence[str]) -> list[Measured]:
    expected = [line["labels"] for line in models[0]]
    known = sorted({label for lines in models for line in lines for label in (*line["labels"], *line["predicted"])})
    found = []
    for lines in models:
        counted = metrics.label_counts(expected, [line["predicted"] for line in lines], known)
        measured: Measured = {
            "micro_f1": (metrics.micro_f1_of_labels, counted),
            "macro_f1": (metrics.macro_f1_of_labels, counted),
            "exact_match": (metrics.exact_match, counted),
        }
        found.append(measured)
    return found


def _spans(models: Sequence[Sequence[Line]], written: Sequence[str]) -> list[Measured]:
    expected = [_spans_of(line["spans"]) for line in models[0]]
    said = [[_spans_of(line["predicted"]) for line in lines] for lines in models]
    return [{"entity_f1": (metrics.micro_f1, metrics.entity_counts(expected, each))} for each in said]


def _values(models: Sequence[Sequence[Line]], written: Sequence[str]) -> list[Measured]:
    expected = np.array([line["value"] for line in models[0]], np.float64)
    found = []
    for lines in models:
        said = np.array([line["predicted"] for line in lines], np.float64)
        sums = metrics.moments(expected, said)
        ranked = metrics.moments(metrics.ranks(expected), metrics.ranks(said))
        measured: Measured = {
            "r2": (metrics.r_squared, sums),
            "pearson": (metrics.pearson, sums),
            "spearman": (metrics.pearson, ranked),
            "mean_absolute_error": (metrics.mean_absolute_error, sums),
        }
        found.append(measured)
    return found


def _words(models: Sequence[Sequence[Line]], written: Sequence[str]) -> list[Measured]:
    expected = [line["tags"] for line in models[0]]
    bio = metrics.are_bio({tag for tags in expected for tag in tags})
    found = []
    for lines in models:
        said = [line["predicted"] for line in lines]
        rows = [
            (sum(a == b for a, b in zip(right, tags, strict=True)), len(right))
            for right, tags in zip(expected, said, strict=True)
        ]
        measured: Measured = {}
        if bio:
            marked, found_spans = ([metrics.spans_of_tags(tags) for tags in side] for side in (expected, said))
            measured["entity_f1"] = (metrics.micro_f1, metrics.entity_counts(marked, found_spans))
        measured["word_accuracy"] = (metrics.rate, np.array(rows, np.float64).reshape(-1, 2))
        found.append(measured)
    return found


def _spans_of(spans: Sequence[Mapping[str, Any]]) -> frozenset[metrics.SpanTuple]:
    return frozenset((span["start"], span["end"], span["label"]) for span in spans)


def _cut(models: Sequence[Sequence[Line]], written: Sequence[str]) -> list[Measured]:
    expected = [_places(line["text"], line["words"]) for line in models[0]]
    said = [[_places(line["text"], line["predicted"]) for line in lines] for lines in models]
    return [{"word_f1": (metrics.micro_f1, metrics.entity_counts(expected, each))} for each in said]


def _places(text: str, words: Sequence[str]) -> frozenset[metrics.SpanTuple]:
    """Where words that follow one another stand in a text; a ValueError where they do not."""
    found, end = [], 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        found.append((start, end, ""))
    return frozenset(found)


def _answers(models: Sequence[Sequence[Line]], written: Sequence[str]) -> list[Measured]:
    expected = [line["answers"] for line in models[0]]
    found: list[Measured] = []
    for lines in models:
        matched = metrics.answer_match(expected, [line["predicted"] for line in lines])
        found.append(
            {
                "answer_f1": (metrics.first_share, matched[:, [1, 2]]),
                "answer_exact": (metrics.first_share, matched[:, [0, 2]]),
            }
        )
    return found


def _answers_right(answers: Sequence[str], said: str) -> bool:
    return bool(metrics.answer_match([answers], [said])[0, 0])


def _texts(models: Sequence[Sequence[Line]], written: Sequence[str]) -> list[Measured]:
    """The figures that were written of them; of files alone those that any text has beside the one expected."""
    names = [name for name in written if name in texts.FIGURES] or ([] if written else ["rouge_l", "exact_match"])
    expected = [line["target"] for line in models[0]]
    # Those that every model's window holds whole: of another text a model's bits are of its beginning, and not written.
    held = [
        n for n, lines in enumerate(zip(*models, strict=True)) if all(isinstance(of.get("bits"), float) for of in lines)
    ]
    characters = np.array([len(expected[n]) for n in held], np.float64)
    found: list[Measured] = []
    for lines in models:
        said = [line["predicted"] for line in lines]
        measured: Measured = {}
        if "bits_per_character" in written and held:
            bits = np.array([lines[n]["bits"] for n in held], np.float64)
            measured["bits_per_character"] = (metrics.bits_per_character, np.stack([bits, characters], 1))
        figures = texts.figures_of(names, expected, said)
        measured |= {name: (metric, counts) for name, (counts, metric) in figures.items()}
        if "repetition" in written:
            measured["repetition"] = (metrics.first_share, texts.repetition_counts(said))
        found.append(measured)
    return found


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _said_text(line: Line) -> str:
    return _string(line["predicted"])


KINDS = (
    Kind("label", lambda line: str(line["label"]), lambda line: str(line["predicted"]), _labels),
    Kind("labels", lambda line: frozenset(line["labels"]), lambda line: frozenset(line["predicted"]), _several_labels),
    Kind("spans", lambda line: _spans_of(line["spans"]), lambda line: _spans_of(line["predicted"]), _spans),
    Kind("tags", lambda line: tuple(line["tags"]), lambda line: tuple(line["predicted"]), _words),
    Kind(
        "words",
        lambda line: _places(line["text"], line["words"]),
        lambda line: _places(line["text"], line["predicted"]),
        _cut,
    ),
    Kind("answers", lambda line: tuple(map(_string, line["answers"])), _said_text, _answers, _answers_right),
    Kind("target", lambda line: _string(line["target"]), _said_text, _texts, None),
    Kind("value", lambda line: float(line["value"]), lambda line: float(line["predicted"]), _values, None),
)
