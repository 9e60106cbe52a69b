"""A tokenizer that is there already: taken as it is, or grown by words of one's own domain.

Old pieces keep their ids, and all text but the new words is cut as before. For that a new word is matched whole:

- a word written between spaces becomes, in ``wordpiece``, an added token that stands as a single word after
  normalisation; in ``byte_bpe``, a piece of the vocabulary beside the merges, which a whole stretch of text is looked
  up in before it is merged (``ignore_merges``). With merges of its own a word would cut others anew and need pieces on
  the way; as an added token it would lose the space before it;
- a word of Han or kana, which nothing parts from its neighbours, becomes an added token that is found anywhere, the
  longest first; and so does a symbol that was unknown.

``tokenizers`` and ``transformers`` do both by themselves.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from myna import files
from myna.corpus.document import Corpus, Document
from myna.corpus.words import HAN, WORD, segment
from myna.errors import InputError
from myna.ledger import Ledger
from myna.tokens.characters import unspaced
from myna.tokens.tokenizer import Report, Tokenizer, TokenizerConfig, sample_of, settings_of

_RUN = re.compile(rf"[{HAN}]+|{WORD}|\S")
_BATCH = 4096
# What of a tokenizer_config.json is more than how transformers would make the tokenizer.
_KEPT = (
    *(f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")),
    *("model_input_names", "model_max_length", "padding_side", "clean_up_tokenization_spaces", "chat_template"),
)


def take_tokenizer(
    start_from: Path,
    corpora: Sequence[Corpus],
    config: TokenizerConfig,
    folder: Path,
    report: Report = lambda what, share: None,
) -> Ledger:
    """Writes the tokenizer of a folder into another, with ``config.add_words`` new words of the corpora.

    They are the most frequent of those that it cuts into several pieces or does not know. Raises
    :class:`InputError` for a folder without a tokenizer that can be used, and one that cannot be grown.
    """
    old = Tokenizer.open(start_from)
    ledger = Ledger()
    words: list[str] = []
    if config.add_words:
        counts = _count(sample_of(corpora, config.sample_characters, ledger, report), old)
        words = _choose(old, counts, config.add_words, config.minimum_frequency)
        ledger.note("new words", len(words))
        ledger.note("occurrences of them in the text that was read", sum(counts[word] for word in words))
    text = _grown(old, words) if words else (start_from / "tokenizer.json").read_text(encoding="utf-8")
    files.write_text(folder / "tokenizer.json", text)
    files.write_json(folder / "tokenizer_config.json", _hugging_face_config(start_from))
    new = Tokenizer.open(folder)
    pieces_of_new(old, new)
    ledger.note("pieces in the vocabulary", new.vocabulary_size)
    ledger.check()
    report("tokenizer", 1.0)
    return ledger


def pieces_of_new(old: Tokenizer, new: Tokenizer) -> dict[int, list[int]]:
    """For each id that ``new`` has more than ``old``, the ids of the pieces that ``old`` cuts it into.

    Raises :class:`InputError` where ``new`` does not have every piece of ``old`` at its own id.
    """
    before, after = old.backend.get_vocab(with_added_tokens=True), new.backend.get_vocab(with_added_tokens=True)
    moved = next((piece for piece, id in before.items() if after.get(piece) != id), None)
    if old.kind != new.kind or moved is not None:
        what = "this tokenizer is neither that of the model nor grown from it"
        what += f" (they differ in {moved!r})" if moved is not None else ""
        raise InputError(what, where=new.folder, remedy="give the [tokenizer] table start_from = the model's folder")
    added = new.backend.get_added_tokens_decoder()
    return {
        id: _pieces(old, piece, id in added)
        for piece, id in sorted(after.items(), key=lambda entry: entry[1])
        if piece not in before
    }


def _pieces(old: Tokenizer, piece: str, added: bool) -> list[int]:
    if added:
        ids: list[int] = old.backend.encode(piece, add_special_tokens=False).ids
        return ids
    symbols = piece.removeprefix("##") if old.kind == "wordpiece" else piece
    return [token.id for token in old.backend.model.tokenize(symbols)]


# --------------------------------------------------------------------------------------------- which words are new


def _count(documents: Iterable[Document], tokenizer: Tokenizer) -> Counter[str]:
    """How often each word occurs, as the tokenizer meets it: normalised, and with the space before it if it keeps it.

    Words are the corpus's own (or as :func:`~myna.corpus.words.segment` finds them), cut at marks within them, at
    which tokenizers cut anyway.
    """
    keeps_space = tokenizer.kind == "byte_bpe"
    found: Counter[str] = Counter()
    for document in documents:
        text = document.text
        words = segment(text) if document.words is None else document.words
        for start, end in zip(words.starts, words.ends, strict=True):
            for run in _RUN.finditer(text, start, end):
                after_space = keeps_space and text.startswith(" ", run.start() - 1) and not unspaced(run[0])
                found[" " * after_space + run[0]] += 1
    normalizer = tokenizer.backend.normalizer
    normal: Counter[str] = Counter()
    for word, count in found.items():
        normal[word if normalizer is None or unspaced(word) else normalizer.normalize_str(word)] += count
    return normal


def _choose(tokenizer: Tokenizer, counts: Counter[str], wanted: int, least: int) -> list[str]:
    """The most frequent words that can become pieces; of two that occur as often the first in the order of Unicode."""
    frequent = [word for _, word in sorted((-count, word) for word, count in counts.items() if count >= least)]
    taken = set(tokenizer.backend.get_vocab(with_added_tokens=True))
    chosen: list[str] = []
    for begin in range(0, len(frequent), _BATCH):
        batch = frequent[begin : begin + _BATCH]
        for word, line in zip(batch, tokenizer.backend.encode_batch(batch, add_special_tokens=False), strict=True):
            piece = _piece(tokenizer, word) if _is_cut(word, line.ids, tokenizer.unknown) else None
            if piece is not None and piece not in taken and len(chosen) < wanted:
                chosen.append(word)
                taken.add(piece)
        if len(chosen) == wanted:
            break
    return chosen


def _is_cut(word: str, ids: Sequence[int], unknown: int | None) -> bool:
    # A number or a mark in several pieces is no word; a symbol that was unknown is worth a piece.
    letters, symbol = any(map(str.isalpha, word)), not any(map(str.isalnum, word))
    return (letters and len(ids) > 1) or ((letters or symbol) and unknown in ids)


def _piece(tokenizer: Tokenizer, word: str) -> str | None:
    """What a word is called in the vocabulary; None where text is cut within it before any piece is looked up."""
    if unspaced(word):
        return word
    stretches = [stretch for stretch, _ in tokenizer.backend.pre_tokenizer.pre_tokenize_str(word)]
    whole = len(stretches) == 1 and (tokenizer.kind == "byte_bpe" or stretches == [word])
    return str(stretches[0]) if whole else None


# ------------------------------------------------------------------------------------------------- and their pieces


def _grown(tokenizer: Tokenizer, words: Sequence[str]) -> str:
    """The content of ``tokenizer.json`` with the words as new pieces, whose ids follow on the old ones."""
    plain: dict[str, Any] = json.loads(tokenizer.backend.to_str())
    vocabulary, added = plain["model"]["vocab"], plain["added_tokens"]
    matched = [word for word in words if tokenizer.kind == "wordpiece" or unspaced(word)]
    looked_up = [word for word in words if tokenizer.kind == "byte_bpe" and not unspaced(word)]
    ids = iter(range(tokenizer.vocabulary_size, tokenizer.vocabulary_size + len(words)))
    if looked_up:
        # The library numbers added tokens on from the vocabulary, so those there are must lie within it.
        vocabulary |= {token["content"]: token["id"] for token in added}
        vocabulary |= {_piece(tokenizer, word): next(ids) for word in looked_up}
        plain["model"]["ignore_merges"] = True
    added += [_added_token(word, next(ids)) for word in matched]
    return json.dumps(plain, ensure_ascii=False, indent=2)


def _added_token(word: str, id: int) -> dict[str, Any]:
    flags = dict.fromkeys(("lstrip", "rstrip", "special"), False)
    # A symbol or a word of Han stands anywhere. Normalisation would part the characters of such a word.
    alone = word[0].isalnum() and not unspaced(word)
    return {"id": id, "content": word, **flags, "single_word": alone, "normalized": not unspaced(word)}


def _hugging_face_config(start_from: Path) -> dict[str, Any]:
    """The special tokens' names and what else is to be kept, for the class that reads ``tokenizer.json`` as it is."""
    settings = settings_of(start_from)
    kept = {name: _content(settings[name]) for name in _KEPT if settings.get(name) is not None}
    return {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False} | kept


def _content(value: Any) -> Any:
    return value["content"] if isinstance(value, dict) and "content" in value else value
