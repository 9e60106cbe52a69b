"""Loading BERT-base beside transformers' from_pretrained: seconds and peak memory; and what the checks cost.

    python benchmarks/loading.py [--json] [--row NAME] [--repeats N]

``bert-base-float32``: a folder of random weights as transformers saves it (``BertForMaskedLM``, 438 MB in one file of
safetensors), loaded by ``myna.load`` and by ``from_pretrained``, each round in a process of its own that has imported
torch and the side's own modules and has loaded a small model of the same family; the file lies in the cache of the
disk. Memory is the peak of the process above what it had then, as a share of the file. Theirs maps the file and reads
a page when it is first used, so that each side then runs one short sequence, and this is timed too.

``checks``: what of the time are checksums and looking for what is not a number, in GB of the file a second of the
processor's time. That time is given for loading too: where others keep the processor busy it tells more than a clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pairs

WEIGHTS = "model.safetensors"
IDS = [[101, 2023, 2003, 1037, 2742, 102]]


def write_folders(folder: Path) -> None:
    """The model, and a small one to warm up with."""
    import torch
    import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    transformers.BertForMaskedLM(transformers.BertConfig(**sizes)).save_pretrained(folder / "small")
    transformers.BertForMaskedLM(transformers.BertConfig()).save_pretrained(folder / "base")


def peak_bytes() -> int:
    """The most memory that this process has held."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measure(side: str, folder: Path) -> dict[str, float]:
    """One loading and one short pass, in this process."""
    import time

    import torch

    if side == "ours":
        import myna

        def load(name: str) -> Any:
            return myna.load(folder / name)

        def run(model: Any) -> None:
            model.logits(IDS)
    else:
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()

        def load(name: str) -> Any:
            return transformers.AutoModelForMaskedLM.from_pretrained(folder / name)

        def run(model: Any) -> None:
            with torch.inference_mode():
                model(input_ids=torch.tensor(IDS))

    run(load("small"))
    before, began, busy = peak_bytes(), time.perf_counter(), time.process_time()
    model = load("base")
    loaded, held = time.perf_counter(), peak_bytes() - before
    run(model)
    return {
        "seconds": loaded - began,
        "with_a_pass": time.perf_counter() - began,
        "processor_with_a_pass": time.process_time() - busy,
        "peak_bytes": held,
        "peak_bytes_with_a_pass": peak_bytes() - before,
    }


def checks(folder: Path, repeats: int) -> dict[str, Any]:
    """Rates of the two checks, in GB/s: the checksum of the file, and all of its tensors in memory."""
    import time

    from myna import files
    from myna.huggingface.weights import Weights, is_finite

    path = folder / "base" / WEIGHTS
    tensors = list(Weights(folder / "base").values())
    rates: dict[str, list[float]] = {"checksums": [], "not_a_number": []}
    for _ in range(repeats):
        began = time.process_time()
        files.sha256(path)
        between = time.process_time()
        assert all(is_finite(tensor) for tensor in tensors)
        ended = time.process_time()
        rates["checksums"].append(path.stat().st_size / 1e9 / (between - began))
        rates["not_a_number"].append(path.stat().st_size / 1e9 / (ended - between))
    return {"name": "checks", "unit": "GB/s", **{name: round(statistics.median(all), 2) for name, all in rates.items()}}


def compare(folder: Path, repeats: int) -> dict[str, Any]:
    """Alternates the two sides, each time in a new process, and gives the medians."""
    found: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
    for _ in range(repeats):
        for side, results in found.items():
            command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
    size = (folder / "base" / WEIGHTS).stat().st_size
    row: dict[str, Any] = {"name": "bert-base-float32", "peer_name": "transformers", "unit": "s", "file_bytes": size}
    for side, results in found.items():
        for key in results[0]:
            value = statistics.median(result[key] for result in results)
            row[f"{side}_{key}".replace("bytes", "share")] = round(value / size if "bytes" in key else value, 3)
    for key in ("with_a_pass", "processor_with_a_pass"):
        pairs = zip(found["ours"], found["peer"], strict=True)
        row[f"ratio_{key}"] = round(statistics.median(peer[key] / ours[key] for ours, peer in pairs), 2)
    return row


def show(row: dict[str, Any], as_json: bool) -> None:
    """Prints a row, for machines or for people."""
    if as_json:
        print(json.dumps(row), flush=True)
    elif row["name"] == "checks":
        print(f"checks: checksums {row['checksums']} GB/s, what is not a number {row['not_a_number']} GB/s", flush=True)
    else:
        sides = [
            f"{name} {row[f'{side}_seconds']:.2f} s, with a pass {row[f'{side}_with_a_pass']:.2f} s "
            f"({row[f'{side}_processor_with_a_pass']:.2f} s of the processor), peak {row[f'{side}_peak_share']:.2f} of "
            f"the file, with a pass {row[f'{side}_peak_share_with_a_pass']:.2f}"
            for name, side in (("ours", "ours"), (row["peer_name"], "peer"))
        ]
        print(
            f"{row['name']}: {'; '.join(sides)}; {row['ratio_with_a_pass']:.2f} times as fast with a pass", flush=True
        )


ROWS = ("bert-base-float32", "checks")


def main() -> None:
    """Runs the rows asked for."""
    parser = pairs.options(__doc__, ROWS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(measure(given.side, given.folder)))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_folders(folder)
        for row in [given.row] if given.row else ROWS:
            show(compare(folder, given.repeats) if row == ROWS[0] else checks(folder, given.repeats), given.json)


if __name__ == "__main__":
    sys.exit(main())
