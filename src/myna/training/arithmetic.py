"""The useful arithmetic of a step, forward and backward, counted from what the step holds.

6 FLOP for each weight of a matrix and each token that passes through it (Kaplan et al. 2020, arXiv:2001.08361, 2.1): 2
forward, 4 backward; those of a head at the places that are judged alone. Attention is counted within each document, at
the pairs of positions that see each other. Padding and recomputation would be no use, and are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from myna.model.config import ModelConfig
from myna.model.convolution import ConvolutionAttention
from myna.model.flat import Flat
from myna.model.heads import LANGUAGE_KINDS, Model
from myna.model.mixers import CrossAttention
from myna.model.transformer import EncoderDecoder, Transformer
from myna.objectives.protocol import Batch

# Tables, of which a row is taken and with which nothing is multiplied.
_TABLES = ("words.weight", "positions.weight", "segments.weight")


def useful_flops(model: Model, batches: Iterable[Batch], beside: Iterable[nn.Module] = ()) -> float:
    """FLOP of a step's batches, forward and backward. ``beside`` are the modules of the objective, as a generator."""
    beside = [module for module in beside if isinstance(getattr(module, "trunk", None), Transformer)]
    return sum(_of_model(model, batch) + sum(_of_generator(module, batch) for module in beside) for batch in batches)


def matrix_weights(module: nn.Module) -> int:
    """The weights of a module's matrices, its tables of embeddings and positions aside."""
    named = ((f".{name}", p) for name, p in module.named_parameters() if p.ndim > 1)
    return sum(p.numel() for name, p in named if not name.endswith(_TABLES) and ".schemes." not in name)


def _of_model(model: Model, batch: Batch) -> float:
    trunk, config = model.trunk, model.config
    if isinstance(trunk, EncoderDecoder):
        assert batch.target is not None
        total = _of_stack(trunk.encoder, batch.tokens) + _of_stack(trunk.decoder, batch.target)
        total += _of_crossing(trunk.decoder, batch.tokens, batch.target)
        total += 0.0 if model.pointer is None else 6 * matrix_weights(model.pointer) * len(batch.target.ids)
    else:
        total = _of_stack(trunk, batch.tokens)
    tied = model.kind in LANGUAGE_KINDS and config.tied
    judged = batch.size if model.kind == "replaced" else len(batch.targets)
    head = matrix_weights(model.head) + (trunk.embeddings.words.weight.numel() if tied else 0)
    return total + 6 * head * judged


def _of_generator(generator: Any, batch: Batch) -> float:
    """A stack of its own, and the head of a masked language model on the words of another (ELECTRA's)."""
    head: int = matrix_weights(generator.head) + generator.head.weight.numel()
    return _of_stack(generator.trunk, batch.tokens) + 6 * head * len(batch.targets)


def _of_stack(stack: Transformer, tokens: Flat) -> float:
    config = stack.config
    shared = config.layers // len(stack.blocks) if stack.blocks else 1
    weights = matrix_weights(stack) + (shared - 1) * sum(matrix_weights(block) for block in stack.blocks)
    total = 6.0 * weights * len(tokens.ids)
    for layer, window in enumerate(stack.windows):
        block = stack.blocks[layer // shared]
        if isinstance(block.mixer, ConvolutionAttention):  # Its kernels are no weights, but are multiplied like them.
            total += 6 * config.kernel_size * config.hidden_size // 2 * len(tokens.ids)
        total += 12 * _attention_width(config, layer) * _pairs(tokens, config.attention, window)
    return total


def _of_crossing(decoder: Transformer, source: Flat, target: Flat) -> float:
    """Attention to the source, beyond what :func:`_of_stack` counted: keys and values are made of the source."""
    sources, targets = _lengths(source), _lengths(target)
    if source.windows is not None:
        sources = torch.stack([windows.sum() for windows in torch.split(sources, list(source.windows))])
    pairs = float((sources * targets).sum())
    total = 0.0
    for block in decoder.blocks:
        crossing = block.source
        assert isinstance(crossing, CrossAttention)
        # By shapes alone: of a weight that several processes share, rows would have to be fetched.
        rows, columns = crossing.projection.weight.shape
        made = (rows - crossing.width) * columns
        total += 6 * made * (int(sources.sum()) - int(targets.sum())) + 12 * crossing.width * pairs
    return total


def _attention_width(config: ModelConfig, layer: int) -> int:
    """The channels of a layer that attention makes."""
    mixer = config.mixer_of(layer)
    if mixer == "convolution":
        return 0
    return config.hidden_size // 2 if mixer == "convolution+attention" else config.heads * config.head_channels


def _pairs(tokens: Flat, attention: str, window: int | None) -> float:
    """How many pairs of positions see each other, of a decoder's the half."""
    lengths = _lengths(tokens).double()
    if attention == "prefix" and tokens.prefixes is not None and not tokens.whole:
        prefixes = tokens.prefixes.double()
        return float(((lengths**2 + prefixes**2) / 2).sum())
    reached = lengths if window is None else lengths.clamp(max=window + 1)
    # Within a window each position sees so many before and behind it, but for the first and the last ones.
    both = lengths**2 if window is None else lengths * (2 * reached - 1) - (reached - 1) * reached
    causal = attention != "bidirectional" and not tokens.whole
    return float(both.sum()) / (2 if causal else 1)


def _lengths(tokens: Flat) -> torch.Tensor:
    lengths: Sequence[int] = [run.length for run in tokens.runs for _ in range(run.documents)]
    return torch.tensor(lengths)
