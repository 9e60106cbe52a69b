"""Several labels, numbers, pairs, given words; and the options of how they are learned."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.errors import InputError
from myna.evaluation.metrics import are_bio
from myna.finetuning import FinetuneConfig
from myna.inference.loaded import Loaded
from myna.inference.predict import predictions
from myna.ledger import Ledger
from myna.model.heads import build
from myna.objectives import losses
from myna.tasks.examples import Example
from myna.tasks.learning import Learning, divergence, dropped_otherwise
from myna.tasks.multilabel import SeveralLabels
from myna.tasks.pairs import Pairs
from myna.tasks.regression import VALUE, OneNumber, Regression
from myna.tasks.windows import fit_pair
from myna.tasks.words import TagsOfWords
from myna.tokens.tokenizer import Tokenizer
from myna.training.batches import backward, make_batches

from .material import micro_config, parts, tokenizer_folder
from .test_tasks import gradients, make, random_examples


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.open(tokenizer_folder(tmp_path_factory.mktemp("tokenizer")))


def config(task: str = "classification", **what: object) -> FinetuneConfig:
    return FinetuneConfig(task=task, corpus="c", start_from="m", **what)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ pairs


def test_a_pair_is_read_with_an_end_and_a_segment_for_each(tokenizer: Tokenizer) -> None:
    task = Pairs(tokenizer, ("no", "yes"), 24)
    (item,) = task.items([Example("老王", "x", label="yes", pair="在北京")])
    assert [tokenizer.piece(id) for id in item.ids] == ["[CLS]", "老", "王", "[SEP]", "在", "北", "京", "[SEP]"]
    assert item.segments is not None
    assert item.segments.tolist() == [0] * 4 + [1] * 4
    batch = task.batch([item], np.array([0]), None)
    with_segments = build(micro_config(tokenizer), "sequence", task.labels, seed=1)
    without = build(micro_config(tokenizer, segments=0), "sequence", task.labels, seed=1)
    assert batch.tokens.segments is not None
    assert torch.equal(task.outputs(with_segments, batch), with_segments(batch.tokens))
    assert task.outputs(without, batch).shape == (1, 2)


def test_a_model_of_single_texts_refuses_a_pair_where_it_says_what_it_is_for(tokenizer: Tokenizer) -> None:
    model = build(micro_config(tokenizer), "sequence", ("no", "yes"), seed=1)
    with pytest.raises(InputError, match=r"this model reads single texts, and not pairs; leave the second text out"):
        Loaded(model, tokenizer, {"task": "classification"}, Path("m")).predict([("老王", "在北京")])
    for facts in ({"task": "pairs"}, {}):
        assert len(Loaded(model, tokenizer, facts, Path("m")).predict([("老王", "在北京")])) == 1


@given(st.tuples(st.integers(1, 60), st.integers(1, 60)), st.integers(2, 30))
def test_every_piece_of_both_texts_is_read_in_some_window(lengths: tuple[int, int], size: int) -> None:
    ledger = Ledger()
    pairs = fit_pair(lengths, size, "window", "x", ledger)
    ledger.check()
    assert all(one.end - one.start + two.end - two.start <= size for one, two in pairs)
    for place, length in enumerate(lengths):
        assert {n for pair in pairs for n in range(pair[place].start, pair[place].end)} == set(range(length))
        assert all(a[place].start <= b[place].start for a, b in pairwise(pairs))


def test_too_long_a_pair_is_never_cut_in_silence() -> None:
    ledger = Ledger()
    assert len(fit_pair((30, 30), 20, "cut", "x", ledger)) == 1
    assert fit_pair((30, 30), 20, "drop", "x", ledger) == []
    kept = ledger.to_dict()
    assert (kept["in"]["tokens"], kept["kept"]["tokens"]) == (120, 20)
    ledger.check()
    with pytest.raises(InputError, match="60 pieces, 40 more than the model takes"):
        fit_pair((30, 30), 20, "error", "x", ledger)


# -------------------------------------------------------------------------------------------- several labels, numbers


def test_the_loss_of_several_labels_is_the_sum_of_binary_cross_entropies(tokenizer: Tokenizer) -> None:
    task, model = make("multilabel", tokenizer)
    model.double()
    examples = [Example("好天气", "0", labels=("late",)), Example("不好", "1", labels=())]
    (batch,) = make_batches(task, task.items(examples), range(2), 10**9, None)
    logits = task.outputs(model, batch)
    expected = F.binary_cross_entropy_with_logits(logits, batch.targets.double(), reduction="none").sum(1).mean()
    assert task.loss(model, batch).total(batch.counts).item() == pytest.approx(expected.item(), rel=1e-12)
    assert sorted(batch.targets.tolist()) == [[0, 0, 0], [0, 1, 0]]


def test_a_label_is_given_from_the_threshold_on() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0]]).double()
    assert SeveralLabels(("a", "b", "c"), 0.5).said(logits).chosen == ("a", "b")
    assert SeveralLabels(("a", "b", "c"), 0.6).said(logits).chosen == ("b",)
    assert SeveralLabels(("a", "b", "c"), 0.9).said(logits).answer()["labels"] == []


def test_numbers_are_learned_in_deviations_and_go_into_the_model(tokenizer: Tokenizer) -> None:
    task, model = make("regression", tokenizer)
    values = [1000.0, 1010.0, 1030.0]
    examples = [Example("好" * (n + 1), f"{n}", value=value) for n, value in enumerate(values)]
    task.adjust(config("regression"), examples, model)  # type: ignore[attr-defined]
    items = task.items(examples)
    (batch,) = make_batches(task, items, range(3), 10**9, None)
    said = task.outputs(model, batch)[:, 0]
    wanted = (batch.targets - np.mean(values)) / np.std(values)
    expected = F.mse_loss(said, wanted.float())
    assert task.loss(model, batch).total(batch.counts).item() == pytest.approx(expected.item(), rel=1e-5)
    before = [p.value for p in predictions(model, task, items)]  # type: ignore[attr-defined]
    task.settle(model)  # type: ignore[attr-defined]
    after = [p.value for p in predictions(model, task, items)]  # type: ignore[attr-defined]
    assert after == pytest.approx(before, rel=1e-5)
    fresh = Regression(tokenizer, VALUE, 24)
    assert [p.value for p in predictions(model, fresh, items)] == after
    with pytest.raises(InputError, match="every example has the value 3"):
        task.adjust(config("regression"), [Example("a", "0", value=3.0)] * 4, model)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("kind", "torchs"), [("absolute", F.l1_loss), ("huber", F.huber_loss)])
def test_other_differences_are_those_of_torch(kind: str, torchs: object) -> None:
    answers = OneNumber()
    answers.kind = kind
    said, right = torch.tensor([[0.1], [3.0]]).double(), torch.tensor([0.0, 1.0]).double()
    torch.testing.assert_close(answers.losses(said, right), torchs(said[:, 0], right, reduction="none"))  # type: ignore


# ----------------------------------------------------------------------------------------------------- given words


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=60))
def test_every_given_word_gets_one_tag(tokenizer: Tokenizer, words: list[str]) -> None:
    words = [word if word.strip() and word.isprintable() else "\u0301" for word in words]
    task = TagsOfWords(tokenizer, ("B-A", "I-A", "O"), 24)
    model = build(micro_config(tokenizer), "token", task.labels, seed=1)
    from myna.inference.predict import predict

    (answer,) = predict(model, task, [words])
    assert answer["tokens"] == words
    assert len(answer["tags"]) == len(words)
    assert all(not tag.startswith("I-") or before[2:] == tag[2:] for before, tag in pairwise(["O", *answer["tags"]]))


def test_labels_are_plain_tags_or_both_tags_of_each_name() -> None:
    assert TagsOfWords.labels_of(["v", "n", "O", "n"]) == ("O", "n", "v")
    assert TagsOfWords.labels_of(["B-PER", "O", "B-LOC"]) == ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")
    assert not are_bio(["O"])
    with pytest.raises(InputError, match="every word has the tag 'n'"):
        TagsOfWords.labels_of(["n"])


def test_a_tag_that_training_never_saw_is_no_target_and_counts_as_wrong(tokenizer: Tokenizer) -> None:
    task = TagsOfWords(tokenizer, ("n", "v"), 24)
    examples = [Example("老王说", "x", words=((0, 2), (2, 3)), tags=("n", "new"))]
    ledger = Ledger()
    (item,) = task.items(examples, ledger=ledger)
    assert ledger.notes["tags that training never saw"] == 1
    assert task.batch([item], np.array([0]), None).counts == {"tagging": 1}
    model = build(micro_config(tokenizer), "token", task.labels, seed=1)
    said = predictions(model, task, task.items(examples))
    assert task.metrics(examples, said)["word_accuracy"] in (0.0, 0.5)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------- options


OPTIONS = [
    ("classification", {"class_weights": "balanced", "focal": 2.0, "r_drop": 1.5}),
    ("classification", {"class_weights": {"good": 3.0}, "label_smoothing": 0.1}),
    ("pairs", {"r_drop": 0.7}),
    ("multilabel", {"class_weights": "balanced", "focal": 1.0, "label_smoothing": 0.1, "r_drop": 1.0}),
    ("tagging", {"class_weights": "balanced", "focal": 1.0}),
    ("words", {"label_smoothing": 0.2}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_with_options_too_the_gradient_does_not_depend_on_the_cut(
    name: str, options: dict[str, object], tokenizer: Tokenizer
) -> None:
    task, model = make(name, tokenizer)
    model.double()
    examples = random_examples(name, 16)
    plain = gradients(task, model, make_batches(task, task.items(examples), range(16), 10**9, 7))
    task.adjust(config(name, **options), examples, model)  # type: ignore[attr-defined]
    items = task.items(examples)
    whole = gradients(task, model, make_batches(task, items, range(16), 10**9, key=7))
    assert torch.linalg.norm(whole - plain) > 1e-3 * torch.linalg.norm(plain)
    order = np.argsort(items.lengths[:16], kind="stable")
    for sizes in parts(16):
        pieces = np.split(order, np.cumsum(sizes)[:-1])
        batches = [task.batch([items[i] for i in piece], piece, 7) for piece in pieces]
        assert torch.linalg.norm(gradients(task, model, batches) - whole) <= 1e-11 * torch.linalg.norm(whole)


def test_weighed_smoothed_and_focal_losses_are_those_of_the_objectives() -> None:
    logits, targets = torch.randn(9, 3).double(), torch.arange(9) % 3
    weights = torch.tensor([0.5, 1.0, 2.0])
    smooth = Learning(weights, 0.1).nats(logits, targets).sum()
    torch.testing.assert_close(smooth, losses.cross_entropy(logits, targets, weights.double(), 0.1))
    focal = Learning(weights, focal=2.0).nats(logits, targets).sum()
    torch.testing.assert_close(focal, losses.focal(logits, targets, 2.0, weights.double()))
    other = torch.randn(9, 3).double()
    torch.testing.assert_close(divergence(logits, other).sum(), losses.divergence(logits, other))


def test_focal_and_smoothing_go_together() -> None:
    logits, targets = torch.randn(9, 3).double(), torch.arange(9) % 3
    smooth = F.cross_entropy(logits, targets, reduction="none", label_smoothing=0.2)
    right = logits.softmax(1)[torch.arange(9), targets]
    torch.testing.assert_close(Learning(None, 0.2, focal=2.0).nats(logits, targets), (1 - right) ** 2 * smooth)


def test_what_is_surely_right_has_a_focal_gradient() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    several = SeveralLabels(("a", "b"))
    several.learning = Learning(focal=0.5)
    for loss in (several.learning.nats(logits, torch.tensor([0])), several.losses(logits, torch.tensor([[1, 0]]))):
        (slope,) = torch.autograd.grad(loss.sum(), logits)
        assert torch.equal(slope, torch.zeros(1, 2))


def test_r_drop_reads_a_batch_under_two_dropouts(tokenizer: Tokenizer) -> None:
    task, model = make("classification", tokenizer)
    examples = random_examples("classification", 4, longest=12)
    task.adjust(config(r_drop=2.0), examples, model)  # type: ignore[attr-defined]
    (batch,) = make_batches(task, task.items(examples), range(4), 10**9, key=3)
    again = dropped_otherwise(batch)
    one, two = task.outputs(model, batch), task.outputs(model, again)
    assert not torch.allclose(one, two)
    nats = (F.cross_entropy(one, batch.targets) + F.cross_entropy(two, batch.targets)) / 2
    expected = nats + 2.0 * losses.divergence(one, two) / 4
    assert backward(task, model, [batch]) == pytest.approx(expected.item(), rel=1e-5)


def test_an_option_that_is_not_for_the_task_is_refused() -> None:
    with pytest.raises(ValueError, match="label_smoothing is not for task = regression, but for classification"):
        config("regression", label_smoothing=0.1)
    with pytest.raises(ValueError, match="threshold is not for task = classification, but for multilabel"):
        config(threshold=0.4)
    with pytest.raises(ValueError, match=r"'bad' has the weight -1\.0, which is not 0 or more"):
        config(class_weights={"bad": -1.0})
    with pytest.raises(ValueError, match="give start_from, or preset with tokenizer"):
        FinetuneConfig(task="classification", corpus="c")
    with pytest.raises(ValueError, match="preset and tokenizer go together"):
        FinetuneConfig(task="classification", corpus="c", preset="bert-micro")


@pytest.mark.parametrize(
    ("labels", "option", "kind"),
    [(VALUE, {"r_drop": 1.0}, "number"), (VALUE, {"focal": 1.0}, "number"), (("a", "b"), {"loss": "huber"}, "label")],
)
def test_an_option_that_is_not_for_the_answers_of_pairs_is_refused(
    labels: tuple[str, ...], option: dict[str, object], kind: str, tokenizer: Tokenizer
) -> None:
    task = Pairs(tokenizer, labels, 24)
    model = build(micro_config(tokenizer), "sequence", labels, seed=1)
    with pytest.raises(InputError, match=f"{min(option)} is not for pairs with a {kind}; leave it out"):
        task.adjust(config("pairs", **option), [], model)


def test_a_weight_of_no_label_is_told(tokenizer: Tokenizer) -> None:
    task, model = make("classification", tokenizer)
    with pytest.raises(InputError, match="class_weights has 'best', which is no label of training; the labels are bad"):
        task.adjust(config(class_weights={"best": 2.0}), random_examples("classification", 9), model)  # type: ignore
