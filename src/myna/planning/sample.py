"""The text of a recipe that was not prepared yet, judged by a sample: the recipe's own stages, run on a part of it.

Of many files some are read, of a large one the beginning. So tokens and lengths are estimates: a sample has fewer
copies to drop than the whole, and its tokenizer fewer pieces, so that words are cut into more.
"""

from __future__ import annotations

from pathlib import Path

from myna.corpus.sources import SourceConfig, SourceFile, source_files
from myna.kinds import KINDS
from myna.recipe import Recipe

# Enough for lengths and for pieces a character, and prepared in a few seconds.
_SAMPLE_BYTES = 1_500_000
# What can be cut at the end of a line.
_CUT = ("text", "lines", "paragraphs", "jsonl", "csv", "tsv", "tagged")
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


def sample_run(recipe: Recipe, folder: Path) -> tuple[Path, dict[str, float]]:
    """Prepares a sample of each corpus in ``folder``, which is made: a run up to its trainings, and the share of each
    corpus's bytes that it has."""
    corpora, shares = {}, {}
    for name, config in recipe.corpus.items():
        files = [source_files(source) for source in config.sources]
        whole = sum(_size(file) for found in files for file in found)
        share = min(1.0, _SAMPLE_BYTES / max(whole, 1))
        sources, kept = [], 0
        for number, (source, found) in enumerate(zip(config.sources, files, strict=True)):
            sampled, size = _sample(source, found, share, folder / "sources" / name / str(number))
            sources.append(sampled)
            kept += size
        corpora[name] = config.model_copy(update={"sources": sources})
        shares[name] = kept / max(whole, 1)
    sampled_recipe = recipe.model_copy(update={"corpus": corpora, "finetune": {}})
    for kind in KINDS:
        if kind.name in ("corpus", "tokenizer", "tokens"):
            for name in kind.stages(sampled_recipe):
                place = folder / kind.name / name
                place.mkdir(parents=True)
                kind.work(sampled_recipe, folder, name, place, lambda what, share: None)
    return folder, shares


def _sample(source: SourceConfig, files: list[SourceFile], share: float, folder: Path) -> tuple[SourceConfig, int]:
    """A source with about a share of the bytes, written into ``folder``, and how many they are."""
    kinds = {file.format for file in files}
    cut = share < 1 and not kinds - set(_CUT) and not any(file.path.suffix == ".gz" for file in files)
    if not cut:
        return source, sum(_size(file) for file in files)
    folder.mkdir(parents=True)
    apart = max(1, int(1 / share)) if len(files) * share >= 10 else 1
    written = 0
    for number, file in enumerate(files[::apart]):
        part = _beginning(file, min(1.0, share * apart))
        (folder / f"{number:06d}{file.path.suffix}").write_bytes(part)
        written += len(part)
    known = {"format": next(iter(kinds))} if len(kinds) == 1 else {}
    return source.model_copy(update={"path": str(folder), "package": None, **known}), written


def _size(file: SourceFile) -> int:
    return file.path.stat().st_size


def _beginning(file: SourceFile, share: float) -> bytes:
    """The first lines of a file, about so much of it; of a table whole rows; of UTF-16 all of it."""
    with open(file.path, "rb") as stream:
        part = stream.read(max(1, int(_size(file) * share)))
        if part.startswith(_BYTE_ORDER_MARKS):
            return part + stream.read()
        part += stream.readline()
        # A line end between quotes ends no row.
        while file.format in ("csv", "tsv") and part.count(b'"') % 2 and (line := stream.readline()):
            part += line
        return part
