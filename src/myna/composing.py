"""A recipe composed of files and a model, for ``myna finetune``: no recipe file is needed.

What is in the files decides which columns are read and how tags are meant. All rows are looked at before anything is
written, so that a label that training never saw, or an empty text, is told with its file and line at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from myna import files
from myna.corpus.cleaning import INVISIBLE
from myna.corpus.document import RawDocument, Split
from myna.corpus.guessing import (
    SAMPLE_ROWS,
    about_columns,
    as_tables,
    guess_columns,
    guess_sides,
    kind_of_tags,
    sample_of,
    with_these_alone,
)
from myna.corpus.readers import file_of, read_file
from myna.corpus.rows import Refused
from myna.corpus.sources import SourceConfig
from myna.errors import InputError
from myna.finetuning import FinetuneConfig
from myna.recipe import Recipe, recipe_of
from myna.recipe_errors import near
from myna.settings import reason
from myna.splitting import Row, check_splits
from myna.tasks import TARGETED
from myna.tokens.characters import han

# The verb's names of tasks, and the fields that each is read from; of several choices the first that is there.
FIELDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "classification": (("text", "label"),),
    "multilabel": (("text", "labels"),),
    "regression": (("text", "value"),),
    "pairs": (("text", "pair", "label"), ("text", "pair", "value")),
    "tagging": (("tokens", "tags"),),
    "segmentation": (("tokens",),),
    "questions": (("text", "pair", "answer"),),
    "embeddings": (("text", "pair"),),
    **dict.fromkeys(TARGETED, (("text", "target"),)),
}
_VOCABULARY = 8_000
# What --set may say of how files are read; which files they are, and for which split, the options say.
_OF_FILES = {name for name in SourceConfig.model_fields if name.endswith("_column")} | {"format", "tags", "encoding"}


@dataclass(frozen=True)
class Composed:
    """A recipe, the name of its one fine-tuning, the source of the test file (None: none), and what was decided."""

    recipe: Recipe
    name: str
    test: SourceConfig | None
    said: tuple[str, ...]


def compose(
    task: str,
    model: str,
    train: Path,
    validation: Path | None = None,
    test: Path | None = None,
    changes: Sequence[str] = (),
) -> Composed:
    """The recipe that fine-tunes ``model``, a folder or a preset, on the examples of ``train``.

    Without ``validation`` or ``test`` a tenth of the training examples is kept for each, by the hash of their text and
    label by label. ``changes`` are settings of ``[finetune]`` as ``epochs=5``, names of columns as
    ``text_column=review``, or dotted keys of the recipe. Raises an :class:`InputError`, with file and line, for what
    cannot be learned from.
    """
    _fields_of(task)
    name = task.rpartition(":")[2]
    given: dict[Split, Path | None] = {"train": train, "validation": validation, "test": test}
    paths = {split: path for split, path in given.items() if path is not None}
    _check_files(paths)
    columns, rest = columns_of(changes)
    said: list[str] = []
    source, fields, real_task = source_of(task, train, columns, said)
    if task == "summarization" and _reads_alone(model):
        said.append("an encoder does not write: it learns to choose the sentences of the summary (task = extraction)")
        real_task = "extraction"
    apart = len(paths) > 1 and len(paths) < 3
    sources: dict[Split, SourceConfig] = {
        split: source.model_copy(
            update={"path": str(path.absolute()), "split": None if split == "train" and len(paths) < 3 else split}
        )
        for split, path in paths.items()
    }
    rows: list[Row] = []
    seen = _look_at(sources, fields, rows)
    missing = [f"--{split}" for split in ("validation", "test") if split not in paths.keys() | seen.parts]
    if missing and seen.parts:
        what = f"this folder says what is for {' and '.join(sorted(seen.parts))}, and nothing is for {missing[0][2:]}"
        remedy = f"give {missing[0]}, or --train {train / 'train'} (a tenth of it is kept) and --test"
        raise InputError(what, where=train, remedy=remedy)
    if missing:
        said.append(
            f"without {' and '.join(missing)} a tenth of the training examples is kept for {'it' if apart else 'each'}"
        )
    table = _table(real_task, name, sources, seen)
    table["finetune"][name] |= _start(model, table, seen.alphabet)
    settings = [change if dotted else f"finetune.{name}.{change}" for change, dotted in rest]
    try:
        recipe = recipe_of(table, settings)
        if curve := recipe.finetune[name].curve:  # Its fewest examples, too, have some steps an epoch.
            count = sum(row.candidate.forced in (None, "train") for row in rows)
            table["finetune"][name]["batch_tokens"] = _batch_tokens(seen.tokens * min(curve) // max(count, 1))
            recipe = recipe_of(table, settings)
    except InputError as error:
        # Of what no --set has changed only the model is not made here.
        raise error.at("--model") if str(error.where) == "recipe" else error from None
    plain = sources["train"].tags == "plain"
    trained = check_splits(rows, recipe.corpus["examples"], train, plain)
    if real_task not in ("tagging", "words") or plain:
        _check_labels(real_task, trained, train)
    elif not trained:
        raise InputError("no word of training is in a span", where=train, remedy="add examples with spans")
    return Composed(recipe, name, sources.get("test"), tuple(said))


def _fields_of(task: str) -> tuple[tuple[str, ...], ...]:
    """The fields that a task can be read from; one of a user's own says so itself (``fields``), or has labels."""
    if ":" in task:
        from myna.tasks import find_task

        return (tuple(getattr(find_task(task), "fields", ("text", "label"))),)
    if task not in FIELDS:
        remedy = near(task, FIELDS) or f"choose one of {', '.join(FIELDS)}"
        raise InputError(f"there is no task {task!r} for this command", remedy=remedy)
    return FIELDS[task]


def _check_files(paths: dict[Split, Path]) -> None:
    for split, path in paths.items():
        if not path.exists():
            raise InputError("there is no such file or folder", where=path, remedy=f"check --{split}")
    known: dict[str, Split] = {}
    for split, path in paths.items():
        mark = files.sha256(path) if path.is_file() else str(path.resolve())
        if mark in known:
            what = f"the examples for {split} are those for {known[mark]}: a score on them would say nothing"
            remedy = f"give others, or leave --{split} out, and a part of the training examples is kept for it"
            raise InputError(what, where=path, remedy=remedy)
        known[mark] = split


def _check_labels(task: str, names: Iterable[str], train: Path) -> None:
    """Labels that serve no task are an :class:`InputError`."""
    from myna.tasks import find_task

    try:
        find_task(task).labels_of(sorted(names))
    except InputError as error:
        raise error.at(train) from None


def columns_of(changes: Sequence[str]) -> tuple[dict[str, str], list[tuple[str, bool]]]:
    """The changes that name columns and how files are read, and the others, each with whether its key is dotted."""
    columns: dict[str, str] = {}
    rest = []
    for change in changes:
        key, equals, value = change.partition("=")
        key = key.strip()
        if equals and key in _OF_FILES:
            columns[key] = value.strip().strip("\"'")
        else:
            rest.append((change, "." in key))
    return columns, rest


def source_of(
    task: str, train: Path, columns: dict[str, str], said: list[str], lenient: bool = False
) -> tuple[SourceConfig, tuple[str, ...], str]:
    """How the files are read, the fields that are there, and the task of the recipe that these are for.

    ``lenient``: rows that are wrong say nothing of it, and are no errors.
    """
    try:
        source = SourceConfig.model_validate({"path": str(train), **columns})
    except ValidationError as error:
        raise InputError(reason(error), where="--set", remedy="see docs/tasks.md for what it takes") from None
    formats = {file.format for file in as_tables(source)}
    sample, where = sample_of(source, lenient=lenient)
    if task == "tagging" and any(isinstance(row.get("spans"), list) for row in sample):
        return with_these_alone(source, ("text", "spans")), ("text", "spans"), "tagging"
    if task == "segmentation":
        source = source.model_copy(update={"tags": "plain"})  # If there are any, they are not looked at.
        if formats != {"conll"}:
            source = with_these_alone(guess_columns(source, ("tokens",), sample, where)[0], ("tokens",))
        return source, ("tokens",), task
    if formats == {"conll"}:
        if task != "tagging":
            raise InputError("CoNLL holds words with tags", where=where, remedy="use myna finetune tagging")
        kind = _tell_tags(source, columns.get("tags"), said, lenient)
        return source.model_copy(update={"tags": kind}), ("tokens", "tags"), "words"
    if task in TARGETED:
        source, fields, others = guess_sides(source, task, sample, where)
        said += about_columns(others)
        return source, fields, task
    choices = _fields_of(task)
    if task == "pairs" and ("value_column" in columns or ("label_column" not in columns and _has_numbers(sample))):
        choices = choices[1:]
    source, others = guess_columns(source, choices[0], sample, where)
    said += about_columns(others)
    source = with_these_alone(source, choices[0])
    if task == "tagging":
        kind = _tell_tags(source, columns.get("tags"), said, lenient)
        return source.model_copy(update={"tags": kind}), choices[0], "words"
    return source, choices[0], task


def _has_numbers(sample: Sequence[dict[str, Any]]) -> bool:
    """Whether pairs come with a value: a column of that name and none of labels, or labels that are broken numbers."""
    columns = {column for row in sample for column in row}
    if columns & {"value", "score", "similarity", "分数", "得分"} and "label" not in columns:
        return True
    labels = [row.get("label") for row in sample]
    try:
        broken = any(float(label) % 1 for label in labels if isinstance(label, str))
    except ValueError:
        broken = False
    return broken or any(isinstance(label, float) for label in labels)


def _kind_of_tags(source: SourceConfig, lenient: bool) -> str:
    refused = (lambda error: None) if lenient else None
    rows = islice(rows_of(source.model_copy(update={"tags": "plain"}), refused), SAMPLE_ROWS)
    return kind_of_tags([tag for row in rows if row.words is not None for tag in row.words.tags if tag])


def _tell_tags(source: SourceConfig, named: str | None, said: list[str], lenient: bool) -> str:
    """What the tags are, as it is ``named`` or as they look; what is to be said of it is added to ``said``."""
    form = _kind_of_tags(source, lenient)
    kind = named or form
    told = "the tags are BIO and mark spans" if kind == "spans" else "the tags are plain names, one for each word"
    said.append(told if kind == form or kind == "spans" else f"{told}; as all are BIO in form, BIO is still kept")
    return kind


def rows_of(source: SourceConfig, refused: Refused | None = None) -> Iterator[RawDocument]:
    """The rows of a table's files; ``refused`` is told of those that are wrong, which are then passed over."""
    for file in as_tables(source):
        yield from read_file(file, source, refused=refused)


@dataclass(frozen=True)
class _Seen:
    """What the training text is: its language, about how many pieces it gives, and those of single characters.

    ``parts`` are the splits that its rows themselves are in.
    """

    chinese: bool
    tokens: int
    alphabet: int
    parts: frozenset[Split]


def _look_at(sources: dict[Split, SourceConfig], fields: Sequence[str], rows: list[Row]) -> _Seen:
    """Reads every row of every file, remembers them in ``rows``, and says what the training text is."""
    seen: Counter[str] = Counter()
    alphabet: Counter[str] = Counter()
    parts: set[Split] = set()
    # Of plain tags some are rare in any text, and that is no mistake.
    plain = fields[-1] == "tags" and sources["train"].tags == "plain"
    for split, source in sources.items():
        for row in rows_of(source):
            file = file_of(Path(source.path), row)
            for text, what in ((row.text, "text"), (row.pair, "second text"), (row.target, "target")):
                # What cannot be seen is cleaned away, and nothing would be left to answer.
                if text is not None and not INVISIBLE.sub("", text).strip():
                    raise InputError(
                        f"the {what} of this row is empty", where=file, line=row.line, remedy="take the row out"
                    )
            names = names_of(row, fields)
            if names is None:
                alone = "tokens" if "tokens" in fields else "answer of the assistant"
                what = f"this row has no {' and '.join(fields[1:]) or alone}"
                remedy = "give every row one, or take it out"
                raise InputError(what, where=file, line=row.line, remedy=remedy)
            for name in names:
                if split != "train" and name not in seen and not plain:
                    what = f"training has no example of {name!r}"
                    remedy = f"the labels there are {', '.join(sorted(seen)[:20])}"
                    raise InputError(what, where=file, line=row.line, remedy=remedy)
            rows.append(Row.of(row, names, file))
            if split == "train":
                parts |= set() if source.split or row.split is None else {row.split}
                seen.update(names)
                alphabet.update(row.text + (row.pair or "") + (row.target or ""))
    letters = {character: count for character, count in alphabet.items() if character.isalpha()}
    chinese = sum(n for c, n in letters.items() if han(c)[0]) >= 0.3 * max(1, sum(letters.values()))
    # A Han character or four letters are a piece. WordPiece has every character at the start of a word, and all but Han
    # within one.
    tokens = alphabet.total() if chinese else alphabet.total() // 4
    return _Seen(chinese, tokens, sum(1 if han(character)[0] else 2 for character in alphabet), frozenset(parts))


def names_of(row: RawDocument, fields: Sequence[str]) -> Sequence[str] | None:
    """The names of labels in a row; None where it has nothing of what the task needs."""
    if "messages" in fields:
        return () if any(message.role == "assistant" for message in row.messages or ()) else None
    if "target" in fields or fields == ("text",):
        return ()
    if "value" in fields:
        return None if row.value is None else ()
    if "label" in fields:
        return None if row.label is None else (row.label,)
    if "labels" in fields:
        return row.labels
    if fields[-1] == "pair":
        return None if row.pair is None else ()
    if "answer" in fields:
        return None if row.spans is None else ["answer"] * bool(row.spans)
    if "spans" in fields or row.spans is not None:
        return None if row.spans is None else [span.label for span in row.spans]
    if "tags" not in fields:
        return None if row.words is None else ["word"] * len(row.words)
    return row.words.tags if row.words is not None and any(row.words.tags) else None


def _table(task: str, name: str, sources: dict[Split, SourceConfig], seen: _Seen) -> dict[str, Any]:
    written = [source.model_dump(mode="json", exclude_unset=False) for source in sources.values()]
    corpus = {
        "sources": [{key: value for key, value in source.items() if value is not None} for source in written],
        # Rows were chosen by somebody: none is left out for what it is made of.
        "noise": 1.0,
        "words": "given" if task in ("words", "segmentation") else "segment",
        "stratify": True,
    }
    return {
        "recipe": 1,
        "name": name,
        "corpus": {"examples": corpus},
        "finetune": {name: {"task": task, "corpus": "examples", "batch_tokens": _batch_tokens(seen.tokens)}},
        "report": {"language": "zh" if seen.chinese else "en"},
    }


def _batch_tokens(tokens: int) -> int:
    """A step of the usual size where the text has many; of few tokens, so that an epoch has some ten."""
    usual: int = FinetuneConfig.model_fields["batch_tokens"].default
    return max(64, min(usual, tokens // 10))


def _reads_alone(model: str) -> bool:
    """Whether a preset or a model's folder is an encoder's, as far as its settings tell."""
    from myna.inspection import model_folder
    from myna.presets import PRESETS

    if model in PRESETS:
        return PRESETS[model].get("attention") != "causal" and not PRESETS[model].get("decoder_layers")
    if not (model_folder(model) / "config.json").is_file():
        return False
    from myna.huggingface.families import empty_model
    from myna.huggingface.folder import read_settings

    return empty_model(read_settings(model_folder(model)))[0].kind not in ("causal", "sequence_to_sequence")


def _start(model: str, table: dict[str, Any], alphabet: int) -> dict[str, Any]:
    """What the model starts from; for a preset the recipe gets a tokenizer of the training text."""
    from myna.inspection import model_folder
    from myna.presets import PRESETS

    if model not in PRESETS:
        folder = model_folder(model)
        if not (folder / "config.json").is_file():
            remedy = near(model, PRESETS) or f"give a model's folder, or one of {', '.join(PRESETS)}"
            raise InputError(f"{model!r} is neither a model's folder nor a preset", where="--model", remedy=remedy)
        return {"start_from": str(folder.absolute())}
    # What writes gives back what it has read.
    writes = PRESETS[model].get("attention") == "causal" or PRESETS[model].get("decoder_layers")
    table["tokenizer"] = {
        "pieces": {
            "corpus": "examples",
            "kind": "byte_bpe" if writes else "wordpiece",
            # Special tokens and what is printable have their places beside the alphabet.
            "vocabulary": max(_VOCABULARY, alphabet + 500),
        }
    }
    return {"preset": model, "tokenizer": "pieces"}
