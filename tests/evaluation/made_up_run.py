"""A run's folder as a whole run leaves it, made up in a moment: real corpora of a few texts, invented figures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from safetensors.numpy import save

from myna import files
from myna.corpus.prepare import CorpusConfig, prepare
from myna.corpus.sources import SourceConfig
from myna.evaluation.report import ReportConfig

REVIEWS = [
    ("房间很干净，服务态度也好，下次来还会选择这家酒店。", "positive"),
    ("电池用了两个小时就没电了，客服还说是正常的，太失望了。", "negative"),
    ("书的内容很充实，印刷也清楚，孩子一口气看完了。", "positive"),
    ("送货太慢，等了整整两个星期，包装也破了。", "negative"),
    ("早餐品种少，味道一般，不过位置确实方便。", "negative"),
    ("外观漂亮，键盘手感不错，性价比很高，推荐购买。", "positive"),
    ("牛奶日期新鲜，价格比超市便宜，送货上门很方便。", "positive"),
    ("翻译得一塌糊涂，看了几页就看不下去了。", "negative"),
    ("屏幕有一个亮点，风扇声音也大，要求退货。", "negative"),
    ("交通方便，离车站只有五分钟，前台服务周到。", "positive"),
    ("作者的观点很独到，读完受益匪浅。", "positive"),
    ("隔音很差，半夜还能听到走廊里的说话声。", "negative"),
]
NEWS = (
    "中共中央总书记、国家主席江泽民今天在北京会见了来访的外国客人。双方就共同关心的问题交换了意见。\n"
    "上海市今年将投资建设十条地铁线路。据介绍，工程总投资超过三百亿元。\n"
    "新华社记者李明从广州报道，广东省去年出口增长百分之二十。\n"
)
# Text, names by hand, names by the model with how sure it was.
SENTENCES = [
    (
        "邓小平同志视察深圳时，李铁映陪同前往招商局。",
        {"邓小平": "PER", "深圳": "LOC", "李铁映": "PER", "招商局": "ORG"},
        {"邓小平": ("PER", 0.99), "深圳": ("LOC", 0.97), "李铁": ("PER", 0.94)},
    ),
    (
        "从白洋淀到雄县的公路上，赵树理的小说被抄成了大字。",
        {"白洋淀": "LOC", "雄县": "LOC", "赵树理": "PER"},
        {"白洋淀": ("LOC", 0.9), "雄县": ("LOC", 0.88), "赵树理": ("LOC", 0.71)},
    ),
    (
        "克林顿总统在华盛顿发表讲话。",
        {"克林顿": "PER", "华盛顿": "LOC"},
        {"克林顿": ("PER", 0.98), "华盛顿": ("LOC", 0.99)},
    ),
    ("长江大桥的建设者们在一月的寒风里迎来了新年。", {"长江": "LOC"}, {"长江大桥": ("LOC", 0.83)}),
]
SAMPLES = [
    {
        "prompt": "今天上午，",
        "text": "国务院总理李鹏在人民大会堂会见了日本客人。他说，中日两国是一衣带水的邻邦，发展两国的经济合作"
        "符合两国人民的根本利益。\n会见后，双方还就地区的和平与稳定交换了意见。",
        "tokens": 72,
        "finish": "stop",
    },
    {
        "prompt": "改革开放",
        "text": "以来，我们的农村发生了很大的变化。去年全省农民人均收入比上年增长百分之八，粮食总产量",
        "tokens": 64,
        "finish": "length",
    },
]
FILLS = [
    {
        "text": "上海市今年将投资建设十条地铁线路。",
        "blanks": [
            {
                "start": 6,
                "end": 8,
                "guesses": [
                    {"text": "投资", "probability": 0.41},
                    {"text": "重点", "probability": 0.18},
                    {"text": "继续", "probability": 0.07},
                ],
            },
            {
                "start": 12,
                "end": 14,
                "guesses": [{"text": "公路", "probability": 0.3}, {"text": "生产", "probability": 0.12}],
            },
        ],
    }
]


def recipe(language: str = "en", title: str | None = None) -> SimpleNamespace:
    """What the report reads of a recipe."""
    return SimpleNamespace(
        name="chinese-news",
        corpus={"news": None, "reviews": None},
        tokenizer={"zh": None},
        pretrain={"encoder": None, "decoder": None},
        finetune={"sentiment": None, "entities": None},
        report=ReportConfig(language=language, title=title),
    )


def make_run(folder: Path) -> Path:
    """Fills ``folder`` and gives it back."""
    make_corpora(folder)
    files.write_text(
        folder / "recipe.toml",
        'recipe = 1\nname = "chinese-news"\n\n[pretrain.encoder]\ntokens = 3000000\n[pretrain.decoder]\n'
        "[finetune.sentiment]\n[finetune.entities]\n",
    )
    _stage(folder, "tokenizer.zh", 3.1, _ledger(documents=(17_000, 17_000), characters=(3_400_000, 3_400_000)))
    files.write_bytes(folder / "tokenizer/zh/tokenizer.json", b"{}" * 90_000)
    for corpus, count in (("news", 2160), ("reviews", 13905)):
        kept = _ledger(documents=(count, count), characters=(count * 200, count * 200), tokens=(count * 190,) * 2)
        kept["notes"] = {"unknown pieces": 12}
        _stage(folder, f"tokens.{corpus}-zh", 1.4, kept)
    _training(folder, "pretrain", "encoder", 8.4, 4.1, 96.0, "masked", ())
    _training(folder, "pretrain", "decoder", 7.9, 4.6, 104.0, "causal", ())
    _training(folder, "finetune", "sentiment", 0.7, 0.31, 38.0, "classification", ("negative", "positive"))
    tags = ("B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O")
    _training(folder, "finetune", "entities", 1.6, 0.12, 45.0, "tagging", tags)
    _evaluations(folder)
    return folder


def make_corpora(folder: Path) -> None:
    """Two corpora: articles without labels, and reviews with two, each given twice."""
    texts = folder / "texts"
    lines = [{"text": f"{text}第{n}次。", "label": label} for n in range(4) for text, label in REVIEWS]
    files.write_text(
        texts / "reviews.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines * 2)
    )
    for number in range(12):
        files.write_text(texts / "news" / f"{number}.txt", f"第{number}条\n" + NEWS)
    for name, path in (("news", texts / "news"), ("reviews", texts / "reviews.jsonl")):
        (folder / "corpus" / name).mkdir(parents=True)
        ledger = prepare(CorpusConfig(sources=[SourceConfig(path=str(path))]), folder / "corpus" / name)
        _stage(folder, f"corpus.{name}", 2.9, ledger.to_dict())


def _stage(folder: Path, key: str, seconds: float, ledger: dict[str, Any]) -> None:
    record = {"key": key, "version": 1, "fingerprint": "0" * 64, "inputs": [], "seconds": seconds, "ledger": ledger}
    files.write_json(folder / key.replace(".", "/", 1) / "stage.json", record)


def _ledger(**units: tuple[int, int]) -> dict[str, Any]:
    came = {unit: counts[0] for unit, counts in units.items()}
    kept = {unit: counts[1] for unit, counts in units.items()}
    return {"in": came, "kept": kept, "dropped": {}, "added": {}, "notes": {}}


def _training(
    folder: Path, kind: str, name: str, first: float, last: float, seconds: float, task: str, labels: tuple[str, ...]
) -> None:
    place = folder / kind / name
    (place / "model").mkdir(parents=True)
    generator = np.random.default_rng(len(name))
    lines: list[dict[str, Any]] = []
    steps = 1200
    for step in range(10, steps + 1, 10):
        share = step / steps
        level = last + (first - last) * math.exp(-5 * share)
        at = {"step": step, "tokens": step * 1010, "seconds": round(seconds * share, 3)}
        noisy = level * (1 + 0.06 * generator.standard_normal())
        lines.append({**at, "loss": noisy, "learning_rate": 1e-3 * (1 - share), "gradient_norm": 1.0})
        if step % 150 == 0:
            figures = {"loss": level * 1.03, "score": -level}
            if task == "classification":
                figures = {"score": 0.82 - 0.3 * math.exp(-4 * share), "accuracy": 0.82 - 0.3 * math.exp(-4 * share)}
            elif task == "tagging":
                figures = {"score": 0.62 - 0.6 * math.exp(-4 * share), "entity_f1": 0.62 - 0.6 * math.exp(-4 * share)}
            lines.append({**at, "validation": figures})
    files.write_text(place / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    files.write_json(
        place / "machine.json", {"threads": 2, "torch": "2.13.0+cpu", "cpu": "AVX512", "matrix_gflops": 103.4}
    )
    files.write_json(place / "model" / "myna.json", {"format": 1, "kind": task, "labels": list(labels)})
    files.write_bytes(place / "model" / "model.safetensors", save({"weight": np.zeros((90, 1000), np.float32)}))
    _stage(folder, f"{kind}.{name}", seconds, _ledger(documents=(16_065, 16_065), tokens=(2_900_000, 2_900_000)))


def _estimate(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def _evaluations(folder: Path) -> None:
    def write(name: str, scores: Any, details: Any, samples: Any = None, predictions: Any = None) -> None:
        place = folder / "evaluate" / name
        files.write_json(place / "scores.json", scores)
        files.write_json(place / "details.json", details)
        if samples is not None:
            files.write_json(place / "samples.json", samples)
        if predictions is not None:
            lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in predictions)
            files.write_text(place / "predictions.jsonl", "".join(lines))
        _stage(folder, f"evaluate.{name}", 4.2, _ledger(documents=(1668, 1668), labels=(1668, 1668)))

    accuracy = {"majority": _estimate(0.522, 0.024), "tfidf_logistic_regression": _estimate(0.843, 0.017)}
    macro = {"majority": _estimate(0.343, 0.011), "tfidf_logistic_regression": _estimate(0.842, 0.017)}
    write(
        "sentiment",
        {
            "accuracy": {**_estimate(0.812, 0.019), "examples": 1668, "baselines": accuracy},
            "macro_f1": {**_estimate(0.811, 0.019), "examples": 1668, "baselines": macro},
        },
        {
            "kind": "classification",
            "labels": ["negative", "positive"],
            "confusion": [[690, 181], [133, 664]],
            "by_label": [
                {"label": "negative", "precision": 0.838, "recall": 0.792, "f1": 0.815, "examples": 871},
                {"label": "positive", "precision": 0.786, "recall": 0.833, "f1": 0.809, "examples": 797},
            ],
            "differences": {
                "accuracy": {"tfidf_logistic_regression": {"value": -0.031, "low": -0.048, "high": -0.013}},
            },
        },
        predictions=[
            {
                "id": f"r{n}",
                "text": text * (25 if n == 3 else 1),
                "label": label,
                "predicted": label if n % 3 else ("negative" if label == "positive" else "positive"),
                "scores": {"negative": 0.5 + 0.04 * n, "positive": 0.5 + 0.04 * n},
            }
            for n, (text, label) in enumerate(REVIEWS)
        ],
    )
    write(
        "entities",
        {
            "entity_f1": {
                **_estimate(0.613, 0.016),
                "examples": 4950,
                "baselines": {
                    "most_frequent_tag": _estimate(0.089, 0.009),
                    "linear_crf": {**_estimate(0.5, 0.01), "learned_from": 10_000},
                },
            }
        },
        {
            "kind": "tagging",
            "by_label": [
                {"label": "LOC", "precision": 0.702, "recall": 0.741, "f1": 0.721, "examples": 3120},
                {"label": "ORG", "precision": 0.512, "recall": 0.399, "f1": 0.448, "examples": 371},
                {"label": "PER", "precision": 0.553, "recall": 0.487, "f1": 0.518, "examples": 2210},
            ],
            "differences": {"entity_f1": {"most_frequent_tag": {"value": 0.524, "low": 0.506, "high": 0.542}}},
        },
        predictions=[_tagged(number, *line) for number, line in enumerate(SENTENCES)],
    )
    write(
        "encoder",
        {
            "perplexity": {
                "value": 61.4,
                "low": 58.0,
                "high": 65.1,
                "examples": 1964,
                "baselines": {"unigram": {"value": 811.0, "low": 770.0, "high": 856.0}},
            }
        },
        {"kind": "masked"},
        samples=FILLS,
    )
    settings = {"temperature": 0.8, "top_p": 0.95, "seed": 1}
    ngrams = {"character_bigram": _estimate(6.797, 0.11), "character_trigram": _estimate(6.181, 0.16)}
    write(
        "decoder",
        {
            "bits_per_character": {**_estimate(6.11, 0.13), "examples": 296, "baselines": ngrams},
            "perplexity": {**_estimate(104.2, 8), "examples": 296, "baselines": {"unigram": _estimate(1211, 60)}},
        },
        {
            "kind": "causal",
            "differences": {
                "bits_per_character": {"character_trigram": {"value": -0.07, "low": -0.16, "high": 0.03}},
                "perplexity": {"unigram": {"value": -1107.0, "low": -1170.0, "high": -1046.0}},
            },
        },
        samples=[{**sample, **settings} for sample in SAMPLES],
    )


def _tagged(number: int, text: str, spans: dict[str, str], predicted: dict[str, tuple[str, float]]) -> dict[str, Any]:
    def at(name: str, label: str) -> dict[str, Any]:
        return {"start": text.index(name), "end": text.index(name) + len(name), "label": label}

    return {
        "id": f"s{number}",
        "text": text,
        "spans": [at(name, label) for name, label in spans.items()],
        "predicted": [at(name, label) | {"probability": sure} for name, (label, sure) in predicted.items()],
    }
