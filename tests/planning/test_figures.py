"""The figures of a plan against closed forms and counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from myna.errors import InputError
from myna.model.config import ModelConfig
from myna.model.flat import flatten
from myna.model.heads import Model, build
from myna.objectives.causal import CausalLM
from myna.objectives.language import LanguageObjective
from myna.objectives.masked import MaskedLM
from myna.objectives.protocol import Batch
from myna.planning.datasheets import GPUS, find_gpu
from myna.planning.laws import predicted_loss, supported_weights, worth
from myna.planning.memory import step_memory, without_memory
from myna.training.arithmetic import useful_flops
from myna.training.loop import make_batches
from myna.training.settings import Optimizer, TrainingConfig

from ..objectives.test_losses import BERT, GPT
from ..stores import VOCABULARY, random_store

STORE = random_store([20, 31, 5, 17, 29, 3, 30] * 3, word=2)


def batches(objective: LanguageObjective, most: int = 120) -> list[Batch]:
    items = objective.items([STORE], 32)
    return make_batches(objective, items, range(len(items)), most, 7)


def parameters(model: Model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# ------------------------------------------------------------------------------------------------------ arithmetic


def test_the_arithmetic_of_a_tiny_encoder_is_what_a_hand_counts() -> None:
    config = ModelConfig(vocabulary_size=10, hidden_size=8, layers=2, heads=2, feed_forward_size=12, maximum_length=16)
    model = build(config, "masked")
    tokens = flatten([np.arange(3), np.arange(5)])
    batch = Batch(tokens, torch.tensor([1, 2]), {"masked": 2}, torch.tensor([0, 4]))
    matrices = 2 * (8 * 24 + 8 * 8 + 2 * 8 * 12)
    head = 8 * 8 + 8 * 10
    attention = 2 * 8 * (3 * 3 + 5 * 5)
    assert useful_flops(model, [batch]) == 6 * matrices * 8 + 6 * head * 2 + 12 * attention


def test_a_decoder_sees_half_of_the_pairs_and_a_window_only_near_ones() -> None:
    def of_attention(**parts: object) -> float:
        sizes = {"hidden_size": 8, "layers": 1, "heads": 2, "feed_forward_size": 12, "maximum_length": 16}
        model = build(ModelConfig(vocabulary_size=10, **sizes, **parts), "causal")
        batch = Batch(flatten([np.arange(6)]), torch.zeros(0, dtype=torch.int64), {"causal": 0}, None)
        return useful_flops(model, [batch]) - 6 * (8 * 24 + 8 * 8 + 2 * 8 * 12) * 6

    assert of_attention() == 12 * 8 * 36
    assert of_attention(attention="causal") == 12 * 8 * 18
    seen = sum(abs(i - j) <= 2 for i in range(6) for j in range(6))
    assert of_attention(window=2) == 12 * 8 * seen
    assert of_attention(mixer="convolution", kernel_size=3) == 6 * (8 * 16 + 8 * 3 + 8 * 8 - 8 * 24 - 8 * 8) * 6


def test_a_shared_block_works_as_often_as_there_are_layers() -> None:
    sizes = {"vocabulary_size": 10, "hidden_size": 8, "heads": 2, "feed_forward_size": 12, "maximum_length": 16}
    batch = Batch(flatten([np.arange(6)]), torch.tensor([1]), {"masked": 1}, torch.tensor([0]))
    own = useful_flops(build(ModelConfig(layers=4, **sizes), "masked"), [batch])
    assert useful_flops(build(ModelConfig(layers=4, layer_groups=1, **sizes), "masked"), [batch]) == own


def test_an_encoder_decoder_makes_keys_of_the_source_and_reads_both_texts() -> None:
    sizes = {"hidden_size": 8, "heads": 2, "feed_forward_size": 12, "maximum_length": 16}
    model = build(ModelConfig(vocabulary_size=10, layers=1, decoder_layers=1, **sizes), "sequence_to_sequence")
    source, target = flatten([np.arange(7)]), flatten([np.arange(4)])
    batch = Batch(source, torch.zeros(0, dtype=torch.int64), {"spans": 0}, None, target)
    block, crossing = 8 * 24 + 8 * 8 + 2 * 8 * 12, (8 * 8 + 8 * 8, 8 * 16)
    read = 6 * block * 7 + 12 * 8 * 49
    written = 6 * (block + crossing[0]) * 4 + 12 * 8 * 16 / 2
    assert useful_flops(model, [batch]) == read + written + 6 * crossing[1] * 7 + 12 * 8 * 28


# ---------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("optimizer", "state"),
    [("adamw", lambda shape: 2 * np.prod(shape)), ("sgd", np.prod), ("adafactor", None)],
)
def test_weights_gradients_and_state_are_what_they_must_be(optimizer: Optimizer, state: object) -> None:
    with without_memory():
        objective = MaskedLM(VOCABULARY)
        model = build(BERT, "masked")
    config = TrainingConfig(steps=1, optimizer=optimizer, batch_tokens=240)
    found = step_memory(model, objective, config, batches(objective)[:2])
    assert found.weights == found.gradients == 4 * parameters(model)
    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    if state is None:
        numbers = sum(np.prod(s) if len(s) < 2 else np.prod(s[:-1]) + np.prod([*s[:-2], s[-1]]) for s in shapes)
    else:
        numbers = sum(state(shape) for shape in shapes)
    # A step's number is remembered for each parameter, but not by sgd.
    assert found.optimizer == 4 * (numbers + (0 if optimizer == "sgd" else len(shapes)))


def test_what_is_counted_without_memory_is_what_tensors_really_take() -> None:
    objective = CausalLM(VOCABULARY)
    with without_memory():
        empty = build(GPT, "causal")
    found = step_memory(empty, objective, TrainingConfig(steps=1), batches(objective)[-1:])
    model, (batch,) = build(GPT, "causal"), batches(objective)[-1:]
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        objective.loss(model, batch)
    for parameter in model.parameters():
        saved.pop(parameter.untyped_storage().data_ptr(), None)
    # What autograd keeps for the backward pass is most of it; what is made and dropped on the way is beside.
    assert sum(saved.values()) < found.activations < 2.5 * sum(saved.values())


def test_smaller_micro_batches_and_recomputing_take_less() -> None:
    objective = MaskedLM(VOCABULARY)
    deep = BERT.model_copy(update={"layers": 6})

    def activations_per_token(most: int, recompute: bool = False) -> tuple[float, int]:
        with without_memory():
            model = build(deep, "masked")
        batch = max(batches(objective, most), key=lambda batch: batch.size)
        config = TrainingConfig(steps=1, recompute=recompute)
        return step_memory(model, objective, config, [batch]).activations / batch.size, batch.size

    (whole, size), (half, smaller) = activations_per_token(240), activations_per_token(120)
    assert smaller < 0.6 * size
    assert half == pytest.approx(whole, rel=0.15), "so many bytes a token"
    assert activations_per_token(240, recompute=True)[0] < 0.6 * whole


# ------------------------------------------------------------------------------------------------- laws and sheets


def test_what_is_read_twice_is_worth_ever_less() -> None:
    assert worth(1e6, 5e5) == 5e5
    assert worth(1e6, 1e6) == 1e6
    assert 3.6e6 < worth(1e6, 4e6) < 4e6, "four passes are nearly as good as new text"
    assert worth(1e6, 1e9) == pytest.approx(16.4e6)
    assert supported_weights(20e6, passes=1) == 1e6


def test_more_text_and_more_weights_help_until_the_text_is_used_up() -> None:
    assert predicted_loss(1e6, 1e9, 1e8) < predicted_loss(1e6, 1e9, 1e7)
    assert predicted_loss(2e6, 1e9, 1e8) < predicted_loss(1e6, 1e9, 1e8)
    # At equal arithmetic the best size lies at twenty tokens a weight, as Chinchilla has it.
    sizes = np.geomspace(1e5, 1e8, 400)
    best = min(sizes, key=lambda n: predicted_loss(n, 1e12, 1e15 / 6 / n))
    assert 1e15 / 6 / best / best == pytest.approx(20, rel=0.1)


def test_gpus_are_found_by_any_writing_of_their_names() -> None:
    assert find_gpu("rtx4090") is GPUS["RTX 4090"]
    assert find_gpu("nvidia h100") is GPUS["H100"]
    with pytest.raises(InputError, match="did you mean 'A100'"):
        find_gpu("A1000")
