"""The CRF against all paths by hand, in float64; BIOES; what is kept with the model."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.errors import InputError
from myna.inference.predict import predictions
from myna.tasks.crf import Crf
from myna.tasks.examples import Example
from myna.tasks.tagging import Tagging
from myna.tasks.viterbi import best_paths, endings, in_bio, in_bioes, transitions
from myna.tasks.words import TagsOfWords
from myna.tokens.tokenizer import Tokenizer
from myna.training.batches import make_batches

from .material import parts, tokenizer_folder
from .test_answers import config
from .test_tasks import make, random_examples

BIOES = Tagging.in_scheme(("B-LOC", "B-PER", "I-LOC", "I-PER", "O"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.open(tokenizer_folder(tmp_path_factory.mktemp("tokenizer")))


def random_crf(tags: int, seed: int = 1) -> Crf:
    crf = Crf(tags).double()
    draw = torch.Generator().manual_seed(seed)
    for parameter in crf.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw, dtype=torch.float64) / 10
    return crf


def score(crf: Crf, logits: torch.Tensor, path: tuple[int, ...], whole: bool = True) -> torch.Tensor:
    start, step, end = (10 * part for part in (crf.start, crf.step, crf.end))
    total = sum(logits[unit, tag] for unit, tag in enumerate(path)) + sum(
        step[a, b] for a, b in itertools.pairwise(path)
    )
    return total + (start[path[0]] + end[path[-1]] if whole else 0.0)


def test_the_loss_and_its_gradient_are_those_over_all_paths() -> None:
    lengths, whole, tags = [3, 1, 4, 3, 2], [True, True, False, True, False], 3
    crf, draw = random_crf(tags), torch.Generator().manual_seed(2)
    logits = torch.randn(sum(lengths), tags, generator=draw, dtype=torch.float64).requires_grad_()
    right = torch.randint(tags, (sum(lengths),), generator=draw)
    found = crf(logits, right, lengths, whole)
    expected = []
    for part, path, complete in zip(logits.split(lengths), right.split(lengths), whole, strict=True):
        paths = itertools.product(range(tags), repeat=len(part))
        every = torch.stack([score(crf, part, each, complete) for each in paths]).logsumexp(0)
        expected.append(every - score(crf, part, tuple(path.tolist()), complete))
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-12, atol=0)
    weights = torch.arange(1.0, 6.0, dtype=torch.float64)
    ours = torch.autograd.grad(found @ weights, [logits, *crf.parameters()])
    theirs = torch.autograd.grad(torch.stack(expected) @ weights, [logits, *crf.parameters()])
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


def test_the_loss_of_a_sequence_does_not_depend_on_the_others() -> None:
    crf, lengths = random_crf(4), [4, 9, 1, 4]
    logits, right = torch.randn(18, 4).double(), torch.randint(4, (18,))
    together = crf(logits, right, lengths, [True] * 4)
    for n, (part, tags) in enumerate(zip(logits.split(lengths), right.split(lengths), strict=True)):
        torch.testing.assert_close(together[n], crf(part, tags, [len(tags)], [True])[0], rtol=1e-13, atol=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_the_best_path_is_the_best_of_those_that_bioes_allows(seed: int, length: int) -> None:
    draw = np.random.default_rng(seed)
    scores, step = draw.normal(size=(length, len(BIOES))), draw.normal(size=(len(BIOES), len(BIOES)))
    start, forbidden = transitions(BIOES)
    (path,) = best_paths([scores], start, forbidden + step, endings(BIOES))

    def allowed(tags: list[str]) -> bool:
        return in_bioes(in_bio(tags)) == tags and all(
            tag[0] not in "IE" or (before[0] in "BI" and before[2:] == tag[2:])
            for before, tag in itertools.pairwise(["O", *tags])
        )

    best = max(
        (path for path in itertools.product(range(len(BIOES)), repeat=length) if allowed([BIOES[n] for n in path])),
        key=lambda path: scores[range(length), path].sum() + step[path[:-1], path[1:]].sum(),
    )
    assert path.tolist() == list(best)


@given(st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"])))
def test_bio_comes_back_from_bioes(tags: list[str]) -> None:
    assert in_bio(in_bioes(tags)) == tags


@pytest.mark.parametrize("name", ["tagging", "words"])
def test_the_gradient_of_the_crf_does_not_depend_on_the_cut(name: str, tokenizer: Tokenizer) -> None:
    task, model = make(name, tokenizer)
    model.double()
    examples = random_examples(name, 20, longest=40)
    task.adjust(config(name, crf=True), examples, model)  # type: ignore[attr-defined]
    task.crf = random_crf(len(task.labels))  # type: ignore[attr-defined]
    assert list(task.modules()) == ["crf"]
    items = task.items(examples)

    def gradient(batches: list[object]) -> torch.Tensor:
        from myna.training.batches import backward

        learned = [*model.parameters(), *task.crf.parameters()]  # type: ignore[attr-defined]
        for parameter in learned:
            parameter.grad = None
        backward(task, model, batches)  # type: ignore[arg-type]
        return torch.cat([p.grad.flatten() for p in learned if p.grad is not None])

    whole = gradient(make_batches(task, items, range(16), 10**9, 7))  # type: ignore[arg-type]
    assert all(p.grad.abs().sum() > 0 for p in task.crf.parameters())  # type: ignore[attr-defined]
    order = np.argsort(items.lengths[:16], kind="stable")
    for sizes in parts(16):
        pieces = np.split(order, np.cumsum(sizes)[:-1])
        cut = gradient([task.batch([items[i] for i in piece], piece, 7) for piece in pieces])
        assert torch.linalg.norm(cut - whole) <= 1e-11 * torch.linalg.norm(whole)


@pytest.mark.parametrize("name", ["tagging", "words"])
def test_predictions_are_the_same_once_the_crf_was_kept_and_read_again(name: str, tokenizer: Tokenizer) -> None:
    task, model = make(name, tokenizer, initializer_range=0.5)
    examples = random_examples(name, 12)
    task.adjust(config(name, crf=True), examples, model)  # type: ignore[attr-defined]
    plain = [p.tags for p in predictions(model, task, task.items(examples))]  # type: ignore[attr-defined]
    task.crf = random_crf(len(task.labels)).float()  # type: ignore[attr-defined]
    said = [p.tags for p in predictions(model, task, task.items(examples))]  # type: ignore[attr-defined]
    assert said != plain
    again, _ = make(name, tokenizer)
    again.recall(task.remembered())  # type: ignore[attr-defined]
    assert [p.tags for p in predictions(model, again, again.items(examples))] == said  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="the scores of the CRF are damaged"):
        again.recall({"crf": {"start": [0.0]}})  # type: ignore[attr-defined]


def test_a_word_of_an_unknown_tag_leaves_its_sentence_out(tokenizer: Tokenizer) -> None:
    task, model = make("words", tokenizer)
    known = Example("老王说", "0", words=((0, 2), (2, 3)), tags=("noun", "verb"))
    strange = Example("小李说", "1", words=((0, 2), (2, 3)), tags=("noun", "new"))
    task.adjust(config("words", crf=True), [known], model)  # type: ignore[attr-defined]
    both, alone = (
        make_batches(task, task.items(e), range(len(e)), 10**9, None)[0] for e in ([strange, known], [known])
    )
    assert both.counts == alone.counts == {"tagging": 2}
    torch.testing.assert_close(task.loss(model, both).terms[0].sum, task.loss(model, alone).terms[0].sum)


def test_spans_are_the_same_through_bioes(tokenizer: Tokenizer) -> None:
    examples = random_examples("tagging", 20)
    plain, _ = make("tagging", tokenizer)
    task = Tagging(tokenizer, Tagging.in_scheme(plain.labels), 24)
    assert task.bioes

    def right(task: Tagging) -> list[object]:
        items = task.items(examples)
        logits = [torch.eye(len(task.labels))[torch.from_numpy(item.targets)] * 9 for item in items]
        return [(found.spans, found.tags) for found in task.decode(items, logits)]

    assert right(task) == right(plain)  # type: ignore[arg-type]


def test_bioes_is_for_tags_that_mark_spans() -> None:
    with pytest.raises(InputError, match='scheme = "bioes" is for tags that mark spans, and these are plain names'):
        TagsOfWords.in_scheme(("n", "v"))
    with pytest.raises(ValueError, match="a CRF is learned by whole sentences: focal does not go with crf"):
        config("tagging", crf=True, focal=1.0)
    with pytest.raises(ValueError, match="crf is not for task = classification, but for tagging, words"):
        config("classification", crf=True)


def test_words_are_tagged_in_bio_where_the_model_has_bioes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    labels = TagsOfWords.in_scheme(("B-A", "I-A", "O"))
    task = TagsOfWords(tokenizer, labels, 24)
    assert not task.bioes
    task.recall({"scheme": "bioes"})
    example = Example("老 王 说", "x", words=((0, 1), (2, 3), (4, 5)), tags=("B-A", "I-A", "O"))
    items = task.items([example])
    assert [task.labels[n] for n in items[0].targets] == ["B-A", "E-A", "O"]
    (said,) = task.decode(items, [torch.eye(len(labels))[torch.from_numpy(items[0].targets)]])
    assert said.tags == example.tags
    assert said.spans == ((0, 3, "A"),)
    sure = task.sureness([example], [said])
    assert sure.truth.tolist() == items[0].targets.tolist()
    assert sure.decisions()[1].all()
    assert task.remembered()["scheme"] == "bioes"
