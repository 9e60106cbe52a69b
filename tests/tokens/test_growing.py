"""Tokenizers of others: taken as they are, and grown by words without a change to anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from myna.corpus.document import Corpus, Words
from myna.corpus.words import segment
from myna.errors import InputError
from myna.tokens.encoding import encode
from myna.tokens.growing import pieces_of_new, take_tokenizer
from myna.tokens.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer

from ..tasks.material import corpus_folder, document
from .corpora import NEWS, write_corpus
from .foreign import bert_tokenizer, gpt2_tokenizer

TEXT = [
    "Xboard plays chess; an Xboard is a chessboard, the Xboard.",
    "Try XBOARD-like (Xboard) tools, not gnuchess!",
    "Xboard 3000 3000 3000 naïveté Naïveté naivete ☂ ☂ ☂ ☂",
    "改革开放的改革开放，改革开放和改革开放。",
]
MAKERS: dict[str, Callable[[Path], Path]] = {
    "bert": bert_tokenizer,
    "gpt2": gpt2_tokenizer,
    "roberta": lambda folder: gpt2_tokenizer(folder, trim=True),
    "llama": lambda folder: gpt2_tokenizer(folder, within=False),
}


@pytest.fixture(scope="module", params=list(MAKERS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Tokenizer]:
    """A tokenizer of others, and what it grows to."""
    folder = tmp_path_factory.mktemp(request.param)
    theirs = MAKERS[request.param](folder / "theirs")
    corpus = write_corpus(folder / "corpus", TEXT)
    (folder / "grown").mkdir()
    config = TokenizerConfig(corpus="c", start_from="theirs", add_words=50)
    take_tokenizer(theirs, [corpus], config, folder / "grown").check()
    return Tokenizer.open(theirs), Tokenizer.open(folder / "grown")


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.backend.encode(text, add_special_tokens=False).ids
    return found


def words(old: Tokenizer, new: Tokenizer) -> list[str]:
    """The new pieces as text, in the order of their ids."""
    return [new.decode([id]) for id in range(old.vocabulary_size, new.vocabulary_size)]


def test_frequent_words_that_were_cut_become_pieces_and_numbers_do_not(pair: tuple[Tokenizer, Tokenizer]) -> None:
    old, new = pair
    # BERT's lower-cases and takes accents off, and did not know the umbrella. To GPT-2's a word behind a space is
    # another piece than one at a line's start or behind a bracket; where none is unknown, a symbol is no word.
    expected = {
        "wordpiece": ["xboard", "☂", "改革开放", "naivete"],
        "byte_bpe": ["Xboard", " Xboard", "改革开放"],
    }
    assert words(old, new)[: len(expected[old.kind])] == expected[old.kind]
    assert not any(word.strip().isdigit() for word in words(old, new))


def test_old_pieces_keep_their_ids(pair: tuple[Tokenizer, Tokenizer]) -> None:
    old, new = pair
    before, after = old.backend.get_vocab(), new.backend.get_vocab()
    assert {piece: after[piece] for piece in before} == before
    assert sorted(after.values())[-len(words(old, new)) :] == list(range(old.vocabulary_size, new.vocabulary_size))
    assert (new.start, new.end, new.mask, new.special_ids) == (old.start, old.end, old.mask, old.special_ids)


@given(st.lists(st.sampled_from([*NEWS, "xboards", " boards", "ok😀", "的", "\n"]) | st.text(max_size=6), max_size=5))
@settings(max_examples=60, deadline=None)
def test_text_without_a_new_word_is_cut_as_before(pair: tuple[Tokenizer, Tokenizer], parts: list[str]) -> None:
    old, new = pair
    text = "".join(parts)
    got = ids(new, text)
    if max(got, default=0) < old.vocabulary_size:
        assert got == ids(old, text)
    else:
        assert any(word.strip() in text.lower() or word.strip() in text for word in words(old, new))


def test_a_longer_word_that_holds_a_new_one_is_cut_as_before(pair: tuple[Tokenizer, Tokenizer]) -> None:
    old, new = pair
    for text in ("Xboards", "the Xboards", "gnuXboard", "the Xboardless", "改革的开放"):
        assert ids(new, text) == ids(old, text), text


@given(
    st.lists(st.sampled_from([*NEWS, *TEXT, "Xboard", " Xboard", "改革开放", " "]) | st.text(max_size=6), max_size=5)
)
@settings(max_examples=60, deadline=None)
def test_byte_bpe_still_gives_every_text_back(pair: tuple[Tokenizer, Tokenizer], parts: list[str]) -> None:
    new, text = pair[1], "".join(parts)
    if new.kind == "byte_bpe":
        assert new.decode(ids(new, text)) == text


def test_transformers_cuts_the_same(pair: tuple[Tokenizer, Tokenizer]) -> None:
    new = pair[1]
    theirs = AutoTokenizer.from_pretrained(new.folder)
    for text in (*TEXT, *NEWS, "Xboard, xboards; a  Xboard 大改革开放了 <|endoftext|>"):
        assert theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] == ids(new, text), text
    assert theirs.convert_tokens_to_ids(theirs.eos_token or theirs.sep_token) == new.end


def test_a_new_word_is_one_piece_and_one_unit_with_its_place_in_the_text(pair: tuple[Tokenizer, Tokenizer]) -> None:
    old, new = pair
    for text, word in (("the Xboard plays", "Xboard"), ("所以改革开放好", "改革开放")):
        (encoding,) = encode(new, [text], [segment(text)])
        fresh = [n for n, id in enumerate(encoding.ids) if id >= old.vocabulary_size]
        place = text.index(word)
        spans = [text[a:b].strip() for a, b in zip(encoding.starts[fresh], encoding.ends[fresh], strict=True)]
        assert "".join(spans) == word
        assert encoding.starts[fresh[0]] in (place, place - 1)
        # Each of its words is a unit of its own pieces alone.
        assert len(set(encoding.words[fresh].tolist())) == len(fresh)


def test_what_a_new_piece_was_before_is_known(pair: tuple[Tokenizer, Tokenizer]) -> None:
    old, new = pair
    for id, before in pieces_of_new(old, new).items():
        text = new.decode([id])
        assert before == ids(old, text)
        assert len(before) > 1 or before == [old.unknown]
        assert ids(new, text) == [id]


def test_words_are_the_corpuss_own_where_it_brings_them(tmp_path: Path) -> None:
    text = "改革开放"
    cut = Words.of([0, 2], [2, 4], ["v", "v"])
    given_words = corpus_folder(tmp_path / "given", [document(text, number=n, words=cut) for n in range(3)])
    found = corpus_folder(tmp_path / "found", [document(text, number=n) for n in range(3)])
    theirs = Tokenizer.open(bert_tokenizer(tmp_path / "theirs"))
    for corpus, expected in ((given_words, ["开放", "改革"]), (found, ["改革开放"])):
        grown = tmp_path / f"grown-{corpus.name}"
        grown.mkdir()
        config = TokenizerConfig(corpus="c", start_from="theirs", add_words=9)
        take_tokenizer(theirs.folder, [Corpus.open(corpus)], config, grown)
        assert words(theirs, Tokenizer.open(grown)) == expected


def test_without_new_words_it_is_the_same_tokenizer_with_its_names_in_one_file(tmp_path: Path) -> None:
    theirs = bert_tokenizer(tmp_path / "theirs")
    (tmp_path / "taken").mkdir()
    take_tokenizer(theirs, [], TokenizerConfig(start_from="theirs"), tmp_path / "taken").check()
    assert (tmp_path / "taken/tokenizer.json").read_bytes() == (theirs / "tokenizer.json").read_bytes()
    taken = AutoTokenizer.from_pretrained(tmp_path / "taken")
    assert (taken.cls_token, taken.mask_token, taken.pad_token) == ("[CLS]", "[MASK]", "[PAD]")
    assert pieces_of_new(Tokenizer.open(theirs), Tokenizer.open(tmp_path / "taken")) == {}


def test_another_tokenizer_is_told_from_a_grown_one(tmp_path: Path) -> None:
    theirs = bert_tokenizer(tmp_path / "theirs")
    (tmp_path / "own").mkdir()
    config = TokenizerConfig(corpus="c", vocabulary=700)
    train_tokenizer([write_corpus(tmp_path / "corpus", NEWS)], config, tmp_path / "own")
    with pytest.raises(InputError, match="neither that of the model nor grown from it"):
        pieces_of_new(Tokenizer.open(theirs), Tokenizer.open(tmp_path / "own"))


def test_what_cannot_go_together_is_told() -> None:
    for given_settings, expected in (
        ({"corpus": "c", "add_words": 5}, "name it with start_from"),
        ({"start_from": "m", "add_words": 5}, "name the corpus"),
        ({}, "name the corpus"),
        ({"start_from": "m", "vocabulary": 500}, "vocabulary: the tokenizer of start_from has its own"),
    ):
        with pytest.raises(ValueError, match=expected):
            TokenizerConfig(**given_settings)
