"""A model ready for use: what ``myna.load`` gives, from a folder of ours or of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from myna.errors import InputError
from myna.huggingface.folder import read_model_folder
from myna.inference.generate import Generated, Sampling, generate
from myna.inference.predict import BATCH_TOKENS, predict, predictions, unlabelled
from myna.model.flat import Flat, flatten
from myna.model.heads import Model
from myna.model.transformer import EncoderDecoder, Transformer
from myna.tasks import find_task
from myna.tasks.examples import Example
from myna.tasks.task import Prediction, Task, framed
from myna.tasks.windows import windows
from myna.tokens.encoding import encode
from myna.tokens.sampler import micro_batches
from myna.tokens.tokenizer import Tokenizer

# The task of a folder that does not name one, by the kind of its head.
_TASK_OF_HEAD = {"sequence": "classification", "token": "tagging"}


class Loaded:
    """A model with its tokenizer, and its task where it has one. ``facts`` are those of its ``myna.json``."""

    def __init__(self, model: Model, tokenizer: Tokenizer, facts: dict[str, Any], folder: Path) -> None:
        self.model, self.tokenizer, self.facts, self.folder = model, tokenizer, facts, folder

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the model's classes, in the order of its logits; none for a language model."""
        return self.model.labels

    @property
    def reader(self) -> Transformer:
        """The stack that reads texts: the trunk, or the encoder of an encoder-decoder."""
        trunk = self.model.trunk
        return trunk.encoder if isinstance(trunk, EncoderDecoder) else trunk

    @cached_property
    def task(self) -> Task:
        """The task that the model was fine-tuned for; an :class:`InputError` for a language model."""
        if self.model.kind not in _TASK_OF_HEAD:
            remedy = "give a fine-tuned model, or use generate with a decoder"
            raise InputError("this is a language model: it has no task to predict", where=self.folder, remedy=remedy)
        try:
            task = find_task(self.facts.get("task", _TASK_OF_HEAD[self.model.kind]))
        except InputError as error:
            raise error.at(self.folder / "myna.json") from None
        return task(self.tokenizer, self.labels, self.model.config.maximum_length)

    def predict(self, texts: str | Sequence[str]) -> list[dict[str, Any]]:
        """An answer for each text, of which there may be one: see :func:`~myna.inference.predict.predict`."""
        return predict(self.model, self.task, [texts] if isinstance(texts, str) else texts)

    def predict_examples(self, examples: Sequence[Example]) -> Sequence[Prediction]:
        """The task's own predictions, with probabilities, of examples: labelled or not."""
        return predictions(self.model, self.task, self.task.items(examples)) if examples else []

    def generate(
        self,
        prompt: str,
        tokens: int = 100,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> Generated:
        """What the model writes after ``prompt``, see :func:`~myna.inference.generate.generate`."""
        if self.model.kind != "causal":
            remedy = 'give a decoder (objective = "causal")'
            raise InputError("this model does not generate text", where=self.folder, remedy=remedy)
        sampling = Sampling(temperature, top_k, top_p, seed)
        return generate(self.model, self.tokenizer, [prompt], tokens, sampling)[0]

    def logits(self, token_ids: Sequence[Sequence[int]]) -> list[Tensor]:
        """The logits of each sequence of ids: ``(length, vocabulary)``, ``(labels,)`` or ``(length, labels)``.

        Ids are taken as they are; special tokens are the caller's. An empty sequence, one longer than the model's
        window, or an id outside the vocabulary is an :class:`InputError`.
        """
        found = [torch.empty(0)] * len(token_ids)
        for numbers, tokens, lengths in self._batches(token_ids):
            logits = self.model(tokens)
            parts = logits if self.model.kind == "sequence" else torch.split(logits, lengths)
            for number, part in zip(numbers, parts, strict=True):
                found[number] = part
        return found

    def hidden_states(self, token_ids: Sequence[Sequence[int]]) -> list[list[Tensor]]:
        """The embeddings and each layer's output of each sequence: ``layers + 1`` tensors ``(length, hidden)``."""
        found: list[list[Tensor]] = [[] for _ in token_ids]
        for numbers, tokens, lengths in self._batches(token_ids):
            for state in self.reader.hidden_states(tokens):
                for number, part in zip(numbers, torch.split(state, lengths), strict=True):
                    found[number].append(part)
        return found

    def embed(self, texts: str | Sequence[str]) -> Tensor:
        """A vector for each text, ``(texts, hidden)``: the mean of its last hidden states, special tokens included.

        The vector of a text longer than the model's window is the mean of those of its windows.
        """
        texts = [example.text for example in unlabelled([texts] if isinstance(texts, str) else texts)]
        lines: list[NDArray[np.int64]] = []
        owners: list[int] = []
        for number, encoding in enumerate(encode(self.tokenizer, texts)):
            for window in windows(len(encoding.ids), self.model.config.maximum_length - 2):
                lines.append(framed(self.tokenizer, encoding.ids[window.start : window.end]))
                owners.append(number)
        means = torch.zeros(len(lines), self.model.config.hidden_size)
        for numbers, tokens, lengths in self._batches(lines):
            for number, part in zip(numbers, torch.split(self.reader(tokens), lengths), strict=True):
                means[number] = part.mean(0)
        index = torch.tensor(owners, dtype=torch.int64)
        total = torch.zeros(len(texts), means.shape[1]).index_add_(0, index, means)
        return total / index.bincount(minlength=len(texts)).unsqueeze(1)

    def _batches(
        self, token_ids: Sequence[Sequence[int] | NDArray[np.int64]]
    ) -> Iterator[tuple[list[int], Flat, list[int]]]:
        """Batches of the sequences: their numbers, their tokens, their lengths."""
        lines = [np.asarray(line, np.int64) for line in token_ids]
        size = self.model.config.maximum_length
        for number, line in enumerate(lines, 1):
            if not 0 < len(line) <= size:
                raise InputError(f"sequence {number} has {len(line)} tokens, the model takes 1 to {size}")
            if line.min() < 0 or line.max() >= self.model.config.vocabulary_size:
                raise InputError(f"sequence {number} has an id that is none of the vocabulary's")
        lengths = np.array([len(line) for line in lines], np.int64)
        with torch.inference_mode():
            for chosen in micro_batches(lengths, BATCH_TOKENS):
                yield chosen.tolist(), flatten([lines[number] for number in chosen]), lengths[chosen].tolist()


def load(folder: Path | str) -> Loaded:
    """The model in a folder of ours, or in a bare one of Hugging Face (BERT, GPT-2).

    A folder that is missing, damaged or of an unknown kind is an :class:`InputError` that says so.
    """
    folder = Path(folder)
    model, facts = read_model_folder(folder)
    tokenizer = Tokenizer.open(folder)
    if tokenizer.vocabulary_size > model.config.vocabulary_size:
        what = f"the tokenizer has {tokenizer.vocabulary_size} pieces, the model {model.config.vocabulary_size}"
        raise InputError(what, where=folder, remedy="put the model's own tokenizer beside it")
    return Loaded(model, tokenizer, facts, folder)
