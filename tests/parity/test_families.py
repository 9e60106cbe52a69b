"""Against transformers: the same weights give the same hidden states, logits and gradients, read and written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from myna.huggingface.families import settings_of, tensors_of

from .comparing import Case, apart, gradients_apart, our_model, our_outputs, saved_as, texts, their_model, their_outputs
from .decoders import CASES as DECODERS
from .encoders import CASES as ENCODERS

CASES = [*ENCODERS, *DECODERS]
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
DOCUMENTS, TARGETS = texts(), texts((5, 4, 4, 9), seed=9)


@EACH
def test_documents_together_give_what_theirs_gives_for_each(tmp_path: Path, case: Case) -> None:
    theirs = their_model(case)
    ours = our_model(theirs, tmp_path)
    assert ours.kind == case.kind
    single = apart(our_outputs(case, ours, DOCUMENTS, TARGETS), their_outputs(case, theirs.float(), DOCUMENTS, TARGETS))
    assert single <= 1e-5 * 10  # figures are of the order of ten
    ours.double(), theirs.double()
    mine, other = (f(case, m, DOCUMENTS, TARGETS) for f, m in ((our_outputs, ours), (their_outputs, theirs)))
    assert apart(mine, other) <= 1e-10
    mine.logits.square().sum().backward()
    other.logits.square().sum().backward()
    assert gradients_apart(ours, theirs) <= 1e-9


@EACH
def test_our_folder_opens_in_transformers_with_nothing_missing_or_left(tmp_path: Path, case: Case) -> None:
    theirs = their_model(case)
    ours = our_model(theirs, tmp_path / "theirs")
    assert saved_as(ours) == case.family
    before, after = load_file(tmp_path / "theirs" / "model.safetensors"), tensors_of(ours)
    assert {name: t.shape for name, t in after.items()} == {name: t.shape for name, t in before.items()}
    assert all(torch.equal(after[name], before[name]) for name in before)
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "config.json").write_text(json.dumps(settings_of(ours)))
    save_file(after, tmp_path / "ours" / "model.safetensors", {"format": "pt"})
    automatic = getattr(transformers, case.automatic)
    again, info = automatic.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert type(again) is type(theirs)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    again = their_outputs(case, again.eval(), DOCUMENTS, TARGETS)
    # The weights are the same; but a product may be summed in another order where they lie elsewhere in memory.
    assert apart(again, their_outputs(case, theirs.float(), DOCUMENTS, TARGETS)) <= 1e-5


@pytest.mark.parametrize("case", [case for case in CASES if case.padding], ids=lambda case: case.name)
def test_theirs_padded_gives_what_ours_gives_without_padding(tmp_path: Path, case: Case) -> None:
    theirs = their_model(case)
    ours = our_outputs(case, our_model(theirs, tmp_path).double(), DOCUMENTS, TARGETS)

    def padded(documents: list) -> dict[str, torch.Tensor]:
        longest = max(map(len, documents))
        ids = torch.full((len(documents), longest), theirs.config.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for row, text in enumerate(documents):
            ids[row, : len(text)], mask[row, : len(text)] = torch.from_numpy(text), 1
        return {"ids": ids, "mask": mask}

    source = padded(DOCUMENTS)
    given = {"input_ids": source["ids"], "attention_mask": source["mask"]}
    if case.source:
        target = padded(TARGETS)
        given |= {"decoder_input_ids": target["ids"], "decoder_attention_mask": target["mask"]}
    output = theirs(**given, output_hidden_states=True)
    read = TARGETS if case.source else DOCUMENTS
    last = (output.decoder_hidden_states if case.source else output.hidden_states)[-1]
    rows = torch.cat([last[row, : len(text)] for row, text in enumerate(read)])
    assert (rows - ours.states[-1]).abs().max() <= 1e-10
