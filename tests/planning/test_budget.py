"""A time instead of a length: what it leaves open is chosen once, written down, and the same at every resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from myna import kinds, stages
from myna.errors import InputError
from myna.kinds import KINDS
from myna.planning import budget, trial
from myna.planning.budget import settle_finetuning, settle_pretraining, settled
from myna.planning.ladder import models
from myna.planning.prepared import prepare
from myna.pretraining import PretrainConfig
from myna.recipe import Recipe, read_recipe, to_toml, with_budget
from myna.training import loop
from myna.training.pace import revisions

from .material import RECIPE, prepared_run, small_recipe

OPEN = RECIPE.replace(
    'preset = "bert-micro"\nmodel = { hidden_size = 16, heads = 2, feed_forward_size = 32, maximum_length = 32 }\n', ""
).replace("steps = 40\nbatch_tokens = 128\n", 'budget = "2m"\n')


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    folder = tmp_path_factory.mktemp("text")
    recipe = small_recipe(folder, text=OPEN)
    return recipe, prepared_run(recipe, folder / "run")


def speed(tokens_a_second: float, look: float = 1.0) -> object:
    """A machine that does so many tokens a second, whatever the model, and looks at the validation split so long."""

    def measure(prepared: object, seconds: float) -> dict[str, float]:
        batch = prepared.config.batch_tokens  # type: ignore[attr-defined]
        return {"step_seconds": batch / tokens_a_second, "validation_seconds": look, "checkpoint_seconds": 0.0}

    return measure


class Clock:
    """A clock that goes on by so many seconds whenever it is looked at: no test hangs on how busy the machine is."""

    def __init__(self, by: float = 0.0) -> None:
        self.now, self.by = 0.0, by

    def monotonic(self) -> float:
        self.now += self.by
        return self.now


@pytest.fixture(autouse=True)
def _no_time_goes_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "time", Clock())


def silent(what: str, share: float) -> None:
    pass


def test_the_smallest_model_is_taken_where_larger_ones_have_too_little_text(
    text: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = text
    monkeypatch.setattr(trial, "measure", speed(1000))
    config, seconds = settle_pretraining(recipe, run, "encoder", tmp_path, silent)
    assert (config.preset, config.model.hidden_size, config.model.layers) == ("cnn-tiny", 128, 2)
    assert seconds == 120
    # Five looks at the validation split, a second each, take their part.
    assert config.steps == (120 - 5) * 1000 // config.batch_tokens
    assert config.model.dropout == 0.1, "the text is read many times"
    assert config.warmup_steps == round(0.1 * config.steps)


def test_what_was_chosen_stands_in_the_folder_and_is_never_chosen_again(
    text: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = text
    monkeypatch.setattr(trial, "measure", speed(1000))
    first = settle_pretraining(recipe, run, "encoder", tmp_path, silent)
    monkeypatch.setattr(trial, "measure", None)
    said: list[str] = []
    assert settle_pretraining(recipe, run, "encoder", tmp_path, lambda what, share: said.append(what)) == first
    assert said[0].startswith("budget 2m: 128 × 2 (cnn)")
    assert settled(recipe.pretrain["encoder"], tmp_path) == first[0]


def test_what_the_recipe_says_is_kept(
    text: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = text
    own = ("pretrain.encoder.preset=bert-micro", "pretrain.encoder.batch_tokens=256", "pretrain.encoder.warmup_steps=7")
    recipe = read_recipe(run.parent / "recipe.toml", own)
    monkeypatch.setattr(trial, "measure", speed(1000))
    config, _ = settle_pretraining(recipe, run, "encoder", tmp_path, silent)
    assert (config.preset, config.batch_tokens, config.warmup_steps) == ("bert-micro", 256, 7)
    assert not config.model.model_fields_set


def test_a_fine_tuning_is_as_long_as_its_time(
    text: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = text
    recipe = with_budget(recipe, "3m")
    monkeypatch.setattr(trial, "measure", speed(1000))
    config, seconds = settle_finetuning(recipe, run, "sentiment", tmp_path, silent)
    assert recipe.finetune["sentiment"].budget == "60s"
    assert seconds == 60
    # A look of a second after each pass.
    epoch = int(prepare(recipe, run, "finetune.sentiment", tmp_path).items.lengths.sum())
    assert config.steps == int(60 / (1 / 1000 + 1 / epoch) / config.batch_tokens)


def test_what_goes_on_from_a_chosen_model_is_measured_with_that(text: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, run = text
    config, place = recipe.pretrain["encoder"], tmp_path / "pretrain" / "encoder"
    (preset, parts), *_ = models(config.objective_settings().declaration())[1:]
    place.mkdir(parents=True)
    chosen = {"preset": preset, "model": parts, "steps": 40}
    (place / "choice.json").write_text(json.dumps({"budget": "2m", "seconds": 9, "why": "", "settings": chosen}))
    for kind in ("corpus", "tokenizer", "tokens"):
        (tmp_path / kind).symlink_to(run / kind)
    further = PretrainConfig(
        objective="masked", corpus=["reviews"], tokenizer="characters", start_from="encoder", steps=9
    )
    recipe = recipe.model_copy(update={"pretrain": {"encoder": config, "further": further}})
    described = prepare(recipe, tmp_path, "pretrain.further", tmp_path).model.config
    assert (described.hidden_size, described.layers) == (192, 3)


def test_a_training_with_a_budget_ends_in_time_and_goes_on_as_it_began(
    text: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = text
    tiny = "{ hidden_size = 16, layers = 1, heads = 1, feed_forward_size = 16, maximum_length = 32 }"
    changes = ("budget=4s", "preset=bert-micro", f"model={tiny}", "batch_tokens=64", "log_steps=1")
    recipe = read_recipe(run.parent / "recipe.toml", [f"pretrain.encoder.{change}" for change in changes])
    kind = next(kind for kind in KINDS if kind.name == "pretrain")
    # Twenty steps a second are promised, and there are more.
    monkeypatch.setattr(trial, "measure", speed(20 * 64, look=0.0))
    monkeypatch.setattr(loop, "time", Clock(0.005))
    kind.work(recipe, run, "encoder", tmp_path, silent)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if "loss" in line][-1]
    highest = max(line["learning_rate"] for line in lines if "loss" in line)
    assert last["seconds"] == pytest.approx(4, rel=0.05)
    assert last["step"] == revisions(tmp_path)[-1].steps > 80
    assert last["learning_rate"] < 0.05 * highest
    kept = (tmp_path / "metrics.jsonl").read_bytes()
    kind.work(recipe, run, "encoder", tmp_path, silent)
    assert (tmp_path / "metrics.jsonl").read_bytes() == kept, "it is at its end"


# ------------------------------------------------------------------------------------------------------ the recipe


def test_the_time_for_all_is_shared_and_a_fine_tuning_has_half(tmp_path: Path) -> None:
    recipe = with_budget(small_recipe(tmp_path), "15m")
    assert recipe.pretrain["encoder"].budget == "600s"
    assert recipe.finetune["sentiment"].budget == "300s"
    assert recipe.pretrain["encoder"].steps is None
    with pytest.raises(InputError, match="'soon' is no time"):
        with_budget(recipe, "soon")


def test_a_resolved_recipe_leaves_open_what_the_budget_chooses(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, text=OPEN)
    (tmp_path / "resolved.toml").write_text(to_toml(recipe), encoding="utf-8")
    again = read_recipe(tmp_path / "resolved.toml", ["name=small"])
    assert again.pretrain["encoder"].left_to_budget == ("batch_tokens", "learning_rate")
    of = kinds._pretrainings
    assert of(again)["encoder"].settings == of(recipe)["encoder"].settings
    fixed = small_recipe(tmp_path, ("pretrain.encoder.batch_tokens=1024",), OPEN)
    assert of(fixed)["encoder"].settings != of(recipe)["encoder"].settings


def test_what_a_fine_tuning_learns_by_is_in_its_record_with_a_budget_too(tmp_path: Path) -> None:
    recipe = with_budget(small_recipe(tmp_path), "15m")
    settings = kinds._finetunings(recipe)["sentiment"].settings
    config = recipe.finetune["sentiment"]
    assert (settings["batch_tokens"], settings["learning_rate"]) == (config.batch_tokens, config.learning_rate)
    assert "batch_tokens" in to_toml(recipe).partition("[finetune.sentiment]")[2].partition("\n[")[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("pretrain.encoder.schedule=wsd", 'take "schedule" out'),
        ("pretrain.encoder.budget=soon", "budget"),
        ("pretrain.encoder.cooldown_weights={ reviews = 1 }", "the last steps are known too late for cooldown_weights"),
    ],
)
def test_what_does_not_go_with_a_budget_is_refused(tmp_path: Path, change: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        small_recipe(tmp_path, ("pretrain.encoder.weights={ reviews = 1 }", change), OPEN)


def test_a_time_for_all_is_refused_to_a_recipe_of_other_weights_at_the_end(tmp_path: Path) -> None:
    weights = ("weights", "cooldown_weights")
    recipe = small_recipe(tmp_path, tuple(f"pretrain.encoder.{name}={{ reviews = 1 }}" for name in weights))
    with pytest.raises(InputError, match=r"\[pretrain.encoder\] has cooldown_weights"):
        with_budget(recipe, "15m")


def test_a_time_for_all_is_refused_to_a_recipe_of_another_schedule(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, ('pretrain.encoder.schedule="wsd"', "pretrain.encoder.warmup_steps=2"))
    with pytest.raises(InputError, match=r'\[pretrain.encoder\] has schedule = "wsd"'):
        with_budget(recipe, "15m")


def test_several_processes_are_told_of_a_budget_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(tmp_path, text=OPEN)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"pretrain.encoder: a budget is for one process; start it without"):
        stages._run(recipe, tmp_path / "run", False, stages.Observer(), None)
    assert not (tmp_path / "run" / "corpus").exists()
