"""What is chosen by measurement: once, and without a trace in the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from myna import files
from myna.model.heads import Model, build
from myna.objectives.masked import MaskedLM
from myna.presets import model_config
from myna.settings import result_settings
from myna.tokens.sampler import Sampler
from myna.training import measuring
from myna.training.measuring import Manner, Speed, choose, measure_step
from myna.training.settings import TrainingConfig

from ..objectives.test_losses import BERT
from ..stores import VOCABULARY
from .runs import CONFIG, STORE, metrics, run, weights

AUTO = {"threads": "auto", "micro_batch_tokens": "auto", "precision": "auto"}
USUAL = Manner(1, 50, "float32")


def changed(**settings) -> TrainingConfig:
    return CONFIG.model_copy(update=settings)


def test_a_measured_step_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = [torch.get_num_threads()]
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    objective = MaskedLM(VOCABULARY)
    model = build(BERT, "masked", seed=1)
    model.register_buffer("seen", torch.zeros(1))

    def remember(*_) -> None:
        model.seen.add_(1 + torch.rand(1))

    model.trunk.register_forward_hook(remember)
    gradients = [torch.full_like(p, 0.5) for p in model.parameters()]
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    before, draws = weights(model), torch.random.get_rng_state()
    speed = measure_step(model, objective, objective.items([STORE], 32), range(8), replace(USUAL, threads=2), key=3)
    assert speed.tokens > 100
    assert speed.seconds > 0
    assert weights(model) == before
    assert torch.equal(torch.random.get_rng_state(), draws)
    assert threads == [threads[0], 2, threads[0]]
    assert model.seen.item() == 0
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert parameter.grad is gradient
        assert bool((gradient == 0.5).all())


def test_a_run_that_measures_learns_what_it_learns_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real steps are measured; the figures are made up, so that the choice is that of the other run."""
    measured: list[Manner] = []
    real = measuring.measure_step

    def measure(model, objective, items, chosen, manner, key, **options) -> Speed:
        measured.append(manner)
        real(model, objective, items, chosen, manner, key, **options)
        return Speed(manner, 1e-3 if manner == Manner(1, 512, "float32") else 1e-2, 1000)

    monkeypatch.setattr(measuring, "measure_step", measure)
    monkeypatch.setattr(measuring, "LEAST_TOKENS", 20)
    monkeypatch.setattr(measuring, "MOST_TOKENS", 1000)
    monkeypatch.setattr(measuring, "SHARE", 1e9)
    said: list[str] = []
    auto = run(
        tmp_path / "auto", config=changed(**AUTO, batch_tokens=400), report=lambda what, share: said.append(what)
    )
    given = run(tmp_path / "given", config=changed(micro_batch_tokens=512, batch_tokens=400))
    assert weights(auto) == weights(given)
    assert metrics(tmp_path / "auto") == metrics(tmp_path / "given")
    assert {manner.precision for manner in measured} == {"float32", "bfloat16"}
    assert said[0].startswith(
        "chosen by measurement: 1 thread, micro-batches of 512 tokens, float32 (1,000,000 tokens/s"
    )


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> dict[Manner, float]:
    """Rates of manners as they are put in here; 1000 tokens a second where none is."""
    rates: dict[Manner, float] = {}

    def measure(model, objective, items, chosen, manner, key, **options) -> Speed:
        rates.setdefault(manner, 1000)
        return Speed(manner, 1e-6 * 1000 / rates[manner], 8192)

    monkeypatch.setattr(measuring, "measure_step", measure)
    monkeypatch.setattr(measuring, "usual_micro_batch", lambda model: 1024)
    return rates


def chosen(config: TrainingConfig, steps: int = 10**9) -> measuring.Choice:
    objective = MaskedLM(VOCABULARY)
    model: Model = build(BERT, "masked", seed=1)
    items = objective.items([STORE], 32)
    return choose(model, objective, items, Sampler(items.lengths, config.batch_tokens, 1), config, steps)


@pytest.mark.parametrize(
    ("preset", "tokens"), [("bert-micro", 4096), ("bert-mini", 2048), ("bert-small", 1024), ("bert-base", 512)]
)
def test_a_larger_model_has_smaller_micro_batches(preset: str, tokens: int) -> None:
    with torch.device("meta"):
        model = Model(model_config(preset, 100), "masked")
    assert measuring.usual_micro_batch(model.to_empty(device="cpu")) == tokens


def test_the_fastest_is_chosen_and_only_where_the_recipe_says_auto(
    made_up: dict[Manner, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    made_up[Manner(4, 1024, "float32")] = 2000
    made_up[Manner(4, 1024, "bfloat16")] = 1500
    made_up[Manner(4, 2048, "bfloat16")] = 2500
    made_up[Manner(4, 4096, "bfloat16")] = 3000
    assert chosen(changed(**AUTO)).manner == Manner(4, 4096, "bfloat16")
    assert {manner.threads for manner in made_up} == {1, 2, 4, 6}
    assert chosen(changed(**AUTO | {"precision": None})).manner == Manner(4, 1024, "float32")
    assert chosen(changed(precision="bfloat16")).manner == Manner(1, 50, "bfloat16")


def test_what_is_hardly_faster_is_not_chosen(made_up: dict[Manner, float]) -> None:
    made_up[Manner(1, 2048, "float32")] = 1040
    assert chosen(changed(micro_batch_tokens="auto")).manner == Manner(1, 1024, "float32")


def test_a_type_that_is_emulated_is_tried_once(made_up: dict[Manner, float]) -> None:
    made_up[Manner(1, 1024, "bfloat16")] = 125
    assert chosen(changed(**AUTO | {"threads": 1})).manner == Manner(1, 1024, "float32")
    assert len([manner for manner in made_up if manner.precision == "bfloat16"]) == 1


def test_a_short_run_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "measure_step", None)
    choice = chosen(changed(**AUTO), steps=9)
    assert choice.speeds == ()
    assert str(choice).startswith("too short a run to measure what is fastest: ")


def test_measuring_ends_when_its_share_of_the_run_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    passes: list[float] = []

    def measure(model, objective, items, chosen, manner, key, repeats: int = 2, limit: float = 0.0) -> Speed:
        tokens = int(items.lengths[list(chosen)].sum())
        now[0] += (repeats + 1) * tokens / 1000
        passes.append((repeats + 1) * tokens / 1000)
        return Speed(manner, tokens / 1000, tokens)

    monkeypatch.setattr(measuring, "measure_step", measure)
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: now[0])
    for steps in (50, 200, 1_000, 10**6):
        now[0] = 0.0
        chosen(changed(**AUTO), steps=steps)
        assert now[0] <= min(20.0, 0.02 * steps * CONFIG.batch_tokens / 1000), steps
    assert now[0] > 1


def test_what_was_chosen_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, config=changed(precision="bfloat16"))
    machine = files.read_json(tmp_path / "machine.json")
    assert (machine["threads"], machine["micro_batch_tokens"], machine["precision"]) == (1, 50, "bfloat16")
    monkeypatch.setattr(measuring, "measure_step", None)
    run(tmp_path, config=changed(**AUTO))
    assert files.read_json(tmp_path / "machine.json")["precision"] == "bfloat16"


def test_what_was_chosen_is_kept_where_its_file_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, config=changed(precision="bfloat16"))
    machine = files.read_json(tmp_path / "machine.json")
    (tmp_path / "machine.json").unlink()
    monkeypatch.setattr(measuring, "measure_step", None)
    said: list[str] = []
    run(tmp_path, config=changed(**AUTO), report=lambda what, share: said.append(what))
    assert "machine.json is lost: goes on as its checkpoint says" in said[0]
    machine.pop("peak_bytes")
    found = files.read_json(tmp_path / "machine.json")
    assert {name: found[name] for name in machine} == machine


def test_a_run_from_before_there_was_a_choice_goes_on() -> None:
    assert Manner.kept({"threads": 2, "micro_batch_tokens": 99, "torch": "2"}) == Manner(2, 99, "float32")
    assert "precision" not in result_settings(changed())
    assert result_settings(changed(precision="auto"))["precision"] == "auto"
