"""Reviews that a seed writes: each label has its words, others belong to none, and some texts say both."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

GOOD = ("干净", "舒适", "热情", "便宜", "推荐", "喜欢", "漂亮", "方便", "满意", "精彩")
BAD = ("肮脏", "吵闹", "冷淡", "昂贵", "失望", "讨厌", "破旧", "麻烦", "糟糕", "无聊")
NEITHER = ("房间", "早餐", "前台", "地铁", "这本书", "屏幕", "送货", "价格", "朋友", "昨天", "老板", "窗户", "电池")


def reviews(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Texts of two to four words of their own label and at times one of the other, among words of neither."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        own, other = (GOOD, BAD) if number % 2 else (BAD, GOOD)
        words = draw.sample(own, draw.randrange(2, 5)) + draw.sample(NEITHER, 6)
        words += draw.sample(other, 1) if draw.random() < 0.3 else []
        draw.shuffle(words)
        rows.append({"text": "，".join(words) + f"。{number}", "label": ("bad", "good")[number % 2]})
    return rows


def write(path: Path, rows: list[Any]) -> Path:
    """As JSONL; a row that is a string stands as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
