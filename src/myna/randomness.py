"""Randomness as a function, never a state.

Every draw is ``numbers(key(seed, step, place, …), index)``: a hash of who asks and of what for. Two draws with the
same arguments are the same whenever and wherever they are made, so that neither how a batch is cut, nor the number of
processes, nor a resume changes one. The hash is the finalizer of SplitMix64 (Steele, Lea and Flood 2014).
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def _mix(value: int) -> int:
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def key(seed: int, *place: int | str) -> int:
    """A key of 64 bits for a place, as ``key(seed, step, "masks")``."""
    mixed = _mix(_mix(seed & _MASK))  # twice, for key(1, 2) not to be key(2, 1)
    for part in place:
        number = zlib.crc32(part.encode()) | (1 << 63) if isinstance(part, str) else part & _MASK
        mixed = _mix(mixed ^ _mix(number))
    return mixed


def numbers(key: int, index: NDArray[np.integer]) -> NDArray[np.uint64]:
    """A number of 64 bits for each index, shaped as ``index``."""
    value = index.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(key)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def uniform(key: int, index: NDArray[np.integer]) -> NDArray[np.float64]:
    """A number in [0, 1) for each index."""
    return (numbers(key, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(key: int, count: int) -> NDArray[np.int64]:
    """The numbers 0 … count − 1 in an order that depends on the key alone."""
    return np.argsort(numbers(key, np.arange(count)), kind="stable")
