"""The verbs that look: ``show``, ``check``, ``doctor``, ``schema``; and ``convert``, which writes a model anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from myna.commands import Json, Model, app
from myna.commands.printing import print_json


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
