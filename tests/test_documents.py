"""What the documents say is so: links lead somewhere, commands parse, modules are found by name, recipes are valid."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from myna.cli import app
from myna.recipe import read_recipe

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PAGES = [*READMES, ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("examples/*/README.md"))]
RECIPES = sorted(ROOT.glob("examples/*/*.toml"))
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

# What a reader makes with the commands before, and is not in the repository.
_MADE = ("runs/", "texts", "reviews", "data/", ".venv/", "more.")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _blocks(page: Path, languages: str) -> list[str]:
    """The fenced blocks of a page in some languages, one after the other."""
    text = page.read_text(encoding="utf-8")
    # Where a block stands in a list it is set in.
    found = re.findall(rf"^( *)```(?:{languages})\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def _prose(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _commands(page: Path, program: str) -> list[list[str]]:
    lines = [line for block in _blocks(page, "sh") for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[1:] for line in words if line[:1] == [program]]


def _anchors(page: Path) -> set[str]:
    """The names of a page's headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", _prose(page))
    assert links or page.parent.name == "docs" or page.name == "CHANGELOG.md"
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        assert target.exists(), f"{_name(page)} links to {link}"
        assert not anchor or anchor in _anchors(target), f"{_name(page)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_file_named_in_a_page_exists(page: Path) -> None:
    for name in re.findall(r"`((?:src|tests|docs|examples|schema|benchmarks)/[\w./-]+)`", _prose(page)):
        assert (ROOT / name).exists(), f"{_name(page)} names {name}"


@pytest.mark.parametrize("page", READMES, ids=_name)
def test_every_file_that_a_command_is_given_exists_or_was_made_before(page: Path) -> None:
    named = [word for command in _commands(page, "myna") for word in command if re.search(r"\.(toml|csv|py)$", word)]
    assert named
    for name in named:
        assert (ROOT / name).is_file() or name.startswith(_MADE), name


@pytest.mark.parametrize("page", [page for page in PAGES if _commands(page, "myna")], ids=_name)
def test_every_command_parses(page: Path) -> None:
    for verb, *rest in _commands(page, "myna"):
        assert verb in COMMANDS, f"{_name(page)}: myna {verb}"
        # Raises a usage error for an option that does not exist, a value of another kind, and an argument too many.
        COMMANDS[verb].make_context(verb, rest)


def test_the_readme_shows_every_verb() -> None:
    for page in READMES:
        shown = {verb for verb, *_ in _commands(page, "myna")} | set(re.findall(r"`myna (\w+)", _prose(page)))
        assert shown == set(COMMANDS), _name(page)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_target_of_make_exists(page: Path) -> None:
    there = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {command[0] for command in _commands(page, "make")} | set(re.findall(r"`make ([\w-]+)`", _prose(page)))
    assert named <= there


def test_both_readmes_have_the_same_commands_code_and_tables() -> None:
    english, chinese = READMES
    for program in ("myna", "make", "cp", "mkdir"):
        assert _commands(english, program) == _commands(chinese, program)
    assert _blocks(english, "toml") == _blocks(chinese, "toml")
    code, other = (re.sub(r"#.*", "", "".join(_blocks(page, "python"))) for page in READMES)
    assert code == other
    for mark in ("SCORES", "FULL"):
        rows = [re.search(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", p.read_text(), re.DOTALL) for p in READMES]
        figures = [re.findall(r"^\| `(\w+)`.*?\|[^|]*\|(.*)\|.*\|$", row[1], re.MULTILINE) for row in rows if row]
        assert len(figures) == 2
        assert figures[0] == figures[1], mark


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_toml_in_a_page_is_toml(page: Path) -> None:
    for block in _blocks(page, "toml"):
        assert tomllib.loads(block)


def test_python_in_a_page_is_python() -> None:
    for page in PAGES:
        for block in _blocks(page, "python"):
            compile(block, str(page), "exec")


def test_every_module_is_found_by_its_name_in_the_architecture() -> None:
    page = ROOT / "docs/architecture.md"
    source = ROOT / "src/myna"
    named = set(re.findall(r"`([\w/]+\.py)`", page.read_text(encoding="utf-8")))
    # A package's __init__.py that holds no more than what the package is for needs no line.
    modules = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if path.name != "__init__.py" or len(path.read_text(encoding="utf-8").splitlines()) > 10
    }
    assert modules - named == set(), "modules that the page does not name"
    beside = {name for name in named if not (source / name).exists() and not (ROOT / name).exists()}
    assert beside <= {"folder.py", "huggingface.py"}, "names that are no module"


def test_every_name_of_the_walk_through_is_in_the_source() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    found = re.search(r"^## One row.*?^(?=## )", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    names = set(re.findall(r"`([A-Za-z_]\w*)`", found[0]))
    assert len(names) > 25
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/myna").rglob("*.py"))
    defined = set(re.findall(r"^ *(?:def|class) (\w+)|^ +(\w+): ", source, re.MULTILINE))
    assert names - {name for pair in defined for name in pair} == set(), "names that are nowhere"


def test_the_architecture_is_three_pages_at_most() -> None:
    assert len((ROOT / "docs/architecture.md").read_text(encoding="utf-8").split()) < 2400


@pytest.mark.parametrize("path", RECIPES, ids=_name)
def test_a_recipe_among_the_examples_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(path.parent))  # A task of one's own lies beside its recipe.
    copy = tmp_path / path.relative_to(ROOT)
    copy.parent.mkdir(parents=True)
    copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    # What the run of another recipe has made before.
    for place in re.findall(r'"(\.\./\.\./runs/[^"]+)"', copy.read_text(encoding="utf-8")):
        (copy.parent / place).mkdir(parents=True, exist_ok=True)
        (copy.parent / place / "config.json").write_text("{}")
    recipe = read_recipe(copy)
    assert recipe.pretrain or recipe.finetune


@pytest.mark.parametrize("place", [*RECIPES, *sorted(ROOT.glob("examples/*/README.md"))], ids=_name)
def test_what_an_example_fetches_is_all_that_its_recipes_read(place: Path) -> None:
    text = place.read_text(encoding="utf-8")
    fetched = {name for line in re.findall(r"examples/data\.py ((?:[\w-]+ )+)--to data", text) for name in line.split()}
    run = {ROOT / named for named in re.findall(r"myna run (examples/[\w-]+/[\w-]+\.toml)", text)}
    read = {
        name for recipe in run for name in re.findall(r"\.\./\.\./data/([\w-]+)/", recipe.read_text(encoding="utf-8"))
    }
    assert read <= fetched


def test_in_the_recipe_for_ones_own_text_only_the_path_is_to_be_changed(tmp_path: Path) -> None:
    recipe = read_recipe(ROOT / "examples/your-own-text/recipe.toml", [f"corpus.texts.sources.0.path={tmp_path}"])
    assert recipe.corpus["texts"].sources[0].path == str(tmp_path)
    # Neither a script nor a language is asked for, and no text has an unknown character.
    assert recipe.corpus["texts"].script == "any"
    assert {tokenizer.kind for tokenizer in recipe.tokenizer.values()} == {"byte_bpe"}


def test_the_picture_of_the_report_is_small() -> None:
    assert (ROOT / "docs/report.png").stat().st_size < 300_000


def test_every_line_of_the_page_of_errors_is_one_with_a_known_code() -> None:
    rows = re.findall(r"^\| .* \| (`.*`|nothing) \| (\d+) \|$", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    assert len(rows) > 100
    for line, code in rows:
        assert line == "nothing" or line.startswith("`myna: ")
        assert code in ("1", "2", "130", "143")
        assert not re.search(r"/(?:root|home|tmp|work)/|mistake in Myna|Traceback", line)
