"""Which sampler a training has, and how many steps."""

from __future__ import annotations

from myna.objectives.protocol import Items
from myna.tokens.sampler import Sampler
from myna.tokens.sources import Sources, SourceSampler
from myna.training.schedules import stable_steps
from myna.training.settings import TrainingConfig

AnySampler = Sampler | SourceSampler


def make_sampler(items: Items, config: TrainingConfig, seed: int) -> AnySampler:
    """The sampler of some items: by weight where they are of several :class:`~myna.tokens.sources.Sources`."""
    if not isinstance(items, Sources):
        return Sampler(items.lengths, config.batch_tokens, seed)
    steps = steps_of(config, int(items.lengths.sum()))
    return SourceSampler(items, config.batch_tokens, seed, stable_steps(config, steps))


def total_steps(config: TrainingConfig, sampler: AnySampler) -> int:
    """How many steps the settings ask for."""
    return steps_of(config, sampler.epoch_tokens)


def steps_of(config: TrainingConfig, epoch_tokens: int) -> int:
    """How many steps the settings ask for where an epoch has so many tokens, at least one."""
    if config.steps is not None:
        return config.steps
    tokens = config.tokens if config.tokens is not None else (config.epochs or 0) * epoch_tokens
    return max(1, round(tokens / config.batch_tokens))
