"""Runs of characters as 64-bit hashes, of many texts at once: what tells that texts have much in common.

A run is hashed as a polynomial of its mixed characters modulo 2^64, put together from halves, so that runs of 24
characters take five passes over an array. Texts are given folded (:func:`~myna.corpus.dedup.fold`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_BASE = 0x9E3779B97F4A7C15
_MIX = np.uint64(0xBF58476D1CE4E5B9)
# A signature has so many minima, in bands of four: texts that share 80 % of their runs are missed once in 5,000 times,
# and the share is told to a twentieth.
_MINIMA, _BAND = 64, 4
_WHOLE = 2**64


def codes_of(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The characters of texts one after the other, ``(characters,)``, and the length of each text, ``(texts,)``."""
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    return np.frombuffer(joined, np.uint32), np.fromiter(map(len, texts), np.int64, len(texts))


def runs_of(codes: NDArray[np.uint32], lengths: NDArray[np.int64], size: int) -> tuple[Hashes, NDArray[np.int32]]:
    """The hash of each run of ``size`` characters within a text, ``(runs,)``, and the number of that text."""
    owners = np.repeat(np.arange(len(lengths), dtype=np.int32), np.maximum(lengths - size + 1, 0))
    if not len(owners):
        return np.zeros(0, np.uint64), owners
    hashes = _polynomials(codes, size)
    # A run that begins less than its size before the end of its text would go on in the next one.
    ends = np.cumsum(lengths)
    inside = np.ones(len(hashes), bool)
    for back in range(1, size):
        places = ends[:-1] - back
        inside[places[(places >= 0) & (places < len(hashes)) & (places >= ends[:-1] - lengths[:-1])]] = False
    return _mixed(hashes[inside]), owners


def hashes_of(codes: NDArray[np.integer], size: int) -> Hashes:
    """The hash of every run of ``size`` codes, ``(codes - size + 1,)``, whatever text they are of."""
    return _mixed(_polynomials(codes, size))


def _polynomials(codes: NDArray[np.integer], size: int) -> Hashes:
    mixed = codes.astype(np.uint64)
    mixed *= np.uint64(_BASE)
    mixed ^= mixed >> np.uint64(29)
    return _powers(mixed, size)


def _mixed(hashes: Hashes) -> Hashes:
    """For each bit of a hash to depend on all of its run; in place."""
    hashes ^= hashes >> np.uint64(32)
    hashes *= _MIX
    hashes ^= hashes >> np.uint64(29)
    return hashes


def _powers(values: Hashes, size: int) -> Hashes:
    """The polynomial of every ``size`` values in a row."""
    if size == 1:
        return values
    half = size // 2
    first = _powers(values, half)
    both = first[: len(first) - half] * np.uint64(pow(_BASE, half, _WHOLE)) + first[half:]
    if size % 2:
        both = both[: len(values) - size + 1] * np.uint64(_BASE) + values[size - 1 :]
    return both


def signatures(texts: Sequence[str], size: int = 5) -> NDArray[np.uint32]:
    """The MinHash (Broder 1997) of the runs of each text, ``(texts, 64)``; zeros for a text shorter than a run."""
    found = np.zeros((len(texts), _MINIMA), np.uint32)
    hashes, owners = runs_of(*codes_of(texts), size)
    if not len(owners):
        return found
    numbers, starts = np.unique(owners, return_index=True)
    draw = np.random.default_rng(1)
    for minimum in range(_MINIMA):
        factor, shift = draw.integers(0, _WHOLE - 1, 2, np.uint64)
        drawn = hashes * (factor | np.uint64(1)) + shift
        found[numbers, minimum] = np.minimum.reduceat(drawn, starts) >> np.uint64(32)
    return found


def alike(found: NDArray[np.uint32], first: NDArray[np.bool_], least: float = 0.8) -> Iterator[tuple[int, int, float]]:
    """Pairs of texts that share at least ``least`` of their runs: one of the ``first``, one of the others.

    ``found`` are :func:`signatures`, ``first`` is ``(texts,)``. Each other text comes once at most, with the text
    that is most like it, as ``(first, other, share)``.
    """
    told = found.any(1)
    best: dict[int, tuple[float, int]] = {}
    for band in range(0, _MINIMA, _BAND):
        groups: defaultdict[bytes, list[int]] = defaultdict(list)
        keys = np.ascontiguousarray(found[:, band : band + _BAND])
        for number in np.flatnonzero(first & told).tolist():
            members = groups[keys[number].tobytes()]
            if len(members) < 20:  # Of more, all are alike.
                members.append(number)
        for number in np.flatnonzero(~first & told).tolist():
            for other in groups.get(keys[number].tobytes(), ()):
                share = float((found[number] == found[other]).mean())
                best[number] = max(best.get(number, (0.0, -1)), (share, -other))
    for number, (share, other) in sorted(best.items()):
        if share >= least:
            yield -other, number, share
