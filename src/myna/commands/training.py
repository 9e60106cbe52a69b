"""The verbs that make models: ``run``, ``finetune``, ``plan``, ``init``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from myna.commands import Json, app
from myna.commands.printing import observer, print_json, print_outcome, print_plan, program


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
            print_plan(folder, planned, due, as_json)
        return
    first = processes.rank() == 0
    stages.run(described, folder, fresh=fresh, observer=observer() if first else None)
    if first:
        print_outcome(folder, planned, due, as_json)


@app.command()
def finetune(
    task: Annotated[
        str,
        typer.Argument(
            help="classification, tagging, summarization, translation … (docs/tasks.md), or my_module:MyTask."
        ),
    ],
    model: Annotated[str, typer.Option(help="A model's folder, or a preset as bert-mini.", show_default=False)],
    train: Annotated[Path, typer.Option(help="Examples: .jsonl .csv .tsv .conll .parquet, or a folder of datasets.")],
    to: Annotated[Path, typer.Option(help="The folder to write.", show_default=False)],
    validation: Annotated[Path | None, typer.Option(help="Examples that choose the best epoch.")] = None,
    test: Annotated[Path | None, typer.Option(help="Examples that the model is judged on.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting, as epochs=5, text_column=review.")] = None,
    as_json: Json = False,
) -> None:
    """Fine-tune a model on a table of examples, and judge it, without a recipe."""
    from myna import composing, delivering, stages
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
    delivering.withdraw(composed, folder, planned)
    stages.run(composed.recipe, folder, observer=observer())
    for line in delivering.repairs(folder):
        print(f"myna: {line}", file=sys.stderr)
    delivering.deliver(composed, folder)
    print_outcome(folder, planned, due, as_json)


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
    print_json(planned.to_dict()) if as_json else print(describe(planned))


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
        print_json({"recipe": str(to), **found})
        return
    print(f"{to} is written: {found['summary']}")
    print(f"Read it, change what you like, then:\n  {program()} run {shlex.quote(str(to))}")
