"""Words with their parts of speech: rjieba for Chinese, the Unicode notion of a word for all other text.

Every character but white space is in exactly one word: a run of Han characters is cut and tagged by rjieba, a run of
other letters and digits (with an apostrophe, a hyphen, a full stop inside) is one word, and any other
character stands alone. Tags are those of PKU for Chinese; ``eng`` for a word in letters, ``m`` for a number, ``x`` for
the rest, as jieba has them.
"""

from __future__ import annotations

import re
from functools import cache

from myna.corpus.document import Words

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Python counts combining marks as no part of a word; those of these scripts stand within words.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0e7f"
WORD = rf"(?:(?![_{HAN}])[\w{_MARKS}])+"
_TOKEN = re.compile(rf"(?P<han>[{HAN}]+)|(?P<word>{WORD}(?:['’.\-]{WORD})*)|\S")


def segment(text: str) -> Words:
    """The words of a text; see the module's header."""
    import rjieba

    starts: list[int] = []
    ends: list[int] = []
    tags: list[str] = []
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        if token.lastgroup == "han":
            for word, tag in rjieba.tag(token[0]):
                starts.append(start)
                start += len(word)
                ends.append(start)
                tags.append(tag)
        else:
            starts.append(start)
            ends.append(end)
            tags.append("x" if token.lastgroup is None else "m" if token[0][0].isdigit() else "eng")
    return Words.of(starts, ends, tags)


def split_at_spaces(text: str) -> Words:
    """The words of a text that somebody has already cut: what stands between white space, without a tag."""
    found = [match.span() for match in re.finditer(r"\S+", text)]
    return Words.of([a for a, _ in found], [b for _, b in found], [""] * len(found))


_TOUCHING = re.compile(rf"[{HAN}\u3000-\u303f\u3040-\u30ff\u2014\u2018-\u201d\u2026\uff00-\uffef]")


def join(tokens: list[str]) -> tuple[str, list[int], list[int]]:
    """The text of tokens, with the start and the end of each.

    Two tokens touch where either character at their border is Han, kana or Chinese punctuation; else a space is put.
    """
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    place = 0
    before = ""
    for token in tokens:
        if before and token and not _TOUCHING.match(before) and not _TOUCHING.match(token):
            pieces.append(" ")
            place += 1
        pieces.append(token)
        starts.append(place)
        place += len(token)
        ends.append(place)
        before = token[-1:] or before
    return "".join(pieces), starts, ends


@cache
def stop_words(language: str) -> frozenset[str]:
    """The words of a language (ISO 639-1) that carry no content; empty where no list is known."""
    import stopwordsiso

    return frozenset(stopwordsiso.stopwords(language)) if stopwordsiso.has_lang(language) else frozenset()
