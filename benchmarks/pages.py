"""Results that stand in the repository: the table of a page between its marks, and the commit they were made with."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from myna import files

ROOT = Path(__file__).parent.parent


def place(page: str, name: str) -> tuple[str, str]:
    """The text of a page, and what of it stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""
    text = (ROOT / page).read_text(encoding="utf-8")
    marked = re.escape(name)
    found = re.search(f"(?<=<!-- {marked} -->\n).*?(?=<!-- /{marked} -->)", text, re.DOTALL)
    if found is None:
        raise SystemExit(f"{page} has no place for {name}")
    return text, found[0]


def show(page: str, name: str, table: str) -> None:
    """Puts a table there, in the place of what is there."""
    text, before = place(page, name)
    mark = f"<!-- {name} -->\n"
    files.write_text(ROOT / page, text.replace(mark + before, mark + table))


def markdown(headings: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def commit() -> str:
    """The commit of the tree, ``-dirty`` where something was changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
