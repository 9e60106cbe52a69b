"""What the tables of all families share: how one describes a family, and how it is read and written.

A :class:`Family` has fields (a setting of ``config.json`` and the part of a :class:`ModelConfig` that it is), rows (a
tensor of ours and those of theirs that it is made of), and heads. A row that a model has no tensor for is passed
over, so that one table serves a family with and without its optional parts. What a table can't place is an error that
names it: a tensor, a setting, a value.

A model is saved as the first family whose ``config.json``, read again, gives the same description, and in a layout of
our own where there is none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from torch import Tensor

from myna.errors import InputError
from myna.model.config import MOST_LAYERS, ModelConfig
from myna.model.heads import FIXED_LABELS, LANGUAGE_KINDS, Model
from myna.settings import reason

REQUIRED = object()
GELU = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh"}
ACTIVATIONS = GELU | {"relu": "relu", "relu2": "squared_relu", "silu": "silu", "swish": "silu", "tanh": "tanh"}
# Settings of config.json that change nothing of what a model computes from given weights and tokens.
HARMLESS = frozenset(
    """_name_or_path architectures model_type transformers_version torch_dtype dtype use_cache id2label label2id
    num_labels _num_labels problem_type finetuning_task bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id
    mask_token_id unk_token_id decoder_start_token_id forced_bos_token_id forced_eos_token_id initializer_factor
    gradient_checkpointing output_past task_specific_params prefix language _attn_implementation attn_implementation
    output_attentions output_hidden_states return_dict return_dict_in_generate chunk_size_feed_forward
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p
    typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids
    num_return_sequences remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens
    torchscript is_encoder_decoder tokenizer_class directionality""".split()  # noqa: SIM905
)
# Threads that read tensors: more would hold more parts in memory at once, and a disk's cache is no faster for them.
_READERS = 4
# More classes than any classifier has, so that a config.json of a few bytes can't ask for any memory.
_MOST_LABELS = 1 << 17


class TensorError(InputError):
    """What is wrong with a tensor; ``at`` the file that holds it this becomes an :class:`InputError`."""

    def __init__(self, tensor: str, what: str) -> None:
        super().__init__(f"the tensor {shown(tensor)} {what}")
        self.tensor = tensor

    def at(self, where: str | Path) -> InputError:
        """The same error with its place."""
        return InputError(self.what, where=where)


def shown(value: object) -> str:
    """A value as an error tells it: as Python writes it, a name as it is; in one line, and not too long."""
    try:
        text = value if isinstance(value, str) and value.isprintable() else repr(value)
    except (RecursionError, ValueError):  # nested too deep; a number of too many digits
        return "what is there"
    return text if len(text) <= 90 else f"{text[:80]} …"


def quoted(value: object) -> str:
    """:func:`shown`, a string between quotes."""
    return shown(repr(value)) if isinstance(value, str) else shown(value)


class Field(NamedTuple):
    """A part of a model (dotted: of its head), its setting in ``config.json``, and theirs: ours where values differ."""

    ours: str
    theirs: str
    default: Any = REQUIRED
    values: Mapping[Any, Any] | None = None


class Row(NamedTuple):
    """A tensor of ours and those of theirs, side by side along the output. ``*`` stands for the number of a layer.

    ``transposed`` marks a ``Conv1D``, which keeps a matrix the other way; ``unsqueezed`` a dimension of size one that
    theirs has more.
    """

    ours: str
    theirs: tuple[str, ...]
    transposed: bool = False
    unsqueezed: int | None = None


def rows_of(ours: str, *theirs: str, transposed: bool = False) -> list[Row]:
    """The rows of a weight and its bias."""
    return [
        Row(f"{ours}.weight", tuple(f"{name}.weight" for name in theirs), transposed),
        Row(f"{ours}.bias", tuple(f"{name}.bias" for name in theirs)),
    ]


class Head(NamedTuple):
    """The class that ``config.json`` names, the rows of its tensors, and what differs from a plain ``HeadConfig``."""

    architecture: str
    rows: Sequence[Row] = ()
    parts: Mapping[str, Any] = {}


class Settings:
    """``config.json`` as it is read: what is not asked for is told at the end."""

    def __init__(self, content: Mapping[str, Any], harmless: Sequence[str] = ()) -> None:
        self._content, self._asked = content, {*HARMLESS, *harmless}

    def __contains__(self, name: str) -> bool:
        return self._content.get(name) is not None

    def take(self, name: str, default: Any = REQUIRED) -> Any:
        """The value of a setting; null and absent are the default."""
        self._asked.add(name)
        value = self._content.get(name)
        if value is None and default is REQUIRED:
            raise InputError(f"config.json: {name} is missing")
        return default if value is None else value

    def one_of(self, name: str, values: Mapping[Any, Any], default: Any = REQUIRED) -> Any:
        """Our word for the value of a setting."""
        value = self.take(name, default)
        try:
            return values[value]
        except (KeyError, TypeError):
            known = ", ".join(map(repr, values))
            raise InputError(f"config.json: {name} = {quoted(value)} is not supported, only {known}") from None

    def must(self, **expected: Any) -> None:
        """Refuses another value of a setting than the one that these weights are read for; absent is that value."""
        for name, value in expected.items():
            if self.take(name, value) != value:
                what = f"config.json: {name} = {quoted(self._content[name])} is not supported"
                raise InputError(f"{what}, only {quoted(value)}")

    def end(self) -> None:
        """Refuses what nobody has asked for."""
        for name, value in self._content.items():
            if name not in self._asked and value is not None:
                raise InputError(f"config.json: {shown(name)} = {quoted(value)} is not supported in this family")


@dataclass(frozen=True)
class Family:
    """How a family is called, configured and laid out.

    ``parts`` are those of all its models; ``must`` are settings with the one value that is supported. ``read`` and
    ``write`` are for what is no field: they give parts and settings. Tensors whose names match ``ignored`` say
    nothing new (copies, buffers); those that begin as ``unused`` are of heads left behind. ``harmless``
    settings change nothing of what is computed.
    """

    model_type: str
    prefix: str
    fields: Sequence[Field]
    rows: Sequence[Row]
    heads: Mapping[str, Head]
    parts: Mapping[str, Any] = field(default_factory=dict)
    must: Mapping[str, Any] = field(default_factory=dict)
    read: Callable[[Settings], dict[str, Any]] = lambda settings: {}
    write: Callable[[ModelConfig], dict[str, Any]] = lambda config: {}
    ignored: Sequence[str] = ()
    unused: Sequence[str] = ()
    harmless: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def config(self, content: Mapping[str, Any], kind: str) -> ModelConfig:
        """The description of a model with a head of a kind; an :class:`InputError` names what is not supported."""
        try:
            return self._config(Settings(content, self.harmless), kind)
        except ValidationError as error:
            raise InputError(f"config.json: {self._reason(error)}") from None
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            raise InputError(f"config.json: a setting has a value of the wrong kind ({shown(str(error))})") from None

    def _reason(self, error: ValidationError) -> str:
        """What a description refused first, under the name that ``config.json`` has for it."""
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        name = next((theirs for ours, theirs, *_ in self.fields if ours == place), None)
        return reason(error) if name is None else f"{name} = {quoted(first['input'])}: {first['msg']}"

    def _config(self, settings: Settings, kind: str) -> ModelConfig:
        settings.must(**self.must)
        parts: dict[str, Any] = {**self.parts}
        head: dict[str, Any] = {}
        for ours, theirs, default, values in self.fields:
            value = settings.take(theirs, default) if values is None else settings.one_of(theirs, values, default)
            if ours == "layers" and isinstance(value, (int, float)) and value > MOST_LAYERS:
                # Before anything is made for each of them.
                raise InputError(f"config.json: {theirs} = {quoted(value)} is not supported, only up to {MOST_LAYERS}")
            inner = ours.startswith("head.")
            (head if inner else parts)[ours.removeprefix("head.")] = value
        parts |= self.read(settings)
        settings.end()
        parts["head"] = {**head, **parts.get("head", {}), **self.heads[kind].parts}
        return ModelConfig(**parts)

    def settings(self, config: ModelConfig, kind: str) -> dict[str, Any]:
        """``config.json`` of a description, special tokens and labels aside."""
        content: dict[str, Any] = {"architectures": [self.heads[kind].architecture], "model_type": self.model_type}
        for ours, theirs, _, values in self.fields:
            value = getattr(config.head, ours[5:]) if ours.startswith("head.") else getattr(config, ours)
            if value is None and ours == "embedding_dropout":
                value = config.dropout
            if values is not None:
                value = next((theirs for theirs, mine in values.items() if mine == value), REQUIRED)
                if value is REQUIRED:
                    raise InputError(f"{ours} is not a part of a {self.model_type} model")
            content[theirs] = value
        return content | self.write(config)

    def kind(self, content: Mapping[str, Any]) -> tuple[str, bool]:
        """The kind of head that a folder has, and whether it is a bare trunk: the first kind stands for that."""
        given = content.get("architectures") or [None]
        named = given[0] if isinstance(given, list) and isinstance(given[0], str) else None
        kinds = {head.architecture: kind for kind, head in self.heads.items()} | dict(self.aliases)
        return (kinds[named], False) if named in kinds else (next(iter(self.heads)), True)

    def placed(self, model: Model) -> Iterator[tuple[Row, Tensor]]:
        """The rows of a model, a tensor of ours with each."""
        ours = dict(model.named_parameters())
        layers = max(model.config.layers, model.config.decoder_layers)
        for row in [*self.rows, *self.heads[model.kind].rows]:
            for n in range(layers if "*" in row.ours else 1):
                name = row.ours.replace("*", str(n))
                if name in ours:
                    theirs = tuple(part.replace("*", str(n)) for part in row.theirs)
                    yield row._replace(ours=name, theirs=theirs), ours.pop(name)
        assert not ours, f"the table of {self.model_type} has no row for {', '.join(ours)}"

    def tensors(self, model: Model, bare: bool = False) -> dict[str, Tensor]:
        """The weights under the names and in the shapes of the family; those of a ``bare`` trunk have no prefix."""
        theirs: dict[str, Tensor] = {}
        for row, tensor in self.placed(model):
            if bare and row.ours.startswith("head."):
                continue
            sizes = sizes_of(row, tensor.shape[0], model.config)
            for name, part in zip(row.theirs, torch.split(tensor.detach(), sizes), strict=True):
                part = part.T if row.transposed else part
                name = name.removeprefix(self.prefix) if bare else name
                theirs[name] = (part if row.unsqueezed is None else part.unsqueeze(row.unsqueezed)).contiguous()
        return theirs

    def load(
        self, model: Model, tensors: Mapping[str, Tensor], bare: bool, dtype: torch.dtype | None = torch.float32
    ) -> list[str]:
        """Gives a model without weights those of a folder; without a head, in a bare trunk, zeros for it.

        ``dtype`` is what they become; None: what each is. Gives the names of the tensors that it has no use for.
        """
        # Theirs by the name in a model with a head.
        given: dict[str, str] = {}
        for own in tensors:
            name = self._full_name(own)
            if given.setdefault(name, own) != own:
                raise TensorError(own, f"is there twice, once as {shown(given[name])}")
        given = {name: own for name, own in given.items() if not any(part in name for part in self.ignored)}
        weights: dict[str, Tensor] = {}
        joined: dict[str, Callable[[], Tensor]] = {}
        for row, empty in self.placed(model):
            if bare and row.ours.startswith("head.") and not any(name in given for name in row.theirs):
                weights[row.ours] = torch.zeros(empty.shape, dtype=dtype or torch.float32)
                continue
            missing = next((name for name in row.theirs if name not in given), None)
            if missing is not None:
                raise TensorError(missing, "is missing")
            names, sizes = [given.pop(name) for name in row.theirs], sizes_of(row, empty.shape[0], model.config)
            joined[row.ours] = functools.partial(_joined, row, tensors, names, empty.shape, sizes, dtype)
        for name, left in given.items():
            if not any(name.startswith(pattern) for pattern in self.unused):
                raise TensorError(left, "has no place in this model")
        # What takes time is the system, which reads and finds memory, and for that threads do not wait for each other.
        with ThreadPoolExecutor(_READERS) as pool:
            weights |= zip(joined, pool.map(lambda read: read(), joined.values()), strict=True)
        # Every parameter has been placed; a name that two stacks share is in the state twice, and here once.
        model.load_state_dict(weights, strict=False, assign=True)
        return list(given.values())

    def _full_name(self, name: str) -> str:
        """The name in a model with a head: a bare trunk's tensors stand without the prefix."""
        # The oldest files call a norm's weight and bias so.
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if not self.prefix or name.startswith(self.prefix):
            return name
        ends = {part for head in self.heads.values() for row in head.rows for part in row.theirs}
        others = (*self.unused, *self.ignored)
        return name if name in ends or any(other in name for other in others) else self.prefix + name


def sizes_of(row: Row, rows: int, config: ModelConfig) -> list[int]:
    """How much of our tensor each of theirs is: heads of queries, of keys and of values, or equal parts."""
    if len(row.theirs) == 3 and config.key_value_heads is not None:
        keys = config.kv_heads * config.head_channels
        return [config.heads * config.head_channels, keys, keys]
    return [rows // len(row.theirs)] * len(row.theirs)


def _joined(
    row: Row,
    tensors: Mapping[str, Tensor],
    names: Sequence[str],
    shape: torch.Size,
    sizes: Sequence[int],
    dtype: torch.dtype | None,
) -> Tensor:
    """Our tensor, made of those that are called ``names`` in the file."""
    parts = []
    for name, size in zip(names, sizes, strict=True):
        part = tensors[name]
        if not part.is_floating_point():
            raise TensorError(name, f"holds {part.dtype}, not numbers with a fraction")
        expected = [size, *shape[1:]]
        if row.transposed:
            expected.reverse()
        if row.unsqueezed is not None:
            expected.insert(row.unsqueezed % (len(expected) + 1), 1)
        if list(part.shape) != expected:
            raise TensorError(name, f"is {tuple(part.shape)}, not {tuple(expected)} as config.json says")
        part = part if row.unsqueezed is None else part.squeeze(row.unsqueezed)
        parts.append(part.T if row.transposed else part)
    kept = functools.reduce(torch.promote_types, (part.dtype for part in parts)) if dtype is None else dtype
    if len(parts) == 1 and parts[0].dtype == kept and parts[0].is_contiguous():
        return parts[0]
    joined = torch.empty(shape, dtype=kept)
    for place, part in zip(torch.split(joined, list(sizes)), parts, strict=True):
        place.copy_(part)
    return joined


def labels_of(content: Mapping[str, Any], kind: str) -> list[str]:
    """The names of the classes in ``config.json``."""
    if kind in LANGUAGE_KINDS or kind in FIXED_LABELS:
        return []
    names = content.get("id2label")
    if not names:  # transformers leaves out the names of two classes that were given none
        count = content.get("num_labels") or 2
        if not isinstance(count, int) or not 0 < count <= _MOST_LABELS:
            raise InputError(f"config.json: num_labels = {quoted(count)} is not supported, only 1 to {_MOST_LABELS}")
        return [f"LABEL_{n}" for n in range(count)]
    try:
        return [str(names[str(number)]) for number in range(len(names))]
    except (KeyError, TypeError):
        raise InputError("config.json: id2label does not name the classes 0, 1, …") from None
