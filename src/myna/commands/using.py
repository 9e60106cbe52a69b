"""The verbs that use a model: ``predict``, ``search``, ``generate``, ``evaluate``."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from myna.commands import Json, Model, app
from myna.commands.printing import print_json
from myna.errors import InputError
from myna.inference.asking import check_text, in_words, texts_of

# So many texts are read and answered at a time: enough to sort by length, little in memory.
_TEXTS_AT_A_TIME = 512
# The parameters of ``generate`` that are no settings of the writing.
_NOT_OPTIONS = ("model", "prompt", "samples", "as_json")


@app.command()
def predict(
    model: Model,
    text: Annotated[str | None, typer.Option(help="One text.")] = None,
    pair: Annotated[str | None, typer.Option(help="The second text of a pair, or the question.")] = None,
    file: Annotated[Path | None, typer.Option(help="Texts: a line each, or .jsonl, .csv, .tsv.")] = None,
    precision: Annotated[
        float | None, typer.Option(help="Answer only where so many of 1 are right, as 0.95; else abstain.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON: an object for each text, one a line.")] = False,
) -> None:
    """Answer with a fine-tuned model."""
    if (text is None) == (file is None):
        raise InputError("give either --text or --file")
    if pair is not None and text is None:
        raise InputError("--pair goes with --text", remedy='in a file the second texts stand in the column "pair"')
    if text is not None:
        check_text(text, "--text")
    loaded = _load(model)
    if file is None:
        (answer,) = loaded.predict([text if pair is None else (text, pair)], precision)
        print_json(answer) if as_json else print(in_words(answer))
        return
    for texts in _in_groups(texts_of(file, "lines", getattr(loaded, "reads", "texts"), _tell), _TEXTS_AT_A_TIME):
        for asked, answer in zip(texts, loaded.predict(texts, precision), strict=True):
            shown = (
                asked
                if isinstance(asked, str)
                else " ".join(part if isinstance(part, str) else part["content"] for part in asked)
            )
            print_json(answer) if as_json else print(f"{in_words(answer)}\t{' '.join(shown.split())}")


@app.command()
def search(
    model: Model,
    file: Annotated[Path, typer.Argument(help="Texts: a line each, or .jsonl, .csv, .tsv.", show_default=False)],
    query: Annotated[str, typer.Option(help="What is looked for.", show_default=False)],
    top: Annotated[int, typer.Option(min=1, help="So many texts, the nearest first.")] = 10,
    index: Annotated[Path | None, typer.Option(help="A file that keeps the texts' vectors for the next time.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON: an object for each text, one a line.")] = False,
) -> None:
    """Find the texts whose meaning is nearest to a query's."""
    from myna.inference.searching import index_of

    check_text(query, "--query")
    loaded = _load(model)
    made, kept = index_of(loaded, list(texts_of(file, "lines")), index)
    if index is not None:
        told = "the vectors are those of" if kept else "the vectors are kept in"
        print(f"myna: {told} {index}", file=sys.stderr)
    for hit in made.search(loaded, query, top):
        found = {"number": hit.number, "likeness": round(hit.likeness, 4), "text": hit.text}
        print_json(found) if as_json else print(f"{hit.likeness:.3f}\t{' '.join(hit.text.split())}")


@app.command()
def generate(
    context: typer.Context,
    model: Model,
    prompt: Annotated[str, typer.Option(help="What the text begins with.", show_default=False)],
    tokens: Annotated[int, typer.Option(help="The most tokens to add.")] = 100,
    temperature: Annotated[float | None, typer.Option(help="0: always the most likely token (default: 1).")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw among the k most likely.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw among the fewest with this probability.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Draw among those with this share of the likeliest's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed gives another text (default: 0).")] = None,
    beams: Annotated[int | None, typer.Option(help="Look for the most likely text with so many beams.")] = None,
    length_penalty: Annotated[float | None, typer.Option(help="Beams: above 1 favours longer texts.")] = None,
    early_stopping: Annotated[str | None, typer.Option(help="Beams: no, yes or never.")] = None,
    min_tokens: Annotated[int | None, typer.Option(help="No end before so many tokens.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1: fewer tokens come again.")] = None,
    no_repeat: Annotated[int | None, typer.Option(help="So many tokens in a row come once only.")] = None,
    form: Annotated[str | None, typer.Option(help="4x7: four lines of seven Han characters; or 5,7,5.")] = None,
    line_ends: Annotated[str | None, typer.Option(help="What closes its lines in turn (default: '， 。').")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End the text before this one.")] = None,
    samples: Annotated[int, typer.Option(help="So many texts.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="JSON: an object for each text, one a line.")] = False,
) -> None:
    """Go on from a beginning with a decoder, or answer it with an encoder-decoder."""
    from myna.inference.options import as_typed

    check_text(prompt, "--prompt", blank=True)
    options = as_typed({name: value for name, value in context.params.items() if name not in _NOT_OPTIONS})
    loaded = _load(model)
    if samples == 1 and not as_json and sys.stdout.isatty():
        pieces = loaded.stream(prompt, **options)
        for piece in itertools.chain([prompt] if loaded.goes_on else [], pieces):
            print(piece, end="", flush=True)
        print()
        return
    for made in loaded.generate_many([prompt], samples, **options):
        said = {"prompt": made.prompt, "text": made.text, "tokens": made.tokens, "finish": made.finish}
        print_json(said) if as_json else print(made.whole)


@app.command()
def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(help="Examples (.jsonl, .csv, .tsv), or texts.", show_default=False)],
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling for the intervals.")] = 1,
    challenge: Annotated[
        bool, typer.Option("--challenge", help="Also under noise, and on made-up tests: names, numbers, negation …")
    ] = False,
    contamination: Annotated[
        Path | None, typer.Option(help="Look for the data in this: a corpus's folder, or texts.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge a fine-tuned model on examples, or a decoder on texts."""
    from myna.evaluation.judging import judge_file
    from myna.evaluation.language import judge_text
    from myna.inspection import has_task, model_folder, score_lines

    folder = model_folder(model)
    if not data.exists():
        raise InputError("there is no such file or folder", where=data)
    if contamination is not None and not contamination.exists():
        raise InputError("there is no such file or folder", where=contamination, remedy="check --contamination")
    if challenge and contamination is not None:
        raise InputError("--challenge and --contamination are two answers", remedy="ask for one at a time")
    if challenge:
        from myna.evaluation.challenge import challenge_file
        from myna.evaluation.challenge_report import describe

        answered = challenge_file(folder, data, seed)
        print_json(answered) if as_json else print(describe(answered, data.name))
        return
    if has_task(folder):
        scores = judge_file(folder, data, seed, _tell, contamination)
    else:
        texts = list(texts_of(data, "auto", tell=_tell))
        scores = judge_text(folder, texts, seed)
        if contamination is not None:
            scores = {**scores, "contamination": _contamination(folder, texts, seed, contamination)}
    if as_json:
        print_json(scores)
        return
    found = scores.pop("contamination", None)
    print("\n".join(score_lines({data.name: scores})))
    if found is not None:
        from myna.evaluation.contamination import in_words as about

        print("\n".join(["", *about(found)]))
        if found["without"]:
            print("\n".join(["", "Without them:", *score_lines({data.name: found["without"]})]))


def _contamination(folder: Path, texts: list[str], seed: int, corpus: Path) -> dict[str, Any]:
    from myna.evaluation.contamination import beside, contamination, documents_of
    from myna.evaluation.language import judge_text

    found = contamination(texts, documents_of(corpus))
    names = [f"text {number}" for number in range(1, len(texts) + 1)]
    return beside(found, names, lambda clean: judge_text(folder, [texts[number] for number in clean], seed))


def _tell(line: str) -> None:
    print(f"myna: {line}", file=sys.stderr)


def _load(model: Path) -> Any:
    from myna.inference.loaded import load
    from myna.inspection import model_folder

    return load(model_folder(model))


def _in_groups(texts: Iterable[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for text in texts:
        group.append(text)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
