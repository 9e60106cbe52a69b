"""Tokenizers: two kinds, trained on the training split of some corpora; these and a third are opened from any
Hugging Face folder.

``wordpiece`` is BERT's: a Han character is a piece of its own, other words are cut into pieces of which all but the
first begin with ``##``. It can write every character that the training split holds, and printable ASCII besides.

``byte_bpe`` is byte-level BPE: it writes every text and gives it back exactly. Text is first cut so that a run of Han
characters stands apart from Latin letters and digits and no space joins it; a space before a Latin word is part of
it. Where the corpus brings words, no piece is learnt across the border of two Chinese ones.

``sentencepiece`` is opened only: Unigram (T5), and BPE that writes a space as ▁ (the first Llamas).

The same text always gives the same bytes of ``tokenizer.json``.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tokenizers
from pydantic import BeforeValidator, WithJsonSchema, model_validator
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

from myna import files
from myna.corpus.document import Corpus, Document, apart
from myna.errors import InputError
from myna.ledger import Ledger
from myna.settings import Section, setting
from myna.tokens.characters import close_up, han

VERSION = 1

Kind = Literal["wordpiece", "byte_bpe", "sentencepiece"]
Report = Callable[[str, float], None]

_BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_END_OF_TEXT = "<|endoftext|>"
# BERT's own limit: WordPiece takes time quadratic in a word's length and gives up beyond this. Longer words are cut.
_LONGEST_WORD = 100

# How byte_bpe cuts text before merging: Kimi K2's rule, which is GPT-4o's with runs of Han apart. Other programs
# (llama.cpp among them) implement it too, which a rule of our own would forgo.
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_BEFORE_WORD, _CONTRACTION = r"[^\r\n\p{L}\p{N}]?", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_CUT = "|".join(
    (
        r"[\p{Han}]+",
        _BEFORE_WORD + _UPPER + "*" + _LOWER + "+" + _CONTRACTION,
        _BEFORE_WORD + _UPPER + "+" + _LOWER + "*" + _CONTRACTION,
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)

# What a tokenizer is opened from; only the first must be there. What the last says goes before what the second says.
TOKENIZER_FILES = ("tokenizer.json", "special_tokens_map.json", "tokenizer_config.json")

# Where a special token's name stands in a Hugging Face folder's JSON, and what it is called where it stands nowhere.
_ROLES = {
    "start": (("cls_token", "bos_token"), ("[CLS]", "<s>", _END_OF_TEXT)),
    "end": (("sep_token", "eos_token"), ("[SEP]", "</s>", _END_OF_TEXT)),
    "mask": (("mask_token",), ("[MASK]", "<mask>")),
    "pad": (("pad_token",), ("[PAD]", "<pad>")),
}


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[
    list[str],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class TokenizerConfig(Section):
    """A tokenizer to train, or that of a model to take or to grow: ``[tokenizer.NAME]`` in a recipe."""

    corpus: Names = setting([], "the corpus to train on, or to take new words from, or a list of them")
    start_from: str | None = setting(
        None, "take the tokenizer of another [tokenizer] table or of a model's folder, instead of training one"
    )
    add_words: int = setting(0, "start_from: let so many frequent words that it cuts become pieces", ge=0, le=1 << 20)
    kind: Literal["wordpiece", "byte_bpe"] = setting("wordpiece", "wordpiece (BERT) or byte_bpe (GPT: writes any text)")
    vocabulary: int = setting(8192, "the number of pieces, special ones included", ge=1, le=1 << 24)
    lowercase: bool = setting(False, "lower-case the text and take accents away (wordpiece)")
    minimum_frequency: int = setting(2, "the least occurrences of what becomes a piece", ge=1)
    sample_characters: int = setting(50_000_000, "train on about so many characters, evenly spread", ge=1)

    @model_validator(mode="after")
    def _text_where_any_is_read(self) -> TokenizerConfig:
        if self.start_from is None and self.add_words:
            raise ValueError("add_words is for a tokenizer that is there already; name it with start_from")
        own = TokenizerConfig.model_fields
        other = [n for n in ("kind", "vocabulary", "lowercase") if getattr(self, n) != own[n].default]
        if self.start_from is not None and other:
            raise ValueError(f"{' and '.join(other)}: the tokenizer of start_from has its own; take the key out")
        if not self.corpus and (self.start_from is None or self.add_words):
            raise ValueError("name the corpus to learn from: corpus = …")
        return self

    @model_validator(mode="after")
    def _lowercase_loses_text(self) -> TokenizerConfig:
        if self.lowercase and self.kind == "byte_bpe":
            raise ValueError('lowercase goes with kind = "wordpiece": byte_bpe gives every text back exactly')
        return self

    @model_validator(mode="after")
    def _bytes_have_room(self) -> TokenizerConfig:
        least = len(BYTES) + 1  # and the end of a text
        if self.kind == "byte_bpe" and self.vocabulary < least:
            what = f"vocabulary = {self.vocabulary} has no room for the 256 bytes"
            raise ValueError(f"{what}; set it to {least} at least")
        return self


class Tokenizer:
    """A tokenizer in a folder: ids of text, and text of ids.

    ``vocabulary_size`` is one more than the greatest id. ``start`` and ``end`` are the ids put around a text (those of
    [CLS] and [SEP], or of <|endoftext|> twice). Where there is none, ``start`` (T5), ``unknown``, ``mask`` and ``pad``
    are None. ``special_ids`` are all ids that stand for no text, ascending. ``backend`` is the library's own tokenizer,
    without truncation or padding, to which a special token's name within a text is mere text.
    """

    def __init__(
        self, folder: Path, backend: tokenizers.Tokenizer, plain: dict[str, Any], names: dict[str, Any]
    ) -> None:
        self.folder = folder
        self.backend = backend
        self.kind: Kind = _kind(plain, folder)
        self.vocabulary_size: int = 1 + max(backend.get_vocab(with_added_tokens=True).values())
        of_unigram = plain["model"].get("unk_id")
        self.unknown: int | None = self._id(plain["model"].get("unk_token")) if of_unigram is None else of_unigram
        roles = {role: self._role(names, *places) for role, places in _ROLES.items()}
        if roles["end"] is None:
            raise InputError(
                "this tokenizer has no token for the end of a text",
                where=folder,
                remedy="name sep_token or eos_token in tokenizer_config.json",
            )
        self.start, self.end = roles["start"], roles["end"]
        self.mask, self.pad = roles["mask"], roles["pad"]
        added = {id for id, token in backend.get_added_tokens_decoder().items() if token.special}
        named = {id for id in (self.unknown, *roles.values()) if id is not None}
        self.special_ids: tuple[int, ...] = tuple(sorted(added | named))
        self._special = frozenset(self.special_ids)

    @classmethod
    def open(cls, folder: Path | str) -> Tokenizer:
        """The tokenizer whose ``tokenizer.json`` lies in ``folder``, Myna's own or of another's making.

        Raises :class:`InputError` where the file is missing, damaged or of another kind.
        """
        folder = Path(folder)
        path = folder / "tokenizer.json"
        plain = files.read_object(path)
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library raises nothing narrower, and where it panics nothing less
            raise InputError(f"this is no tokenizer ({str(error)[:200]})", where=path) from error
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        return cls(folder, backend, plain, settings_of(folder))

    def decode(self, ids: Iterable[int]) -> str:
        """Readable text, without special tokens; exactly the text encoded where the kind is ``byte_bpe``.

        What WordPiece did not know is shown as U+FFFD, and so are the bytes of a character that is not complete.
        """
        kept = [int(id) for id in ids if id == self.unknown or int(id) not in self._special]
        if self.kind == "byte_bpe":
            text: str = self.backend.decode(kept, skip_special_tokens=False)
            return text
        pieces = ["\ufffd" if id == self.unknown else self.piece(id) for id in kept]
        decoder = self.backend.decoder
        text = " ".join(pieces) if decoder is None else decoder.decode(pieces)
        return close_up(text) if self.kind == "wordpiece" else text

    def piece(self, id: int) -> str:
        """What an id stands for, readable: bytes that are no whole character are written ⟨E4⟩.

        Raises :class:`InputError` for an id that the vocabulary does not have.
        """
        piece: str | None = self.backend.id_to_token(int(id))
        if piece is None:
            raise InputError(f"there is no piece {id} in a vocabulary of {self.vocabulary_size}", where=self.folder)
        if self.kind != "byte_bpe" or id in self._special or not set(piece) <= BYTES.keys():
            return piece
        text = bytes(BYTES[symbol] for symbol in piece).decode("utf-8", "surrogateescape")
        return "".join(f"⟨{ord(c) - 0xDC00:02X}⟩" if "\udc80" <= c <= "\udcff" else c for c in text)

    def _id(self, token: str | None) -> int | None:
        id: int | None = None if token is None else self.backend.token_to_id(token)
        return id

    def _role(self, names: dict[str, Any], keys: Sequence[str], usual: Sequence[str]) -> int | None:
        entries = [names[key] for key in keys if names.get(key)]
        contents = [entry.get("content") if isinstance(entry, dict) else entry for entry in entries]
        named = (token for token in (*contents, *usual) if isinstance(token, str))
        return next((id for token in named if (id := self._id(token)) is not None), None)


def settings_of(folder: Path) -> dict[str, Any]:
    """What a folder of Hugging Face says of a tokenizer beside ``tokenizer.json``: names of special tokens and more."""
    settings: dict[str, Any] = {}
    for name in TOKENIZER_FILES[1:]:
        if (folder / name).exists():
            settings |= files.read_object(folder / name)
    return settings


def _kind(plain: dict[str, Any], folder: Path) -> Kind:
    model = plain.get("model") or {}
    if model.get("type") == "WordPiece":
        return "wordpiece"
    if model.get("type") == "BPE" and "ByteLevel" in str(plain.get("decoder")):
        return "byte_bpe"
    if model.get("type") == "Unigram" or (model.get("type") == "BPE" and "▁" in str(plain.get("decoder"))):
        return "sentencepiece"
    raise InputError(
        f"a tokenizer of the kind {model.get('type')} cannot be used here",
        where=folder / "tokenizer.json",
        remedy="WordPiece (as BERT's), byte-level BPE (as GPT-2's) and SentencePiece's kinds (as T5's) can",
    )


def _byte_symbols() -> dict[str, int]:
    # GPT-2 writes a byte as a visible character: itself where it has one, else the next free one from U+0100.
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = (byte for byte in range(256) if byte not in visible)
    return {chr(byte): byte for byte in visible} | {chr(0x100 + n): byte for n, byte in enumerate(hidden)}


# The byte that each symbol in a piece of byte_bpe stands for.
BYTES = _byte_symbols()


def train_tokenizer(
    corpora: Sequence[Corpus],
    config: TokenizerConfig,
    folder: Path,
    report: Report = lambda what, share: None,
) -> Ledger:
    """Trains on the training split of ``corpora`` and writes ``tokenizer.json`` and ``tokenizer_config.json``.

    The alphabet of ``wordpiece`` is read from the whole split, the rest learnt from a sample of
    ``sample_characters``, spread evenly over all corpora. Raises :class:`InputError` where there is no text, or where
    the vocabulary has no room for the alphabet.
    """
    if not sum(corpus.characters("train") for corpus in corpora):
        what = f"there is no text to train a tokenizer on in {' and '.join(config.corpus)}"
        raise InputError(what, remedy="leave some of it in the training split")
    ledger = Ledger()
    sample = sample_of(corpora, config.sample_characters, ledger, report)
    if config.kind == "wordpiece":
        backend = _train_wordpiece(_alphabet_of(corpora, report), sample, config)
    else:
        backend = _train_byte_bpe(sample, config)
    files.write_text(folder / "tokenizer.json", backend.to_str(pretty=True))
    files.write_json(folder / "tokenizer_config.json", _hugging_face_config(config))
    ledger.note("pieces in the vocabulary", backend.get_vocab_size())
    ledger.check()
    report("tokenizer", 1.0)
    return ledger


def sample_of(corpora: Sequence[Corpus], budget: int, ledger: Ledger, report: Report) -> Iterator[Document]:
    """Documents of the training splits, about ``budget`` characters of them, evenly spread; the books are kept."""
    total = sum(corpus.characters("train") for corpus in corpora)
    seen = taken = 0
    for corpus in corpora:
        for document in apart(corpus.documents("train", columns=["text", "words", "pair"])):
            length = len(document.text)
            ledger.came_in(documents=1, characters=length)
            # Take a document whenever the sample lags behind its share of what has gone by.
            if taken * total <= budget * seen:
                taken += length
                ledger.kept(documents=1, characters=length)
                yield document
            else:
                ledger.dropped("beyond sample_characters", documents=1, characters=length)
            if (seen + length) * 100 // total > seen * 100 // total:
                report("tokenizer: reading", (seen + length) / total)
            seen += length


def _alphabet_of(corpora: Sequence[Corpus], report: Report) -> set[str]:
    report("tokenizer: alphabet", 0.0)
    characters = set(string.printable)
    for corpus in corpora:
        for document in apart(corpus.documents("train", columns=["text", "pair"])):
            characters.update(document.text)
    return characters


def _train_wordpiece(characters: set[str], sample: Iterable[Document], config: TokenizerConfig) -> tokenizers.Tokenizer:
    def untrained(vocabulary: dict[str, int]) -> tokenizers.Tokenizer:
        tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=config.lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.FixedLength(_LONGEST_WORD)]
        )
        tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
        return tokenizer

    learner = untrained({})
    # The trainer numbers "##x" in the order of a hash table, another in each process. Naming the whole alphabet as
    # special tokens fixes the order; they are ordinary pieces of the tokenizer that is kept.
    fixed = [*_BERT_SPECIALS, *_alphabet_pieces(learner, characters)]
    if len(fixed) > config.vocabulary:
        raise InputError(
            f"vocabulary = {config.vocabulary} has no room for the alphabet of this text",
            remedy=f'set it to {len(fixed)} at least, or kind = "byte_bpe"',
        )
    trainer = trainers.WordPieceTrainer(
        vocab_size=config.vocabulary,
        min_frequency=config.minimum_frequency,
        special_tokens=fixed,
        continuing_subword_prefix="##",
        show_progress=False,
    )
    learner.train_from_iterator((document.text for document in sample), trainer)
    tokenizer = untrained(learner.get_vocab(with_added_tokens=True))
    tokenizer.add_special_tokens(list(_BERT_SPECIALS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, _BERT_SPECIALS.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _alphabet_pieces(tokenizer: tokenizers.Tokenizer, characters: Iterable[str]) -> list[str]:
    """The pieces that write any word of ``characters``: each alone, and with ## each that can go on a word."""

    def words(text: str) -> list[str]:
        normal = tokenizer.normalizer.normalize_str(text)
        return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]

    alone = {symbol for character in characters for word in words(character) for symbol in word}
    # What stays in one word with a letter before it can go on a word: all but Han, punctuation and spaces.
    after = {symbol for character in characters for symbol in words("a" + character)[0][1:]}
    return sorted(alone) + sorted("##" + symbol for symbol in after)


def _train_byte_bpe(sample: Iterable[Document], config: TokenizerConfig) -> tokenizers.Tokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CUT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        min_frequency=config.minimum_frequency,
        special_tokens=[_END_OF_TEXT],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator((part for document in sample for part in _cut_at_han_words(document)), trainer)
    return tokenizer


def _cut_at_han_words(document: Document) -> list[str]:
    # Runs of Han are many and nearly all different; their words are few. Cutting before each keeps the trainer's table
    # of counts as small as the language's lexicon.
    if document.words is None or not document.text:
        return [document.text]
    starts = np.asarray(document.words.starts)
    cuts = [0, *starts[han(document.text)[starts]].tolist(), len(document.text)]
    return [document.text[start:end] for start, end in pairwise(cuts) if start < end]


def _hugging_face_config(config: TokenizerConfig) -> dict[str, Any]:
    # The general class reads tokenizer.json as it is; transformers 5 rebuilds those named after a model from the
    # vocabulary alone, and would lose how text is cut.
    general = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    if config.kind == "byte_bpe":
        return general | {"bos_token": _END_OF_TEXT, "eos_token": _END_OF_TEXT, "unk_token": None}
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return general | dict(zip(names, _BERT_SPECIALS, strict=True)) | {"model_input_names": inputs}
