"""The memory of a step by part, from a step that is taken without any: its tensors have sizes and no content.

Every tensor that the forward and the backward pass make is counted while it lives, so that nothing of a model or an
objective needs to be known here, a user's own included.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from myna.model.heads import LANGUAGE_KINDS, LanguageHead, Model
from myna.objectives.losses import CHUNK_ROWS
from myna.objectives.protocol import Batch, Objective
from myna.planning.answering import Answers, weights_of
from myna.training.batches import total_counts
from myna.training.optimizers import make_optimizer
from myna.training.recompute import recomputing
from myna.training.settings import TrainingConfig

# A checkpoint's tensors are copied into bytes, and these into one file, before it is written.
CHECKPOINT_COPIES = 2


@dataclass(frozen=True)
class StepMemory:
    """Bytes of the tensors of a training at the peak of a step, by part.

    ``loss`` is the part of ``activations`` that logits (a chunk of them) and the gradient of their matrix take.
    ``checkpoint`` is what a checkpoint takes while it is made, when there are no activations.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    loss: int
    checkpoint: int

    @property
    def peak(self) -> int:
        """All tensors at the worst moment."""
        return self.weights + self.gradients + self.optimizer + max(self.activations, self.checkpoint)


@contextmanager
def without_memory() -> Iterator[None]:
    """While it is entered, tensors that are made have no content; what is read of others' shapes is right."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def parameters_of(model: Model, objective: Objective) -> dict[str, nn.Parameter]:
    """All that is trained, by name."""
    found = dict(model.named_parameters())
    for outer, module in objective.modules().items():
        found |= {f"{outer}:{name}": parameter for name, parameter in module.named_parameters()}
    return found


def step_memory(model: Model, objective: Objective, config: TrainingConfig, batches: Sequence[Batch]) -> StepMemory:
    """The memory of a step of ``batches``, perhaps its largest few, of a model made :func:`without_memory`."""
    parameters = parameters_of(model, objective)
    optimizer = make_optimizer(parameters, config)
    weights = sum(parameter.nbytes for parameter in parameters.values())
    recomputed = [model, *objective.modules().values()] if config.recompute else []
    counts = total_counts(batches)
    with without_memory(), _Lives() as lives, recomputing(recomputed):
        for batch in batches:
            objective.loss(model, batch).total(counts).backward()  # type: ignore[no-untyped-call]
        gradients = sum(p.grad.nbytes for p in parameters.values() if p.grad is not None)
    state, activations = optimizer.state_bytes(), lives.peak - gradients
    loss = max(_loss_bytes(model, batch) for batch in batches)
    return StepMemory(
        weights, gradients, state, activations, min(loss, activations), CHECKPOINT_COPIES * max(weights, state)
    )


def answering_memory(answers: Answers) -> int:
    """The bytes of a model that answers, which was made :func:`without_memory`, and of its tensors meanwhile."""
    largest = max(answers.batches(), key=lambda batch: batch.size)
    with without_memory(), _Lives() as lives, torch.inference_mode():
        answers.task.outputs(answers.model, largest)
    taken: int = weights_of(answers.model) + lives.peak
    return taken


def _loss_bytes(model: Model, batch: Batch) -> int:
    head = model.head
    if model.kind not in LANGUAGE_KINDS or not isinstance(head, LanguageHead):
        return 0
    return min(CHUNK_ROWS, len(batch.targets)) * head.weight.shape[0] * 4 + head.weight.nbytes


class _Lives(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made while it is entered, as long as each lives."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {storage._cdata for storage in _storages((args, kwargs))}
        for storage in _storages(result):
            if storage._cdata not in known and storage._cdata not in self._sizes:
                self._born(storage)
        return result

    def _born(self, storage: torch.UntypedStorage) -> None:
        self._sizes[storage._cdata] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, storage._cdata)

    def _gone(self, storage: int) -> None:
        self.now -= self._sizes.pop(storage, 0)


def _storages(values: Any) -> Iterator[torch.UntypedStorage]:
    """Those of all tensors in it; the parts of a sparse one are tensors that were counted when they were made."""
    for leaf in tree_leaves(values):
        if isinstance(leaf, Tensor) and leaf.layout is torch.strided:
            yield leaf.untyped_storage()
