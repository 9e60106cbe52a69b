#!/usr/bin/env python3
"""A search by meaning over the descriptions of Debian's packages.

    python examples/sentence-search/search.py "play chess against the computer"

The first call fetches a small pre-trained BERT and the descriptions with `examples/data.py` (pip and apt-get are asked
for them), and stores a vector for each description in DIR/descriptions.npy; every call after that only reads it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parent.parent / "data.py"


def main() -> None:
    """Prints the packages whose descriptions are nearest to the query."""
    parser = argparse.ArgumentParser(description="Search the descriptions of Debian's packages by meaning.")
    parser.add_argument("query", help="what the program should do, in English")
    parser.add_argument("--count", type=int, default=5, help="how many to show (default: 5)")
    parser.add_argument("--texts", type=int, default=10000, help="how many descriptions to search (default: 10000)")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="folder of the data")
    given = parser.parse_args()
    fetch(given.data)
    import myna

    model = myna.load(given.data / "minilm")
    packages = read_packages(given.data, given.texts)
    stored = given.data / "descriptions.npy"
    vectors = np.load(stored) if stored.exists() else np.empty((0, 0), np.float32)
    if len(vectors) < len(packages):
        print(f"reading {len(packages)} descriptions …", file=sys.stderr)
        vectors = unit(model.embed([package["text"] for package in packages]).numpy())
        np.save(stored, vectors)
    likeness = vectors[: len(packages)] @ unit(model.embed(given.query).numpy())[0]
    for number in np.argsort(-likeness)[: given.count]:
        print(f"{likeness[number]:.2f}  {packages[number]['name']:24}  {packages[number]['summary']}")


def fetch(folder: Path) -> None:
    """The model and the descriptions, where they are not there yet."""
    missing = [name for name in ("minilm", "debian-packages") if not (folder / name / "manifest.json").exists()]
    if missing:
        subprocess.run([sys.executable, str(DATA), *missing, "--to", str(folder)], check=True, stdout=sys.stderr)


def read_packages(folder: Path, count: int) -> list[dict[str, str]]:
    """Name, summary and description of packages, in an order by hash: any first thousands are a fair sample."""
    lines = (folder / "debian-packages" / "packages.train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:count]]


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(texts, hidden)``, each of length one, so that a product of two is the cosine of their angle."""
    result: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result


if __name__ == "__main__":
    main()
