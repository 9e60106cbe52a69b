"""Special tokens added to a trained tokenizer, at the end of its vocabulary, for an objective that needs them.

The ids of all other pieces stay, and so does every token store: none holds a special token.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers

from myna import files
from myna.tokens.tokenizer import Tokenizer

# RoBERTa's name for what is masked, and T5's for what stands for a span; those of T5 end with the first.
MASK = "<mask>"
SENTINEL = "<extra_id_{}>"


def with_special_tokens(tokenizer: Tokenizer, folder: Path, mask: bool, sentinels: int) -> Tokenizer:
    """The tokenizer with a mask and so many sentinels: itself where it has them, else written into ``folder``.

    ``folder`` is made; what was there is replaced.
    """
    names = [] if tokenizer.mask is not None or not mask else [MASK]
    lacking = range(sentinels)[::-1]
    names += [SENTINEL.format(n) for n in lacking if tokenizer.backend.token_to_id(SENTINEL.format(n)) is None]
    if not names:
        return tokenizer
    backend = tokenizers.Tokenizer.from_file(str(tokenizer.folder / "tokenizer.json"))
    backend.add_special_tokens(names)
    described: dict[str, Any] = {}
    if (tokenizer.folder / "tokenizer_config.json").exists():
        described = files.read_object(tokenizer.folder / "tokenizer_config.json")
    if MASK in names:
        described["mask_token"] = MASK
    if sentinels:
        described["additional_special_tokens"] = [SENTINEL.format(n) for n in range(sentinels)]
    content = {"tokenizer.json": backend.to_str(pretty=True), "tokenizer_config.json": _json(described)}
    with files.new_folder(folder) as place:
        for name, text in content.items():
            with files.open_new(place / name) as stream:
                stream.write(text.encode())
    return Tokenizer.open(folder)


def sentinel_ids(tokenizer: Tokenizer, count: int) -> tuple[int, ...]:
    """The ids of the first sentinels; a KeyError where the tokenizer lacks one."""
    vocabulary = tokenizer.backend.get_vocab(with_added_tokens=True) if count else {}
    return tuple(vocabulary[SENTINEL.format(n)] for n in range(count))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
