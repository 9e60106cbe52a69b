"""The family that ``docs/models.md`` adds as an example is one: its code is run, and compared as all others are."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
import transformers

from myna.huggingface import families

from .comparing import VOCABULARY, Case
from .test_families import (
    test_documents_together_give_what_theirs_gives_for_each as compare,
)
from .test_families import (
    test_our_folder_opens_in_transformers_with_nothing_missing_or_left as save,
)

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
SIZE = {
    "vocab_size": VOCABULARY,
    "dim": 24,
    "n_layers": 3,
    "n_heads": 3,
    "hidden_dim": 50,
    "max_position_embeddings": 40,
    "activation": "gelu",
    "dropout": 0.2,
    "attention_dropout": 0.3,
}
CASES = [
    Case(
        "distilbert",
        kind,
        lambda end=end: getattr(transformers, f"DistilBertFor{end}")(transformers.DistilBertConfig(**SIZE)),
        f"AutoModelFor{end}",
    )
    for kind, end in (("masked", "MaskedLM"), ("token", "TokenClassification"))
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_family_in_the_page_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    [code] = re.findall(r"```python\n(\"\"\"DistilBERT.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert code.count("\n") < 60
    module = types.ModuleType("myna.huggingface.distilbert")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    without_own = {name: file for name, file in families.FAMILIES.items() if name != "myna"}
    monkeypatch.setattr(families, "FAMILIES", {**without_own, "distilbert": "distilbert", "myna": "own"})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    compare(tmp_path / "a", case)
    save(tmp_path / "b", case)
