"""A folder becomes a model that answers: ours, and bare ones as transformers writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoTokenizer

from myna.errors import InputError
from myna.inference.loaded import Loaded, load
from myna.model.heads import build
from myna.tasks.examples import Example

from ..tasks.material import encoder_folder, tokenizer_folder

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
BERT = transformers.BertConfig(vocab_size=200, max_position_embeddings=24, **SIZES, initializer_range=0.3)
GPT = transformers.GPT2Config(
    vocab_size=200, n_positions=24, n_embd=32, n_layer=2, n_head=4, bos_token_id=2, eos_token_id=3
)
IDS = [[2, 7, 9, 3], [2, 3], [2, 40, 41, 42, 43, 44, 3], [2, 8, 9, 3]]


def foreign(folder: Path, kind: str, **changes: object) -> tuple[Path, torch.nn.Module]:
    """A bare folder of transformers with random weights, and its model."""
    torch.manual_seed(1)
    config = GPT if kind.startswith("GPT") else BERT
    model = getattr(transformers, kind)(type(config).from_dict({**config.to_dict(), **changes})).eval()
    model.save_pretrained(tokenizer_folder(folder))
    return folder, model


NAMES = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}, "label2id": {"O": 0, "B-PER": 1, "I-PER": 2}}


@pytest.mark.parametrize(
    "kind, changes",
    [
        ("BertForMaskedLM", {}),
        ("GPT2LMHeadModel", {}),
        ("BertForSequenceClassification", {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}),
        ("BertForTokenClassification", NAMES),
    ],
)
def test_logits_and_hidden_states_are_those_of_transformers(tmp_path: Path, kind: str, changes: dict) -> None:
    folder, theirs = foreign(tmp_path / "model", kind, **changes)
    ours = load(folder)
    with torch.inference_mode():
        for ids, logits, states in zip(IDS, ours.logits(IDS), ours.hidden_states(IDS), strict=True):
            found = theirs(input_ids=torch.tensor([ids]), output_hidden_states=True)
            torch.testing.assert_close(logits, found.logits[0], atol=1e-5, rtol=1e-4)
            assert len(states) == 3
            for state, expected in zip(states, found.hidden_states, strict=True):
                torch.testing.assert_close(state, expected[0], atol=1e-5, rtol=1e-4)


def test_a_foreign_classifier_answers_by_the_names_of_its_labels(tmp_path: Path) -> None:
    names = {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}
    folder, theirs = foreign(tmp_path / "model", "BertForSequenceClassification", **names)
    text = "江泽民在北京 abc"
    (answer,) = load(folder).predict(text)
    with torch.inference_mode():
        encoded = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
        expected = theirs(**encoded).logits[0].softmax(0).tolist()
    assert answer["scores"] == pytest.approx(dict(zip(["no", "yes"], expected, strict=True)), rel=1e-4)
    assert answer["label"] == ("yes" if expected[1] > expected[0] else "no")


def test_a_foreign_tagger_marks_the_spans_of_its_tags(tmp_path: Path) -> None:
    folder, theirs = foreign(tmp_path / "model", "BertForTokenClassification", **NAMES)
    model = load(folder)
    assert model.labels == ("O", "B-PER", "I-PER")
    text = "江泽民在北京"
    (prediction,) = model.predict_examples([Example(text, "1")])
    with torch.inference_mode():
        ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
        expected = theirs(**ids).logits[0, 1:-1].softmax(1)
    torch.testing.assert_close(torch.from_numpy(prediction.probabilities).float(), expected, atol=1e-5, rtol=1e-4)


def test_a_vector_is_the_mean_of_the_last_hidden_states(tmp_path: Path) -> None:
    folder, theirs = foreign(tmp_path / "model", "BertForMaskedLM")
    texts = ["江泽民 abc", "好"]
    found = load(folder).embed(texts)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        for text, vector in zip(texts, found, strict=True):
            states = theirs.bert(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            torch.testing.assert_close(vector, states.mean(0), atol=1e-5, rtol=1e-4)


def test_the_vector_of_a_long_text_is_the_mean_of_its_windows(tmp_path: Path) -> None:
    model = load(encoder_folder(tmp_path / "encoder"))
    assert model.embed([]).shape == (0, 32)
    # Two windows of 22 pieces of the same text, moved by the text's period.
    torch.testing.assert_close(model.embed("好天" * 16)[0], model.embed("好天" * 11)[0])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(encoder_folder(tmp_path_factory.mktemp("model") / "encoder"))


@pytest.mark.parametrize(
    "ids, message",
    [
        ([[2, 3], []], "sequence 2 has 0 tokens, the model takes 1 to 24"),
        ([[2] * 25], "sequence 1 has 25 tokens"),
        ([[2, 999]], "sequence 1 has an id that is none of the vocabulary's"),
        ([[-1]], "sequence 1 has an id that is none of the vocabulary's"),
    ],
)
def test_ids_that_the_model_does_not_take_are_named(encoder: Loaded, ids: list[list[int]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        encoder.logits(ids)


def test_a_language_model_predicts_nothing(encoder: Loaded) -> None:
    with pytest.raises(InputError, match=r"encoder: this is a language model: it has no task"):
        encoder.predict("a")
    with pytest.raises(InputError, match="encoder: this model does not generate text; give a decoder"):
        encoder.generate("a")


def test_a_decoder_generates(tmp_path: Path) -> None:
    folder, _ = foreign(tmp_path / "model", "GPT2LMHeadModel", vocab_size=135)
    model = load(folder)
    written = model.generate("江泽民", tokens=5, seed=3)
    assert (written.prompt, written.finish in ("stop", "length")) == ("江泽民", True)
    assert written == model.generate("江泽民", tokens=5, seed=3)


def test_a_tokenizer_of_another_model_is_an_error(tmp_path: Path) -> None:
    folder, _ = foreign(tmp_path / "model", "BertForMaskedLM", vocab_size=20)
    with pytest.raises(
        InputError, match=r"tokenizer.json: the tokenizer has \d+ pieces, the model 20 \(rows of bert.emb"
    ):
        load(folder)


def test_a_task_that_is_not_there_is_told_with_the_file_that_names_it(encoder: Loaded) -> None:
    model = build(encoder.model.config, "sequence", ("a", "b"))
    with pytest.raises(InputError, match=r"encoder/myna.json: the task 'no_such_bird:Task' is in no module"):
        Loaded(model, encoder.tokenizer, {"task": "no_such_bird:Task"}, encoder.folder).predict("a")


def test_the_files_of_a_folder_are_verified(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 7}))
    with pytest.raises(InputError, match=r"config.json: this file has"):
        load(folder)


def test_a_folder_without_a_tokenizer_takes_ids_and_says_so_of_texts(tmp_path: Path) -> None:
    folder, theirs = foreign(tmp_path / "model", "BertForMaskedLM")
    (folder / "tokenizer.json").unlink()
    ours = load(folder)
    with torch.inference_mode():
        expected = theirs(input_ids=torch.tensor([IDS[0]])).logits[0]
    torch.testing.assert_close(ours.logits(IDS)[0], expected, atol=1e-5, rtol=1e-4)
    assert len(ours.hidden_states(IDS)[2]) == 3
    with pytest.raises(
        InputError, match=r"model: there is no tokenizer in this folder; put the model's tokenizer.json"
    ):
        ours.embed("a")


@pytest.mark.parametrize(
    "stored, asked, given",
    [
        (torch.bfloat16, None, torch.float32),
        (torch.float16, None, torch.float32),
        (torch.float64, None, torch.float64),
        (torch.float64, "float32", torch.float32),
        (torch.float32, "bfloat16", torch.bfloat16),
        (torch.float32, torch.float64, torch.float64),
    ],
)
def test_weights_are_single_or_what_is_asked_for(
    tmp_path: Path, stored: torch.dtype, asked: str | torch.dtype | None, given: torch.dtype
) -> None:
    folder, theirs = foreign(tmp_path / "model", "BertForMaskedLM")
    theirs.to(stored).save_pretrained(folder)
    ours = load(folder, asked)
    assert {parameter.dtype for parameter in ours.model.parameters()} == {given}
    assert ours.logits(IDS)[0].dtype == given
    assert ours.embed("a").isfinite().all()
    if given == torch.float64:
        with torch.inference_mode():
            expected = theirs.double()(input_ids=torch.tensor([IDS[0]])).logits[0]
        torch.testing.assert_close(ours.logits(IDS)[0], expected, atol=1e-10, rtol=0)


def test_a_type_that_weights_do_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dtype = int16 is not one of float64, float32, float16, bfloat16"):
        load(tmp_path, "int16")


def test_an_encoder_decoder_gives_the_logits_of_what_it_writes(tmp_path: Path) -> None:
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "vocab_size": 60}
    theirs = transformers.BartForConditionalGeneration(transformers.BartConfig(**sizes, **heads)).eval()
    theirs.save_pretrained(tmp_path)
    ours = load(tmp_path)
    targets = [[2, 8], [2, 9, 10], [2], [2, 5]]
    for ids, target, logits in zip(IDS, targets, ours.logits(IDS, targets), strict=True):
        with torch.inference_mode():
            expected = theirs(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([target])).logits[0]
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    for wrong, message in ((None, "needs decoder_ids"), ([[2]], "there are 4 sequences and 1 of decoder_ids")):
        with pytest.raises(InputError, match=message):
            ours.logits(IDS, wrong)
    with pytest.raises(InputError, match="decoder sequence 2 has 0 tokens"):
        ours.logits(IDS[:2], [[2], []])


def test_a_model_without_a_decoder_beside_it_takes_no_decoder_ids(encoder: Loaded) -> None:
    with pytest.raises(InputError, match="has no decoder beside it; leave decoder_ids out"):
        encoder.logits([[2, 3]], [[2]])
