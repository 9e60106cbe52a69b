"""Token stores in memory, for tests that need tokens and no text."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from myna.objectives.language import Vocabulary

VOCABULARY = Vocabulary(size=50, start=2, end=3, mask=4, special=(0, 1, 2, 3, 4))


@dataclass
class MemoryStore:
    """What :class:`myna.tokens.store.TokenStore` gives, of documents given as lists of ids."""

    texts: list[list[int]]
    starts: list[list[int]] | None = None
    vocabulary_size: int = VOCABULARY.size
    ids: NDArray[np.uint16] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = np.array([i for text in self.texts for i in text], np.uint16)
        self.bounds = np.cumsum([0, *map(len, self.texts)])
        starts = self.starts or [[1] * len(text) for text in self.texts]
        self.word_starts = np.array([s for line in starts for s in line], np.uint8)
        self.documents = len(self.texts)
        self.tokens = len(self.ids)

    def stretch(self, start: int, stop: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """The ids of some tokens, and where words begin among them."""
        return self.ids[start:stop], self.word_starts[start:stop]


def random_store(lengths: list[int], seed: int = 0, word: int = 1) -> MemoryStore:
    """Documents of random ordinary ids; a word begins every ``word`` tokens."""
    draw = np.random.default_rng(seed)
    texts = [draw.integers(5, VOCABULARY.size, length).tolist() for length in lengths]
    return MemoryStore(texts, [[int(i % word == 0) for i in range(length)] for length in lengths])
