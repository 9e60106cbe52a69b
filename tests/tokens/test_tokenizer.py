"""Tokenizers: what they can write, what they give back, and that other libraries read them alike."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from myna import files
from myna.errors import InputError
from myna.tokens.characters import close_up, han, spaced
from myna.tokens.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer
from tests.tokens.corpora import NEWS, write_corpus

KINDS = ("wordpiece", "byte_bpe")


def trained(folder: Path, texts: list[str], kind: str, words: bool = True, **settings: object) -> Tokenizer:
    """A tokenizer trained on ``texts``."""
    settings = {"vocabulary": 1000, "corpus": "news"} | settings
    corpus = write_corpus(folder / "corpus", texts, words=words)
    (folder / "tokenizer").mkdir()
    train_tokenizer([corpus], TokenizerConfig(kind=kind, **settings), folder / "tokenizer")
    return Tokenizer.open(folder / "tokenizer")


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a text, without special tokens."""
    return tokenizer.backend.encode(text, add_special_tokens=False).ids


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    return {kind: trained(tmp_path_factory.mktemp(kind), NEWS * 3, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def byte_bpe(both: dict[str, Tokenizer]) -> Tokenizer:
    return both["byte_bpe"]


@pytest.fixture(scope="module")
def wordpiece(both: dict[str, Tokenizer]) -> Tokenizer:
    return both["wordpiece"]


PROBES = {
    "Chinese": "国家主席发表新年讲话，祝全国人民好！",
    "English": "The lazy dog doesn't jump; it's   quick.",
    "mixed": "用GPT写1998年的Python代码 in 北京。",
    "emoji": "ok😀👩‍👩‍👧 好😀",
    "rare characters": "龘𠮷㐀 unseen 々〇 ﷽",
    "other scripts": "Привет café 한국어 こんにちは",
    "a word beyond WordPiece's limit": "the" * 70 + " end",
    "white space": " a\t b\r\n\n c　d ",
    "nothing": "",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", PROBES.values(), ids=PROBES.keys())
def test_transformers_gives_the_same_ids(both: dict[str, Tokenizer], kind: str, text: str) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(both[kind].folder)
    assert theirs(text, add_special_tokens=False)["input_ids"] == ids(both[kind], text)


def test_transformers_knows_the_special_tokens(both: dict[str, Tokenizer]) -> None:
    from transformers import AutoTokenizer

    bert = AutoTokenizer.from_pretrained(both["wordpiece"].folder)
    assert [bert.pad_token_id, bert.unk_token_id, bert.cls_token_id, bert.sep_token_id, bert.mask_token_id] == list(
        range(5)
    )
    assert bert("新年", "好")["input_ids"] == [
        2, *ids(both["wordpiece"], "新年"), 3, *ids(both["wordpiece"], "好"), 3
    ]  # fmt: skip
    assert bert("新年", "好")["token_type_ids"] == [0, 0, 0, 0, 1, 1]
    gpt = AutoTokenizer.from_pretrained(both["byte_bpe"].folder)
    assert (gpt.bos_token_id, gpt.eos_token_id, gpt.unk_token_id) == (0, 0, None)


def test_special_ids_are_those_of_bert_and_of_gpt(both: dict[str, Tokenizer]) -> None:
    bert, gpt = both["wordpiece"], both["byte_bpe"]
    assert (bert.pad, bert.unknown, bert.start, bert.end, bert.mask) == (0, 1, 2, 3, 4)
    assert bert.special_ids == (0, 1, 2, 3, 4)
    assert (gpt.start, gpt.end, gpt.pad, gpt.unknown, gpt.mask) == (0, 0, None, None, None)
    assert gpt.special_ids == (0,)
    assert bert.vocabulary_size == len(bert.backend.get_vocab()) <= 1000


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_byte_bpe_gives_every_text_back(byte_bpe: Tokenizer, text: str) -> None:
    assert byte_bpe.decode(ids(byte_bpe, text)) == text


@given(st.lists(st.sampled_from(["<|endoftext|>", "<|", "的", " ", "end"]), max_size=6).map("".join))
@settings(deadline=None)
def test_a_special_tokens_name_is_mere_text(byte_bpe: Tokenizer, text: str) -> None:
    assert 0 not in ids(byte_bpe, text)
    assert byte_bpe.decode(ids(byte_bpe, text)) == text


def test_wordpiece_reads_the_names_of_special_tokens_as_text(wordpiece: Tokenizer) -> None:
    assert not {2, 3, 4} & set(ids(wordpiece, "[MASK] a [SEP] b"))


@given(st.lists(st.sampled_from(sorted(set("".join(NEWS)))), max_size=150).map("".join))
@settings(max_examples=300, deadline=None)
def test_wordpiece_writes_every_text_of_characters_it_saw(wordpiece: Tokenizer, text: str) -> None:
    assert wordpiece.unknown not in ids(wordpiece, text)


@given(st.text("".join(map(chr, range(32, 127)))))
@settings(deadline=None)
def test_wordpiece_writes_all_ascii_though_it_saw_little(wordpiece: Tokenizer, text: str) -> None:
    assert wordpiece.unknown not in ids(wordpiece, text)


def test_wordpiece_writes_words_of_any_length_in_little_time(wordpiece: Tokenizer) -> None:
    assert wordpiece.unknown not in ids(wordpiece, "the" * 100_000)


def test_wordpiece_writes_a_character_rarer_than_the_minimum_frequency_and_outside_of_the_sample(
    tmp_path: Path,
) -> None:
    tokenizer = trained(
        tmp_path, ["的的的的", *["常见的字"] * 50, "龘"], "wordpiece", minimum_frequency=40, sample_characters=8
    )
    assert tokenizer.unknown not in ids(tokenizer, "龘的")
    assert ids(tokenizer, "鑫") == [tokenizer.unknown]


def test_wordpiece_makes_each_han_character_a_piece(wordpiece: Tokenizer) -> None:
    assert [wordpiece.piece(i) for i in ids(wordpiece, "新年GPT好")][:2] == ["新", "年"]
    assert len(ids(wordpiece, "国家主席")) == 4


def test_lowercase_makes_one_of_two_cases(tmp_path: Path) -> None:
    tokenizer = trained(tmp_path, NEWS, "wordpiece", lowercase=True)
    assert ids(tokenizer, "CAFÉ Quick") == ids(tokenizer, "cafe quick")
    assert tokenizer.unknown not in ids(tokenizer, "".join(NEWS))


def test_byte_bpe_never_joins_han_with_a_space_or_letters(tmp_path: Path) -> None:
    tokenizer = trained(tmp_path, ["use 模型GPT4的 " * 50, " 模型" * 50], "byte_bpe", words=False)
    for id in range(1, tokenizer.vocabulary_size):
        piece = re.sub("⟨..⟩", "", tokenizer.piece(id))
        assert not (han(piece).any() and re.search("[a-zA-Z0-9 ]", piece)), piece


def test_byte_bpe_learns_no_piece_across_chinese_words(tmp_path: Path) -> None:
    texts = ["国家建设"] * 20
    across = trained(tmp_path / "none", texts, "byte_bpe", words=False)
    within = trained(tmp_path / "words", texts, "byte_bpe", words=True)
    assert [across.piece(i) for i in ids(across, "国家建设")] == ["国家建设"]
    assert [within.piece(i) for i in ids(within, "国家建设")] == ["国家", "建设"]


def test_a_space_belongs_to_the_latin_word_behind_it(tmp_path: Path) -> None:
    tokenizer = trained(tmp_path, ["the fox the fox 模型 the fox"] * 20, "byte_bpe")
    assert [tokenizer.piece(i) for i in ids(tokenizer, "the fox 模型")] == ["the", " fox", " ", "模型"]


def test_decoded_wordpiece_is_readable(wordpiece: Tokenizer) -> None:
    text = "他用Python写了一个模型, then trained it on 2 GPUs."
    line = [wordpiece.start, *ids(wordpiece, text), wordpiece.end, wordpiece.pad]
    assert wordpiece.decode(line) == "他用Python写了一个模型, then trained it on 2 GPUs."
    assert wordpiece.decode(ids(wordpiece, "好鑫。")) == "好\ufffd。"


def test_the_bytes_of_half_a_character_are_shown_as_such(byte_bpe: Tokenizer) -> None:
    pieces = ids(byte_bpe, "\U0001f9a4")
    assert "".join(byte_bpe.piece(i) for i in pieces) == "⟨F0⟩⟨9F⟩⟨A6⟩⟨A4⟩"
    assert byte_bpe.piece(0) == "<|endoftext|>"
    assert byte_bpe.decode(pieces[:2]) == "\ufffd"
    with pytest.raises(InputError, match="no piece 99999"):
        byte_bpe.piece(99999)


TRAIN = """
import sys
from pathlib import Path
from myna.corpus.document import Corpus
from myna.tokens.tokenizer import TokenizerConfig, train_tokenizer
corpus, kind, folder = Corpus.open(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
train_tokenizer([corpus], TokenizerConfig(corpus="news", kind=kind, vocabulary=900), folder)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_write_the_same_bytes(kind: str, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", NEWS * 2)
    written = []
    for number, parallel in enumerate(("true", "false")):
        folder = tmp_path / str(number)
        folder.mkdir()
        environment = os.environ | {"TOKENIZERS_PARALLELISM": parallel, "PYTHONHASHSEED": str(number)}
        command = [sys.executable, "-c", TRAIN, str(corpus.folder), kind, str(folder)]
        subprocess.run(command, env=environment, check=True)
        written.append((folder / "tokenizer.json").read_bytes())
    assert written[0] == written[1]


def test_a_sample_is_spread_over_all_corpora_and_the_rest_is_counted(tmp_path: Path) -> None:
    corpora = [write_corpus(tmp_path / name, ["一二三四五六七八九十"] * 50) for name in ("one", "two")]
    (tmp_path / "tokenizer").mkdir()
    config = TokenizerConfig(corpus=["one", "two"], sample_characters=250)
    books = train_tokenizer(corpora, config, tmp_path / "tokenizer").to_dict()
    assert books["in"] == {"documents": 100, "characters": 1000}
    assert books["kept"] == {"documents": 25, "characters": 250}
    assert books["dropped"] == {"beyond sample_characters": {"documents": 75, "characters": 750}}


def test_the_validation_and_test_splits_are_not_read(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", ["训练"], ["验证"], ["测试"])
    (tmp_path / "tokenizer").mkdir()
    train_tokenizer([corpus], TokenizerConfig(corpus="news"), tmp_path / "tokenizer")
    vocabulary = Tokenizer.open(tmp_path / "tokenizer").backend.get_vocab()
    assert {"训", "练"} <= vocabulary.keys()
    assert not set("验证测试") & vocabulary.keys()


def test_too_small_a_vocabulary_is_told_the_least_size(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", NEWS)
    (tmp_path / "tokenizer").mkdir()
    with pytest.raises(InputError, match=r"no room for the alphabet.* set it to (\d+) at least") as caught:
        train_tokenizer([corpus], TokenizerConfig(corpus="news", vocabulary=100), tmp_path / "tokenizer")
    least = int(caught.value.remedy.split("set it to ")[1].split()[0])
    train_tokenizer([corpus], TokenizerConfig(corpus="news", vocabulary=least), tmp_path / "tokenizer")
    assert Tokenizer.open(tmp_path / "tokenizer").vocabulary_size == least
    with pytest.raises(ValueError, match="set it to 257 at least"):
        TokenizerConfig(corpus="news", kind="byte_bpe", vocabulary=256)


def test_an_empty_training_split_is_an_error(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [], ["只有验证"])
    with pytest.raises(InputError, match="no text to train a tokenizer on in news"):
        train_tokenizer([corpus], TokenizerConfig(corpus="news"), tmp_path)


def test_the_settings_take_one_corpus_or_several_and_refuse_nonsense() -> None:
    assert TokenizerConfig(corpus="news").corpus == ["news"]
    assert TokenizerConfig(corpus=["a", "b"]).corpus == ["a", "b"]
    schema = TokenizerConfig.model_json_schema()["properties"]["corpus"]
    assert {entry["type"] for entry in schema["anyOf"]} == {"string", "array"}
    for wrong in (
        {"corpus": []},
        {"corpus": "a", "kind": "byte_bpe", "lowercase": True},
        {"corpus": "a", "kind": "bpe"},
    ):
        with pytest.raises(ValidationError):
            TokenizerConfig(**wrong)


def bert_of_others(folder: Path) -> None:
    """A folder as of an uncased BERT on the hub: padding and truncation in tokenizer.json, few names beside it."""
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(NEWS, trainers.WordPieceTrainer(special_tokens=specials, show_progress=False))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    files.write_json(folder / "tokenizer_config.json", {"do_lower_case": True})


def roberta_of_others(folder: Path) -> None:
    """A folder as of RoBERTa: byte-level BPE with special tokens of its own names, one with its entry spelt out."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(NEWS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {
        "cls_token": {"content": "<s>", "lstrip": False},
        "sep_token": "</s>",
        "mask_token": "<mask>",
        "pad_token": None,
    }
    files.write_json(folder / "special_tokens_map.json", names)


def test_the_tokenizers_of_others_open(tmp_path: Path) -> None:
    bert_of_others(tmp_path)
    bert = Tokenizer.open(tmp_path)
    assert (bert.kind, bert.start, bert.end, bert.mask, bert.pad, bert.unknown) == ("wordpiece", 2, 3, 4, 0, 1)
    roberta_of_others(tmp_path)
    roberta = Tokenizer.open(tmp_path)
    assert (roberta.kind, roberta.start, roberta.end, roberta.mask, roberta.pad) == ("byte_bpe", 0, 2, 4, 1)
    assert roberta.unknown is None
    assert roberta.special_ids == (0, 1, 2, 3, 4)
    assert roberta.decode(ids(roberta, NEWS[4])) == NEWS[4]


def test_no_text_is_cut_or_padded_by_what_a_tokenizer_brings_along(tmp_path: Path) -> None:
    bert_of_others(tmp_path)
    tokenizer = Tokenizer.open(tmp_path)
    assert len(ids(tokenizer, "the dog " * 20)) == 40
    assert len(ids(tokenizer, "the")) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "missing"),
        ("{", "damaged"),
        ("{}", "no tokenizer"),
        (tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str(), "kind WordLevel cannot be used"),
        (
            tokenizers.Tokenizer(models.WordPiece({"a": 0, "[UNK]": 1}, unk_token="[UNK]")).to_str(),
            "no token for the end",
        ),
    ],
)
def test_what_cannot_be_opened_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        Tokenizer.open(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tokenizer_config_is_plain_json(wordpiece: Tokenizer) -> None:
    config = json.loads((wordpiece.folder / "tokenizer_config.json").read_text())
    assert config["mask_token"] == "[MASK]"


def test_spaces_are_closed_up_beside_chinese_only() -> None:
    assert close_up("我 们 use GPT 写 。 “ 好 ”") == "我们use GPT写。“好”"
    assert (spaced("a", "b"), spaced("我", "b"), spaced("a", "，"), spaced("", "b")) == (True, False, False, False)
    assert han("a中々，𠮷").tolist() == [False, True, True, False, True]
