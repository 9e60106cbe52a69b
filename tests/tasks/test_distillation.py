"""Distillation: what a teacher says is learned, for every task, whatever windows and tokenizer it reads with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from myna.errors import InputError
from myna.finetuning import FinetuneConfig, finetune
from myna.huggingface.folder import write_model_folder
from myna.inference.loaded import Loaded, load
from myna.ledger import Ledger
from myna.model.heads import build
from myna.objectives.losses import distillations
from myna.recipe import read_recipe
from myna.stages import plan
from myna.tasks import find_task
from myna.tasks.distillation import taught
from myna.tasks.task import TaskItems
from myna.tokens.tokenizer import Tokenizer
from myna.training.batches import make_batches

from ..recipes import RECIPE, write_recipe
from .material import corpus_folder, document, encoder_folder, micro_config, tokenizer_folder
from .test_tasks import LABELS, make, random_examples

# Whom a teacher can tell how sure it is of each of its labels.
TASKS = [name for name in LABELS if name not in ("extraction", "questions", "embeddings")]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.open(tokenizer_folder(tmp_path_factory.mktemp("tokenizer")))


def teacher_of(folder: Path, task: str, tokenizer: Tokenizer, labels: tuple[str, ...], room: int = 40) -> Loaded:
    """A model for the task that reads in larger windows than its pupil; it was never trained."""
    kind = find_task(task)
    model = build(micro_config(tokenizer, maximum_length=room, layers=2), kind.head, labels, seed=9)
    write_model_folder(folder, model, tokenizer.folder, {"task": task, "decoding": {"by_character": False}})
    return load(folder)


@pytest.mark.parametrize("name", TASKS)
def test_a_teacher_speaks_to_every_output_under_its_own_label(tmp_path: Path, tokenizer: Tokenizer, name: str) -> None:
    """A pupil that says what its teacher says is nothing away from it, and any other is."""
    labels = tuple(reversed(LABELS[name]))
    teacher = teacher_of(tmp_path / "teacher", name, tokenizer, labels)
    task, model = make(name, tokenizer)
    items = taught(teacher, task, task.items(random_examples(name, 12)))
    assert len({item.windows for item in items}) > 1
    for example in range(12):
        mine = [item for item in items if item.example == example]
        read = teacher.task.items([items.examples[example]])
        batches = (teacher.task.batch([item], np.zeros(1, np.int64), None) for item in read)
        logits = [teacher.task.outputs(teacher.model, batch).detach() for batch in batches]
        if task.head == "sequence":
            expected = torch.cat(logits).mean(0).flip(0)
            assert all(torch.allclose(torch.from_numpy(item.taught[0]), expected, atol=1e-5) for item in mine)
    if task.head == "token":
        assert sum(len(item.taught) for item in items) == sum(len(item.targets) for item in items)
    task.distill = task.distill.model_copy(update={"weight": 1.0})
    counts = {}
    for batch in make_batches(task, items, range(len(items)), 10**6, None):
        counts = batch.counts
        task.outputs = lambda model, batch: batch.taught  # type: ignore[method-assign]
        assert task.loss(model, batch).total(counts).item() == pytest.approx(0, abs=1e-6)
        task.outputs = lambda model, batch: batch.taught + torch.arange(batch.taught.shape[1]) + 1.0
        assert task.loss(model, batch).total(counts).item() > 0.1


def test_the_loss_is_the_divergence_of_softened_probabilities() -> None:
    ours, theirs = torch.randn(7, 3, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64)
    p, q = F.softmax(theirs / 3, 1), F.softmax(ours / 3, 1)
    torch.testing.assert_close(distillations(ours, theirs, 3.0), 9 * (p * (p / q).log()).sum(1))


@pytest.mark.parametrize("name", ["classification", "multilabel", "tagging"])
def test_labels_and_teacher_count_as_much_as_the_weight_says(tmp_path: Path, tokenizer: Tokenizer, name: str) -> None:
    teacher = teacher_of(tmp_path / "teacher", name, tokenizer, LABELS[name])
    task, model = make(name, tokenizer, dropout=0.0)
    items = taught(teacher, task, task.items(random_examples(name, 6)))
    plain = TaskItems(items.examples, [replace(item, taught=None) for item in items], Ledger())

    def loss(items: TaskItems, weight: float) -> float:
        task.distill = task.distill.model_copy(update={"weight": weight})
        (batch,) = make_batches(task, items, range(len(items)), 10**6, None)
        return task.loss(model, batch).total(batch.counts).item()

    assert loss(items, 0.3) == pytest.approx(0.7 * loss(plain, 0.3) + 0.3 * loss(items, 1.0), rel=1e-5)


def test_a_pupil_learns_what_only_its_teacher_knows(tmp_path: Path, tokenizer: Tokenizer) -> None:
    """Labels that are drawn say nothing; the teacher alone knows what makes a text good."""
    draw = np.random.default_rng(1)
    texts = [f"{'很好' if number % 2 else '不好'}，天气{number}。" for number in range(120)]
    kinds = ("train", "train", "train", "validation", "test")
    right = [
        document(text, kinds[number // 2 % 5], number, label="good" if number % 2 else "bad")
        for number, text in enumerate(texts)
    ]
    blind = [replace(d, label=str(draw.choice(["bad", "good"]))) if d.split == "train" else d for d in right]
    start = encoder_folder(tmp_path / "encoder")
    usual = {"corpus": "c", "start_from": "e", "batch_tokens": 256, "threads": 1, "learning_rate": 5e-3, "epochs": 12}
    for name in ("teacher", "pupil"):
        (tmp_path / name).mkdir()
    config = FinetuneConfig(task="classification", **usual)
    finetune(config, corpus_folder(tmp_path / "right", right), start, tmp_path / "teacher", seed=1)
    teacher = tmp_path / "teacher/model"
    config = FinetuneConfig(task="classification", **usual, teacher=str(teacher), distill={"weight": 1.0})
    blind_corpus = corpus_folder(tmp_path / "blind", blind)
    finetune(config, blind_corpus, start, tmp_path / "pupil", seed=1, teacher=teacher).check()
    pupil = load(tmp_path / "pupil/model")
    assert pupil.facts["best"]["score"] > 0.8
    assert pupil.facts["teacher"] == str(teacher)
    other = replace_weights(teacher, tmp_path / "other")
    with pytest.raises(InputError, match="checkpoint of another model or of other data"):
        finetune(config, blind_corpus, start, tmp_path / "pupil", seed=1, teacher=other)


def replace_weights(folder: Path, to: Path) -> Path:
    model = load(folder).model
    with torch.no_grad():
        model.head.output.weight += 1  # type: ignore[union-attr, operator]
    write_model_folder(to, model, folder, {"task": "classification"})
    return to


def test_a_teacher_of_something_else_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    task, _ = make("classification", tokenizer)
    items = task.items(random_examples("classification", 3))
    other = teacher_of(tmp_path / "a", "classification", tokenizer, ("bad", "good", "strange"))
    with pytest.raises(InputError, match="the label 'neither' is none of the teacher's"):
        taught(other, task, items)
    pairs = teacher_of(tmp_path / "b", "pairs", tokenizer, LABELS["classification"])
    with pytest.raises(InputError, match="the teacher is a model for pairs"):
        taught(pairs, task, items)
    tagging, _ = make("tagging", tokenizer)
    teacher = teacher_of(tmp_path / "c", "tagging", tokenizer, LABELS["tagging"])
    long = tagging.items(random_examples("tagging", 3), "cut")
    with pytest.raises(InputError, match=r"words of a text are not read.*too_long"):
        taught(teacher, tagging, long)


def test_in_a_recipe_a_teacher_comes_first_wherever_it_stands(tmp_path: Path) -> None:
    small = '[finetune.small]\ntask = "classification"\ncorpus = "reviews"\nstart_from = "encoder"\nteacher = "{}"\n'
    text = RECIPE.replace("[finetune.sentiment]", small.format("finetune.topics") + "[finetune.sentiment]")
    stages = plan(read_recipe(write_recipe(tmp_path, text)), tmp_path / "run")
    order = [stage.key for stage in stages if stage.key.startswith("finetune")]
    assert order == ["finetune.topics", "finetune.small", "finetune.sentiment"]
    small_stage = next(stage for stage in stages if stage.key == "finetune.small")
    assert "finetune.topics" in small_stage.record.inputs
    encoder = encoder_folder(tmp_path / "only-read")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.json").write_text("{}")
    (tmp_path / "other/myna.json").write_text('{"task": "pairs"}')
    wrong = {
        encoder.name: 'the model in "only-read" was not fine-tuned for task = classification; name a teacher for the',
        "other": 'the model in "other" was not fine-tuned for task = classification; name a teacher for the same task',
        "nobody": '"nobody" is neither a [finetune] table nor a model\'s folder',
        "small": "this is its own teacher",
    }
    for teacher, what in wrong.items():
        write_recipe(tmp_path, text.replace('teacher = "finetune.topics"', f'teacher = "{teacher}"'))
        with pytest.raises(InputError) as error:
            read_recipe(tmp_path / "recipe.toml")
        assert what in str(error.value)
        assert error.value.line == text.splitlines().index('teacher = "finetune.topics"') + 1
