"""What counts as the same text, and on which side of a split a text stands.

Two texts are the same where their *folds* are: compatibility forms unified (Unicode NFKC), lower case, letters and
digits only. Copies that differ in case, width, spacing or punctuation are one text. Folds are remembered as
128-bit hashes, 16 bytes a text whatever its length.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from myna.corpus.document import Split

# In Python's regular expressions a "word" character is a letter, a digit (str.isalnum) or the underscore.
_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")


def fold(text: str) -> str:
    """What two texts are compared by; the text itself (NFKC, lower case) where it has no letter and no digit."""
    text = unicodedata.normalize("NFKC", text).lower()
    return _NEITHER_LETTER_NOR_DIGIT.sub("", text) or text


def fingerprint(text: str) -> bytes:
    """16 bytes that are the same for texts of the same fold."""
    return fingerprint_of_fold(fold(text))


def fingerprint_of_fold(folded: str) -> bytes:
    """:func:`fingerprint` of a text whose fold is known."""
    return hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def hash_of_fold(folded: str) -> int:
    """48 bits of the SHA-256 of a group's fold, which say where the group stands."""
    return int(hashlib.sha256(folded.encode("utf-8", "surrogatepass")).hexdigest()[:12], 16)


def split_of_hash(group_hash: int, validation: int, test: int) -> Split:
    """The split of a group by its :func:`hash_of_fold`; ``validation`` and ``test`` are per cent."""
    bucket = group_hash % 100
    return "test" if bucket < test else "validation" if bucket < test + validation else "train"


def split_of(group: str, validation: int = 10, test: int = 10) -> Split:
    """The split of a group by its hash alone."""
    return split_of_hash(hash_of_fold(fold(group)), validation, test)


class Repeats:
    """Remembers the texts it was shown: ``repeats.seen(text)`` is true from the second time on."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def seen(self, text: str) -> bool:
        """Whether a text of the same fold was shown before."""
        key = fingerprint(text)
        if key in self._known:
            return True
        self._known.add(key)
        return False
