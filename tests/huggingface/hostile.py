"""Model folders that mean harm, or have come to it: each is a good small one with one thing wrong, drawn by a seed."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from myna.huggingface.families import settings_of, tensors_of
from myna.huggingface.folder import to_json
from myna.huggingface.weights import write_weights
from myna.model.config import ModelConfig
from myna.model.heads import build

from ..tasks.material import tokenizer_folder

Draw = random.Random
SIZES = {"vocabulary_size": 140, "hidden_size": 8, "layers": 2, "heads": 2, "feed_forward_size": 12}
SIZES |= {"maximum_length": 16}
LLAMA = {"attention": "causal", "positions": "rotary", "norm": "rms_norm", "norm_place": "pre", "gated": True}
LLAMA |= {"activation": "silu", "norm_epsilon": 1e-6, "tied": False, "dropout": 0.0}
PLAIN = {"projection_bias": False, "output_bias": False, "feed_forward_bias": False}
BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("sequence", {"segments": 2, "head": {"activation": "tanh", "norm": False}}),
    "albert": ("masked", {"segments": 2, "layer_groups": 1, "embedding_size": 4}),
    "llama": ("causal", {**LLAMA, **PLAIN, "head": {"dense": False, "output_bias": False, "pooling": "last"}}),
    "bart": (
        "sequence_to_sequence",
        {"decoder_layers": 1, "position_offset": 2, "norm_epsilon": 1e-5, "head": {"dense": False, "dropout": 0.0}},
    ),
    "myna": ("masked", {"mixer": "convolution", "kernel_size": 3}),
}
HUGE = (10**9, 10**12, 2**63, 2**64, 10**30, -1, -(10**12), 0, 1.5, float("nan"), float("inf"), "12", "x", [], {}, True)
DEEP = 100_000


def write_base(family: str, folder: Path) -> None:
    """A good folder, without checksums."""
    kind, parts = BASES[family]
    model = build(ModelConfig(**SIZES, **parts), kind, ("bad", "good") if kind == "sequence" else (), seed=1)
    settings = settings_of(model)
    assert settings["model_type"] == family
    tokenizer_folder(folder)
    (folder / "config.json").write_bytes(to_json(settings))
    write_weights(folder, tensors_of(model))


def hostile_folders(parent: Path, count: int) -> Iterator[tuple[str, Path]]:
    """What is wrong, and the folder; every way to be wrong is drawn about equally often."""
    for family in BASES:
        write_base(family, parent / family)
    for number in range(count):
        draw = Draw(number)
        harm = HARMS[number % len(HARMS)]
        family = "bert" if harm in BERT_ONLY else draw.choice(list(BASES))
        folder = parent / f"{number:03}"
        folder.mkdir()
        for path in (parent / family).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        said = harm(folder, draw)
        yield f"{family}: {harm.__name__}: {said}"[:200], folder


# ------------------------------------------------------------------------------------------------------ the weights


def _parts(folder: Path) -> tuple[dict[str, Any], bytes]:
    data = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _put(folder: Path, header: dict[str, Any] | bytes, data: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)


def _some(header: dict[str, Any], draw: Draw) -> str:
    return draw.choice(sorted(header.keys() - {"__metadata__"}))


def truncated(folder: Path, draw: Draw) -> Any:
    data = (folder / "model.safetensors").read_bytes()
    cut = draw.choice([0, 1, 7, 8, 9, draw.randrange(len(data)), len(data) - 1])
    (folder / "model.safetensors").write_bytes(data[:cut])
    return cut


def longer(folder: Path, draw: Draw) -> Any:
    with open(folder / "model.safetensors", "ab") as stream:
        return stream.write(bytes(draw.randrange(1, 99)))


def lying_length(folder: Path, draw: Draw) -> Any:
    data = bytearray((folder / "model.safetensors").read_bytes())
    true = int.from_bytes(data[:8], "little")
    said = draw.choice([0, 1, true - 1, true + 1, len(data), 2**31, 2**40, 2**63, 2**64 - 1])
    data[:8] = said.to_bytes(8, "little")
    (folder / "model.safetensors").write_bytes(data)
    return said


def broken_header(folder: Path, draw: Draw) -> Any:
    _, data = _parts(folder)
    header = draw.choice(
        [b"", b"[]", b"null", b"{", b'{"a": 3}', b"\xff\xfe{}", b'{"a": {}}', b"[" * DEEP, b'{"a":' * DEEP]
    )
    _put(folder, header, data)
    return header[:20]


def wrong_offsets(folder: Path, draw: Draw) -> Any:
    header, data = _parts(folder)
    name = _some(header, draw)
    start, end = header[name]["data_offsets"]
    wrong = draw.choice(
        [[start, end + 4], [end, start], [-4, end], [0, 2**62], [start + 4, end + 4], [start], "ab", [0, 0]]
    )
    header[name]["data_offsets"] = wrong
    _put(folder, header, data)
    return name, wrong


def overlapping(folder: Path, draw: Draw) -> Any:
    header, data = _parts(folder)
    names = [name for name in header if name != "__metadata__"]
    first, second = draw.sample(names, 2)
    header[first] = header[second]
    _put(folder, header, data)
    return first, second


def wrong_shape(folder: Path, draw: Draw) -> Any:
    header, data = _parts(folder)
    name = _some(header, draw)
    shape = header[name]["shape"]
    size = (header[name]["data_offsets"][1] - header[name]["data_offsets"][0]) // 4
    ways = [[*shape, 1], [1, 1, *shape], [size, 1, 1], [*shape, 2**60], [2**32, 2**32], [-1], ["x"], [0], 3]
    header[name]["shape"] = draw.choice(ways)
    _put(folder, header, data)
    return name, header[name]["shape"]


def wrong_dtype(folder: Path, draw: Draw) -> Any:
    header, data = _parts(folder)
    name = _some(header, draw)
    dtype, width = draw.choice(
        [("I32", 1), ("U32", 1), ("I64", 2), ("BOOL", 0), ("F8_E4M3", 0), ("F99", 1), (3, 1), ("F64", 1)]
    )
    header[name]["dtype"] = dtype
    shape = header[name]["shape"]
    if width == 0:
        header[name]["shape"] = [4, *shape]
    elif width == 2:
        header[name]["shape"] = [*shape[:-1], shape[-1] // 2]
    _put(folder, header, data)
    return name, dtype


def no_number(folder: Path, draw: Draw) -> Any:
    header, data = _parts(folder)
    name = _some(header, draw)
    start, end = header[name]["data_offsets"]
    place = draw.randrange(start, end, 4)
    wrong = draw.choice([b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\x00\x00\x80\xff", b"\x01\x00\x80\x7f"])
    _put(folder, header, data[:place] + wrong + data[place + 4 :])
    return name, wrong


def tensor_gone(folder: Path, draw: Draw) -> Any:
    header, data = _parts(folder)
    name = _some(header, draw)
    renamed = draw.choice([name + "x", "", "a\nb", "\x1b[31m", "é" * 5000, "../../x", name.upper()])
    header[renamed] = header.pop(name)
    _put(folder, header, data)
    return name, renamed[:20]


def tensor_more(folder: Path, draw: Draw) -> Any:
    header, data = _parts(folder)
    name = draw.choice(["evil", "a\nb", "x" * 4000, "bert.encoder.layer.2.output.dense.weight", "layers.999999999.a"])
    end = len(data)
    header[name] = {"dtype": "F32", "shape": [2], "data_offsets": [end, end + 8]}
    _put(folder, header, data + bytes(8))
    return name[:20]


def no_file(folder: Path, draw: Draw) -> Any:
    name = draw.choice(["model.safetensors", "config.json"])
    path = folder / name
    path.unlink()
    way = draw.choice(["gone", "folder", "loop", "dangling", "zeros", "pipe", "empty"])
    if way == "folder":
        path.mkdir()
    elif way in ("loop", "dangling", "zeros"):
        path.symlink_to({"loop": path, "dangling": "/nowhere/at/all", "zeros": "/dev/zero"}[way])
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "empty":
        path.touch()
    return name, way


def sparse(folder: Path, draw: Draw) -> Any:
    name = draw.choice(["model.safetensors", "config.json", "tokenizer.json"])
    size = draw.choice([10**10, 10**12])
    os.truncate(folder / name, size)
    return name, size


# -------------------------------------------------------------------------------------------------------- the index


def index(folder: Path, draw: Draw) -> Any:
    header, _ = _parts(folder)
    file = "model-00001-of-00001.safetensors"
    os.rename(folder / "model.safetensors", folder / file)
    places: Any = {name: file for name in header if name != "__metadata__"}
    name = draw.choice(sorted(places))
    wrong = draw.choice(
        ["shard", "..", "/etc/passwd", "", "a\x00b", "\ud800", "x" * 5000, 3, None, "unsaid", "twice", "list", "{"]
    )
    if wrong == "unsaid":
        del places[name]
    elif wrong == "twice":
        (folder / "other.safetensors").write_bytes((folder / file).read_bytes())
        places[name] = "other.safetensors"
    elif wrong == "list":
        places = list(places)
    elif wrong == "shard":
        places[name] = "model-00002-of-00002.safetensors"
    else:
        places[name] = wrong
    text = "{" if wrong == "{" else json.dumps({"weight_map": places})
    (folder / "model.safetensors.index.json").write_text(text)
    return wrong if not isinstance(wrong, str) else wrong[:20]


# ------------------------------------------------------------------------------------------------------- the config


def _change(folder: Path, **settings: Any) -> None:
    content = json.loads((folder / "config.json").read_text())
    inside = content.get("description", content)
    inside.update(settings)
    (folder / "config.json").write_text(json.dumps(content))


def wrong_size(folder: Path, draw: Draw) -> Any:
    content = json.loads((folder / "config.json").read_text())
    inside = content.get("description", content)
    # Sizes that shape a tensor: any other value than the right one is wrong.
    shaping = {"vocab", "hidden_size", "layers", "intermediate", "d_model", "ffn_dim", "num_key", "embedding_size"}
    names = [name for name in inside if any(part in name for part in shaping) and type(inside[name]) is int]
    name = draw.choice(names)
    value = draw.choice([value for value in HUGE if value != inside[name]])
    _change(folder, **{name: value})
    return name, value


def many_layers(folder: Path, draw: Draw) -> Any:
    content = json.loads((folder / "config.json").read_text())
    inside = content.get("description", content)
    name = draw.choice(
        [name for name in ("num_hidden_layers", "layers", "encoder_layers", "decoder_layers") if name in inside]
    )
    value = draw.choice([10**5, 10**9, 10**12, 2**64, 1e300, 1024, -1])
    # ALBERT uses one block as often as it is told.
    value = 10**9 if value == 1024 and "num_hidden_groups" in inside else value
    _change(folder, **{name: value})
    return name, value


def wrong_setting(folder: Path, draw: Draw) -> Any:
    deep: Any = []
    for _ in range(draw.choice([10, 400, 900])):
        deep = [deep]
    known: list[dict[str, Any]] = [
        {"hidden_act": "evil", "activation_function": "evil", "activation": "evil"},
        {"model_type": draw.choice(["evil", "", 3, [], {}, None, "../bert", "x" * 10**5])},
        {"evil_setting": draw.choice([1, "x" * 10**6, deep, {"a": deep}, 10**300])},
        {"a\nb": 1},
        {"num_attention_heads": 3, "encoder_attention_heads": 3, "heads": 3},
        {"num_attention_heads": 0, "encoder_attention_heads": 0, "heads": 0},
        {"num_attention_heads": 10**12, "encoder_attention_heads": 10**12, "heads": 10**12},
        {"max_position_embeddings": 10**12, "maximum_length": 10**12, "rope_theta": -1},
        {"rope_parameters": deep, "evil": 1},
        {
            "position_embedding_type": "relative_key",
            "positions": "alibi+learned",
            "rope_scaling": {"type": "evil"},
            "scale": deep,
        },
        {"layer_norm_eps": -1, "rms_norm_eps": float("nan"), "dropout": 2, "norm_epsilon": 0},
        {"layer_norm_eps": deep, "rms_norm_eps": deep, "dropout": deep, "norm_epsilon": deep},
    ]
    chosen = draw.choice(known)
    content = json.loads((folder / "config.json").read_text())
    if "description" in content and "model_type" not in chosen:
        _change(folder, **chosen)
    else:
        (folder / "config.json").write_text(json.dumps({**content, **chosen}))
    return str(chosen)[:60]


def many_labels(folder: Path, draw: Draw) -> Any:
    content = json.loads((folder / "config.json").read_text())
    del content["id2label"], content["label2id"]
    wrong: dict[str, Any] = draw.choice(
        [
            {"num_labels": draw.choice([10**12, -1, 10**6, "x", [1], 3, 1.5])},
            {"id2label": draw.choice([{"5": "a"}, ["a"], "ab", 7, {"0": "a", "2": "b"}, {"0": "only"}])},
            {"architectures": draw.choice([5, "BertModel", [["x"]], {"a": 1}, ["EvilModel"], [None]]), "num_labels": 7},
        ]
    )
    (folder / "config.json").write_text(json.dumps({**content, **wrong}))
    return wrong


def no_json(folder: Path, draw: Draw) -> Any:
    name = draw.choice(["config.json", "tokenizer.json", "tokenizer_config.json"])
    digits = b'{"vocab_size": ' + b"9" * 5000 + b"}"
    ways = [
        b"",
        b"null",
        b"[]",
        b"3",
        b"{",
        b"\xff\xfe\x00",
        b"\x00" * 50,
        b"[" * DEEP,
        b'{"a":' * DEEP,
        b"\x80abc",
        digits + b"}",
    ]
    data = draw.choice(ways)
    (folder / name).write_bytes(data)
    return name, data[:20]


# ------------------------------------------------------------------------------------------- checksums and tokenizer


def _with_checksums(folder: Path) -> dict[str, Any]:
    from myna import files

    described = {"format": 1, "kind": "sequence", "labels": ["bad", "good"], "files": files.manifest(folder)}
    (folder / "myna.json").write_bytes(to_json(described))
    return described


def flipped_bit(folder: Path, draw: Draw) -> Any:
    _with_checksums(folder)
    path = draw.choice(sorted(path for path in folder.iterdir() if path.name != "myna.json"))
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    data[place] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return path.name, place


def wrong_manifest(folder: Path, draw: Draw) -> Any:
    described = _with_checksums(folder)
    listed = described["files"]
    name = draw.choice(sorted(listed))
    way = draw.choice(["format", "none", "list", "entry", "sum", "size", "more", "out", "whole", "deep", "pipe"])
    if way in ("format", "none"):
        described["format" if way == "format" else "files"] = (
            draw.choice([None, 2, "1", [1], {}]) if way == "format" else None
        )
    elif way == "list":
        described["files"] = list(listed)
    elif way == "entry":
        listed[name] = draw.choice([3, None, {}, {"bytes": 3}, []])
    elif way == "sum":
        listed[name]["sha256"] = draw.choice(["0" * 64, 3, None])
    elif way == "size":
        listed[name]["bytes"] = draw.choice([-1, 10**30, "x", None])
    elif way == "more":
        listed["x" * draw.choice([3, 5000])] = listed[name]
    elif way == "out":
        listed[draw.choice(["../000/config.json", "/etc/passwd", "/dev/zero", "a\x00b"])] = listed[name]
    text = json.dumps(described)
    text = "[]" if way == "whole" else '{"format":' * DEEP if way == "deep" else text
    (folder / "myna.json").unlink()
    if way == "pipe":
        os.mkfifo(folder / "myna.json")
    else:
        (folder / "myna.json").write_text(text)
    return way, name


def wrong_tokenizer(folder: Path, draw: Draw) -> Any:
    content = json.loads((folder / "tokenizer.json").read_text())
    way = draw.choice(["large", "far", "kind", "none", "vocab", "type", "unk", "added", "ends", "pieces"])
    if way == "large":
        content["model"]["vocab"] |= {f"piece{n}": 200 + n for n in range(draw.choice([1, 999]))}
    elif way == "far":
        content["model"]["vocab"]["far"] = draw.choice([2**31, 2**32 - 1, 2**40, -1, 1.5])
    elif way == "kind":
        content["model"] = {"type": "WordLevel", "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, "unk_token": "[UNK]"}
    elif way == "none":
        content = {}
    elif way == "vocab":
        content["model"]["vocab"] = draw.choice([3, {"a": "b"}, {"a": [1]}, "x"])
    elif way == "type":
        content["model"] = draw.choice([3, [], "BPE", {"type": "Evil"}])
    elif way == "unk":
        content["model"] = {"type": "Unigram", "unk_id": 10**6, "vocab": [["a", 0.0], ["[SEP]", 0.0]]}
    elif way == "added":
        content["added_tokens"] = draw.choice([3, [3], [{"id": 1}], [{"id": -1, "content": "x"}]])
    elif way == "ends":
        for special in ("[SEP]", "[CLS]"):
            del content["model"]["vocab"][special]
        content["added_tokens"] = []
    else:
        content["model"]["continuing_subword_prefix"] = 3
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return way


HARMS: tuple[Callable[[Path, Draw], Any], ...] = (
    *(truncated, longer, lying_length, broken_header, wrong_offsets, overlapping, wrong_shape, wrong_dtype, no_number),
    *(tensor_gone, tensor_more, no_file, sparse, index, wrong_size, many_layers, wrong_setting, many_labels, no_json),
    *(flipped_bit, wrong_manifest, wrong_tokenizer),
)
BERT_ONLY = (many_labels, flipped_bit, wrong_manifest)
