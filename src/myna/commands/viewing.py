"""The verbs that look: ``show``, ``compare``, ``check``, ``doctor``, ``schema``; ``convert`` writes a model anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from myna.commands import Json, Model, app
from myna.commands.printing import print_json
from myna.errors import InputError


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
    from myna.evaluation.quantities import size
    from myna.huggingface.conversion import convert as write_anew
    from myna.inspection import model_folder, plain

    made = write_anew(model_folder(model), to, dtype, shard_size, trust_pickle)
    said = f"{to}: {made['family']}, {made['tensors']} tensors, {plain(size(made['bytes']))}"
    print_json(made) if as_json else print(said)


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
        print_json(batch) if as_json else print(describe_step(batch))
        return
    from myna import inspection

    facts = inspection.show(path)
    print_json(facts) if as_json else print(inspection.describe(facts))


class _TwoSides(TyperCommand):
    """Lets ``--against`` take all that follows it up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Writes ``--against B1 B2`` as ``--against B1 --against B2``."""
        if "--against" in args:
            place = args.index("--against") + 1
            count = next((n for n, word in enumerate(args[place:]) if word.startswith("-")), len(args) - place)
            taken = [word for path in args[place : place + count] for word in ("--against", path)]
            args = [*args[: place - 1], *(taken or ["--against"]), *args[place + count :]]
        return super().parse_args(ctx, args)


@app.command(cls=_TwoSides)
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two runs, folders in evaluate/, or predictions.jsonl.")],
    against: Annotated[
        list[Path] | None, typer.Option(help="Several runs against several: A1 A2 A3 --against B1 B2 B3.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 1,
    as_json: Json = False,
) -> None:
    """Say which of two models is better on the same test data, and whether that can be chance."""
    if not against and len(runs) != 2:
        remedy = "give two; or several of one recipe --against several of another"
        raise InputError(
            f"{len(runs)} to compare" if len(runs) > 1 else "there is nothing to compare with", remedy=remedy
        )
    first, second = (runs, against) if against else (runs[:1], runs[1:])
    from myna.evaluation.compared_text import describe
    from myna.evaluation.comparing import compare as compare_predictions

    found = compare_predictions(first, second, seed)
    print_json({"compared": found}) if as_json else print(describe(found))


@app.command()
def check(
    data: Annotated[Path, typer.Argument(help="A table of examples, as for finetune --train.", show_default=False)],
    task: Annotated[str | None, typer.Option(help="The task of finetune (default: by the columns).")] = None,
    validation: Annotated[Path | None, typer.Option(help="Examples that will choose the best epoch.")] = None,
    test: Annotated[Path | None, typer.Option(help="Examples that the model will be judged on.")] = None,
    to: Annotated[Path | None, typer.Option(help="Write all findings: .jsonl or .csv.")] = None,
    window: Annotated[int, typer.Option(help="Find texts of more tokens than this.")] = 512,
    set_: Annotated[list[str] | None, typer.Option("--set", help="How files are read, as text_column=review.")] = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a table of examples, before any training."""
    from myna.checking.check import check as look

    checked = look(data, task, validation, test, set_ or [], to, window)
    if as_json:
        print_json(checked.to_dict())
        return
    from myna.checking.text import describe

    print(describe(checked, to))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say whether this machine is ready, and what is fastest on it."""
    from myna.doctor import describe, examine

    found = examine(Path.cwd())
    print_json(found) if as_json else print(describe(found))


@app.command()
def schema(as_json: Json = True) -> None:
    """Print the JSON Schema of recipes, for editors."""
    from myna.recipe import json_schema

    print(json.dumps(json_schema(), ensure_ascii=False, indent=2))
