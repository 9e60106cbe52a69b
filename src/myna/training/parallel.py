"""A model trained by one process, by several that each hold it whole (``ddp``), or by several that share it (``fsdp``).

What is wrapped is a :class:`TrainStep`, an objective's forward pass over model and companions, so that the hooks of
FSDP2 fire; no module of ``model/`` knows of any of this. Gradients are sums: a step's targets are counted over all
micro-batches and processes before its first backward, and none is divided again after it.

**ddp.** Each process adds up the gradients of its micro-batches, and after its last backward all are added up, in flat
buckets whose layout follows from the parameters' order alone. torch's DistributedDataParallel would begin to send while
the last backward still runs. It also lays its buckets anew after the first step it sees, in the order in which
gradients came to be, so that a resumed run adds up in another order than one that went through, and the last bits of
more than two processes differ; and it wants as many backward passes of each process, over the same parameters, where
here a process may have more than another, or none. So nothing is sent behind a backward: a step is longer by the time
that its gradients take to go round once, which a larger ``batch_tokens`` outweighs.

**fsdp.** ``torch.distributed.fsdp.fully_shard``: each process keeps its rows of every tensor, of its gradient and of
what the optimizer remembers, and layers are gathered as they are computed. What an optimizer moves are plain tensors
over these rows. So AdamW and SGD are right, element by element, and those that look at a matrix whole are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from myna.errors import InputError
from myna.model.heads import Model
from myna.model.transformer import Block
from myna.objectives.protocol import Batch, Objective
from myna.training import checkpoint, guards
from myna.training.optimizers import Optimizers
from myna.training.precision import computing
from myna.training.processes import Processes, noticing
from myna.training.settings import Precision, TrainingConfig

Result = TypeVar("Result")

# Large enough for the links of a machine, small beside the model.
_BUCKET_BYTES = 32 << 20
# What is said of a fault begins with one of these; the causes stand first.
_FAULTS = ("the weight", "the input", "the output", "the loss", "the gradient", "")
# Optimizers that move each number by its own gradient alone.
_ELEMENTWISE = ("adamw", "sgd")


class TrainStep(nn.Module):
    """A model and what is trained beside it, as one module: whatever is computed with them is computed inside of it."""

    def __init__(self, model: nn.Module, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.model = model
        self.beside = nn.ModuleList(modules.values())

    def forward(self, work: Callable[[], Result]) -> Result:
        """What ``work`` gives."""
        return work()


class Alone:
    """A model of one process. ``parameters`` are what its optimizer moves, by name."""

    def __init__(
        self,
        model: nn.Module,
        modules: Mapping[str, nn.Module],
        processes: Processes,
        precision: Precision = "float32",
    ) -> None:
        self.processes, self.precision = processes, precision
        self.parameters = dict(model.named_parameters())
        for name, module in modules.items():
            self.parameters |= {f"{name}:{n}": p for n, p in module.named_parameters()}
        self.train_step = TrainStep(model, modules)

    def save(self, folder: Path, optimizer: Optimizers, state: Mapping[str, Any], keeping: checkpoint.Keeping) -> None:
        """Writes a checkpoint."""
        if self.processes.first:
            checkpoint.save_checkpoint(folder, optimizer, state, keeping)

    def newest(self, find: Callable[[], checkpoint.Checkpoint | None]) -> checkpoint.Checkpoint | None:
        """The checkpoint that the first process finds."""
        found = find() if self.processes.first else None
        place = self.processes.from_first(None if found is None else str(found.folder))
        return found if self.processes.first or place is None else checkpoint.open_checkpoint(Path(place))

    def backward(
        self,
        objective: Objective,
        model: Any,
        batches: Sequence[Batch],
        counts: Mapping[str, int],
        spare: Callable[[], Sequence[Batch]] = list,
    ) -> float:
        """Adds the gradients of this process's batches to the parameters, and gives their part of the step's loss.

        ``counts`` are those of the whole step. ``spare`` gives batches for a process that has none of its own and
        must go through one all the same.
        """
        total = 0.0
        for batch in batches:
            loss = self.loss(objective, model, batch, counts)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    def loss(self, objective: Objective, model: Any, batch: Batch, counts: Mapping[str, int]) -> Tensor:
        """The part of a batch in the loss of a step. Every forward pass that is learned from is made here."""
        with computing(self.train_step, self.precision):
            return objective.loss(model, batch).total(counts)

    def agree(self, work: Callable[[], Result]) -> list[Result]:
        """What ``work``, which computes with the model, gives in each process: see ``Processes.together``."""
        return self.processes.together(work)

    def add_up(self) -> None:
        """Leaves the gradients of all processes together in ``parameters``."""

    def norm(self) -> Tensor:
        """The norm of the gradients that :meth:`add_up` left."""
        return nn.utils.get_total_norm([p.grad for p in self.parameters.values() if p.grad is not None])

    def agreed(self, fault: str | None) -> str | None:
        """The first fault that a process found in its part of the state."""
        return fault

    def fault_of_step(self, objective: Objective, model: Model, optimizer: Optimizers, batches: Sequence[Batch]) -> str:
        """What was no number first, as :func:`~myna.training.guards.fault_of_step` finds it in any process."""
        with computing(self.train_step, self.precision):
            fault = guards.fault_of_step(objective, model, optimizer, batches)
        found = self.processes.gather(fault)
        first: str = min(found, key=lambda fault: next(n for n, kind in enumerate(_FAULTS) if fault.startswith(kind)))
        return first

    def inside(self, work: Callable[[], Result]) -> Result:
        """What ``work``, which computes with the model, gives."""
        return work()

    def own(self, whole: Tensor) -> Tensor:
        """The part of a whole tensor, a parameter's or one of its shape, that this process keeps."""
        return whole

    def wholes(self) -> dict[str, Tensor]:
        """The weights, each of them whole, by name."""
        return {name: parameter.detach() for name, parameter in self.parameters.items()}

    def finish(self) -> None:
        """Leaves the model whole, as it was before it was wrapped, and ``parameters`` are its own."""


class Replicas(Alone):
    """Several processes that each hold the whole model."""

    def add_up(self) -> None:
        import torch.distributed as dist

        names = list(self.parameters)
        unused = [n for n, name in enumerate(names) if self.parameters[name].grad is None]
        lacking = self.processes.gather(unused)
        # What no process had a use for stays as it is, as it does where one process has all.
        by_none = set(lacking[0]).intersection(*lacking[1:])
        used = [self.parameters[name] for n, name in enumerate(names) if n not in by_none]
        for parameter in used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        sent = []
        with noticing():
            for bucket in _buckets([p.grad for p in used if p.grad is not None]):
                flat = torch.cat([gradient.flatten() for gradient in bucket])
                sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
            for bucket, flat, arrival in sent:
                arrival.wait()
                for gradient, part in zip(bucket, torch.split(flat, [g.numel() for g in bucket]), strict=True):
                    gradient.copy_(part.view_as(gradient))


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one type and device, up to the size of a bucket; one that is larger stands alone."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        alike = not bucket or (gradient.dtype, gradient.device) == (bucket[0].dtype, bucket[0].device)
        if bucket and (not alike or size + gradient.nbytes > _BUCKET_BYTES):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.nbytes
    if bucket:
        yield bucket


class Shards(Alone):
    """Several processes that each hold their rows of every tensor."""

    def __init__(
        self,
        model: nn.Module,
        modules: Mapping[str, nn.Module],
        processes: Processes,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(model, modules, processes, precision)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        names = {id(parameter): name for name, parameter in self.parameters.items()}
        places = [
            (m, n, names[id(p)]) for m in self.train_step.modules() for n, p in m._parameters.items() if p is not None
        ]
        device = next(iter(self.parameters.values())).device.type
        mesh = init_device_mesh(device, (processes.count,))
        with noticing():
            for block in [part for part in self.train_step.modules() if isinstance(part, Block)]:
                fully_shard(block, mesh=mesh)
            # What lies outside of the layers is used by name, as an output matrix, and stays gathered for a pass.
            fully_shard(self.train_step, mesh=mesh, reshard_after_forward=False)
        for module in self._sharded():
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
            # With torch 2.9 all processes must use the same parameters.
            if hasattr(module, "set_reduce_scatter_unused_params"):
                module.set_reduce_scatter_unused_params(True)
        self._places = places
        self._dtensors = {name: getattr(module, part) for module, part, name in places}
        # What a step has a use for, as a gradient of zero does not tell it: by a hook on each whole tensor, which is
        # the same one in every pass, and in its place when its layer has been gathered.
        self._used: set[str] = set()
        self._counts = True
        self._watched: dict[str, Tensor] = {}
        self._watching = [
            sharded.register_forward_pre_hook(
                partial(self._watch, [p for p in places if p[0] in set(sharded.modules())])
            )
            for sharded in self._sharded()
        ]
        self.parameters = {
            name: nn.Parameter(self._dtensors[name].to_local().detach(), requires_grad=parameter.requires_grad)
            for name, parameter in self.parameters.items()
        }

    def save(self, folder: Path, optimizer: Optimizers, state: Mapping[str, Any], keeping: checkpoint.Keeping) -> None:
        checkpoint.save_checkpoint(folder, optimizer, state, keeping, self.processes)

    def backward(
        self,
        objective: Objective,
        model: Any,
        batches: Sequence[Batch],
        counts: Mapping[str, int],
        spare: Callable[[], Sequence[Batch]] = list,
    ) -> float:
        self._used.clear()
        # Layers are gathered by all at once: who has fewer passes makes one more that counts for nothing.
        batches = [part for batch in batches for part in batch.passes()]
        missing = max(self.processes.gather(len(batches))) - len(batches)
        total = super().backward(objective, model, batches, counts)
        filling = (batches or spare()[0].passes())[0] if missing else None
        self._counts = False
        for _ in range(missing):
            assert filling is not None
            (self.loss(objective, model, filling, counts) * 0.0).backward()  # type: ignore[no-untyped-call]
        self._counts = True
        return total

    def _watch(self, places: Sequence[tuple[nn.Module, str, str]], sharded: nn.Module, inputs: Any) -> None:
        for module, part, name in places:
            tensor = getattr(module, part)
            if tensor is not self._dtensors[name] and tensor is not self._watched.get(name) and tensor.requires_grad:
                self._watched[name] = tensor
                tensor.register_hook(partial(self._note, name))

    def _note(self, name: str, gradient: Tensor | None) -> None:
        if self._counts and gradient is not None:
            self._used.add(name)

    def loss(self, objective: Objective, model: Any, batch: Batch, counts: Mapping[str, int]) -> Tensor:
        result: Tensor = self.train_step(partial(super().loss, objective, model, batch, counts))
        return result

    def agree(self, work: Callable[[], Result]) -> list[Result]:
        # They speak to each other within: one that fails can only leave, and the others notice.
        with noticing():
            result = work()
        return self.processes.together(lambda: result)

    def add_up(self) -> None:
        # FSDP2 has added them up as they came.
        used = self.processes.gather([name in self._used for name in self._dtensors])
        for (name, sharded), *uses in zip(self._dtensors.items(), *used, strict=True):
            # It gives zeros to what no process had a use for; one process leaves such a parameter as it is.
            self.parameters[name].grad = sharded.grad.to_local() if any(uses) else None
            sharded.grad = None

    def norm(self) -> Tensor:
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norms = torch._foreach_norm(gradients) if gradients else ()
        square = sum(float(norm) ** 2 for norm in norms)
        dtype = next(iter(self.parameters.values())).dtype
        return torch.tensor(sum(self.processes.gather(square)) ** 0.5, dtype=dtype)

    def agreed(self, fault: str | None) -> str | None:
        return next((found for found in self.processes.gather(fault) if found is not None), None)

    def fault_of_step(self, objective: Objective, model: Model, optimizer: Optimizers, batches: Sequence[Batch]) -> str:
        # Without going forward once more: its outputs are not looked at.
        return super().fault_of_step(objective, model, optimizer, [])

    def inside(self, work: Callable[[], Result]) -> Result:
        result: Result = self.train_step(work)
        return result

    def own(self, whole: Tensor) -> Tensor:
        if whole.ndim == 0:
            return whole
        rows = -(-whole.shape[0] // self.processes.count)
        return whole[rows * self.processes.rank :][:rows]

    def wholes(self) -> dict[str, Tensor]:
        with noticing():
            return {name: sharded.full_tensor().detach() for name, sharded in self._dtensors.items()}

    def finish(self) -> None:
        wholes = self.wholes()
        for hook in self._watching:
            hook.remove()
        self._watched.clear()
        for module in self._sharded():
            state = module._get_fsdp_state()
            state._pre_forward_hook_handle.remove()
            state._post_forward_hook_handle.remove()
            module.__class__ = type(module).__bases__[1]
        for module, part, name in self._places:
            setattr(module, part, nn.Parameter(wholes[name], self.parameters[name].requires_grad))
        self.parameters = {name: getattr(module, part) for module, part, name in self._places}

    def _sharded(self) -> list[Any]:
        from torch.distributed.fsdp import FSDPModule

        return [part for part in self.train_step.modules() if isinstance(part, FSDPModule)]


def wrap(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    config: TrainingConfig,
    processes: Processes,
    precision: Precision = "float32",
) -> Alone:
    """A model and what is trained beside it, for the processes there are; its products are made in ``precision``.

    An optimizer that cannot work on rows of matrices is an :class:`InputError` with ``fsdp``.
    """
    if processes.count == 1:
        return Alone(model, modules, processes, precision)
    if config.parallel == "ddp":
        return Replicas(model, modules, processes, precision)
    if config.optimizer not in _ELEMENTWISE:
        what = f'optimizer = "{config.optimizer}" looks at whole matrices, and parallel = "fsdp" cuts them into rows'
        raise InputError(what, remedy='take parallel = "ddp", or adamw')
    return Shards(model, modules, processes, precision)
