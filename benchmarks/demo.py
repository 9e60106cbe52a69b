"""The demo's own speed and memory: each training's share of the matrix rate, and its peak memory.

    python benchmarks/demo.py [--json] [--run DIR]

Reads a finished run of ``examples/chinese-news/recipe.toml`` (``runs/chinese-news``; it is made where it is not
there). There is no peer: the second figure of a row is the machine's matrix rate at the training's first start.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from myna.huggingface.folder import read_model_folder
from myna.model.heads import LANGUAGE_KINDS

RECIPE = Path(__file__).parent.parent / "examples" / "chinese-news" / "recipe.toml"


def useful_flops(folder: Path) -> float:
    """Useful arithmetic of a token: 6 FLOP a matrix parameter, the head's at its targets only.

    Attention is left out, since its lengths are not written down: the share is a little more than what is said.
    """
    model, facts = read_model_folder(folder / "model")
    trunk = sum(p.numel() for n, p in model.trunk.named_parameters() if p.ndim > 1 and "embeddings" not in n)
    if model.kind not in LANGUAGE_KINDS:
        return 6.0 * trunk
    share = facts["masked"]["ratio"] if model.kind == "masked" else 1.0
    dense = model.config.hidden_size**2 if model.kind == "masked" else 0
    return 6.0 * (trunk + share * (dense + model.config.hidden_size * model.config.vocabulary_size))


def main() -> None:
    """Prints a row for each training of the demo."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="a JSON object a row")
    parser.add_argument("--run", type=Path, default=Path("runs/chinese-news"), metavar="DIR")
    given = parser.parse_args()
    command = [sys.executable, "-m", "myna", "run", str(RECIPE), "--to", str(given.run)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL if given.json else None)
    for folder in sorted([*given.run.glob("pretrain/*"), *given.run.glob("finetune/*")]):
        machine = json.loads((folder / "machine.json").read_text())
        last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
        rate = last["tokens"] / last["seconds"]
        share = rate * useful_flops(folder) / 1e9 / machine["matrix_gflops"]
        row = {
            "name": f"demo-{folder.name}",
            "ours": round(rate, 1),
            "peer": None,
            "peer_name": "",
            "unit": "tokens/s, validation included",
            "ratio": None,
            "ours_peak_bytes": machine["peak_bytes"],
            "peer_peak_bytes": None,
            "matrix_gflops": machine["matrix_gflops"],
            "share": round(share, 3),
        }
        if given.json:
            print(json.dumps(row), flush=True)
        else:
            print(
                f"{row['name']}: {rate:,.0f} {row['unit']}; {share:.2f} of the matrix rate "
                f"({machine['matrix_gflops']:.0f} GFLOP/s) in useful arithmetic; the process held "
                f"{machine['peak_bytes'] / 2**20:,.0f} MiB at most",
                flush=True,
            )


if __name__ == "__main__":
    main()
