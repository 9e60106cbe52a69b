"""The verbs of the command line: one short function each, which parses, calls and prints.

Results go to standard output, all else to standard error. What a verb needs is imported in it, so that ``myna --help``
answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="From text you own to a language model you can use. Add --debug to see where an error comes from.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Help in colours would take longer than all the rest of it.
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Model = Annotated[Path, typer.Argument(help="A model's folder, as runs/NAME/finetune/NAME/model.", show_default=False)]
