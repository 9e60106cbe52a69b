"""Losses as sums over rows. Each is divided by a count that a batch knows beforehand (``protocol.Term``).

Over a vocabulary the logits of a batch never exist whole (:func:`linear_cross_entropy`); the other losses are for
few classes, for numbers and for vectors. A sum over the rows of any cut of a batch adds up to that of the whole; a
contrastive loss couples the rows of a group, and its objective says how large that is (``protocol.Grouped``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from myna.model.layers import logits_of

# 512 rows of a vocabulary of 30,000 are 60 MB in float32: large enough for the product, small beside the model.
CHUNK_ROWS = 512


class Product:
    """``hidden @ weight.T + bias``, ``(rows, classes)``, in chunks of rows, and the gradients of the three.

    Under autocast products are made in its type; logits, sums and the gradients of weights stay in the weights'.
    """

    def __init__(self, hidden: Tensor, weight: Tensor, bias: Tensor | None, wanted: bool) -> None:
        kind = hidden.device.type
        self.low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        self.hidden, self.dtype = hidden, weight.dtype
        self.weight, self.bias = weight.to(self.low), None if bias is None else bias.to(self.low)
        self.of_hidden = torch.empty_like(hidden, dtype=self.low) if wanted else None
        self.of_weight = torch.empty_like(weight) if wanted else None
        self.of_bias = torch.zeros_like(bias) if wanted and bias is not None else None

    def chunks(self) -> Iterator[slice]:
        """Which rows come together: once none, for the gradient of the weight to be zero then."""
        for start in range(0, max(self.hidden.shape[0], 1), CHUNK_ROWS):
            yield slice(start, start + CHUNK_ROWS)

    def logits(self, chunk: slice) -> Tensor:
        """Those of a chunk, which are the caller's to overwrite."""
        return logits_of(self.hidden[chunk].to(self.low), self.weight, self.bias).to(self.dtype)

    def take(self, chunk: slice, gradient: Tensor) -> None:
        """Adds what the gradient of a chunk's logits gives to those of the three. Chunks come in their order."""
        assert self.of_hidden is not None
        assert self.of_weight is not None
        rows, low_gradient = self.hidden[chunk].to(self.low), gradient.to(self.low)
        torch.mm(low_gradient, self.weight, out=self.of_hidden[chunk])
        if self.low == self.dtype:
            self.of_weight.addmm_(gradient.T, rows, beta=1 if chunk.start else 0)
        else:
            product = low_gradient.T @ rows
            self.of_weight = self.of_weight.add_(product) if chunk.start else product.to(self.dtype)
        if self.of_bias is not None:
            self.of_bias += gradient.sum(0)

    @property
    def gradients(self) -> tuple[Tensor | None, ...]:
        """Those of the hidden rows, the weight and the bias."""
        return self.of_hidden, self.of_weight, self.of_bias


def scaled(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
    """The ``gradients`` that a forward pass left, times what comes from above.

    They are nobody else's, so they are scaled in place; a second backward has nothing left to scale.
    """
    gradients, ctx.gradients = ctx.gradients, (None,) * len(ctx.gradients)
    return tuple(None if each is None else each.mul_(upstream) for each in gradients)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
        z_loss: float,
        wanted: bool,
    ) -> Tensor:
        product, total = Product(hidden, weight, bias, wanted), weight.new_zeros(())
        for chunk in product.chunks():
            ids, logits = targets[chunk].unsqueeze(1), product.logits(chunk)
            scored = logits.gather(1, ids)
            if smoothing:
                scored = torch.lerp(scored, logits.mean(1, keepdim=True), smoothing)
            highest = logits.amax(1, keepdim=True)
            exponentials = logits.sub_(highest).exp_()
            sums = exponentials.sum(1, keepdim=True)
            normalizers = sums.log() + highest
            total += (normalizers - scored).sum()
            if z_loss:
                total += z_loss * normalizers.square().sum()
            if wanted:
                # The gradient of the logits takes their place: softmax less one at the target.
                gradient = exponentials.div_(sums)
                if z_loss:
                    gradient.mul_(1 + 2 * z_loss * normalizers)
                if smoothing:
                    gradient.sub_(smoothing / logits.shape[1])
                gradient.scatter_add_(1, ids, gradient.new_full((1, 1), smoothing - 1.0).expand(ids.shape))
                product.take(chunk, gradient)
                del gradient
            # Before the next chunk is made: otherwise two of them stand side by side.
            del logits, exponentials
        ctx.gradients = product.gradients
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return *scaled(ctx, upstream), None, None, None, None


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> Tensor:
    """The sum of the cross-entropies of ``hidden @ weight.T + bias`` with ``targets``, in nats.

    ``hidden`` is ``(rows, hidden)``, ``weight`` ``(classes, hidden)``, ``bias`` ``(classes,)`` or None, ``targets``
    ``(rows,)``. ``label_smoothing`` is spread over all classes (Szegedy et al. 2016), and ``z_loss`` times the square
    of the softmax's log-sum is added (PaLM, arXiv:2204.02311, 5). Logits are made in chunks of rows, and their
    gradient in the forward pass, so that the product with the weight is made once and never kept.
    """
    apply: Any = _LinearCrossEntropy.apply
    result: Tensor = apply(hidden, weight, bias, targets, label_smoothing, z_loss, torch.is_grad_enabled())
    return result


def target_nats(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """The cross-entropy of each row, ``(rows,)`` in nats, in chunks and without gradients: for evaluation."""
    pieces = []
    with torch.no_grad():
        for start in range(0, hidden.shape[0], CHUNK_ROWS):
            rows = hidden[start : start + CHUNK_ROWS]
            logits = logits_of(rows, weight, bias)
            pieces.append(F.cross_entropy(logits, targets[start : start + CHUNK_ROWS], reduction="none"))
    return torch.cat(pieces) if pieces else hidden.new_empty(0)


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> Tensor:
    """The sum of the cross-entropies of ``logits (rows, classes)`` with ``targets (rows,)``, in nats.

    With ``class_weights (classes,)`` each row counts as its class does (:func:`class_weights_of`).
    """
    total = F.cross_entropy(logits, targets, class_weights, reduction="sum", label_smoothing=label_smoothing)
    return total + z_loss * logits.logsumexp(1).square().sum() if z_loss else total


def class_weights_of(counts: Sequence[int]) -> Tensor:
    """Weights inverse to how often each class occurs, ``(classes,)``; their mean over the rows is one.

    So the sum of weighted losses is divided by the number of rows, as any other. A class that never occurs weighs
    as one that occurs once.
    """
    often = torch.tensor(counts, dtype=torch.float64).clamp(min=1)
    there = torch.tensor(counts, dtype=torch.float64)
    inverse = 1 / often
    return (inverse * (there.sum() / (inverse * there).sum())).float()


def focal(logits: Tensor, targets: Tensor, gamma: float = 2.0, class_weights: Tensor | None = None) -> Tensor:
    """The sum of the cross-entropies, each times (1 - p)^gamma (arXiv:1708.02002); what is easy counts less."""
    nats = F.cross_entropy(logits, targets, reduction="none")
    weighed = (1 - torch.exp(-nats)) ** gamma * nats
    return (weighed if class_weights is None else weighed * class_weights[targets]).sum()


def many_labels(logits: Tensor, targets: Tensor, positive_weights: Tensor | None = None) -> Tensor:
    """The sum of binary cross-entropies of ``logits`` and ``targets (rows, labels)``, in nats.

    ``positive_weights (labels,)`` is what a label that is there counts for one that is not.
    """
    return F.binary_cross_entropy_with_logits(
        logits, targets.to(logits.dtype), pos_weight=positive_weights, reduction="sum"
    )


def squared(predictions: Tensor, targets: Tensor) -> Tensor:
    """The sum of the squared differences."""
    return F.mse_loss(predictions, targets, reduction="sum")


def absolute(predictions: Tensor, targets: Tensor) -> Tensor:
    """The sum of the absolute differences."""
    return F.l1_loss(predictions, targets, reduction="sum")


def huber(predictions: Tensor, targets: Tensor, delta: float = 1.0) -> Tensor:
    """The sum of Huber's losses: half the squared difference up to ``delta``, a line beyond."""
    return F.huber_loss(predictions, targets, reduction="sum", delta=delta)


def divergence(logits: Tensor, other: Tensor) -> Tensor:
    """R-Drop's term (arXiv:2106.14448): the sum over rows of the mean of both Kullback-Leibler divergences, in nats.

    ``logits`` and ``other`` are ``(rows, classes)``, of the same rows under two dropouts; both get a gradient.
    """
    one, two = logits.log_softmax(1), other.log_softmax(1)
    return ((one.exp() - two.exp()) * (one - two)).sum() / 2


def distillation(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """The sum of :func:`distillations`."""
    return distillations(logits, teacher, temperature).sum()


def distillations(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """The divergence of a student from its teacher (arXiv:1503.02531), ``(rows,)`` in nats, times temperature².

    ``logits`` and ``teacher`` are ``(rows, classes)``; the teacher gets no gradient. Both are divided by the
    ``temperature`` first; its square keeps the gradient's size.
    """
    student = (logits / temperature).log_softmax(1)
    wanted = (teacher.detach() / temperature).log_softmax(1)
    return F.kl_div(student, wanted, reduction="none", log_target=True).sum(1) * temperature**2


def contrastive(
    queries: Tensor, keys: Tensor, groups: Tensor, temperature: float = 0.05, alike: Tensor | None = None
) -> Tensor:
    """InfoNCE (arXiv:1807.03748) with the other rows of a group as negatives: a sum over rows, in nats.

    ``queries`` and ``keys`` are ``(rows, width)``; row n of one belongs to row n of the other, and ``groups (rows,)``
    says which rows are told apart, but for those that are ``alike (rows, rows)``. Likeness is the cosine over the
    ``temperature``.
    """
    likeness = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T / temperature
    apart = groups[:, None] != groups
    if alike is not None:
        apart = (apart | alike) & ~torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    targets = torch.arange(len(queries), device=queries.device)
    return F.cross_entropy(likeness.masked_fill(apart, -torch.inf), targets, reduction="sum")
