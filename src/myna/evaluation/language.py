"""A pre-trained language model judged on the test split of its corpora, beside n-grams and frequencies.

How, its objective says (``judged``), by names in ``JUDGES``. A decoder is judged by bits per character: what a whole
document with its end costs, over its characters, which is the same string that the n-grams pay for. What predicts
some of the tokens is judged by its perplexity at these targets, beside that of the pieces' frequencies. Writes
``scores.json``, ``details.json`` and ``samples.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from myna import files
from myna.corpus.document import Corpus, Document
from myna.errors import InputError
from myna.evaluation import metrics
from myna.evaluation.baselines import unigram_nats
from myna.evaluation.ngrams import CharacterNgrams
from myna.evaluation.samples import continuations, fillings
from myna.evaluation.scoring import Scores
from myna.huggingface.folder import read_model_folder
from myna.inference.loaded import Loaded, load
from myna.ledger import Ledger
from myna.model.flat import document_lengths
from myna.model.heads import LanguageHead
from myna.objectives.causal import document_nats
from myna.objectives.language import LanguageObjective, target_costs
from myna.objectives.losses import target_nats
from myna.objectives.replaced import ReplacedTokens
from myna.objectives.settings import ObjectiveTables
from myna.pretraining import make_objective
from myna.tokens.encoding import encode
from myna.tokens.pieces import Piece, Pieces
from myna.tokens.sampler import micro_batches
from myna.tokens.store import TokenStore

VERSION = 1
# Of a larger test split so many characters are judged: the interval is narrow, and the wait short.
JUDGED_CHARACTERS = 1_000_000
# What the n-grams learn from: a month of a newspaper is 2 million.
NGRAM_CHARACTERS = 50_000_000

Report = Callable[[str, float], None]


def evaluate_language_model(
    model_folder: Path,
    token_folders: Sequence[Path],
    corpus_folders: Sequence[Path],
    folder: Path,
    seed: int,
    report: Report = lambda what, share: None,
) -> Ledger:
    """Judges the model on the test splits and writes what it finds into ``folder``, which exists and is empty.

    ``token_folders`` are the stores of ``corpus_folders``, in the same order. Without a test split the scores are
    empty. Raises an :class:`~myna.errors.InputError` for a damaged input.
    """
    loaded = load(model_folder)
    corpora = [Corpus.open(place) for place in corpus_folders]
    stores = [TokenStore.open(place, "test") for place in token_folders]
    ledger = Ledger()
    judged = _judged(stores, ledger)
    judging = _Judging(loaded, corpora, stores, judged, Scores(seed), seed, ledger, report)
    judging.documents = [d for corpus, count in zip(corpora, judged, strict=True) for d in _first(corpus, count)]
    if judging.documents:
        report("the model", 0.1)
        judging.counts = _token_counts(
            [TokenStore.open(place, "train") for place in token_folders], loaded.model.config
        )
        for objective in _objective(loaded).at(1.0).parts():
            for way in objective.judged:
                JUDGES[way](judging, objective)
    scores = judging.scores
    files.write_json(folder / "scores.json", scores.metrics)
    files.write_json(folder / "details.json", {"kind": loaded.model.kind, "differences": scores.differences})
    files.write_json(folder / "samples.json", judging.samples)
    return ledger


@dataclass
class _Judging:
    """What a judge needs to know, and what is found out.

    ``judged`` says how many documents of each store are, ``counts`` how often each piece stands in the training
    splits, ``(vocabulary,)``, and how many documents there are.
    """

    loaded: Loaded
    corpora: Sequence[Corpus]
    stores: Sequence[TokenStore]
    judged: Sequence[int]
    scores: Scores
    seed: int
    ledger: Ledger
    report: Report
    documents: list[Document] = field(default_factory=list)
    counts: tuple[NDArray[np.int64], int] = (np.zeros(0, np.int64), 0)
    samples: list[dict[str, Any]] = field(default_factory=list)

    def name(self, metric: str, objective: LanguageObjective) -> str:
        """The name of a metric: that of a further objective of a mixture says of which."""
        return f"{objective.name}_{metric}" if metric in self.scores.metrics else metric


# The objective of a model that does not say what it was trained for, by its kind.
_OBJECTIVE_OF_KIND = {"masked": "masked", "causal": "causal"}


def _objective(loaded: Loaded) -> LanguageObjective:
    facts, kind = loaded.facts, loaded.model.kind
    if "objective" not in facts and kind not in _OBJECTIVE_OF_KIND:
        raise InputError("this model does not say what it was trained for", where=loaded.folder)
    plain = {"objective": _OBJECTIVE_OF_KIND.get(kind)} | {
        name: facts[name] for name in ObjectiveTables.model_fields if name in facts
    }
    return make_objective(ObjectiveTables.model_validate(plain), loaded.tokenizer)


def judge_text(model_folder: Path, texts: Sequence[str], seed: int = 1) -> dict[str, Any]:
    """The scores of a decoder on texts, as in ``scores.json``, without simple methods."""
    loaded = load(model_folder)
    if loaded.model.kind != "causal":
        raise InputError(
            "this model does not give the bits of a text",
            where=model_folder,
            remedy="give a decoder, or a fine-tuned model and labelled examples",
        )
    if not texts:
        raise InputError("there is no text to judge")
    ids = [encoding.ids for encoding in encode(loaded.tokenizer, texts)]
    scores = Scores(seed)
    _score_causal(scores, _document_nats(loaded, ids), texts, ids, {}, None, loaded)
    return scores.metrics


def _judged(stores: Sequence[TokenStore], ledger: Ledger) -> list[int]:
    """How many documents of each store are judged: all, or the first of a share of ``JUDGED_CHARACTERS``."""
    total = sum(int(store.characters.sum()) for store in stores)
    judged = []
    for store in stores:
        characters = np.asarray(store.characters, np.int64)
        room = JUDGED_CHARACTERS * int(characters.sum()) / max(1, total)
        count = len(characters) if total <= JUDGED_CHARACTERS else int(np.searchsorted(characters.cumsum(), room)) + 1
        count = min(count, len(characters))
        tokens, some = int(store.bounds[count]), int(characters[:count].sum())
        rest = {"documents": len(characters) - count, "characters": int(characters.sum()) - some}
        ledger.came_in(documents=len(characters), characters=int(characters.sum()), tokens=store.tokens)
        ledger.kept(documents=count, characters=some, tokens=tokens)
        ledger.dropped(f"beyond {JUDGED_CHARACTERS:,} characters to judge", **rest, tokens=store.tokens - tokens)
        judged.append(count)
    return judged


def _first(corpus: Corpus, count: int) -> Iterator[Document]:
    for number, document in enumerate(corpus.documents("test", ["text", "words"])):
        if number == count:
            return
        yield document


def _training_texts(corpora: Sequence[Corpus], ledger: Ledger) -> list[str]:
    texts: list[str] = []
    read = 0
    for corpus in corpora:
        for document in corpus.documents("train", ["text"]):
            if read >= NGRAM_CHARACTERS:
                ledger.note("training documents that the n-grams did without", 1)
                continue
            texts.append(document.text)
            read += len(document.text)
    return texts


def _token_counts(stores: Sequence[TokenStore], config: Any) -> tuple[NDArray[np.int64], int]:
    """How often each piece stands in the training splits, ``(vocabulary,)``, and how many documents there are."""
    counts = np.zeros(config.vocabulary_size, np.int64)
    for store in stores:
        counts += np.bincount(store.ids, minlength=config.vocabulary_size)
    return counts, sum(store.documents for store in stores)


def _document_nats(loaded: Loaded, ids: Sequence[NDArray[Any]]) -> metrics.Floats:
    start, end = loaded.tokenizer.start, loaded.tokenizer.end
    return document_nats(loaded.model, ids, end if start is None else start, end)


def _score_causal(
    scores: Scores,
    nats: metrics.Floats,
    texts: Sequence[str],
    ids: Sequence[NDArray[Any]],
    ngrams: dict[str, metrics.Floats],
    counts: tuple[NDArray[np.int64], int] | None,
    loaded: Loaded,
) -> None:
    characters = np.array([len(text) for text in texts], np.float64)
    scores.add(
        "bits_per_character",
        metrics.bits_per_character,
        np.stack([nats / np.log(2), characters], 1),
        {name: np.stack([bits, characters], 1) for name, bits in ngrams.items()},
    )
    lengths = np.array([len(line) + 1 for line in ids], np.float64)
    simple = {}
    if counts is not None:
        frequencies, documents = counts
        frequencies = frequencies.copy()
        frequencies[loaded.tokenizer.end] += documents
        lines = [np.append(line, loaded.tokenizer.end).astype(np.int64) for line in ids]
        costs = np.array([unigram_nats(frequencies, line).sum() for line in lines])
        simple["unigram"] = np.stack([costs, lengths], 1)
    scores.add("perplexity", metrics.perplexity, np.stack([nats, lengths], 1), simple)


def _judge_text(judging: _Judging, objective: LanguageObjective) -> None:
    """Bits per character of whole documents, beside n-grams, and what the model writes."""
    loaded, documents = judging.loaded, judging.documents
    texts = [document.text for document in documents]
    counted = zip(judging.stores, judging.judged, strict=True)
    ids = [store.document(i) for store, count in counted for i in range(count)]
    nats = _document_nats(loaded, ids)
    judging.report("n-grams", 0.7)
    trained = _training_texts(judging.corpora, judging.ledger)
    ngrams = {
        "character_bigram": CharacterNgrams(2, trained).bits(texts),
        "character_trigram": CharacterNgrams(3, trained).bits(texts),
    }
    _score_causal(judging.scores, nats, texts, ids, ngrams, judging.counts, loaded)
    judging.samples += continuations(loaded, documents, judging.seed)


def _judge_targets(judging: _Judging, objective: LanguageObjective) -> None:
    """The perplexity of what the objective predicts, beside that of the pieces' frequencies."""
    loaded = judging.loaded
    items = _chosen(judging, objective)
    found = target_costs(loaded.model, objective, items)
    frequencies, documents = judging.counts
    if loaded.tokenizer.end in found.targets:
        frequencies = frequencies.copy()
        frequencies[loaded.tokenizer.end] += documents
    frequent = unigram_nats(frequencies, found.targets)
    # No text has a sentinel: where it must come is told to the frequencies.
    frequent[np.isin(found.targets, objective.vocabulary.sentinels)] = 0.0

    def statistics(costs: metrics.Floats) -> metrics.Floats:
        return _by_document(found.documents, np.stack([costs, np.ones_like(costs)], 1))

    name = judging.name("perplexity", objective)
    judging.scores.add(name, metrics.perplexity, statistics(found.nats), {"unigram": statistics(frequent)})


def _judge_replaced(judging: _Judging, objective: LanguageObjective) -> None:
    """How well replaced tokens are told, by a generator that lies beside the model, and what that is worth."""
    assert isinstance(objective, ReplacedTokens)
    place = judging.loaded.folder.parent / "generator"
    generator, _ = read_model_folder(place)
    items = _chosen(judging, objective)
    head = generator.head
    found: list[tuple[NDArray[np.int64], metrics.Floats]] = []
    cells: list[tuple[NDArray[np.int64], metrics.Floats]] = []
    assert isinstance(head, LanguageHead)
    with torch.inference_mode():
        for chosen in micro_batches(items.lengths, 4096):
            batch = objective.batch([items[i] for i in chosen], chosen, None)
            features = head.features(generator.trunk(batch.tokens)[batch.positions])
            tokens, replaced = objective.replaced(features, head, batch)
            said = judging.loaded.model(tokens)[:, 0] > 0
            nats = target_nats(features, head.weight, head.bias, batch.targets)
            found.append((items.documents[chosen[batch.owners]], nats.double().numpy()))
            owners = np.repeat(np.arange(len(chosen)), document_lengths(batch.tokens.runs))
            told = torch.stack([said & replaced, said, replaced, said == replaced, torch.ones_like(said)], 1)
            cells.append((items.documents[chosen[owners]], told.double().numpy()))
    counts = _by_document(np.concatenate([place for place, _ in cells]), np.concatenate([told for _, told in cells]))
    nothing = counts.copy()
    nothing[:, :2], nothing[:, 3] = 0, counts[:, 4] - counts[:, 2]
    judging.scores.add("replaced_f1", lambda sums: metrics.micro_f1(sums[..., :3]), counts, {})
    judging.scores.add(
        "replaced_accuracy", lambda sums: metrics.first_share(sums[..., 3:]), counts, {"majority": nothing}
    )
    costs = np.concatenate([nats for _, nats in found])
    places = np.concatenate([place for place, _ in found])
    sums = _by_document(places, np.stack([costs, np.ones_like(costs)], 1))
    judging.scores.add("generator_perplexity", metrics.perplexity, sums, {})


def _by_document(documents: NDArray[np.int64], rows: metrics.Floats) -> metrics.Floats:
    """The sums ``(documents, …)`` of rows of the same document."""
    size = int(documents.max()) + 1
    sums = np.stack([np.bincount(documents, column, size) for column in rows.T], 1).astype(np.float64)
    result: metrics.Floats = sums[np.bincount(documents, minlength=size) > 0]
    return result


def _judge_blanks(judging: _Judging, objective: LanguageObjective) -> None:
    """What the model puts for hidden words, for a reader."""
    judging.samples += fillings(judging.loaded, judging.documents, judging.seed)


# The ways of judging: each adds to the scores, or to the samples.
JUDGES: dict[str, Callable[[_Judging, LanguageObjective], None]] = {
    "text": _judge_text,
    "targets": _judge_targets,
    "replaced": _judge_replaced,
    "blanks": _judge_blanks,
}


def _chosen(judging: _Judging, objective: LanguageObjective) -> _Chosen:
    """The items of the documents that are judged."""
    pieces = objective.items(judging.stores, judging.loaded.model.config.maximum_length)
    return _Chosen(pieces, judging.judged)


class _Chosen:
    """The pieces of the documents that are judged."""

    def __init__(self, pieces: Pieces, judged: Sequence[int]) -> None:
        self._pieces, self._rows = pieces, pieces.first(judged)
        self.lengths: NDArray[np.int64] = pieces.lengths[self._rows]
        self.documents: NDArray[np.int64] = pieces.documents[self._rows]

    def __getitem__(self, index: int) -> Piece:
        return self._pieces[int(self._rows[index])]
