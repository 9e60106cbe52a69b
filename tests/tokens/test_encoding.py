"""Words and pieces: every piece has the unit of its word, whatever the text and however it is cut into words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.corpus.document import Words
from myna.corpus.words import segment
from myna.errors import InputError
from myna.tokens.encoding import Encoding, encode, encode_words
from myna.tokens.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer
from tests.tokens.corpora import NEWS, write_corpus

KINDS = ("wordpiece", "byte_bpe")
# Text as the tokenizers saw it, and anything else.
TEXTS = st.lists(st.sampled_from(NEWS) | st.text(max_size=8) | st.sampled_from(list("的 \n，a中国")), max_size=6).map(
    "".join
)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    # Trained without words, so that pieces of byte_bpe do span words.
    folder = tmp_path_factory.mktemp("tokenizers")
    corpus = write_corpus(folder / "corpus", NEWS * 10, words=False)
    for kind in KINDS:
        (folder / kind).mkdir()
        train_tokenizer([corpus], TokenizerConfig(corpus="news", kind=kind, vocabulary=1000), folder / kind)
    return {kind: Tokenizer.open(folder / kind) for kind in KINDS}


def pieces(tokenizer: Tokenizer, encoding: Encoding) -> list[str]:
    return [tokenizer.piece(i) for i in encoding.ids]


def by_units(tokenizer: Tokenizer, encoding: Encoding) -> list[list[str]]:
    """The pieces, a list for each unit."""
    units: list[list[str]] = [[] for _ in range(encoding.words[-1] + 1)] if len(encoding) else []
    for unit, piece in zip(encoding.words, pieces(tokenizer, encoding), strict=True):
        units[unit].append(piece)
    return units


def expected_units(encoding: Encoding, words: Words) -> tuple[list[int], int]:
    """Units and borders within pieces, by the definition: words that share a piece are one, a gap is one."""
    spans = list(zip(words.starts.tolist(), words.ends.tolist(), strict=True))
    touched = [
        [i for i, (a, b) in enumerate(spans) if a < end and start < b]
        for start, end in zip(encoding.starts.tolist(), encoding.ends.tolist(), strict=True)
    ]
    group = list(range(len(spans)))
    for indices in touched:
        for index in indices:
            group = [group[indices[0]] if g == group[index] else g for g in group]
    labels = [
        ("word", group[indices[0]]) if indices else ("gap", sum(b <= start for _, b in spans))
        for indices, start in zip(touched, encoding.starts.tolist(), strict=True)
    ]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    seen = {index for indices in touched for index in indices}
    return [numbers[label] for label in labels], len(seen) - len({group[index] for index in seen})


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[str, Words]:
    """A text and any words in it, with gaps between them or without."""
    text = draw(TEXTS)
    borders = sorted(draw(st.sets(st.integers(0, len(text)), max_size=20)))
    spans = [(a, b) for a, b in pairwise(borders) if draw(st.booleans()) or b - a < 3]
    return text, Words.of([a for a, _ in spans], [b for _, b in spans], ["x"] * len(spans))


@pytest.mark.parametrize("kind", KINDS)
@given(batch=st.lists(cut_texts(), max_size=4))
@settings(max_examples=150, deadline=None)
def test_units_are_as_defined_for_any_words(
    tokenizers: dict[str, Tokenizer], kind: str, batch: list[tuple[str, Words]]
) -> None:
    encodings = encode(tokenizers[kind], [text for text, _ in batch], [words for _, words in batch])
    assert len(encodings) == len(batch)
    for (_, words), encoding in zip(batch, encodings, strict=True):
        units, merged = expected_units(encoding, words)
        assert encoding.words.tolist() == units
        assert encoding.merged == merged


@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(TEXTS, max_size=4), data=st.data())
@settings(max_examples=100, deadline=None)
def test_no_piece_is_lost_and_units_go_up_without_a_gap(
    tokenizers: dict[str, Tokenizer], kind: str, texts: list[str], data: st.DataObject
) -> None:
    tokenizer = tokenizers[kind]
    words = [segment(text) if data.draw(st.booleans()) else None for text in texts]
    for text, given_words, encoding in zip(texts, words, encode(tokenizer, texts, words), strict=True):
        assert encoding.ids.tolist() == tokenizer.backend.encode(text, add_special_tokens=False).ids
        assert encoding.ids.dtype == encoding.starts.dtype == encoding.ends.dtype == encoding.words.dtype == np.int32
        assert set(np.diff(encoding.words, prepend=-1).tolist()) <= {0, 1}
        assert (encoding.starts <= encoding.ends).all()
        assert (encoding.ends <= len(text)).all()
        assert np.array_equal(np.flatnonzero(encoding.word_starts), np.unique(encoding.words, return_index=True)[1])
        # What stands beside it in the batch changes nothing.
        (alone,) = encode(tokenizer, [text], [given_words])
        assert alone.words.tolist() == encoding.words.tolist()
        assert alone.merged == encoding.merged


def test_pieces_of_a_word_are_one_unit(tokenizers: dict[str, Tokenizer]) -> None:
    text = "国民经济 doesn't stop。"
    words = Words.of([0, 5, 13, 17], [4, 12, 17, 18], ["n", "eng", "eng", "x"])
    (encoding,) = encode(tokenizers["wordpiece"], [text], [words])
    units = by_units(tokenizers["wordpiece"], encoding)
    assert [len(unit) for unit in units[:1]] == [4]
    assert units[1][:2] == ["doesn", "'"]
    assert units[-1] == ["。"]
    assert len(units) == 4
    assert encoding.merged == 0


def test_words_that_share_a_piece_are_one_unit_and_counted(tokenizers: dict[str, Tokenizer]) -> None:
    words = Words.of([0, 2, 3], [1, 3, 5], ["x"] * 3)
    (encoding,) = encode(tokenizers["byte_bpe"], ["a the"], [words])
    assert by_units(tokenizers["byte_bpe"], encoding) == [["a"], [" the"]]
    assert encoding.merged == 1


def test_a_space_before_a_word_is_of_its_unit_and_a_line_break_is_one(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["byte_bpe"]
    text = "the quick\n\nfox"
    (encoding,) = encode(tokenizer, [text], [segment(text)])
    assert ["".join(unit) for unit in by_units(tokenizer, encoding)] == ["the", " quick", "\n\n", "fox"]
    assert encoding.merged == 0


def test_bytes_of_one_character_are_one_unit(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["byte_bpe"]
    (encoding,) = encode(tokenizer, ["🦤𠮷"])
    assert len(encoding) > 2
    assert encoding.words.tolist() == encoding.starts.tolist()
    assert set(encoding.words.tolist()) == {0, 1}


def test_without_words_each_han_character_is_one_and_latin_words_stay_whole(tokenizers: dict[str, Tokenizer]) -> None:
    text = "中国 unbelievable，好"
    (encoding,) = encode(tokenizers["wordpiece"], [text])
    units = by_units(tokenizers["wordpiece"], encoding)
    assert [units[0], units[1], units[-2], units[-1]] == [["中"], ["国"], ["，"], ["好"]]
    assert len(units) == 5
    assert len(units[2]) > 1


def test_nothing_gives_nothing(tokenizers: dict[str, Tokenizer]) -> None:
    assert encode(tokenizers["wordpiece"], []) == []
    (nothing, some, spaces) = encode(tokenizers["wordpiece"], ["", "a", "  "])
    assert [len(nothing), len(some), len(spaces)] == [0, 1, 0]
    assert encode_words(tokenizers["wordpiece"], []) == []
    (empty,) = encode_words(tokenizers["wordpiece"], [[]])
    assert len(empty) == 0


def test_half_a_surrogate_pair_is_an_error_with_its_number(tokenizers: dict[str, Tokenizer]) -> None:
    with pytest.raises(InputError, match="text 2 holds half of a surrogate pair"):
        encode(tokenizers["byte_bpe"], ["fine", "\ud800"])


@pytest.mark.parametrize("kind", KINDS)
@given(
    sentences=st.lists(
        st.lists(st.text(min_size=1, max_size=8) | st.sampled_from(["的", "dog", " ", "12"])), max_size=4
    )
)
@settings(max_examples=100, deadline=None)
def test_word_by_word_the_units_are_exactly_the_words(
    tokenizers: dict[str, Tokenizer], kind: str, sentences: list[list[str]]
) -> None:
    for words, encoding in zip(sentences, encode_words(tokenizers[kind], sentences), strict=True):
        assert np.unique(encoding.words).tolist() == list(range(len(words)))
        assert (np.diff(encoding.words) >= 0).all()
        assert encoding.merged == 0
        lengths = np.array([len(word) for word in words], np.int32)
        assert (encoding.starts >= 0).all()
        assert (encoding.ends <= lengths[encoding.words]).all()


@given(words=st.lists(st.text(min_size=1, max_size=8) | st.text("a1 的\n", min_size=1, max_size=3), min_size=1))
@settings(max_examples=100, deadline=None)
def test_each_word_of_byte_bpe_can_be_read_back(tokenizers: dict[str, Tokenizer], words: Sequence[str]) -> None:
    tokenizer = tokenizers["byte_bpe"]
    (encoding,) = encode_words(tokenizer, [words])
    for unit, word in enumerate(words):
        assert tokenizer.decode(encoding.ids[encoding.words == unit]) in (word, " " + word)


def test_word_by_word_byte_bpe_meets_the_pieces_of_running_text(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["byte_bpe"]
    (encoding,) = encode_words(tokenizer, [["the", "dog", "国", "the", "1998", "年"]])
    assert ["".join(unit) for unit in by_units(tokenizer, encoding)] == ["the", " dog", "国", "the", "1998", "年"]
    assert encoding.starts[encoding.words == 1].tolist() == [0]
    assert encoding.ends[encoding.words == 1].tolist() == [3]


def test_a_word_of_which_nothing_is_left_is_unknown(tokenizers: dict[str, Tokenizer]) -> None:
    wordpiece = tokenizers["wordpiece"]
    (encoding,) = encode_words(wordpiece, [["中", "\u200b", "国"]])
    assert encoding.words.tolist() == [0, 1, 2]
    assert encoding.ids[1] == wordpiece.unknown
    with pytest.raises(InputError, match="an empty word"):
        encode_words(tokenizers["byte_bpe"], [["a", ""]])
