"""A first recipe for somebody's own text: what is in the files decides the stages, the sizes and the budgets.

Texts give a decoder that writes on. Examples with a label give an encoder and a classifier, those with tags a tagger.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

from myna import files
from myna.corpus.encodings import open_text
from myna.corpus.guessing import SAMPLE_ROWS, fewest_values, longest_texts, rows_of_file
from myna.corpus.readers import read_file
from myna.corpus.sources import Format, SourceConfig, SourceFile, source_files
from myna.errors import InputError
from myna.tokens.characters import han
from myna.toml import inline

# As much is read as tells the language and the alphabet, and no more.
_SAMPLE_CHARACTERS = 20_000_000
_TABLES = ("jsonl", "csv", "tsv")


@dataclass(frozen=True)
class Found:
    """What a look at the files says: how they are read, and how much text of which kind is in them."""

    format: Format
    text_column: str | None
    label_column: str | None
    tagged: bool
    files: int
    characters: int
    alphabet: int
    chinese: bool

    @property
    def task(self) -> str | None:
        """The task that the examples are for; None for mere texts."""
        return "tagging" if self.tagged else "classification" if self.label_column else None

    @property
    def tokens(self) -> int:
        """About how many pieces the text gives: a Han character or four letters each."""
        return max(1, self.characters if self.chinese else self.characters // 4)


def write_recipe(path: Path | str, to: Path | str) -> dict[str, Any]:
    """Writes a commented recipe for the texts or examples at ``path``, and gives what was found there.

    Raises an :class:`InputError` where there is nothing to read, or where ``to`` exists.
    """
    path, to = Path(path), Path(to)
    if to.exists():
        raise InputError("this exists already", where=to, remedy="choose another with --to")
    if not path.exists():
        raise InputError("there is no such file or folder", where=path)
    found = look(path)
    name = re.sub(r"[^\w-]+", "-", path.resolve().stem).strip("-_") or "texts"
    place = os.path.relpath(path.resolve(), to.resolve().parent)
    files.write_text(to, _recipe(found, name, place))
    return {
        "files": found.files,
        "characters": found.characters,
        "language": "zh" if found.chinese else "en",
        "task": found.task,
        "summary": f"{found.files} file{'s' * (found.files > 1)}, about {found.characters:,} characters of "
        f"{'Chinese' if found.chinese else 'text'}, {_stages_in_words(found)}",
    }


def _stages_in_words(found: Found) -> str:
    if found.task is None:
        return "for a decoder that writes on"
    return f"for an encoder and {'a tagger' if found.tagged else 'a classifier'}"


def look(path: Path) -> Found:
    """Reads a sample of the files at ``path`` and says what they are."""
    there = source_files(SourceConfig(path=str(path)))
    formats = Counter(file.format for file in there)
    form = formats.most_common(1)[0][0]
    there = [file for file in there if file.format == form]
    text_column = label_column = None
    tagged = False
    if form in _TABLES:
        rows = list(islice(chain.from_iterable(rows_of_file(file) for file in there), SAMPLE_ROWS))
        tagged = any(isinstance(row.get("tags"), list) or isinstance(row.get("spans"), list) for row in rows)
        text_column = None if tagged else _text_column(rows, path)
        label_column = None if tagged else _label_column(rows, text_column)
    elif len(there) == 1:
        form = _cut_of(there[0])
    source = SourceConfig(path=str(path), format=form, text_column=text_column or "text", label_column=label_column)
    characters, alphabet = _sample([replace(file, format=form) for file in there], source)
    return Found(
        format=form if formats.keys() != {form} or len(there) == 1 else "auto",
        text_column=text_column,
        label_column=label_column,
        tagged=tagged,
        files=len(there),
        characters=characters,
        # WordPiece has every character at the start of a word, and all but Han within one.
        alphabet=sum(1 if han(character)[0] else 2 for character in alphabet),
        chinese=_is_chinese(alphabet),
    )


def _sample(there: list[SourceFile], source: SourceConfig) -> tuple[int, Counter[str]]:
    """How many characters the texts have, and how often each comes; by a sample where there are very many."""
    characters = seen = 0
    alphabet: Counter[str] = Counter()
    for document in chain.from_iterable(read_file(file, source) for file in there):
        characters += len(document.text)
        seen += len(document.text.encode("utf-8", "surrogatepass"))
        alphabet.update(document.text)
        if characters >= _SAMPLE_CHARACTERS:
            return max(characters, characters * sum(file.path.stat().st_size for file in there) // seen), alphabet
    return characters, alphabet


def _is_chinese(alphabet: Counter[str]) -> bool:
    letters = {character: count for character, count in alphabet.items() if character.isalpha()}
    return sum(n for character, n in letters.items() if han(character)[0]) >= 0.3 * max(1, sum(letters.values()))


def _cut_of(file: SourceFile) -> Format:
    """A single text is many documents: its paragraphs where blank lines stand between them, else its lines."""
    with open_text(file.path) as stream:
        lines = [line.strip() for line in islice(stream, 10_000)]
    blank = sum(1 for before, line in pairwise(lines) if before and not line)
    return "paragraphs" if blank >= 10 else "lines"


def _text_column(rows: list[dict[str, Any]], path: Path) -> str:
    """``text``, else the column with the longest texts."""
    found = longest_texts(rows)
    if found is None:
        raise InputError("there is no column of text here", where=path, remedy='name one of them "text"')
    return "text" if longest_texts(rows, ["text"]) else found


def _label_column(rows: list[dict[str, Any]], text_column: str | None) -> str | None:
    """``label``, else the column with the fewest values where these are few and each comes twice."""
    columns = [c for c in dict.fromkeys(column for row in rows for column in row) if c and c != text_column]
    plain = all(isinstance(row.get("label"), (str, int, bool)) for row in rows)
    return "label" if "label" in columns and plain else fewest_values(rows, columns)


# ------------------------------------------------------------------------------------------------------ the recipe


def _recipe(found: Found, name: str, place: str) -> str:
    parts = [
        "# A recipe of Myna, written by `myna init`. Any line may be changed; `myna run` then does again what follows",
        "# from it, and nothing else. All settings there are: `myna schema`.",
        "",
        "recipe = 1",
        f"name = {inline(name)}",
        "",
        "# The text. A tenth of it is kept for validation and a tenth for the test: whole documents, or all that share",
        '# a value of the column "group".',
        *(["[corpus.texts]", "stratify = true  # of each label a tenth", ""] if found.task else []),
        "[[corpus.texts.sources]]",
        f"path = {inline(place)}",
        *_source_lines(found),
        "",
        *(_encoder(found) if found.task else _decoder(found)),
        "",
        "[report]",
        f'language = "{"zh" if found.chinese else "en"}"',
    ]
    return "\n".join(parts) + "\n"


def _source_lines(found: Found) -> Iterator[str]:
    if found.format != "auto":
        yield f"format = {inline(found.format)}"
    if found.text_column not in (None, "text"):
        yield f"text_column = {inline(found.text_column)}"
    if found.label_column not in (None, "label"):
        yield f"label_column = {inline(found.label_column)}"


def _encoder(found: Found) -> Iterator[str]:
    preset, tokens = _budget(found)
    yield "# How text becomes pieces. WordPiece suits encoders; it has each character that the text has."
    yield "[tokenizer.pieces]"
    yield 'corpus = "texts"'
    yield 'kind = "wordpiece"'
    yield f"vocabulary = {_vocabulary(found)}"
    yield ""
    yield "# An encoder learns from the texts alone, without their labels. More tokens or a larger preset (bert-mini,"
    yield "# bert-small) make it better and slower."
    yield "[pretrain.encoder]"
    yield 'corpus = "texts"'
    yield 'tokenizer = "pieces"'
    yield 'objective = "masked"'
    yield f'preset = "bert-{preset}"'
    yield f"tokens = {tokens}"
    yield ""
    yield "# Then it learns the task from the labelled examples. The best epoch on the validation set is kept."
    yield f"[finetune.{'entities' if found.tagged else 'labels'}]"
    yield f'task = "{found.task}"'
    yield 'corpus = "texts"'
    yield 'start_from = "encoder"'
    yield "epochs = 3"


def _decoder(found: Found) -> Iterator[str]:
    preset, tokens = _budget(found)
    yield "# How text becomes pieces. Byte-level BPE writes every text and gives it back exactly."
    yield "[tokenizer.pieces]"
    yield 'corpus = "texts"'
    yield 'kind = "byte_bpe"'
    yield f"vocabulary = {_vocabulary(found)}"
    yield ""
    yield "# A decoder learns to go on with a text. More tokens or a larger preset (gpt-mini, gpt-small) make it better"
    yield "# and slower."
    yield "[pretrain.decoder]"
    yield 'corpus = "texts"'
    yield 'tokenizer = "pieces"'
    yield 'objective = "causal"'
    yield f'preset = "gpt-{preset}"'
    yield f"tokens = {tokens}"


def _budget(found: Found) -> tuple[str, int]:
    """The preset and the tokens to train on: some passes over the text, within minutes on a laptop."""
    preset, most = ("micro", 2_000_000) if found.tokens < 5_000_000 else ("mini", 10_000_000)
    return preset, _round(min(max(8 * found.tokens, 100_000), most))


def _vocabulary(found: Found) -> int:
    """Room for the alphabet and for pieces that come often enough to be learnt."""
    learnt = min(8_000, max(500, found.tokens // 50))
    return math.ceil(((found.alphabet if found.task else 256) + learnt) / 500) * 500


def _round(number: int) -> int:
    """To two digits, so that a person reads it."""
    unit = int(10 ** (len(str(number)) - 2))
    return round(number / unit) * unit
