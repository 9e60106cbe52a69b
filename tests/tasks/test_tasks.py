"""What all tasks keep to: gradients do not depend on how a batch is cut, nothing is lost uncounted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.corpus.document import Span
from myna.errors import InputError
from myna.inference.predict import predictions
from myna.ledger import Ledger
from myna.model.heads import Model, build
from myna.objectives.protocol import Batch
from myna.tasks import TASKS, WRITING, check_task_name, find_task
from myna.tasks.classification import Classification
from myna.tasks.embeddings import Embedded
from myna.tasks.examples import Example, counts
from myna.tasks.regression import VALUE, Valued
from myna.tasks.segmentation import Segmentation
from myna.tasks.tagging import Tagging
from myna.tasks.task import Task
from myna.tokens.tokenizer import Tokenizer
from myna.training.batches import backward, make_batches

from .material import ALPHABET, micro_config, parts, tokenizer_folder

# Those that write have tests of their own.
JUDGING = [name for name in TASKS if name not in WRITING]
LABELS = {
    "classification": ("bad", "good", "neither"),
    "multilabel": ("cheap", "late", "soft"),
    "regression": VALUE,
    "pairs": ("no", "yes"),
    "tagging": Tagging.labels_of(["PER", "LOC"]),
    "words": ("adjective", "noun", "verb"),
    "segmentation": Segmentation.labels_of([]),
    "questions": ("start", "end"),
    "embeddings": (),
    "extraction": ("chosen",),
}
# Those whose losses are sums over examples that know nothing of each other.
APART = [name for name in JUDGING if name != "embeddings"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.open(tokenizer_folder(tmp_path_factory.mktemp("tokenizer")))


def make(name: str, tokenizer: Tokenizer, **changes: object) -> tuple[Task, Model]:
    config = micro_config(tokenizer, **changes)
    task = find_task(name)(tokenizer, LABELS[name], config.maximum_length)
    return task, build(config, "masked" if task.head == "trunk" else task.head, task.labels, seed=1)


def random_examples(name: str, count: int, seed: int = 3, longest: int = 70) -> list[Example]:
    """Texts of Han characters and words, many of them longer than a window of 24."""
    draw = np.random.default_rng(seed)
    examples = []
    for number in range(count):
        line = "".join(draw.choice(list(ALPHABET), draw.integers(4, longest)))
        text = " ".join(line[place : place + 9] for place in range(0, len(line), 9))
        if name in ("classification", "pairs"):
            pair = text[::-1][: int(draw.integers(1, 70))].strip() if name == "pairs" else None
            examples.append(Example(text, f"{number}", label=str(draw.choice(LABELS[name])), pair=pair))
        elif name == "multilabel":
            chosen = [label for label in LABELS[name] if draw.random() < 0.4]
            examples.append(Example(text, f"{number}", labels=tuple(chosen)))
        elif name == "regression":
            examples.append(Example(text, f"{number}", value=float(draw.normal())))
        elif name == "embeddings":
            examples.append(Example(text, f"{number}", label="pair", pair=text[::-1][: int(draw.integers(2, 70))]))
        elif name == "questions":
            place = int(draw.integers(0, len(text) - 3))
            spans = (Span(place, place + 3, "answer"),) if draw.random() < 0.8 else ()
            examples.append(Example(text, f"{number}", pair=text[::-1][:9].strip(), spans=spans))
        elif name == "segmentation":
            spans = tuple(Span(match.start(), match.end(), "W") for match in re.finditer(r"\S{1,3}", text))
            examples.append(Example(text, f"{number}", spans=spans))
        elif name == "extraction":
            examples.append(Example(text, f"{number}", target=text[3:9]))
        elif name == "words":
            words = tuple((match.start(), match.end()) for match in re.finditer(r"\S{1,3}", text))
            tags = tuple(str(tag) for tag in draw.choice(LABELS[name], len(words)))
            examples.append(Example(text, f"{number}", words=words, tags=tags))
        else:
            starts = sorted({int(n) for n in draw.integers(0, len(text) - 3, 3)})
            spans = tuple(Span(start, start + 2, str(draw.choice(["PER", "LOC"]))) for start in starts)
            examples.append(Example(text, f"{number}", spans=spans))
    return examples


def gradients(task: Task, model: Model, batches: list[Batch]) -> torch.Tensor:
    model.zero_grad()
    backward(task, model, batches)
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("name", APART)
def test_the_gradient_of_a_batch_is_that_of_its_parts_with_dropout_on(name: str, tokenizer: Tokenizer) -> None:
    task, model = make(name, tokenizer)
    model.double()
    items = task.items(random_examples(name, 40))
    assert len(items) > 64
    whole = gradients(task, model, make_batches(task, items, range(64), 10**9, key=7))
    order = np.argsort(items.lengths[:64], kind="stable")
    for sizes in parts(64):
        pieces = np.split(order, np.cumsum(sizes)[:-1])
        batches = [task.batch([items[i] for i in piece], piece, 7) for piece in pieces]
        assert torch.linalg.norm(gradients(task, model, batches) - whole) <= 1e-12 * torch.linalg.norm(whole)
    without = gradients(task, model, make_batches(task, items, range(64), 10**9, key=None))
    assert torch.linalg.norm(without - whole) > 1e-3 * torch.linalg.norm(whole)


def numbers_of(prediction: object) -> np.ndarray:
    """What a prediction is made by: its probabilities, or its number."""
    if isinstance(prediction, Embedded):
        return np.stack([prediction.vector, np.asarray(prediction.pair)]) * 1e-6  # They are float32.
    return np.asarray(prediction.value if isinstance(prediction, Valued) else prediction.probabilities)  # type: ignore


@pytest.mark.parametrize("name", JUDGING)
def test_a_prediction_does_not_depend_on_the_company(name: str, tokenizer: Tokenizer) -> None:
    task, model = make(name, tokenizer)
    model.double()
    examples = random_examples(name, 12)
    together = predictions(model, task, task.items(examples))
    for example, prediction in zip(examples, together, strict=True):
        (alone,) = predictions(model, task, task.items([example]), batch_tokens=1)
        assert np.abs(numbers_of(alone) - numbers_of(prediction)).max() < 1e-12


@pytest.mark.parametrize("too_long", ["window", "drop", "cut"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_ledger_balances_whatever_is_left_out(tokenizer: Tokenizer, too_long: str, seed: int) -> None:
    for name in APART:
        task, _ = make(name, tokenizer)
        examples = random_examples(name, 8, seed)
        ledger = Ledger()
        ledger.came_in(**counts(examples))
        items = task.items(examples, too_long, ledger)  # type: ignore[arg-type]
        ledger.check()
        # Every window has the two tokens around it, that of a pair one more between.
        assert int(items.lengths.max(initial=0)) <= 24
        if too_long != "window":
            around = 3 if name in ("pairs", "questions") else 2
            assert ledger.to_dict()["kept"].get("tokens", 0) == int((items.lengths - around).sum())
        else:
            assert ledger.to_dict()["kept"]["examples"] == 8


def test_each_example_counts_once_whatever_its_length(tokenizer: Tokenizer) -> None:
    task, model = make("classification", tokenizer)
    model.double()
    examples = [Example("好" * length, "x", label=label) for length, label in ((5, "bad"), (50, "good"), (90, "bad"))]
    items = task.items(examples)
    assert [items[n].windows for n in range(len(items))] == [1, *[4] * 4, *[8] * 8]
    (batch,) = make_batches(task, items, range(len(items)), 10**9, None)
    loss = task.loss(model, batch).total(batch.counts).item()
    # By hand: the mean over the examples of the mean over their windows.
    nats = -task.outputs(model, batch).log_softmax(1)[torch.arange(len(items)), batch.targets]
    order = np.argsort(items.lengths, kind="stable")
    owners = [items[int(n)].example for n in order]
    means = [nats[[n for n, owner in enumerate(owners) if owner == each]].mean() for each in range(3)]
    assert loss == pytest.approx(sum(means).item() / 3, rel=1e-12)


def test_each_unit_counts_once_whatever_its_sentence(tokenizer: Tokenizer) -> None:
    task, model = make("tagging", tokenizer)
    model.double()
    items = task.items(random_examples("tagging", 9))
    batches = make_batches(task, items, range(len(items)), 200, None)
    assert len(batches) > 2
    loss = backward(task, model, batches)
    outputs = torch.cat([task.outputs(model, batch) for batch in batches])
    targets = torch.cat([batch.targets for batch in batches])
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(outputs, targets).item(), rel=1e-12)


def test_the_probabilities_of_windows_are_averaged(tokenizer: Tokenizer) -> None:
    task, model = make("classification", tokenizer, initializer_range=0.7)
    items = task.items([Example("好天气很不今明老王小" * 5, "x")])
    outputs = [task.outputs(model, task.batch([items[n]], np.array([0]), None)) for n in range(len(items))]
    assert len(outputs) > 2
    (prediction,) = predictions(model, task, items)
    expected = torch.cat(outputs).softmax(1).mean(0).detach().numpy()
    np.testing.assert_allclose(prediction.probabilities, expected, rtol=1e-5)  # type: ignore[attr-defined]
    answer = prediction.answer()
    assert list(answer["scores"]) == list(LABELS["classification"])
    assert answer["label"] == max(answer["scores"], key=answer["scores"].get)


def test_every_unit_is_an_output_once_at_its_first_piece(tokenizer: Tokenizer) -> None:
    task, _ = make("tagging", tokenizer)
    for example in random_examples("tagging", 30):
        items = task.items([example])
        seen = []
        for number in range(len(items)):
            item = items[number]
            assert item.rows is not None
            pieces = [tokenizer.piece(id) for id in item.ids]
            assert pieces[0] == "[CLS]"
            assert pieces[-1] == "[SEP]"
            seen += [pieces[row] for row in item.rows]
        from myna.tasks.tagging import _units_by_sentence

        bounds = [each for part in _units_by_sentence(example.text) for each in part]
        assert seen == [example.text[start] for start, _ in bounds]


def test_targets_are_the_tags_of_the_units(tokenizer: Tokenizer) -> None:
    task, _ = make("tagging", tokenizer)
    (item,) = [task.items([Example("abc 老王在北京", "x", spans=(Span(4, 6, "PER"), Span(7, 9, "LOC")))])[0]]
    assert [task.labels[n] for n in item.targets] == ["O", "B-PER", "I-PER", "O", "B-LOC", "I-LOC"]
    assert item.rows is not None
    assert item.rows.tolist() == [1, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("name", ["classification", "multilabel", "pairs", "tagging"])
def test_a_label_that_the_model_does_not_have_is_an_error(name: str, tokenizer: Tokenizer) -> None:
    task, _ = make(name, tokenizer)
    labelled = {
        "classification": {"label": "fair"},
        "multilabel": {"labels": ("fair",)},
        "pairs": {"label": "fair", "pair": "王"},
        "tagging": {"spans": (Span(0, 1, "fair"),)},
    }[name]
    with pytest.raises(InputError, match=r"a.csv, row 7: the label 'fair' is none of the model's; its labels are"):
        task.items([Example("老王", "row 7", "a.csv", **labelled)])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["classification", "tagging"])
def test_metrics_are_those_of_other_libraries(name: str, tokenizer: Tokenizer) -> None:
    from seqeval.metrics import f1_score as entity_f1
    from sklearn.metrics import accuracy_score, f1_score

    task, model = make(name, tokenizer, initializer_range=0.5)
    examples = random_examples(name, 40)
    found = predictions(model, task, task.items(examples))
    figures = task.metrics(examples, found)
    if isinstance(task, Classification):
        expected, said = [e.label for e in examples], [p.label for p in found]  # type: ignore[attr-defined]
        assert figures["accuracy"] == pytest.approx(accuracy_score(expected, said))
        assert figures["macro_f1"] == pytest.approx(f1_score(expected, said, average="macro"))
        assert figures["score"] == figures["accuracy"]
    else:
        from myna.tasks.units import tags_of

        aligned = [
            Example(e.text, e.id, spans=tuple(task.decode(task.items([e]), gold(task, e))[0].spans)) for e in examples
        ]
        expected = [tags_of(p.units, e.spans)[0] for e, p in zip(aligned, found, strict=True)]  # type: ignore
        figures = task.metrics(aligned, found)
        assert figures["score"] == pytest.approx(entity_f1(expected, [list(p.tags) for p in found]))  # type: ignore


def gold(task: Task, example: Example) -> list[torch.Tensor]:
    """Logits that say exactly what is right."""
    items = task.items([example])
    return [torch.eye(len(task.labels))[torch.from_numpy(items[n].targets)] * 9 for n in range(len(items))]


def test_a_misspelt_task_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="there is no task 'taging'; did you mean 'tagging'"):
        check_task_name("taging")


def test_a_task_of_ones_own_is_found_by_module_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_tasks.py").write_text("from myna.tasks.tagging import Tagging\nclass Terms(Tagging): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_task("my_own_tasks:Terms").__name__ == "Terms"
    with pytest.raises(InputError, match="has no task 'Names'"):
        find_task("my_own_tasks:Names")
    with pytest.raises(InputError, match="in no module that Python finds"):
        find_task("my_other_tasks:Names")
