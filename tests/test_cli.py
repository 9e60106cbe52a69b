"""The command line: what is printed where, and with which exit code it ends."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from myna import cli, inspection
from myna.commands import printing, using
from myna.errors import InputError
from myna.inference import loaded
from myna.inference.generate import Generated
from tests.fakes import FakeStages
from tests.recipes import write_recipe

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def myna(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Runs a command in an empty folder: gives its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["myna"])

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert isinstance(ended.value.code, int)
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeStages:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    fake = FakeStages()
    fake.install(monkeypatch)
    return fake


class FakeModel:
    """Says of each text how long it is, and writes the prompt again."""

    def predict(self, texts: list[str], precision: float | None = None) -> list[dict[str, Any]]:
        return [{"label": str(len(text)), "scores": {str(len(text)): 0.75}} for text in texts]

    goes_on = True

    def generate_many(self, prompts: list[str], samples: int, tokens: int, **options: Any) -> list[Generated]:
        return [Generated(prompt, f" {tokens} {options}", tokens, "length") for prompt in prompts * samples]

    def stream(self, prompt: str, **options: Any) -> list[str]:
        return [" a", "b"]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded, "load", lambda folder: FakeModel())


def started(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80", **environment},
        timeout=120,
        check=False,
    )


# ----------------------------------------------------------------------------------------------------- starting up


def modules_after(code: str) -> set[str]:
    heavy = ["torch", "pyarrow", "numpy", "tokenizers", "rich", "matplotlib", "sklearn"]
    ended = started("-c", f"{code}\nimport sys; print([m for m in {heavy} if m in sys.modules])")
    return set(eval(ended.stdout.splitlines()[-1]))


def test_help_and_import_load_no_library() -> None:
    quiet = "import contextlib, io\nfrom myna.cli import main\nwith contextlib.redirect_stdout(io.StringIO()):\n"
    assert modules_after(f"{quiet} try: main(['--help'])\n except SystemExit: pass") == set()
    assert modules_after(f"{quiet} try: main(['run', '--help'])\n except SystemExit: pass") == set()
    assert modules_after("import myna; dir(myna); myna.__version__") == set()


@pytest.mark.parametrize("own", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_threads_spin_a_little_where_they_wait_unless_the_user_said_how(
    monkeypatch: pytest.MonkeyPatch, own: dict[str, str]
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        cli.main(["schema"])
    assert os.environ.get("GOMP_SPINCOUNT") == (own or {"GOMP_SPINCOUNT": "10000"}).get("GOMP_SPINCOUNT")


def test_planning_and_showing_import_no_torch(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    plan = "from myna.stages import plan; from myna.recipe import read_recipe"
    code = f"{plan}; plan(read_recipe({str(tmp_path / 'recipe.toml')!r}), 'x')\nimport myna.inspection, myna.progress"
    assert modules_after(code) & {"torch", "pyarrow", "matplotlib"} == set()


def test_the_public_names_are_there() -> None:
    import myna

    assert callable(myna.run)
    assert callable(myna.load)
    assert issubclass(myna.MynaError, Exception)
    estimators = {"TextClassifier", "TextRegressor", "TokenTagger", "Summarizer", "Translator"}
    assert set(dir(myna)) == {"MynaError", "load", "run", "__version__"} | estimators
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        myna.fly  # noqa: B018


def test_the_package_runs_as_a_module() -> None:
    ended = started("-m", "myna", "--help")
    assert ended.returncode == 0
    assert "Usage: myna" in ended.stdout
    assert ended.stderr == ""


def test_no_command_at_all_is_help(myna: Call) -> None:
    code, out, err = myna()
    assert (code, err) == (0, "")
    assert "Usage: myna" in out


# ------------------------------------------------------------------------------------------------------------- run


def test_a_run_prints_scores_report_and_what_to_try(myna: Call, fake: FakeStages, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    code, out, err = myna("run", "recipe.toml")
    assert code == 0
    assert "16 of 16 stages were done" in out
    assert "sentiment  accuracy  81.0 %  79.0 % – 83.0 %  majority 50.0 %" in out
    assert "runs/demo/report.html" in out
    assert "myna show runs/demo" in out
    assert "[1/16] corpus.news: it was not done yet" in err
    assert "report: done in" in err


def test_a_second_run_says_that_all_is_up_to_date(myna: Call, fake: FakeStages, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    myna("run", "recipe.toml", "--to", "elsewhere")
    code, out, err = myna("run", "recipe.toml", "--to", "elsewhere")
    assert (code, err) == (0, "")
    assert out.startswith("All is up to date.")


def test_a_dry_run_lists_what_would_run_and_why(myna: Call, fake: FakeStages, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    assert "16 of 16 stages would run" in myna("run", "recipe.toml", "--dry-run")[1]
    assert not (tmp_path / "runs").exists()
    myna("run", "recipe.toml")
    assert "All is up to date" in myna("run", "recipe.toml", "--dry-run")[1]
    code, out, _ = myna("run", "recipe.toml", "--dry-run", "--set", "finetune.topics.epochs=9")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["finetune.topics", "would", "run", "epochs", "was", "3.0,", "is", "9.0"] in lines
    assert ["pretrain.encoder", "done"] in lines
    assert "3 of 16 stages would run" in out


def test_a_runs_json_is_one_object(myna: Call, fake: FakeStages, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    planned = json.loads(myna("run", "recipe.toml", "--dry-run", "--json")[1])
    assert planned["stages"][0] == {
        "stage": "corpus.news",
        "state": "missing",
        "runs": True,
        "why": "it was not done yet",
    }
    ended = json.loads(myna("run", "recipe.toml", "--json")[1])
    assert ended["run"] == "runs/demo"
    assert ended["scores"]["sentiment"]["accuracy"]["value"] == 0.81
    assert ended["ran"][-1] == "report"
    assert json.loads(myna("run", "recipe.toml", "--json", "--fresh")[1])["ran"] == ended["ran"]


def test_commands_are_shown_as_they_can_be_pasted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "my bin" / "myna"
    own.parent.mkdir()
    own.write_text("", encoding="utf-8")
    own.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(own)])
    assert printing.program() == shlex.quote(str(own))
    monkeypatch.setenv("PATH", str(own.parent))
    assert printing.program() == "myna"
    monkeypatch.setattr(sys, "argv", ["/x/myna/__main__.py"])
    assert printing.program() == f"{sys.executable} -m myna"


# ---------------------------------------------------------------------------------------------- predict and generate


def test_predict_answers_one_text(myna: Call, model: None) -> None:
    assert myna("predict", "m", "--text", "很好") == (0, "2 0.750\n", "")
    assert json.loads(myna("predict", "m", "--text", "很好", "--json")[1]) == {"label": "2", "scores": {"2": 0.75}}


def test_predict_answers_a_file_in_its_order(
    myna: Call, model: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(using, "_TEXTS_AT_A_TIME", 2)
    (tmp_path / "t.txt").write_text("三个字\n二字\n一\n", encoding="utf-8")
    (tmp_path / "t.jsonl").write_text('{"text": "a\\nbc"}\n{"text": "d"}\n', encoding="utf-8")
    code, out, err = myna("predict", "m", "--file", "t.txt", "--json")
    assert (code, err) == (0, "")
    assert [json.loads(line)["label"] for line in out.splitlines()] == ["3", "2", "1"]
    assert myna("predict", "m", "--file", "t.jsonl")[1] == "4 0.750\ta bc\n1 0.750\td\n"


def test_predict_prints_spans() -> None:
    span = {"start": 0, "end": 2, "label": "LOC", "text": "北京"}
    from myna.inference import asking

    assert asking.in_words({"spans": [span]}) == "北京 LOC 0-2"
    assert asking.in_words({"spans": []}) == "–"


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], "give either --text or --file"),
        (["--text", "a", "--file", "b"], "give either --text or --file"),
        (["--text", " "], "myna: --text: this text is empty; give one"),
        (["--text", "a\udcff"], "--text: this holds bytes that are no text; give it as UTF-8"),
        (["--file", "nowhere.txt"], "nowhere.txt: there is no such file"),
        (["--file", "blank.txt"], "blank.txt:2: this text is empty; take the line out"),
        (["--file", "broken.jsonl"], "broken.jsonl:1: this is no JSON"),
        (["--file", "header.csv"], "header.csv: there is no text in this file"),
        (["--file", "half.jsonl"], "half.jsonl:2: this holds bytes that are no text"),
        (["--file", "texts"], "myna: texts/b.txt:1: this text is empty; take the line out"),
        (["--file", "nothing"], "myna: nothing: there is no text here"),
    ],
)
def test_predict_refuses_what_it_cannot_answer(
    myna: Call, model: None, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    (tmp_path / "blank.txt").write_text("一\n\n二\n", encoding="utf-8")
    (tmp_path / "broken.jsonl").write_text("{\n", encoding="utf-8")
    (tmp_path / "header.csv").write_text("text\n", encoding="utf-8")
    (tmp_path / "half.jsonl").write_text('{"text": "a"}\n{"text": "\\ud800"}\n', encoding="utf-8")
    for name, text in (("texts/b.txt", "\n"), ("nothing/a.txt", "")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    code, out, err = myna("predict", "m", *arguments)
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1


def test_generate_hands_on_its_settings(myna: Call, model: None) -> None:
    settings = ["--tokens", "5", "--temperature", "0", "--top-k", "3", "--top-p", "0.9", "--seed", "7"]
    given = "{'temperature': 0.0, 'top_k': 3, 'top_p': 0.9, 'seed': 7}"
    assert myna("generate", "m", "--prompt", "春天", *settings)[1] == f"春天 5 {given}\n"
    assert json.loads(myna("generate", "m", "--prompt", "春天", *settings, "--json")[1]) == {
        "prompt": "春天",
        "text": f" 5 {given}",
        "tokens": 5,
        "finish": "length",
    }
    written = ["--early-stopping", "yes", "--line-ends", "， 。\\n", "--stop", "a\\n", "--stop", "b", "--samples", "2"]
    given = "{'early_stopping': True, 'line_ends': ['，', '。\\n'], 'stop': ['a\\n', 'b']}"
    assert myna("generate", "m", "--prompt", "春", *written)[1] == f"春 100 {given}\n" * 2


def test_generate_prints_as_it_comes_on_a_terminal(
    myna: Call, model: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert myna("generate", "m", "--prompt", "春")[1] == "春 ab\n"


@pytest.mark.parametrize(
    "option, remedy",
    [
        ("--num-beams", "use --beams"),
        ("--max-new-tokens", "use --tokens"),
        ("--do_sample", "use --temperature (0 takes the most likely token)"),
        ("--num_return_sequences", "use --samples"),
        ("--fly", "see myna generate --help"),
    ],
)
def test_generate_knows_the_names_of_others(myna: Call, model: None, option: str, remedy: str) -> None:
    code, _, err = myna("generate", "m", "--prompt", "a", option, "4")
    assert code == 2
    assert f"No such option: {option}" in err
    assert err.endswith(f"; {remedy}\n")


def test_generate_refuses_bytes_that_are_no_text(myna: Call, model: None) -> None:
    assert myna("generate", "m", "--prompt", "a\udcff")[::2] == (
        2,
        "myna: --prompt: this holds bytes that are no text; give it as UTF-8\n",
    )


def test_what_an_encoding_does_not_hold_is_printed_all_the_same(model: None, tmp_path: Path) -> None:
    code = "import myna.inference.loaded as l, myna.cli as c, tests.test_cli as t\nl.load = lambda f: t.FakeModel()\n"
    code += "c.main(['generate', 'm', '--prompt', 'a中', '--json'])"
    ended = started("-c", code, PYTHONIOENCODING="ascii", PYTHONPATH=str(Path(__file__).parent.parent))
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["prompt"] == "a中"
    ended = started("-c", "import myna.cli as c\nc.main(['show', 'a\\udc80中'])", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (2, "myna: a\\udc80\\u4e2d: there is nothing here\n")


# ------------------------------------------------------------------------------------------------ evaluate and show


@pytest.mark.parametrize("task", [True, False])
def test_evaluate_judges_a_task_on_examples_and_a_decoder_on_texts(
    myna: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, task: bool
) -> None:
    score = {"value": 0.5, "low": 0.4, "high": 0.6, "examples": 2, "baselines": {}}
    monkeypatch.setattr(inspection, "has_task", lambda folder: task)
    monkeypatch.setattr("myna.evaluation.judging.judge_file", lambda *_: {"accuracy": score})
    monkeypatch.setattr(
        "myna.evaluation.language.judge_text", lambda model, texts, seed: {"bits": {**score, "examples": len(texts)}}
    )
    (tmp_path / "d.txt").write_text("一\n二\n", encoding="utf-8")
    metric = "accuracy" if task else "bits"
    assert json.loads(myna("evaluate", "m", "d.txt", "--json")[1]) == {
        metric: score if task else {**score, "examples": 1}
    }
    assert f"d.txt  {metric}" in myna("evaluate", "m", "d.txt")[1]
    assert myna("evaluate", "m", "e.txt") == (2, "", "myna: e.txt: there is no such file or folder\n")
    assert myna("evaluate", "m", "d.txt", "--seed", "-1")[0] == 2


def test_show_prints_text_or_json(myna: Call, fake: FakeStages, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    myna("run", "recipe.toml")
    assert "finetune.sentiment" in myna("show", "runs/demo")[1]
    assert json.loads(myna("show", "runs/demo", "--json")[1])["kind"] == "run"
    code, out, err = myna("show", "nowhere")
    assert (code, out, err) == (2, "", "myna: nowhere: there is nothing here\n")


def test_init_writes_a_recipe_that_runs(myna: Call, fake: FakeStages, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("早上好。" * 20, encoding="utf-8")
    code, out, _ = myna("init", "texts")
    assert code == 0
    assert "myna run recipe.toml" in out
    assert myna("run", "recipe.toml")[0] == 0
    assert myna("init", "texts") == (2, "", "myna: recipe.toml: this exists already; choose another with --to\n")
    assert json.loads(myna("init", "texts", "--to", "b.toml", "--json")[1])["language"] == "zh"


def test_schema_is_json(myna: Call) -> None:
    assert "corpus" in json.loads(myna("schema")[1])["properties"]


# ----------------------------------------------------------------------------------------------------- how it ends


@pytest.mark.parametrize(
    "arguments",
    [["fly"], ["run"], ["run", "a", "b"], ["run", "a", "--fly"], ["generate", "m", "--prompt", "a", "--seed", "x"]],
)
def test_wrong_use_is_one_line_and_code_2(myna: Call, arguments: list[str]) -> None:
    code, out, err = myna(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("myna: ")
    assert err.count("\n") == 1


def test_places_are_named_from_where_the_command_was_given(myna: Call, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    (tmp_path / "news.txt").unlink()
    assert myna("run", "recipe.toml")[2].startswith("myna: news.txt: there is no such file or folder; ")
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    assert myna("run", "../recipe.toml")[2].startswith("myna: ../news.txt: there is no such file or folder; ")
    told = myna("run", str(tmp_path / "recipe.toml"))[2]
    assert told.startswith(f"myna: {tmp_path}/news.txt: there is no such file or folder; ")


@pytest.mark.parametrize(
    "error, code, expected",
    [
        (InputError("no", where="a.txt", line=3, remedy="mend it"), 2, "myna: a.txt:3: no; mend it\n"),
        (OSError(errno.ENOSPC, "x", "/a/b"), 1, "myna: /a/b: the disk is full; make room"),
        (OSError(errno.EDQUOT, "x", "/a/b"), 1, "myna: /a/b: the disk is full; make room"),
        (PermissionError(errno.EACCES, "no", "/a/b"), 2, "myna: /a/b: this cannot be read (permission denied)\n"),
        (MemoryError(), 1, "myna: there is not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "myna: there is not enough memory"),
        (ImportError("libx.so: failed to map segment from shared object"), 1, "myna: there is not enough memory"),
        (ValueError("odd\nthing"), 1, "myna: a mistake in Myna, please report it (ValueError('odd\\nthing'))"),
        (KeyboardInterrupt(), 130, "myna: interrupted; the same command goes on where it was\n"),
    ],
)
def test_every_error_is_one_line_with_its_code(
    myna: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, expected: str
) -> None:
    def fail(path: Path) -> None:
        raise error

    monkeypatch.setattr(inspection, "show", fail)
    ended, out, err = myna("show", "x")
    assert (ended, out) == (code, "")
    assert expected in err
    assert err.count("\n") == 1
    if code != 130:
        assert "Traceback" in myna("show", "x", "--debug")[2]


def test_a_reader_that_has_had_enough_is_no_error_message() -> None:
    command = f"{shlex.quote(sys.executable)} -m myna schema | head -c 1"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == ("{", "")


def test_a_folder_in_use_is_code_1(myna: Call, fake: FakeStages, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    locker = "from myna import files\nwith files.lock('runs/demo'):\n print('held', flush=True)\n input()"
    with subprocess.Popen([sys.executable, "-c", locker], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        code, out, err = myna("run", "recipe.toml")
        process.communicate(b"\n")
    assert (code, out) == (1, "")
    assert f"runs/demo: this folder is in use by process {process.pid}" in err
    assert err.count("\n") == 1


def test_a_full_disk_on_the_way_is_code_1(myna: Call, fake: FakeStages, tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_recipe(tmp_path)
    fake.before["pretrain.encoder"] = fake.before["tokenizer.zh"] = full
    for stage in ("tokenizer.zh", "pretrain.encoder"):
        code, out, err = myna("run", "recipe.toml")
        assert (code, out) == (1, "")
        assert "the disk is full" in err.splitlines()[-1]
        del fake.before[stage]
    assert myna("run", "recipe.toml")[0] == 0
