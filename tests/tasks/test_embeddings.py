"""Vectors: groups that are never cut, the loss by hand, places among candidates, a search."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from myna import cli
from myna.errors import InputError
from myna.evaluation.retrieval import Pairing, by_bm25, by_tfidf, found_at
from myna.inference.loaded import Loaded, load
from myna.inference.predict import predictions
from myna.inference.searching import Index, index_of
from myna.ledger import Ledger
from myna.tasks.embeddings import Embeddings
from myna.tasks.examples import Example, counts
from myna.tokens.tokenizer import Tokenizer
from myna.training.batches import make_batches

from .material import encoder_folder, tokenizer_folder
from .test_answers import config
from .test_tasks import gradients, make, random_examples


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.open(tokenizer_folder(tmp_path_factory.mktemp("tokenizer")))


def test_groups_are_never_cut_and_the_gradient_does_not_depend_on_the_cut(tokenizer: Tokenizer) -> None:
    task, model = make("embeddings", tokenizer)
    model.double()
    examples = random_examples("embeddings", 22)
    task.adjust(config("embeddings", group=4), examples, model)  # type: ignore[attr-defined]
    items = task.items(examples)
    whole = gradients(task, model, make_batches(task, items, range(22), 10**9, key=7))
    for most in (1, 300, 700):
        batches = make_batches(task, items, range(22), most, key=7)
        assert len(batches) > 2
        assert all(set(batch.groups.bincount().tolist()) <= {0, 2, 4} for batch in batches)  # type: ignore[attr-defined]
        assert torch.linalg.norm(gradients(task, model, batches) - whole) <= 1e-11 * torch.linalg.norm(whole)
    shares = [b for rank in range(3) for b in make_batches(task, items, range(22), 300, 7, rank, 3)]
    assert torch.linalg.norm(gradients(task, model, shares) - whole) <= 1e-11 * torch.linalg.norm(whole)
    other = gradients(task, model, make_batches(task, items, range(22), 10**9, key=None))
    assert torch.linalg.norm(other - whole) > 1e-3 * torch.linalg.norm(whole)


def test_the_loss_is_info_nce_both_ways_without_what_is_no_negative(tokenizer: Tokenizer) -> None:
    task, model = make("embeddings", tokenizer)
    model.double()
    pairs = [("老王", "在北京"), ("小李", "在上海"), ("江泽民", "在北京"), ("老王", "说好"), ("天气", "很好")]
    examples = [Example(a, f"{n}", label="pair", pair=b) for n, (a, b) in enumerate(pairs)]
    items = task.items(examples)
    (batch,) = make_batches(task, items, range(5), 10**9, None)
    found = {n: F.normalize(v, dim=0) for n, v in enumerate(task.outputs(model, batch))}
    order = np.argsort(items.lengths, kind="stable").tolist()
    texts, others = ({n: found[2 * place + side] for place, n in enumerate(order)} for side in (0, 1))
    total = 0.0
    for one, two in ((texts, others), (others, texts)):
        for n, pair in enumerate(pairs):
            apart = [m for m in range(5) if m == n or (pairs[m][0] != pair[0] and pairs[m][1] != pair[1])]
            scores = torch.stack([one[n] @ two[m] / 0.05 for m in apart])
            total += (scores.logsumexp(0) - scores[apart.index(n)]).item() / 2
    assert task.loss(model, batch).total(batch.counts).item() == pytest.approx(total / 5, rel=1e-9)
    # Of two groups those of the other are not looked at.
    task.group = 1  # type: ignore[attr-defined]
    (alone,) = make_batches(task, items, range(5), 10**9, None)
    assert task.loss(model, alone).total(alone.counts).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_the_vector_of_a_long_text_is_the_mean_over_its_windows(tokenizer: Tokenizer, pooling: str) -> None:
    from myna.tasks.task import framed
    from myna.tasks.windows import windows
    from myna.tokens.encoding import encode

    task, model = make("embeddings", tokenizer)
    task.recall({"pooling": pooling})  # type: ignore[attr-defined]
    text = "好天气很不今明老王小" * 5
    (encoding,) = encode(tokenizer, [text])
    vectors = []
    for window in windows(len(encoding), 22):
        from myna.model.flat import flatten

        hidden = model.trunk(flatten([framed(tokenizer, encoding.ids[window.start : window.end])]))
        vectors.append({"mean": hidden.mean(0), "first": hidden[0], "last": hidden[-1]}[pooling])
    assert len(vectors) > 2
    (said,) = predictions(model, task, task.items([Example(text, "x")]))
    expected = F.normalize(torch.stack(vectors).mean(0), dim=0)
    np.testing.assert_allclose(said.vector, expected.detach(), atol=1e-6)  # type: ignore[attr-defined]


@pytest.mark.parametrize("too_long", ["window", "drop", "cut"])
def test_the_ledger_balances(tokenizer: Tokenizer, too_long: str) -> None:
    task, _ = make("embeddings", tokenizer)
    examples, ledger = random_examples("embeddings", 30), Ledger()
    ledger.came_in(**counts(examples))
    items = task.items(examples, too_long, ledger)  # type: ignore[arg-type]
    ledger.check()
    assert (len(items) < 30) == (too_long == "drop")
    tokens = ledger.to_dict()["kept"]["tokens"]
    if too_long != "window":
        assert tokens == sum(sum(item.sizes) - 2 * len(item.sizes) for item in items)  # type: ignore[attr-defined]


def test_places_by_hand() -> None:
    pairing = Pairing.of([("a", "x"), ("b", "y"), ("a", "z"), ("c", "x")])
    assert pairing == Pairing((0, 1, 2), ((0, 2), (1,), (0, 2), (0,)))
    likeness = np.array([[0.1, 0.5, 0.9], [0.4, 0.4, 0.2], [0.9, 0.1, 0.2], [0.0, 0.5, 0.3]])
    assert found_at(lambda first, last: likeness[first:last], pairing).tolist() == [1, 2, 1, 3]


def test_bm25_is_that_of_its_formula() -> None:
    texts = ["bird sings", "the fish swims", "bird"]
    candidates = ["a bird sings a song", "fish swims fast", "the bird flies and the bird sings"]
    words = [c.split() for c in candidates]
    grams = [line + [" ".join(pair) for pair in zip(line, line[1:], strict=False)] for line in words]
    mean = np.mean([len(line) for line in grams])

    def score(query: str, line: list[str]) -> float:
        parts = query.split()
        total = 0.0
        for gram in {*parts, *(" ".join(pair) for pair in zip(parts, parts[1:], strict=False))}:
            there, often = sum(gram in other for other in grams), line.count(gram)
            rare = np.log(1 + (len(grams) - there + 0.5) / (there + 0.5))
            total += rare * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * len(line) / mean)) if often else 0.0
        return total

    table = np.array([[score(query, line) for line in grams] for query in texts])
    pairing = Pairing((0, 1, 2), ((0,), (1,), (2,)))
    assert by_bm25(texts, candidates, pairing).tolist() == found_at(lambda a, b: table[a:b], pairing).tolist()
    assert by_tfidf(candidates, texts, candidates, pairing)[:2].tolist() == [1, 1]
    # What has nothing in common with anything is found last, not first.
    assert by_bm25(["whale"], candidates, Pairing((0, 1, 2), ((0,),))).tolist() == [3]


def test_vectors_are_trained_judged_kept_and_searched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModel, AutoTokenizer

    from tests.test_finetuning_tasks import run

    model, scores, lines, details = run(tmp_path, "embeddings", epochs=6, group=8, temperature=0.1)
    best = max(scores["mrr"]["baselines"].values(), key=lambda entry: entry["value"])
    assert set(scores["mrr"]["baselines"]) == {"tfidf_cosine", "bm25"}
    assert scores["recall_at_1"]["value"] <= scores["mrr"]["value"] <= scores["recall_at_10"]["value"]
    assert scores["mrr"]["value"] > 0.3
    assert 0 < best["value"] <= 1
    assert details["candidates"] == 32
    assert all(-1 <= line["likeness"] <= 1 for line in lines)
    assert json.loads((model / "config.json").read_text())["architectures"] == ["BertModel"]
    loaded = load(model)
    assert loaded.bare
    vectors = loaded.embed(["很好，小李3。", "不好，天气今明老王7。"])
    assert isinstance(loaded.task, Embeddings)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    theirs, tokens = AutoModel.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    hidden = theirs(**tokens("很好，小李3。", return_tensors="pt")).last_hidden_state[0].mean(0)
    torch.testing.assert_close(vectors[0], F.normalize(hidden, dim=0), atol=1e-5, rtol=1e-4)
    capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("".join(f"{line['pair']}\n" for line in lines), encoding="utf-8")
    asked = ["search", str(model), "texts.txt", "--query", "很好，小李3。", "--top", "2", "--index", "texts.index"]
    said = []
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            cli.main([*asked, "--json"])
        out, err = capsys.readouterr()
        assert ended.value.code == 0, err
        said.append((out, err))
    assert said[0][0] == said[1][0]
    assert [err for _, err in said] == [f"myna: the vectors are {how} texts.index\n" for how in ("kept in", "those of")]
    hits = [json.loads(line) for line in said[0][0].splitlines()]
    assert len(hits) == 2
    assert hits[0]["likeness"] >= hits[1]["likeness"]
    assert hits[0]["text"] == lines[hits[0]["number"] - 1]["pair"]


def test_an_index_is_of_its_texts_and_its_model(tmp_path: Path) -> None:
    one, two = (load(encoder_folder(tmp_path / name, dropout=d)) for name, d in (("one", 0.1), ("two", 0.2)))
    path, texts = tmp_path / "index", ["好天气", "不好", "老王在北京"]

    def kept(model: Loaded, texts: list[str]) -> bool:
        return index_of(model, texts, path)[1]

    assert [kept(one, texts), kept(one, texts), kept(one, texts[:2]), kept(two, texts[:2])] == [
        False,
        True,
        False,
        False,
    ]
    index = Index.of(one, texts)
    assert [hit.number for hit in index.search(one, "不好", top=1)] == [2]
    assert index.search(one, "不好", top=1)[0].likeness == pytest.approx(1.0, abs=1e-5)
    kept(one, texts)
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.write_bytes(damaged)
    assert [kept(one, texts), kept(one, texts)] == [False, True]
    with pytest.raises(InputError, match=r"index: a part of this path is a file.*; give --index another name"):
        (tmp_path / "text").write_text("mine")
        index_of(one, texts, tmp_path / "text" / "index")
    for content in (b"", b"notes of mine, which are no index", b"\x02\0\0\0\0\0\0\0{}"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="this is no index of myna search; give --index another name"):
            index_of(one, texts, path)
        assert path.read_bytes() == content
