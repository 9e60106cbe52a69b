#!/usr/bin/env python3
"""How many poems keep the form that is asked for: drawn freely, and held to it.

python examples/poems/forms.py MODEL verse.test.jsonl [--poems 200] [--temperature 0.8]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import myna
from myna.evaluation.texts import form_of

# The lines of each form, as `generate` is asked for them.
FORMS = {"五言绝句": "4x5", "七言绝句": "4x7", "五言律诗": "8x5", "七言律诗": "8x7"}


def main() -> None:
    """Writes the poems twice, and prints both shares."""
    parser = argparse.ArgumentParser(description="How many poems keep the form that is asked for.")
    parser.add_argument("model", type=Path)
    parser.add_argument("verse", type=Path, help='lines as {"asked": "五言绝句：登楼"}')
    parser.add_argument("--poems", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=0.8)
    given = parser.parse_args()
    lines = given.verse.read_text(encoding="utf-8").splitlines()[: given.poems]
    asked = [json.loads(line)["asked"] for line in lines]
    model = myna.load(given.model)
    kept = {"free": 0, "held": 0}
    for name, form in FORMS.items():
        titles = [text for text in asked if text.startswith(name)]
        if not titles:
            continue
        count, length = map(int, form.split("x"))
        drawn = {"temperature": given.temperature, "top_p": 0.95, "seed": 1}
        free = model.generate_many(titles, tokens=120, **drawn)
        held = model.generate_many(titles, form=form, line_ends=["，", "。\n"], **drawn)
        for way, poems in (("free", free), ("held", held)):
            right = sum(form_of(poem.text) == (length,) * count for poem in poems)
            print(f"{name} {way}: {right} of {len(titles)} keep the form")
            kept[way] += right
    for way, right in kept.items():
        print(f"all, {way}: {100 * right / len(asked):.1f} % of {len(asked)}")


if __name__ == "__main__":
    main()
