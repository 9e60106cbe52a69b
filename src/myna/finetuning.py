"""Fine-tuning: a pre-trained model and labelled examples become a model for a task.

Reads a corpus and a model's folder, writes ``metrics.jsonl``, ``checkpoints/`` and ``model/`` into the stage's folder.
The epoch that is kept is the best on the validation split; the test split is never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator, model_validator

from myna.curves import Curve
from myna.errors import InputError
from myna.ledger import Ledger
from myna.seeds import Seeds
from myna.settings import result_settings, setting
from myna.tasks import TASKS, WRITING, check_task_name
from myna.tasks.settings import Distill, Lora
from myna.training.settings import TrainingConfig

if TYPE_CHECKING:
    pass

VERSION = 3
_NAMES = ("classification", "multilabel", "regression", "pairs", "tagging", "words", "segmentation", "questions")
# Which tasks an option is for; a task of somebody's own takes what it likes.
_LABELS = ("classification", "multilabel", "pairs", "tagging", "words", "segmentation")
_FOR = {
    **dict.fromkeys(("class_weights", "focal"), _LABELS),
    "label_smoothing": (*_LABELS, *WRITING),
    "freeze": (*_NAMES, "extraction"),
    "pooling": (*_NAMES, "embeddings"),
    **dict.fromkeys(("beams", "new_tokens", "pointer"), WRITING),
    "direction": ("translation",),
    "r_drop": ("classification", "multilabel", "pairs"),
    **dict.fromkeys(("group", "temperature"), ("embeddings",)),
    "crf": ("tagging", "words", "segmentation"),
    "scheme": ("tagging", "words"),
    "loss": ("regression", "pairs"),
    "threshold": ("multilabel",),
    **dict.fromkeys(("sentences", "sentence_share"), ("extraction",)),
    **dict.fromkeys(("read", "summarizer"), ("classification", "multilabel", "regression")),
    "teacher": (*_LABELS, "regression"),
}


class FinetuneConfig(TrainingConfig):
    """A ``[finetune.NAME]`` table of a recipe. Without tokens, steps or epochs it trains for 3 epochs."""

    task: str = setting(
        description="classification, multilabel, regression, pairs, tagging, words, segmentation, questions, "
        "embeddings, extraction, summarization, translation, generation, instructions, or a task of your own as "
        "my_module:MyTask"
    )
    corpus: str = setting(description="the corpus with the labels, or with what is to be written")
    start_from: str | None = setting(None, "the pre-trained model: a [pretrain] table's name, or a model's folder")
    preset: str | None = setting(None, "instead of start_from: a new model by a preset's name, and its tokenizer")
    tokenizer: str | None = setting(None, "the tokenizer of a preset's model: a [tokenizer] table's name")
    from_scratch: bool = setting(False, "take only the architecture and the tokenizer of start_from, not its weights")
    seeds: Seeds | None = setting(
        None, "train with each of these seeds, or with so many, and keep the best on validation", "added"
    )
    training_examples: int | None = setting(None, "train on so many examples (default: all)", gt=0)
    curve: Curve | None = setting(
        None, "train on each of these numbers of examples, from start_from and from scratch, and compare", "added"
    )
    too_long: Literal["window", "drop", "cut", "error"] = setting(
        "window", "what training does with a text longer than the model's window"
    )
    learning_rate: float = setting(3e-4, "the highest learning rate", gt=0)
    dropout: float | None = setting(None, "share of activations dropped (default: the model's)", ge=0, lt=1)
    pooling: Literal["first", "mean", "last"] | None = setting(
        None, "a text's vector: its first token, the mean of all, its last token (default: the model's)"
    )

    class_weights: Literal["balanced"] | dict[str, float] | None = setting(
        None, "what each class counts in the loss: balanced (rare ones count more), or a number by name"
    )
    label_smoothing: float = setting(0.0, "share of the target that is spread over all labels", ge=0, lt=1)
    focal: float = setting(0.0, "gamma of the focal loss: what is easy counts less", ge=0)
    crf: bool | None = setting(None, "tags are learned with what they say of their neighbours (a CRF)", affects="added")
    scheme: Literal["bio", "bioes"] | None = setting(
        None, "the tags of spans within the model; bioes also marks where one ends (default: bio)", affects="added"
    )
    group: int | None = setting(
        None, "embeddings: how many pairs are told apart at a time (default: 32)", affects="added", ge=2
    )
    temperature: float | None = setting(
        None, "embeddings: what the cosines are divided by (default: 0.05)", affects="added", gt=0
    )
    r_drop: float = setting(0.0, "weight of R-Drop: two readings under two dropouts shall agree", ge=0)
    loss: Literal["squared", "absolute", "huber"] = setting("squared", "regression: the difference that is learned by")
    threshold: float = setting(0.5, "multilabel: the probability from which a label is given", gt=0, lt=1)
    thorough: bool | None = setting(
        None, "tags, spans, words: the linear CRF beside it learns from four times as many sentences", affects="log"
    )
    freeze: Literal["trunk"] | None = setting(None, "trunk: only the head learns")
    direction: Literal["forward", "backward", "both"] | None = setting(
        None, "translation: forward to the target (the default), backward to the text, or both", "added"
    )
    pointer: bool | None = setting(
        None, "an encoder-decoder that writes: a gate lets it copy from the source (arXiv:1704.04368)", "added"
    )
    beams: int | None = setting(
        None, "what is written is looked for with so many beams (default: none)", "added", ge=1, le=64
    )
    new_tokens: int | None = setting(
        None, "the most tokens that are written (default: as many as the longest of training)", "added", gt=0
    )
    read: Literal["whole", "first", "summary"] | None = setting(
        None,
        "what is read of a long text: whole, in windows (the default); its first window; its summary by a summarizer",
        "added",
    )
    summarizer: str | None = setting(
        None, "what makes the summary: a [finetune] table of task = extraction, or such a model's folder", "added"
    )
    sentences: int | None = setting(
        None,
        "extraction: how many are chosen (default: as many as training's summaries are best made of)",
        "added",
        gt=0,
    )
    sentence_share: float | None = setting(
        None, "extraction: instead, the share of a text's sentences that is chosen", "added", gt=0, le=1
    )

    @property
    def left_to_budget(self) -> tuple[str, ...]:
        """Nothing: of a fine-tuning its budget chooses the length alone."""
        return ()

    lora: Lora | None = setting(
        None, "low-rank adapters learn, and the head: lora = {} with their usual sizes", "added"
    )
    teacher: str | None = setting(
        None, "a model to learn from beside the labels: a [finetune] table's name, or a model's folder", "added"
    )
    distill: Distill | None = setting(None, "how the teacher is learned from", "added")

    @model_validator(mode="after")
    def _one_start(self) -> FinetuneConfig:
        if (self.start_from is None) == (self.preset is None):
            raise ValueError("give start_from, or preset with tokenizer: one of the two")
        if (self.preset is None) != (self.tokenizer is None):
            raise ValueError("preset and tokenizer go together: a new model has no tokenizer of its own")
        if self.pointer and self.label_smoothing:
            raise ValueError("label_smoothing does not go with a pointer: leave one of the two out")
        if (self.read == "summary") != (self.summarizer is not None):
            raise ValueError('read = "summary" and summarizer go together: one needs the other')
        if self.sentences is not None and self.sentence_share is not None:
            raise ValueError("give sentences or sentence_share: one of the two")
        if isinstance(self.seeds, list) and self.seed is not None:
            raise ValueError("give seed or a list of seeds: one of the two")
        if self.curve is not None:
            self._check_curve()
        if self.lora is not None and (self.preset is not None or self.from_scratch or self.freeze):
            raise ValueError("lora adapts the weights of start_from: leave preset, from_scratch and freeze out")
        if self.task == "embeddings" and self.lora is not None and not self.lora.merge:
            raise ValueError("the adapters of embeddings have no place of their own: give lora = { merge = true }")
        if self.distill is not None and self.teacher is None:
            raise ValueError("distill needs a teacher")
        for name, tasks in _FOR.items():
            usual = type(self).model_fields[name].default
            if self.task in TASKS and self.task not in tasks and getattr(self, name) != usual:
                raise ValueError(f"{name} is not for task = {self.task}, but for {', '.join(tasks)}")
        for name in ("class_weights", "label_smoothing", "focal") if self.crf else ():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"a CRF is learned by whole sentences: {name} does not go with crf")
        if self.crf and self.teacher is not None:
            raise ValueError("a CRF is learned by whole sentences: teacher does not go with crf")
        return self

    def _check_curve(self) -> None:
        if self.preset is not None:
            raise ValueError(
                "curve compares a pre-trained model with a new one: give start_from in the place of preset"
            )
        for name in ("from_scratch", "training_examples", "lora", "freeze"):
            if getattr(self, name) != type(self).model_fields[name].default:
                what = "curve trains whole models, pre-trained and new, on its own numbers of examples"
                raise ValueError(f"{what}: leave {name} out")

    @property
    def teacher_name(self) -> str | None:
        """The teacher, a table of ``[finetune]`` by its bare name."""
        return None if self.teacher is None else self.teacher.removeprefix("finetune.")

    @model_validator(mode="before")
    @classmethod
    def _three_epochs(cls, given: Any) -> Any:
        if isinstance(given, dict) and not given.keys() & {"tokens", "steps", "epochs", "budget"}:
            return {**given, "epochs": 3}
        return given

    @field_validator("class_weights")
    @classmethod
    def _weights(cls, weights: Any) -> Any:
        for name, weight in weights.items() if isinstance(weights, dict) else ():
            if not 0 <= weight < math.inf:
                raise ValueError(f"{name!r} has the weight {weight}, which is not 0 or more")
        return weights

    @field_validator("task")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            check_task_name(name)
        except InputError as error:
            raise ValueError(str(error)) from None
        return name


def check_corpus(corpus_folder: Path, tables: Sequence[FinetuneConfig]) -> None:
    """Raises an :class:`InputError` for a corpus whose labels do not serve one of its tables, or are too few for it."""
    from myna.corpus.document import Corpus
    from myna.tasks import find_task
    from myna.tasks.examples import check_count, read_splits

    for task in sorted({config.task for config in tables}):
        splits = read_splits(Corpus.open(corpus_folder), find_task(task), Ledger())
        find_task(task).labels_of(splits.names)
        for config in tables:
            if config.task == task:
                check_count(splits, max(config.curve or [config.training_examples or 0]))


def finetune(
    config: FinetuneConfig,
    corpus_folder: Path,
    start_from: Path,
    folder: Path,
    seed: int,
    report: Callable[[str, float], None] = lambda what, share: None,
    seconds: float | None = None,
    summarizer: Path | None = None,
    teacher: Path | None = None,
) -> Ledger:
    """Trains the model in ``start_from`` for a task on a corpus, and writes ``folder/model``; by ``seconds``, if given.

    Of a ``preset`` it is a new model, and ``start_from`` the folder of its tokenizer. ``summarizer`` is the folder of
    the model that makes the summaries that it reads, and is copied into its own; ``teacher`` that of the model that it
    learns from beside the labels.

    A folder with a checkpoint of the same run is gone on with. Raises an :class:`InputError` for a corpus whose
    labels do not serve (see :func:`~myna.tasks.examples.read_splits`) and a model that the task cannot start from.
    """
    from myna.corpus.document import Corpus
    from myna.evaluation.abstaining import calibrate
    from myna.huggingface.adapters import lay_out
    from myna.huggingface.folder import TRUNK, read_facts, write_model_folder
    from myna.huggingface.weights import weights_hash
    from myna.inference.loaded import load
    from myna.inference.predict import BATCH_TOKENS, predictions
    from myna.learner import let_learn, made_for, read_origin
    from myna.tasks import find_task
    from myna.tasks.distillation import taught
    from myna.tasks.examples import check_count, choose, counts, fingerprint_of, read_splits
    from myna.tasks.passages import Passages
    from myna.tasks.reading import SUMMARIZER, summaries_by
    from myna.tasks.task import Adjustable, Sure, Writes
    from myna.tasks.whole import WholeTexts
    from myna.tokens.tokenizer import Tokenizer
    from myna.training.loop import train
    from myna.training.lora import merge
    from myna.training.processes import processes

    seed = seed if config.seed is None else config.seed
    ledger = Ledger()
    kind = find_task(config.task)
    splits = read_splits(Corpus.open(corpus_folder), kind, ledger)
    check_count(splits, config.training_examples)
    trained = choose(splits.train, config.training_examples or len(splits.train), seed)
    beside = counts(splits.train)
    ledger.dropped("beyond training_examples", **{unit: n - counts(trained)[unit] for unit, n in beside.items()})
    ledger.kept(**counts(splits.test))
    origin = read_origin(config, start_from, seed)
    start = None if config.from_scratch else origin.weights or None
    weights, lineage = origin.weights, origin.lineage if config.preset is None else []
    model = made_for(kind, origin.model, splits.names, config, seed, start_from)
    del origin  # Its weights are copied, and would be held all the time.
    task = kind(Tokenizer.open(start_from), model.labels, model.config.maximum_length)
    if isinstance(task, Adjustable):
        task.adjust(config, trained, model)
    within = {} if summarizer is None else {SUMMARIZER: summarizer}
    if isinstance(task, WholeTexts) and summarizer is not None:
        task.summarize = summaries_by(summarizer)
    let_learn(model, config, seed)
    items = task.items(trained, config.too_long, ledger)
    if isinstance(items, Passages):
        items.check_room(config.batch_tokens)
    if teacher is not None:
        report("the teacher answers", 0.0)
        items = taught(load(teacher), task, items)
    # Judged over all of each text, whatever training leaves out of a long one.
    held_out = task.items(splits.validation, "window", ledger)

    def validate() -> dict[str, float]:
        if isinstance(task, Writes):
            return task.validate(model, held_out, BATCH_TOKENS)
        return task.metrics(splits.validation, predictions(model, task, held_out))

    identity = {
        "model": model.config.model_dump(),
        "task": config.task,
        "labels": list(model.labels),
        "data": fingerprint_of(trained),
        "settings": {**result_settings(config), "start_from": None},
        "seed": seed,
        "start": start,
        **{name: read_facts(other).get("files") for name, other in within.items()},
    }
    if teacher is not None:
        identity["settings"] = {**result_settings(config), "start_from": None, "teacher": weights_hash(teacher)}
    progress = train(
        model,
        task,
        items,
        config,
        folder,
        seed,
        identity=identity,
        validate=validate,
        keep_best=True,
        seconds=seconds,
        report=report,
    )
    if not processes().first:
        return Ledger()
    described = {
        "name": folder.name,
        "task": config.task,
        "corpus": config.corpus,
        "examples": len(trained),
        "data": identity["data"],
        "start_from": config.start_from or config.preset,
        "from_scratch": config.from_scratch,
        "too_long": config.too_long,
        "steps": progress.step,
        "best": progress.best,
        "lineage": lineage,
    }
    if config.teacher is not None:
        described["teacher"] = config.teacher
    if isinstance(task, Adjustable):
        task.settle(model)
        if isinstance(task, Sure):  # What writes has no probabilities to set right, and would write all of them.
            described |= calibrate(task, splits.validation, predictions(model, task, held_out))
        described["decoding"] = task.remembered()
    if config.crf:
        described["crf"] = (
            "its scores stand in myna.json, where other libraries do not look: they read the tagger alone"
        )
    template = getattr(task, "chat_template", None)
    adapters = None
    if config.lora is not None and config.lora.merge:
        merge(model)
    elif config.lora is not None:
        described["base"] = weights
        adapters = lay_out(model, start_from, config.lora.rank, config.lora.alpha, config.lora.dropout)
    write_model_folder(folder / "model", model, start_from, described, template, within, adapters, kind.head == TRUNK)
    ledger.note("tokens trained, special ones included", progress.tokens)
    ledger.note("steps", progress.step)
    return ledger
