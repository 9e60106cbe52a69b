"""``convert``: what comes out is what went in, byte for byte, in whatever files it lay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save, save_file

from myna.cli import main
from myna.errors import InputError
from myna.huggingface.conversion import convert
from myna.huggingface.weights import write_weights
from myna.inference.loaded import load

from ..parity.comparing import Case, their_model
from ..parity.decoders import CASES as DECODERS
from ..parity.encoders import CASES as ENCODERS
from ..tasks.material import encoder_folder, tokenizer_folder

FIRST = {case.family: case for case in reversed([*ENCODERS, *DECODERS])}
SIZES = {"vocab_size": 150, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
BERT = transformers.BertConfig(**SIZES, intermediate_size=24, max_position_embeddings=24)
LLAMA = transformers.LlamaConfig(**SIZES, intermediate_size=24, num_key_value_heads=1, bos_token_id=2, eos_token_id=3)


def content(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder."""
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


def same(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    """Whether two folders hold the same bytes under the same names."""
    first, second = ({name: (t.dtype, t.shape) for name, t in each.items()} for each in (some, others))
    return first == second and all(
        torch.equal(t.view(torch.uint8), others[n].view(torch.uint8)) for n, t in some.items()
    )


@pytest.mark.parametrize("case", FIRST.values(), ids=lambda case: case.family)
def test_theirs_to_ours_to_theirs_is_byte_equal(tmp_path: Path, case: Case) -> None:
    theirs = their_model(case).bfloat16()
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="10KB")
    assert (tmp_path / "theirs/model.safetensors.index.json").is_file()
    made = convert(tmp_path / "theirs", tmp_path / "ours")
    assert (made["family"], made["head"]) == (case.family, case.kind)
    assert same(content(tmp_path / "ours"), content(tmp_path / "theirs"))
    config = json.loads((tmp_path / "ours/config.json").read_text())
    assert config["dtype"] == "bfloat16"
    for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        assert config.get(name) == getattr(theirs.config, name, None)
    again, info = getattr(transformers, case.automatic).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert same(dict(again.state_dict()), dict(theirs.state_dict()))


def llama(folder: Path, **changes: Any) -> Any:
    model = transformers.LlamaForCausalLM(LLAMA).to(**{"dtype": torch.float32, **changes})
    model.save_pretrained(tokenizer_folder(folder))
    return model


def test_shards_have_an_index_and_are_read_as_one(tmp_path: Path) -> None:
    llama(tmp_path / "one")
    convert(tmp_path / "one", tmp_path / "many", shard_size="6KB")
    index = json.loads((tmp_path / "many/model.safetensors.index.json").read_text())
    files = sorted(set(index["weight_map"].values()))
    assert files[0] == f"model-00001-of-{len(files):05}.safetensors"
    assert len(files) > 3
    # What is larger than a shard has one for itself.
    for path in (tmp_path / "many" / file for file in files):
        assert path.stat().st_size < 7000 or len(load_file(path)) == 1
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in content(tmp_path / "many").values())
    convert(tmp_path / "many", tmp_path / "again")
    assert (tmp_path / "again/model.safetensors").is_file()
    assert same(content(tmp_path / "again"), content(tmp_path / "one"))
    logits = [load(tmp_path / name).logits([[5, 6, 7]])[0] for name in ("one", "many", "again")]
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])
    assert transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "many").lm_head.weight.shape == (150, 16)


def test_another_type_is_what_rounding_gives_and_what_it_cannot_say_is_refused(tmp_path: Path) -> None:
    theirs = llama(tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "half", dtype="bfloat16")
    assert same(content(tmp_path / "half"), {n: t.bfloat16() for n, t in content(tmp_path / "model").items()})
    assert load(tmp_path / "half").logits([[5]])[0].dtype == torch.float32
    assert load(tmp_path / "half", "bfloat16").logits([[5]])[0].dtype == torch.bfloat16
    theirs.model.norm.weight.data.fill_(1e6)
    theirs.save_pretrained(tmp_path / "large")
    with pytest.raises(InputError, match=r"the tensor model.norm.weight holds numbers beyond what float16 can say"):
        convert(tmp_path / "large", tmp_path / "none", dtype="float16")
    assert not (tmp_path / "none").exists()


def test_our_own_folder_keeps_its_facts_and_gets_new_checksums(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "model")
    convert(folder, tmp_path / "new", dtype="float16")
    before, after = (json.loads((f / "myna.json").read_text()) for f in (folder, tmp_path / "new"))
    assert {**before, "files": None} == {**after, "files": None}
    assert after["files"].keys() == before["files"].keys()
    assert load(tmp_path / "new").embed("好").shape == (1, 32)
    data = bytearray((tmp_path / "new/model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "new/model.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="its checksum differs"):
        load(tmp_path / "new")


def test_a_trunk_without_a_head_stays_one_and_keeps_its_pooler(tmp_path: Path) -> None:
    transformers.BertModel(BERT).save_pretrained(tmp_path / "trunk")
    assert convert(tmp_path / "trunk", tmp_path / "ours")["head"] == "none"
    assert "pooler.dense.weight" in content(tmp_path / "ours")
    assert same(content(tmp_path / "ours"), content(tmp_path / "trunk"))
    assert type(transformers.AutoModel.from_pretrained(tmp_path / "ours")) is transformers.BertModel
    with pytest.raises(InputError, match="a trunk without a head, which has no logits; use hidden_states"):
        load(tmp_path / "ours").logits([[1]])


@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_is_read_only_where_it_is_trusted(
    tmp_path: Path, old: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    llama(tmp_path / "model")
    expected = content(tmp_path / "model")
    (tmp_path / "model/model.safetensors").unlink()
    torch.save(expected, tmp_path / "model/pytorch_model.bin", _use_new_zipfile_serialization=not old)
    for call in (lambda: load(tmp_path / "model"), lambda: convert(tmp_path / "model", tmp_path / "ours")):
        with pytest.raises(InputError, match=r"is a pickle; if you trust .*: myna convert FROM TO --trust-pickle"):
            call()
    with pytest.raises(SystemExit) as left:
        main(["convert", str(tmp_path / "model"), str(tmp_path / "ours"), "--trust-pickle"])
    assert left.value.code == 0
    assert "llama, 21 tensors" in capsys.readouterr().out
    assert same(content(tmp_path / "ours"), expected)


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path(EVIDENCE),))


EVIDENCE = "/nowhere"


def test_a_trusted_pickle_still_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "EVIDENCE", str(tmp_path / "ran"))
    llama(tmp_path / "model")
    (tmp_path / "model/model.safetensors").unlink()
    for content_ in ({"a": Evil()}, [torch.zeros(1)], {"a": 3}):
        torch.save(content_, tmp_path / "model/pytorch_model.bin")
        with pytest.raises(InputError, match=r"as weights alone|something else than tensors") as error:
            convert(tmp_path / "model", tmp_path / "ours", trust_pickle=True)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "ours").exists()


def test_sharded_pickles_are_read_by_their_index(tmp_path: Path) -> None:
    llama(tmp_path / "model")
    expected = content(tmp_path / "model")
    (tmp_path / "model/model.safetensors").unlink()
    names = sorted(expected)
    map_ = {name: f"pytorch_model-{1 + n % 2:05}-of-00002.bin" for n, name in enumerate(names)}
    for file in set(map_.values()):
        torch.save({n: expected[n] for n in names if map_[n] == file}, tmp_path / "model" / file)
    (tmp_path / "model/pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": map_}))
    convert(tmp_path / "model", tmp_path / "ours", trust_pickle=True)
    assert same(content(tmp_path / "ours"), expected)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dtype": "int8"}, "dtype = int8 is not one of float64, float32, float16, bfloat16"),
        ({"shard_size": "5 birds"}, "the shard size '5 birds' is no size; give bytes"),
        ({"shard_size": "0"}, "the shard size '0' is no size"),
    ],
)
def test_options_that_say_nothing_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert(tmp_path, tmp_path / "ours", **options)


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    llama(tmp_path / "model")
    with pytest.raises(InputError, match="this exists already; choose another"):
        convert(tmp_path / "model", tmp_path)


def test_a_tensor_that_the_table_cannot_place_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    llama(tmp_path / "model")
    tensors = content(tmp_path / "model")
    save_file({**tensors, "model.layers.0.extra": torch.zeros(2)}, tmp_path / "model/model.safetensors")
    with pytest.raises(InputError, match=r"model.safetensors: the tensor model.layers.0.extra has no place"):
        convert(tmp_path / "model", tmp_path / "ours")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_a_file_is_written_byte_for_byte_as_the_library_writes_it(tmp_path: Path) -> None:
    tensors = {
        "b": torch.randn(3, 2),
        "a": torch.randn(5).half(),
        "ü": torch.zeros(0, 4),
        "c": torch.randn(()).double(),
    }
    write_weights(tmp_path, tensors)
    assert (tmp_path / "model.safetensors").read_bytes() == save(tensors, metadata={"format": "pt"})
