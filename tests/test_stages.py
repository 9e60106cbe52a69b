"""Stages: what a result depends on, what runs again and why, and what a crash, a full disk or a second run leaves."""

from __future__ import annotations

import dataclasses
import errno
import json
import multiprocessing
import os
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from myna import files, kinds, stages
from myna.errors import InputError, RunError
from myna.fingerprints import KnownFiles
from myna.kinds import KINDS
from myna.recipe import Recipe, read_recipe
from myna.stages import Observer, Stage
from tests.crashes import crash_at_every_call
from tests.fakes import FakeStages
from tests.recipes import RECIPE, write_recipe

ALL = [
    "corpus.news",
    "corpus.reviews",
    "tokenizer.zh",
    "tokenizer.bytes",
    "tokens.news-zh",
    "tokens.reviews-zh",
    "tokens.news-bytes",
    "pretrain.encoder",
    "pretrain.decoder",
    "finetune.sentiment",
    "finetune.topics",
    "evaluate.encoder",
    "evaluate.decoder",
    "evaluate.sentiment",
    "evaluate.topics",
    "report",
]
# One corpus and a task on it, which starts from the model in the folder "model".
TOPICS = RECIPE[RECIPE.index("[[corpus.reviews") : RECIPE.index("[tokenizer.zh]")] + RECIPE[
    RECIPE.index("[finetune.topics]") :
].replace('"encoder"', '"model"')


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeStages:
    # That the disk is waited for, and in which order, is tested with files.py; here it would only take time.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    fake = FakeStages()
    fake.install(monkeypatch)
    return fake


def recipe_in(folder: Path, *changes: str, text: str = RECIPE) -> Recipe:
    return read_recipe(write_recipe(folder, text), changes)


def states(recipe: Recipe, run: Path) -> dict[str, str]:
    return {stage.key: stage.state for stage in stages.plan(recipe, run)}


def reasons(recipe: Recipe, run: Path) -> dict[str, str]:
    return {stage.key: stage.why for stage in stages.plan(recipe, run) if stage.state != "done"}


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a run but for times, locks and memories."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (".lock", ".inputs.json"):
            data = path.read_bytes()
            if path.name == "stage.json":
                data = json.dumps({**json.loads(data), "seconds": 0}).encode()
            found[path.relative_to(folder).as_posix()] = data
    return found


# ------------------------------------------------------------------------------------------------ what runs, and why


def test_a_run_does_every_stage_once_and_then_none(tmp_path: Path, fake: FakeStages) -> None:
    recipe = recipe_in(tmp_path)
    folder = stages.run(recipe, tmp_path / "run")
    assert fake.done == ALL
    assert set(states(recipe, folder).values()) == {"done"}
    stages.run(recipe, folder)
    assert fake.done == ALL


def test_a_run_lies_below_the_place_of_the_command(
    tmp_path: Path, fake: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert stages.run(write_recipe(tmp_path), changes=["name=other"]) == Path("runs/other")
    assert read_recipe(tmp_path / "runs/other/recipe.toml").name == "other"


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    assert [stage.key for stage in stages.plan(recipe_in(tmp_path), tmp_path / "run")] == ALL
    assert not (tmp_path / "run").exists()


def test_other_epochs_of_one_finetuning_run_it_its_evaluation_and_the_report(tmp_path: Path, fake: FakeStages) -> None:
    stages.run(recipe_in(tmp_path), tmp_path / "run")
    fake.done.clear()
    changed = recipe_in(tmp_path, "finetune.sentiment.epochs=5")
    assert reasons(changed, tmp_path / "run") == {
        "finetune.sentiment": "epochs was 2.0, is 5.0",
        "evaluate.sentiment": "finetune.sentiment changed",
        "report": "finetune.sentiment changed, evaluate.sentiment changed",
    }
    stages.run(changed, tmp_path / "run")
    assert fake.done == ["finetune.sentiment", "evaluate.sentiment", "report"]


@pytest.mark.parametrize(
    "change", ["pretrain.encoder.threads=3", "pretrain.encoder.micro_batch_tokens=99", "finetune.topics.log_steps=1"]
)
def test_what_affects_only_speed_or_log_runs_nothing_again(tmp_path: Path, fake: FakeStages, change: str) -> None:
    stages.run(recipe_in(tmp_path), tmp_path / "run")
    assert reasons(recipe_in(tmp_path, change), tmp_path / "run") == {}


def test_another_seed_trains_again_and_prepares_nothing(tmp_path: Path, fake: FakeStages) -> None:
    stages.run(recipe_in(tmp_path), tmp_path / "run")
    again = set(reasons(recipe_in(tmp_path, "seed=2"), tmp_path / "run"))
    assert again == {key for key in ALL if key.startswith(("pretrain", "finetune", "evaluate", "report"))}
    assert reasons(recipe_in(tmp_path, "seed=2"), tmp_path / "run")["pretrain.encoder"] == "seed was 1, is 2"


def test_a_stage_with_a_seed_of_its_own_is_not_touched_by_the_recipes(tmp_path: Path, fake: FakeStages) -> None:
    own = "pretrain.decoder.seed=9"
    stages.run(recipe_in(tmp_path, own), tmp_path / "run")
    assert "pretrain.decoder" not in reasons(recipe_in(tmp_path, own, "seed=2"), tmp_path / "run")
    assert reasons(recipe_in(tmp_path, own, "pretrain.encoder.seed=1"), tmp_path / "run") == {}, "it is the recipe's"


def test_a_changed_source_runs_all_that_follows_from_it(tmp_path: Path, fake: FakeStages) -> None:
    recipe = recipe_in(tmp_path)
    stages.run(recipe, tmp_path / "run")
    (tmp_path / "reviews.csv").write_text("text,label\n好,positive\n", encoding="utf-8")
    why = reasons(recipe, tmp_path / "run")
    assert why["corpus.reviews"] == "the file 0/reviews.csv changed"
    assert set(ALL) - set(why) == {
        "corpus.news",
        "tokenizer.bytes",
        "tokens.news-bytes",
        "pretrain.decoder",
        "evaluate.decoder",
    }


def test_a_source_that_moves_with_its_recipe_changes_nothing(tmp_path: Path, fake: FakeStages) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    stages.run(recipe_in(tmp_path / "here"), tmp_path / "run")
    assert reasons(recipe_in(tmp_path / "there"), tmp_path / "run") == {}


def test_a_new_version_of_a_kind_runs_again_what_follows(
    tmp_path: Path, fake: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_in(tmp_path)
    stages.run(recipe, tmp_path / "run")
    before = kinds._version
    monkeypatch.setattr(kinds, "_version", lambda module: before(module) + (module == "myna.finetuning"))
    version = before("myna.finetuning")
    why = reasons(recipe, tmp_path / "run")
    assert f"version {version} before, {version + 1} now" in why["finetune.topics"]
    assert set(why) == {"finetune.sentiment", "finetune.topics", "evaluate.sentiment", "evaluate.topics", "report"}


def test_a_model_from_outside_is_known_by_its_files(tmp_path: Path, fake: FakeStages) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}", encoding="utf-8")
    recipe = recipe_in(tmp_path, "finetune.topics.start_from=model")
    stages.run(recipe, tmp_path / "run")
    (model / "config.json").write_text('{"a": 1}', encoding="utf-8")
    assert reasons(recipe, tmp_path / "run")["finetune.topics"] == "the file config.json changed"


def test_a_result_that_is_lost_is_made_again_and_what_follows_from_it_stays(tmp_path: Path, fake: FakeStages) -> None:
    recipe = recipe_in(tmp_path)
    stages.run(recipe, tmp_path / "run")
    (tmp_path / "run/tokens/news-zh/result.txt").unlink()
    (tmp_path / "run/finetune/topics/model/config.json").write_text("{  }", encoding="utf-8")
    assert reasons(recipe, tmp_path / "run") == {
        "tokens.news-zh": "result.txt is missing",
        "finetune.topics": "model/config.json has another size",
    }


def test_a_damaged_record_is_as_good_as_none(tmp_path: Path, fake: FakeStages) -> None:
    recipe = recipe_in(tmp_path)
    stages.run(recipe, tmp_path / "run")
    (tmp_path / "run/corpus/news/stage.json").write_text("[", encoding="utf-8")
    (tmp_path / "run/.inputs.json").write_text("[", encoding="utf-8")
    assert list(reasons(recipe, tmp_path / "run")) == ["corpus.news"]


def test_fresh_does_all_anew(tmp_path: Path, fake: FakeStages) -> None:
    recipe = recipe_in(tmp_path)
    stages.run(recipe, tmp_path / "run")
    stages.run(recipe, tmp_path / "run", fresh=True)
    assert fake.done == ALL * 2


def test_every_kind_of_stage_has_a_version_that_planning_reads_without_importing() -> None:
    assert [kind.version for kind in KINDS] == [import_module(kind.module).VERSION for kind in KINDS]


def test_two_stores_never_share_a_name(tmp_path: Path) -> None:
    text = RECIPE.replace("corpus.news.", "corpus.a-b.").replace("corpus.reviews.", "corpus.a.")
    text = text.replace('"news"', '"a-b"').replace('"reviews"', '"a"')
    text = text.replace("tokenizer.zh", "tokenizer.c").replace("tokenizer.bytes", "tokenizer.b-c")
    text = text.replace('tokenizer = "zh"', 'tokenizer = "c"').replace('tokenizer = "bytes"', 'tokenizer = "b-c"')
    text = text.replace('corpus = "a-b"\ntokenizer = "b-c"', 'corpus = "a"\ntokenizer = "b-c"')
    with pytest.raises(InputError, match=r"would both be tokens\.a-b-c"):
        stages.plan(recipe_in(tmp_path, text=text), tmp_path / "run")


def test_the_observer_is_told_of_every_stage(tmp_path: Path, fake: FakeStages) -> None:
    class Told(Observer):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def begin(self, stage: Stage, number: int, count: int) -> None:
            self.lines.append(f"begin {stage.key} {number}/{count}")

        def report(self, stage: Stage, what: str, share: float) -> None:
            self.lines.append(f"{what} {share}")

        def end(self, stage: Stage, seconds: float) -> None:
            self.lines.append(f"end {stage.key}")

        def close(self) -> None:
            self.lines.append("close")

    told = Told()
    stages.run(recipe_in(tmp_path), tmp_path / "run", observer=told)
    assert told.lines[:3] == ["begin corpus.news 1/16", "working 0.5", "end corpus.news"]
    assert told.lines[-2:] == ["end report", "close"]


# ----------------------------------------------------------------------------------------------------- the record


def test_a_record_says_what_a_result_depends_on_what_it_cost_and_what_it_is(tmp_path: Path, fake: FakeStages) -> None:
    recipe = recipe_in(tmp_path)
    stages.run(recipe, tmp_path / "run")
    record = files.read_json(tmp_path / "run/finetune/sentiment/stage.json")
    planned = {stage.key: stage for stage in stages.plan(recipe, tmp_path / "run")}
    assert record["key"] == "finetune.sentiment"
    assert record["fingerprint"] == planned["finetune.sentiment"].fingerprint
    assert record["inputs"]["pretrain.encoder"] == planned["pretrain.encoder"].fingerprint
    assert record["settings"]["epochs"] == 2
    assert "threads" not in record["settings"]
    assert record["ledger"]["dropped"] == {"copy": {"documents": 1}}
    assert record["seconds"] == 120.0, "the time in training counts over all sittings"
    assert set(record["files"]) == {"metrics.jsonl", "model/config.json"}
    assert set(files.read_json(tmp_path / "run/stage.json")["files"]) == {"report.html", "scores.json"}


def test_a_ledger_that_does_not_balance_fails_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeStages()
    fake.install(monkeypatch)
    monkeypatch.setattr("myna.ledger.Ledger.kept", lambda self, **counts: None)
    with pytest.raises(AssertionError, match="does not balance"):
        stages.run(recipe_in(tmp_path), tmp_path / "run")
    assert not (tmp_path / "run/corpus/news").exists()


def test_a_file_is_hashed_again_only_when_it_was_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, memory = tmp_path / "a.txt", tmp_path / "memory.json"
    path.write_text("one", encoding="utf-8")
    known = KnownFiles(memory)
    first = known.sha256(path)
    known.save()
    hashed: list[Path] = []
    real = files.sha256
    monkeypatch.setattr(files, "sha256", lambda p: (hashed.append(p), real(p))[1])
    assert KnownFiles(memory).sha256(path) == first
    assert hashed == []
    path.write_text("two", encoding="utf-8")
    os.utime(path, ns=(0, 0))
    assert KnownFiles(memory).sha256(path) != first
    assert hashed == [path]


# --------------------------------------------------------------------------------------- what goes wrong on the way


def test_a_run_that_broke_off_goes_on_where_it_was(tmp_path: Path, fake: FakeStages) -> None:
    def stop(folder: Path) -> None:
        raise KeyboardInterrupt

    recipe = recipe_in(tmp_path)
    fake.before["pretrain.decoder"] = stop
    with pytest.raises(KeyboardInterrupt):
        stages.run(recipe, tmp_path / "run")
    assert fake.done == ALL[:8]
    assert states(recipe, tmp_path / "run")["pretrain.decoder"] == "interrupted"
    fake.before.clear()
    stages.run(recipe, tmp_path / "run")
    assert fake.done == ALL


def test_a_training_that_goes_on_finds_its_checkpoints_and_one_of_other_settings_does_not(
    tmp_path: Path, fake: FakeStages
) -> None:
    found: list[bool] = []

    def stop(folder: Path) -> None:
        found.append((folder / "checkpoints/step-1").exists())
        (folder / "checkpoints/step-1").mkdir(parents=True, exist_ok=True)
        raise KeyboardInterrupt

    fake.before["finetune.topics"] = stop
    for changes in ([], [], ["finetune.topics.epochs=9"], ["finetune.topics.epochs=9"], []):
        with pytest.raises(KeyboardInterrupt):
            stages.run(recipe_in(tmp_path, *changes), tmp_path / "run")
    assert found == [False, True, False, True, False]
    why = reasons(recipe_in(tmp_path, "finetune.topics.epochs=7"), tmp_path / "run")["finetune.topics"]
    assert why == "it was begun otherwise: epochs was 3.0, is 7.0"


def test_a_longer_training_with_wsd_goes_on_and_one_whose_warm_up_is_a_share_says_why_not(
    tmp_path: Path, fake: FakeStages
) -> None:
    wsd, key = 'pretrain.decoder.schedule="wsd"', "pretrain.decoder"
    shared, fixed = [wsd], [wsd, "pretrain.decoder.warmup_steps=5"]
    seen: dict[str, set[str]] = {}
    fake.before[key] = lambda folder: seen.update({"now": {path.name for path in folder.iterdir()}})
    stages.run(recipe_in(tmp_path, *shared), tmp_path / "run")
    longer = "pretrain.decoder.tokens=9000"
    why = reasons(recipe_in(tmp_path, *shared, longer), tmp_path / "run")[key]
    assert why.startswith("tokens was 3000, is 9000 (its warm-up is a share of the steps: with warmup_steps it")
    stages.run(recipe_in(tmp_path, *fixed), tmp_path / "run")
    assert "checkpoints" not in seen["now"]
    recipe = recipe_in(tmp_path, *fixed, longer)
    assert states(recipe, tmp_path / "run")[key] == "interrupted"
    assert reasons(recipe, tmp_path / "run")[key] == (
        "tokens was 3000, is 9000; it goes on where its stable part ended"
    )
    stages.run(recipe, tmp_path / "run")
    assert {"checkpoints", "metrics.jsonl", "model", "started.json"} <= seen["now"]
    assert "stage.json" not in seen["now"]
    assert states(recipe, tmp_path / "run")[key] == "done"
    assert states(recipe_in(tmp_path, *fixed, longer, "seed=2"), tmp_path / "run")[key] == "changed"


def test_what_is_taken_over_by_a_longer_training_is_so_at_any_crash(tmp_path: Path) -> None:
    wsd = ['pretrain.decoder.schedule="wsd"', "pretrain.decoder.warmup_steps=5"]
    old, new = (recipe_in(tmp_path, *wsd, f"pretrain.decoder.steps={n}") for n in (30, 60))
    before, after = (next(s for s in stages.plan(r, tmp_path) if s.key == "pretrain.decoder") for r in (old, new))

    def begin(place: Path) -> None:
        for name in ("started.json", "stage.json"):
            files.write_json(place / name, stages._described(before))
        files.write_text(place / "checkpoints/step-1/weights", "1")

    crashes = 0
    for place in crash_at_every_call(
        tmp_path, begin, lambda place: stages._take_over(dataclasses.replace(after, folder=place))
    ):
        assert stages._state(after.kind, place, after.record)[0] == "interrupted"
        assert (place / "checkpoints/step-1/weights").exists()
        crashes += 1
    assert crashes > 2


def test_what_is_half_cleared_is_never_gone_on_with(tmp_path: Path, fake: FakeStages) -> None:
    stage = next(s for s in stages.plan(recipe_in(tmp_path), tmp_path) if s.key == "finetune.topics")

    def begin(place: Path) -> None:
        for name in ("started.json", "best.safetensors", "metrics.jsonl", "checkpoints/step-1/weights"):
            files.write_text(place / name, "{}")

    def clear(place: Path) -> None:
        stages._start_over(dataclasses.replace(stage, folder=place))

    crashes = 0
    for place in crash_at_every_call(tmp_path, begin, clear):
        left = {path.name for path in place.rglob("*") if path.is_file() and not path.name.startswith(".")}
        begun = (place / "started.json").is_file() and (place / "started.json").read_text(encoding="utf-8") == "{}"
        assert not begun or left == {"started.json", "best.safetensors", "metrics.jsonl", "weights"}
        crashes += 1
    assert crashes > 5


def test_the_old_model_stays_until_the_new_one_is_there(tmp_path: Path, fake: FakeStages) -> None:
    seen: list[set[str]] = []
    stages.run(recipe_in(tmp_path), tmp_path / "run")
    fake.before["finetune.topics"] = lambda folder: seen.append({path.name for path in folder.iterdir()})
    stages.run(recipe_in(tmp_path, "finetune.topics.epochs=9"), tmp_path / "run")
    assert seen == [{"model", "started.json"}]


@pytest.mark.parametrize("key", ["corpus.news", "finetune.topics"])
def test_a_full_disk_is_one_line_and_the_last_good_artefact_stays_whole(
    tmp_path: Path, fake: FakeStages, key: str
) -> None:
    def full(folder: Path) -> None:
        (folder / "half").write_text("half", encoding="utf-8")
        files.write_text(folder / "other", "")  # a write that goes well before the one that does not
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "half"))

    place = tmp_path / "run" / key.replace(".", "/")
    stages.run(recipe_in(tmp_path), tmp_path / "run")
    before = content(place)
    fake.before[key] = full
    change = "corpus.news.noise=0.9" if key == "corpus.news" else "finetune.topics.epochs=9"
    with pytest.raises(RunError if key == "corpus.news" else OSError) as caught:
        stages.run(recipe_in(tmp_path, change), tmp_path / "run")
    assert "disk is full" in str(caught.value) or "No space left" in str(caught.value)
    kept = {name: data for name, data in content(place).items() if name in before}
    if key == "corpus.news":
        assert content(place) == before
    else:
        assert kept["model/config.json"] == before["model/config.json"]
    assert not [path for path in place.parent.iterdir() if path.name.startswith(".")]


def test_a_folder_in_use_by_another_process_is_refused(tmp_path: Path, fake: FakeStages) -> None:
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()

    def hold() -> None:
        with files.lock(tmp_path / "run"):
            held.set()
            done.wait(20)

    process = context.Process(target=hold)
    process.start()
    try:
        assert held.wait(20)
        with pytest.raises(RunError, match=f"in use by process {process.pid}; wait until it ends"):
            stages.run(recipe_in(tmp_path), tmp_path / "run")
        assert fake.done == []
    finally:
        done.set()
        process.join()


def test_a_folder_of_other_files_is_no_place_for_a_run(tmp_path: Path, fake: FakeStages) -> None:
    with pytest.raises(InputError, match="holds other files"):
        stages.run(recipe_in(tmp_path), tmp_path)
    with pytest.raises(InputError, match="this is a file"):
        stages.run(recipe_in(tmp_path), tmp_path / "news.txt")
    assert (tmp_path / "news.txt").exists()


def test_a_run_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: this is a file; a run needs a folder"):
        stages.run_folder(read_recipe(write_recipe(tmp_path)), tmp_path / "file" / "run")


def test_an_error_without_a_place_gets_the_stage(tmp_path: Path, fake: FakeStages) -> None:
    def fail(folder: Path) -> None:
        raise InputError("there is too little", remedy="add text")

    fake.before["tokenizer.zh"] = fail
    with pytest.raises(InputError, match=r"^tokenizer\.zh: there is too little; add text$"):
        stages.run(read_recipe(write_recipe(tmp_path)), tmp_path / "run")


def test_labels_that_serve_no_task_are_told_with_the_corpus(tmp_path: Path) -> None:
    """The corpus could be prepared, but what is trained on it could not be."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").touch()
    recipe = recipe_in(tmp_path, text=TOPICS)
    for header, message in (
        ("text", r"^corpus\.reviews: no text for training in this corpus has what this task learns: a label, a target"),
        ("text,label", r"^reviews\.csv:32: the label 'fair' occurs once in training; add examples of it"),
    ):
        rows = [f"第{n}家" + ",good" * ("," in header) for n in range(30)] + ["还行" + ",fair" * ("," in header)]
        (tmp_path / "reviews.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        with pytest.raises(InputError, match=message) as caught:
            stages.run(recipe, tmp_path / "run")
        assert caught.value.exit_code == 2
        assert list((tmp_path / "run/corpus").iterdir()) == []
        assert not (tmp_path / "run/finetune").exists()


def test_a_source_that_is_not_there_leaves_nothing_behind(tmp_path: Path, fake: FakeStages) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        stages.run(recipe_in(tmp_path, "corpus.news.sources.0.path=nowhere.txt"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_cut_off_at_any_call_ends_as_one_that_was_not(tmp_path: Path, fake: FakeStages) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").touch()
    recipe = recipe_in(tmp_path, text=TOPICS)

    def do(place: Path) -> None:
        stages.run(recipe, place / "run")

    # Over a finished run with another seed, so that old artefacts have to give way to new ones.
    stages.run(recipe.model_copy(update={"seed": 5}), tmp_path / "before/run")
    do(tmp_path / "whole")
    expected = content(tmp_path / "whole/run")
    crashes = 0
    (tmp_path / "crashed").mkdir()
    for place in crash_at_every_call(
        tmp_path / "crashed", lambda place: shutil.copytree(tmp_path / "before/run", place / "run"), do
    ):
        do(place)
        assert content(place / "run") == expected
        crashes += 1
    assert crashes > 50
