"""Results that stand in the repository: the table of a page between its marks, and the commit they were made with."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from myna import files

ROOT = Path(__file__).parent.parent


def show(page: str, name: str, table: str) -> None:
    """Puts a table between ``<!-- NAME -->`` and ``<!-- /NAME -->`` of a page, in the place of what is there."""
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    marks = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    found = re.search(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", text, re.DOTALL)
    if found is None:
        raise SystemExit(f"{page} has no place for {name}")
    files.write_text(path, text.replace(found[0], marks[0] + table + marks[1]))


def markdown(headings: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def commit() -> str:
    """The commit of the tree, ``-dirty`` where something was changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
