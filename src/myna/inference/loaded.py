"""A model ready for use: what ``myna.load`` gives, from a folder of ours or of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from myna.corpus.document import RawDocument
from myna.errors import InputError
from myna.evaluation.abstaining import threshold_for
from myna.huggingface.folder import TRUNK, open_model_folder
from myna.huggingface.weights import dtype_of
from myna.inference.generate import Generated, generate, stream
from myna.inference.manner import Manner, manner_of
from myna.inference.options import Options, described
from myna.inference.predict import BATCH_TOKENS, Asked, predict, predictions, unlabelled
from myna.inference.quantize import quantize
from myna.model.flat import Flat, flatten
from myna.model.heads import LANGUAGE_KINDS, Model
from myna.model.transformer import EncoderDecoder, Transformer
from myna.tasks import TASKS, find_task
from myna.tasks.examples import Example, document_of
from myna.tasks.pairs import Pairs
from myna.tasks.reading import SUMMARIZER, summaries_by
from myna.tasks.task import Adjustable, Prediction, Task, Writes, framed
from myna.tasks.whole import WholeTexts
from myna.tasks.windows import windows
from myna.tasks.writing import Writing
from myna.tokens.encoding import encode
from myna.tokens.sampler import micro_batches
from myna.tokens.tokenizer import Tokenizer

# The task of a folder that does not name one, by the kind of its head.
_TASK_OF_HEAD = {"sequence": "classification", "token": "tagging", "span": "questions", "sentences": "extraction"}


class Loaded:
    """A model, with its tokenizer and its task where it has them. ``facts`` are those of its ``myna.json``.

    ``settings`` are its ``config.json``; ``bare`` says that its folder holds a trunk without a head.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer | None,
        facts: dict[str, Any],
        folder: Path,
        settings: dict[str, Any] | None = None,
        bare: bool = False,
    ) -> None:
        self.model, self._tokenizer, self.facts, self.folder = model, tokenizer, facts, folder
        self.settings, self.bare = settings or {}, bare

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer; an :class:`InputError` where its folder has none."""
        if self._tokenizer is None:
            remedy = "put the model's tokenizer.json beside it, or give token ids (logits, hidden_states)"
            raise InputError("there is no tokenizer in this folder", where=self.folder, remedy=remedy)
        return self._tokenizer

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the model's classes, in the order of its logits; none for a language model."""
        return self.model.labels

    @property
    def reader(self) -> Transformer:
        """The stack that reads texts: the trunk, or the encoder of an encoder-decoder."""
        trunk = self.model.trunk
        return trunk.encoder if isinstance(trunk, EncoderDecoder) else trunk

    @property
    def goes_on(self) -> bool:
        """Whether what it writes goes on from the prompt; an encoder-decoder answers it, or what was fine-tuned to."""
        return self.model.kind == "causal" and (not self.writes or bool(getattr(self.task, "goes_on", False)))

    @property
    def writes(self) -> bool:
        """Whether it was fine-tuned for a task whose answer is a text."""
        return self.model.kind in LANGUAGE_KINDS and "decoding" in self.facts

    @property
    def gives_vectors(self) -> bool:
        """Whether it was trained to give vectors, and knows what of a text's hidden states its vector is."""
        return self.facts.get("kind") == TRUNK

    @cached_property
    def task(self) -> Task:
        """The task that the model was fine-tuned for; an :class:`InputError` for a language model."""
        if self.model.kind not in _TASK_OF_HEAD and not self.writes and not self.gives_vectors:
            remedy = "give a fine-tuned model, or use generate with a decoder"
            raise InputError("this is a language model: it has no task to predict", where=self.folder, remedy=remedy)
        try:
            usual = "regression" if self.labels == ("value",) else _TASK_OF_HEAD.get(self.model.kind, "")
            task = find_task(self.facts.get("task", usual))
        except InputError as error:
            raise error.at(self.folder / "myna.json") from None
        made = task(self.tokenizer, self.labels, self.model.config.maximum_length)
        if isinstance(made, Adjustable):
            made.recall(self.facts.get("decoding", {}))
        if isinstance(made, WholeTexts) and made.read == "summary":
            made.summarize = summaries_by(self.folder / SUMMARIZER)
        return made

    def predict(self, texts: str | Sequence[Asked], precision: float | None = None) -> list[dict[str, Any]]:
        """An answer for each text, of which there may be one: see :func:`~myna.inference.predict.predict`.

        With ``precision`` only answers that are as often right are given; None is the label of the others. A pair is
        an :class:`InputError` where the model was fine-tuned for single texts, and so is a precision that it does not
        reach.
        """
        least = None if precision is None else threshold_for(self.facts, precision, self.folder)
        asked = [texts] if isinstance(texts, str) else texts
        # A model of somebody else's does not say what it reads.
        if (
            self.facts.get("task") in TASKS
            and self.reads not in ("pairs", "questions")
            and any(isinstance(each, tuple) for each in asked)
        ):
            raise InputError(
                "this model reads single texts, and not pairs", remedy="leave the second text out (--pair)"
            )
        return predict(self.model, self.task, asked, least=least)

    def predict_examples(self, examples: Sequence[Example]) -> Sequence[Prediction]:
        """The task's own predictions, with probabilities, of examples: labelled or not."""
        return predictions(self.model, self.task, self.task.items(examples)) if examples else []

    @property
    def reads(self) -> str:
        """What the task reads: ``texts``, ``pairs`` of them, ``questions`` with a text each, ``words``; to write,
        ``sources`` or ``messages``.
        """
        if isinstance(self.task, Writes):
            return str(getattr(self.task, "reads", "sources"))
        if isinstance(self.task, Pairs):
            return "pairs"
        asked: str = getattr(self.task, "asks", "words" if getattr(self.task, "reads_words", False) else "texts")
        return asked

    def task_example(self, row: RawDocument, file: Path) -> Example:
        """The one example that a row of a file is, with what it says of its labels."""
        document = document_of(row, file)
        examples = self.task.examples(document)
        if len(examples) == 1 and (self.writes or examples[0].text == document.text):
            return examples[0]
        # A tagger's examples are sentences, and whole texts as well.
        return Example(document.text, document.id, document.source, document.group, spans=document.spans)

    def generate(self, prompt: str, tokens: int = 100, **options: Unpack[Options]) -> Generated:
        """What the model writes after ``prompt``, up to ``tokens`` tokens; with beams the best.

        The other settings are those of :class:`~myna.inference.options.Options`.
        """
        return self.generate_many([prompt], 1, tokens, **options)[0]

    def generate_many(
        self, prompts: Sequence[str], samples: int = 1, tokens: int = 100, **options: Unpack[Options]
    ) -> list[Generated]:
        """``samples`` texts after each prompt, side by side: as many draws, or with beams the best.

        What is written after a prompt does not depend on the others.
        """
        manner, asked = self._manner(), described(options)
        return generate(self.model, self.tokenizer, prompts, tokens, manner=manner, samples=samples, **asked)

    def stream(self, prompt: str, tokens: int = 100, **options: Unpack[Options]) -> Iterator[str]:
        """The text of :meth:`generate` in pieces as they become sure: no half characters, nothing taken back."""
        return stream(self.model, self.tokenizer, prompt, tokens, manner=self._manner(), **described(options))

    def _manner(self) -> Manner:
        if self.model.kind not in ("causal", "sequence_to_sequence") or self.bare:
            remedy = 'give a decoder (objective = "causal")'
            raise InputError("this model does not generate text", where=self.folder, remedy=remedy)
        if self.writes and isinstance(self.task, Writing):
            return self.task.manner()
        return manner_of(self.folder, self.settings, self.facts, self.tokenizer, self.model.config.vocabulary_size)

    def logits(
        self, token_ids: Sequence[Sequence[int]], decoder_ids: Sequence[Sequence[int]] | None = None
    ) -> list[Tensor]:
        """The logits of each sequence of ids: ``(length, vocabulary)``, ``(labels,)`` or ``(length, labels)``.

        An encoder-decoder reads ``token_ids`` and gives the logits of ``decoder_ids``, one sequence for each. Ids are
        taken as they are; special tokens are the caller's. An empty sequence, one longer than the model's window, or
        an id outside the vocabulary is an :class:`InputError`; so is a folder that holds a trunk without a head.
        """
        if self.bare:
            what = "this folder holds a trunk without a head, which has no logits"
            raise InputError(what, where=self.folder, remedy="use hidden_states or embed")
        reads = isinstance(self.model.trunk, EncoderDecoder)
        if reads != (decoder_ids is not None):
            what = "an encoder-decoder needs decoder_ids" if reads else "this model has no decoder beside it"
            raise InputError(what, where=self.folder, remedy=None if reads else "leave decoder_ids out")
        if decoder_ids is not None and len(decoder_ids) != len(token_ids):
            raise InputError(f"there are {len(token_ids)} sequences and {len(decoder_ids)} of decoder_ids")
        targets = None if decoder_ids is None else self._lines(decoder_ids, "decoder sequence")
        found = [torch.empty(0)] * len(token_ids)
        for numbers, tokens, lengths in self._batches(token_ids):
            if targets is None:
                logits = self.model(tokens)
            else:
                target = [targets[number] for number in numbers]
                logits, lengths = self.model(tokens, flatten(target)), list(map(len, target))
            parts = logits if self.model.kind == "sequence" else torch.split(logits, lengths)
            for number, part in zip(numbers, parts, strict=True):
                found[number] = part
        return found

    def hidden_states(self, token_ids: Sequence[Sequence[int]]) -> list[list[Tensor]]:
        """The embeddings and each layer's output of each sequence: ``layers + 1`` tensors ``(length, hidden)``.

        Of an encoder-decoder they are those of its encoder.
        """
        found: list[list[Tensor]] = [[] for _ in token_ids]
        for numbers, tokens, lengths in self._batches(token_ids):
            for state in self.reader.hidden_states(tokens):
                for number, part in zip(numbers, torch.split(state, lengths), strict=True):
                    found[number].append(part)
        return found

    def embed(self, texts: str | Sequence[str]) -> Tensor:
        """A vector for each text, ``(texts, hidden)``: the mean of its last hidden states, special tokens included.

        The vector of a text longer than the model's window is the mean of those of its windows. Of a model that was
        trained for embeddings it is what that says, and of length one.
        """
        examples = unlabelled([texts] if isinstance(texts, str) else texts)
        if self.gives_vectors and examples:
            found: Any = self.predict_examples(examples)
            return torch.from_numpy(np.stack([each.vector for each in found]))
        texts = [example.text for example in examples]
        lines: list[NDArray[np.int64]] = []
        owners: list[int] = []
        for number, encoding in enumerate(encode(self.tokenizer, texts)):
            for window in windows(len(encoding.ids), self.model.config.maximum_length - 2):
                lines.append(framed(self.tokenizer, encoding.ids[window.start : window.end]))
                owners.append(number)
        kind = torch.promote_types(torch.float32, self.model.trunk.embeddings.words.weight.dtype)
        means = torch.zeros(len(lines), self.model.config.hidden_size, dtype=kind)
        for numbers, tokens, lengths in self._batches(lines):
            for number, part in zip(numbers, torch.split(self.reader(tokens), lengths), strict=True):
                means[number] = part.to(kind).mean(0)
        index = torch.tensor(owners, dtype=torch.int64)
        total = torch.zeros(len(texts), means.shape[1], dtype=kind).index_add_(0, index, means)
        return total / index.bincount(minlength=len(texts)).unsqueeze(1)

    def _batches(
        self, token_ids: Sequence[Sequence[int] | NDArray[np.int64]]
    ) -> Iterator[tuple[list[int], Flat, list[int]]]:
        """Batches of the sequences: their numbers, their tokens, their lengths."""
        lines = self._lines(token_ids, "sequence")
        lengths = np.array([len(line) for line in lines], np.int64)
        with torch.inference_mode():
            for chosen in micro_batches(lengths, BATCH_TOKENS):
                yield chosen.tolist(), flatten([lines[number] for number in chosen]), lengths[chosen].tolist()

    def _lines(self, token_ids: Sequence[Sequence[int] | NDArray[np.int64]], what: str) -> list[NDArray[np.int64]]:
        lines = [np.asarray(line, np.int64) for line in token_ids]
        size = self.model.config.maximum_length
        for number, line in enumerate(lines, 1):
            if not 0 < len(line) <= size:
                raise InputError(f"{what} {number} has {len(line)} tokens, the model takes 1 to {size}")
            if line.min() < 0 or line.max() >= self.model.config.vocabulary_size:
                raise InputError(f"{what} {number} has an id that is none of the vocabulary's")
        return lines


def load(folder: Path | str, dtype: str | torch.dtype | None = None) -> Loaded:
    """The model in a folder of ours, or in a bare one of Hugging Face, with or without a tokenizer.

    ``dtype`` is ``float32``, ``bfloat16``, ``float16``, ``float64``, or ``int8``, which is float32 with the matrices of
    the layers in whole numbers (:mod:`.quantize`). None is float32 whatever the file holds, and float64 where that is
    what it holds. A folder that is missing, damaged or of an unknown kind is an :class:`InputError` that says so.
    """
    folder = Path(folder)
    given = None if dtype is None else dtype_of("float32" if dtype == "int8" else dtype)
    found = open_model_folder(folder, given or torch.float32, wider=given is None)
    if dtype == "int8":
        quantize(found.model)
    tokenizer = Tokenizer.open(folder) if (folder / "tokenizer.json").exists() else None
    rows = found.model.config.vocabulary_size
    if tokenizer is not None and tokenizer.vocabulary_size > rows:
        what = f"the tokenizer has {tokenizer.vocabulary_size} pieces, the model {rows} (rows of {found.embeddings})"
        raise InputError(what, where=folder / "tokenizer.json", remedy="put the model's own tokenizer beside it")
    return Loaded(found.model, tokenizer, found.facts, folder, found.settings, found.bare)
