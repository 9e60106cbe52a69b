"""The command line: one short function a verb that parses, calls and prints.

Results go to standard output, all else to standard error. What a verb needs is imported in it, so that ``myna --help``
answers at once.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from myna.errors import InputError
from myna.explaining import explain
from myna.inference.asking import check_text, in_words, texts_of

if TYPE_CHECKING:
    from myna.stages import Observer, Stage

app = typer.Typer(
    help="From text you own to a language model you can use. Add --debug to see where an error comes from.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Help in colours would take longer than all the rest of it.
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Model = Annotated[Path, typer.Argument(help="A model's folder, as runs/NAME/finetune/NAME/model.", show_default=False)]

# So many texts are read and answered at a time: enough to sort by length, little in memory.
_TEXTS_AT_A_TIME = 512
# The parameters of ``generate`` that are no settings of the writing.
_NOT_OPTIONS = ("model", "prompt", "samples", "as_json")


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe, as recipe.toml.", show_default=False)],
    to: Annotated[Path | None, typer.Option(help="The run's folder (default: runs/NAME).")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A change, as pretrain.NAME.steps=200.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would run and why; do nothing.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do all stages anew.")] = False,
    budget: Annotated[str | None, typer.Option(help="Train all in this time, as 45m.")] = None,
    skip_bad_batches: Annotated[
        bool, typer.Option("--skip-bad-batches", help="Leave out, and count, batches whose gradient is no number.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Do what a recipe describes and is not done yet."""
    from myna import stages
    from myna.recipe import in_every_training, read_recipe, with_budget
    from myna.training import processes

    described = read_recipe(recipe, set_ or [])
    described = described if budget is None else with_budget(described, budget)
    if skip_bad_batches:
        described = in_every_training(described, skip_bad_batches=True)
    folder = stages.run_folder(described, to)
    planned = stages.plan(described, folder)
    due = [stage for stage in planned if fresh or stage.state != "done"]
    if dry_run:
        if processes.rank() == 0:
            _print_plan(folder, planned, due, as_json)
        return
    first = processes.rank() == 0
    stages.run(described, folder, fresh=fresh, observer=_observer() if first else None)
    if first:
        _print_outcome(folder, planned, due, as_json)


@app.command()
def finetune(
    task: Annotated[str, typer.Argument(help="classification, multilabel, regression, pairs or tagging.")],
    model: Annotated[str, typer.Option(help="A model's folder, or a preset as bert-mini.", show_default=False)],
    train: Annotated[Path, typer.Option(help="Examples: .jsonl .csv .tsv .conll .parquet, or a folder of datasets.")],
    to: Annotated[Path, typer.Option(help="The folder to write.", show_default=False)],
    validation: Annotated[Path | None, typer.Option(help="Examples that choose the best epoch.")] = None,
    test: Annotated[Path | None, typer.Option(help="Examples that the model is judged on.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting, as epochs=5, text_column=review.")] = None,
    as_json: Json = False,
) -> None:
    """Fine-tune a model on a table of examples, and judge it, without a recipe."""
    from myna import composing, stages
    from myna.training import processes

    composed = composing.compose(task, model, train, validation, test, set_ or [])
    folder = stages.run_folder(composed.recipe, to)
    if processes.rank() != 0:
        stages.run(composed.recipe, folder)
        return
    for line in composed.said:
        print(f"myna: {line}", file=sys.stderr)
    planned = stages.plan(composed.recipe, folder)
    due = [stage for stage in planned if stage.state != "done"]
    stages.run(composed.recipe, folder, observer=_observer())
    for line in composing.repairs(folder):
        print(f"myna: {line}", file=sys.stderr)
    composing.deliver(composed, folder)
    _print_outcome(folder, planned, due, as_json)


@app.command(name="plan")
def plan_recipe(
    recipe: Annotated[Path, typer.Argument(help="A recipe, as recipe.toml.", show_default=False)],
    to: Annotated[Path | None, typer.Option(help="The run's folder (default: runs/NAME).")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A change, as pretrain.NAME.steps=200.")] = None,
    gpu: Annotated[str | None, typer.Option(help="By the data sheet of this GPU, as A100 or 'RTX 4090'.")] = None,
    as_json: Json = False,
) -> None:
    """Say what the trainings of a recipe will take: memory, disk, time."""
    from myna import stages
    from myna.planning.datasheets import find_gpu
    from myna.recipe import read_recipe

    sheet = None if gpu is None else find_gpu(gpu)
    described = read_recipe(recipe, set_ or [])
    folder = stages.run_folder(described, to)
    from myna.planning.plan import plan
    from myna.planning.text import describe

    planned = plan(described, folder, sheet)
    _print_json(planned.to_dict()) if as_json else print(describe(planned))


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="A folder of texts, or a table of examples.", show_default=False)],
    to: Annotated[Path, typer.Option(help="The recipe to write.")] = Path("recipe.toml"),
    as_json: Json = False,
) -> None:
    """Write a recipe for your own text."""
    from myna.scaffold import write_recipe

    found = write_recipe(path, to)
    if as_json:
        _print_json({"recipe": str(to), **found})
        return
    print(f"{to} is written: {found['summary']}")
    print(f"Read it, change what you like, then:\n  {program()} run {shlex.quote(str(to))}")


@app.command()
def predict(
    model: Model,
    text: Annotated[str | None, typer.Option(help="One text.")] = None,
    pair: Annotated[str | None, typer.Option(help="The second text, for a model of pairs.")] = None,
    file: Annotated[Path | None, typer.Option(help="Texts: a line each, or .jsonl, .csv, .tsv.")] = None,
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
        (answer,) = loaded.predict([text if pair is None else (text, pair)])
        _print_json(answer) if as_json else print(in_words(answer))
        return
    for texts in _in_groups(texts_of(file, "lines", getattr(loaded, "reads", "texts")), _TEXTS_AT_A_TIME):
        for asked, answer in zip(texts, loaded.predict(texts), strict=True):
            shown = asked if isinstance(asked, str) else " ".join(asked)
            _print_json(answer) if as_json else print(f"{in_words(answer)}\t{' '.join(shown.split())}")


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
        _print_json(said) if as_json else print(made.whole)


@app.command()
def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(help="Examples (.jsonl, .csv, .tsv), or texts.", show_default=False)],
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling for the intervals.")] = 1,
    as_json: Json = False,
) -> None:
    """Judge a fine-tuned model on examples, or a decoder on texts."""
    from myna.evaluation.judging import judge_file
    from myna.evaluation.language import judge_text
    from myna.inspection import has_task, model_folder, score_lines

    folder = model_folder(model)
    if not data.exists():
        raise InputError("there is no such file or folder", where=data)
    if has_task(folder):
        scores = judge_file(folder, data, seed)
    else:
        scores = judge_text(folder, list(texts_of(data, "auto")), seed)
    _print_json(scores) if as_json else print("\n".join(score_lines({data.name: scores})))


@app.command()
def convert(
    model: Model,
    to: Annotated[Path, typer.Argument(help="The folder to write, which is not there yet.", show_default=False)],
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16 (default: as it is).")] = None,
    shard_size: Annotated[str, typer.Option(help="The most bytes of a file of weights.")] = "5GB",
    trust_pickle: Annotated[bool, typer.Option("--trust-pickle", help="Read pytorch_model.bin, weights only.")] = False,
    as_json: Json = False,
) -> None:
    """Write a model's folder anew: checked, with checksums, in another type or in shards."""
    from myna.evaluation.phrases import size
    from myna.huggingface.conversion import convert as write_anew
    from myna.inspection import model_folder, plain

    made = write_anew(model_folder(model), to, dtype, shard_size, trust_pickle)
    said = f"{to}: {made['family']}, {made['tensors']} tensors, {plain(size(made['bytes']))}"
    _print_json(made) if as_json else print(said)


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A run, a stage, a model or a recipe.", show_default=False)],
    step: Annotated[int | None, typer.Option(help="Of a training: the texts of this step.")] = None,
    as_json: Json = False,
) -> None:
    """Say what is in a folder."""
    if step is not None:
        from myna.step_inspection import describe_step, show_step

        batch = show_step(path, step)
        _print_json(batch) if as_json else print(describe_step(batch))
        return
    from myna import inspection

    facts = inspection.show(path)
    _print_json(facts) if as_json else print(inspection.describe(facts))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say whether this machine is ready, and what is fastest on it."""
    from myna.doctor import describe, examine

    found = examine(Path.cwd())
    _print_json(found) if as_json else print(describe(found))


@app.command()
def schema(as_json: Json = True) -> None:
    """Print the JSON Schema of recipes, for editors."""
    from myna.recipe import json_schema

    print(json.dumps(json_schema(), ensure_ascii=False, indent=2))


# --------------------------------------------------------------------------------------------------------- printing


def program() -> str:
    """The command as it was given, so that a line that is shown can be pasted."""
    given = Path(sys.argv[0])
    if given.name != "myna":
        return f"{shlex.quote(sys.executable)} -m myna"
    found = shutil.which("myna")
    return "myna" if found and Path(found).resolve() == given.resolve() else shlex.quote(str(given))


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False), flush=True)


def _print_plan(folder: Path, planned: Sequence[Stage], due: Sequence[Stage], as_json: bool) -> None:
    from myna.inspection import columns

    if as_json:
        rows = [{"stage": s.key, "state": s.state, "runs": s in due, "why": s.why} for s in planned]
        _print_json({"run": str(folder), "stages": rows})
        return
    print(
        "\n".join(
            columns([[s.key, "would run" if s in due else "done", s.why or "anew" * (s in due)] for s in planned])
        )
    )
    print(f"{len(due)} of {len(planned)} stages would run, in {folder}" if due else f"All is up to date in {folder}")


def _print_outcome(folder: Path, planned: Sequence[Stage], due: Sequence[Stage], as_json: bool) -> None:
    from myna.inspection import next_commands, score_lines, scores_of

    scores, commands = scores_of(folder), next_commands(folder, program())
    if as_json:
        report = {"run": str(folder), "report": str(folder / "report.html"), "ran": [s.key for s in due]}
        _print_json({**report, "scores": scores, "next": commands})
        return
    print(f"{len(due)} of {len(planned)} stages were done." if due else "All is up to date.")
    if scores:
        print("\n".join(["", "Scores with 95 % intervals, and the best simple method:", *score_lines(scores)]))
    print("\n".join(["", f"The report: {folder / 'report.html'}", "", "What to try next:"]))
    print("\n".join(f"  {command}" for command in commands))


def _observer() -> Observer:
    from myna import progress

    return progress.observer()


# ---------------------------------------------------------------------------------------------------------- reading


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


# ------------------------------------------------------------------------------------------------------ how it ends


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and leaves: 0 done, 1 failed on the way, 2 wrong use or input, 130 and 143 interrupted."""
    from myna.training import processes

    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    debug = "--debug" in given
    # Read when torch is imported: as many threads as were asked for compute each time, and so the same sums.
    os.environ.update(OMP_DYNAMIC="FALSE", MKL_DYNAMIC="FALSE")
    # Threads that wait spin, by default so long that they burn the time of others on a shared machine; without
    # spinning at all, small models lose a third on a quiet one (docs/performance.md).
    if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}:
        os.environ["GOMP_SPINCOUNT"] = "10000"
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app([word for word in given if word != "--debug"], prog_name="myna", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        if debug:
            traceback.print_exc()
        line, code = explain(error)
        if line and processes.tells(error):
            print(f"myna: {line}", file=sys.stderr)
    # Typer makes its own code of an interrupt; a training that was ended by SIGTERM has saved itself.
    if code in (130, 143) and processes.rank() == 0:
        print("myna: interrupted; the same command goes on where it was", file=sys.stderr)
    raise SystemExit(code if isinstance(code, int) else 0)
