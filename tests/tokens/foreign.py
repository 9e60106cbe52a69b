"""Tokenizers as others make them, for tests of what is done with a model that is there already."""

from __future__ import annotations

import json
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.tokens.corpora import NEWS

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LINES = [*NEWS, "play chess with the board engine of a model", "the game of chess is a board game"] * 3


def bert_tokenizer(folder: Path) -> Path:
    """A WordPiece that lower-cases and takes accents away, its special tokens named in special_tokens_map.json."""
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        LINES, trainers.WordPieceTrainer(vocab_size=400, special_tokens=list(SPECIALS), show_progress=False)
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    # As the older folders have it: cut and padded, and names that are objects.
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    named = {name: {"content": token, "lstrip": False} for name, token in zip(names, SPECIALS, strict=True)}
    return _saved(tokenizer, folder, named, {"tokenizer_class": "BertTokenizer"})


def gpt2_tokenizer(folder: Path, trim: bool = False, within: bool = True) -> Path:
    """A byte-level BPE as GPT-2's; or as RoBERTa's, whose pieces leave the space out of their offsets (``trim``).

    Not ``within``: its special token is added beside the vocabulary, as Llama 3's.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
    special = ["<|endoftext|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=400, initial_alphabet=alphabet, special_tokens=special * within, show_progress=False
        ),
    )
    tokenizer.add_special_tokens(special)
    names = {"bos_token": special[0], "eos_token": special[0], "unk_token": special[0]}
    return _saved(tokenizer, folder, {}, {"tokenizer_class": "GPT2Tokenizer", **names})


def _saved(tokenizer: tokenizers.Tokenizer, folder: Path, names: dict[str, object], config: dict[str, object]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "special_tokens_map.json").write_text(json.dumps(names))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder
