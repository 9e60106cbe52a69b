"""Pre-training from a store of 20 GB beside one of 20 MB: anonymous memory, and the time to the first step.

    python benchmarks/memory.py [--json] [--row NAME]

Each row is a store of tokens in uint16, of documents of 500 tokens each. Its ids and starts of words are sparse files:
they read as zeros, and take no room on the disk; the bounds of its documents are real (160 MB of 10 G tokens). A tiny
BERT is trained for 200 steps of 2,048 tokens in a process of its own, which notes its anonymous memory
(``RssAnon`` of ``/proc/self/status``) all the while: mapped files are not counted. Then a second process goes on from a
checkpoint that says it is of step 1,000,000. The time to the first step counts from the start of the process, Python's
own and torch's included, and what lies in the cache of the disk of the store is given up before.

There is no peer: the second figure of the large row is that of the small one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

ROWS = {"tokens-10M": 10_000_000, "tokens-10G": 10_000_000_000}
DOCUMENT, VOCABULARY, STEPS, BATCH = 500, 1000, 200, 2048
FAR = 1_000_000


def write_store(folder: Path, tokens: int) -> None:
    """A store of ``tokens`` tokens for training, and of none to validate and to test with."""
    folder.mkdir()
    documents = tokens // DOCUMENT
    splits = {}
    for split, count in (("train", documents), ("validation", 0), ("test", 0)):
        splits[split] = {"documents": count, "tokens": count * DOCUMENT, "characters": 0, "unknown": 0}
        for part, size in (("ids", 2 * DOCUMENT), ("word_starts", DOCUMENT), ("characters", 4)):
            with open(folder / f"{split}.{part}", "wb") as stream:
                stream.truncate(count * size)
        with open(folder / f"{split}.bounds", "wb") as stream:
            for begin in range(0, count + 1, 1 << 20):
                stream.write((np.arange(begin, min(begin + (1 << 20), count + 1)) * DOCUMENT).astype("<i8").tobytes())
    facts = {"format": 1, "dtype": "uint16", "vocabulary_size": VOCABULARY, "splits": splits}
    (folder / "store.json").write_text(json.dumps(facts))


def write_tokenizer(folder: Path) -> None:
    """A WordPiece of single characters."""
    import tokenizers

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(0x4E00 + n) for n in range(VOCABULARY - 5))]
    model = tokenizers.models.WordPiece({name: n for n, name in enumerate(names)}, unk_token="[UNK]")
    backend = tokenizers.Tokenizer(model)
    backend.add_special_tokens(names[:5])
    folder.mkdir()
    backend.save(str(folder / "tokenizer.json"))
    roles = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    described = {f"{role}_token": name for role, name in roles.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(described))


def anonymous_bytes() -> int:
    """The anonymous memory of this process."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


class _Enough(SystemExit):
    """The steps that were asked for are done: the loop writes a checkpoint and ends."""


def train(folder: Path, began: float, steps: int) -> dict[str, float]:
    """Trains for ``steps`` steps from where the training is; the worker's end."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    from myna.pretraining import PretrainConfig, pretrain

    table = {"corpus": "store", "tokenizer": "tokenizer", "preset": "bert-micro", "batch_tokens": BATCH}
    config = PretrainConfig(
        **table, objective="masked", masked={"unit": "piece"}, steps=2 * FAR, threads=1, checkpoint_seconds=1e9
    )
    seconds: list[float] = []

    def report(what: str, share: float) -> None:
        if what.startswith("step "):
            seconds.append(time.time() - began)
        if len(seconds) == steps:
            raise _Enough(0)

    try:
        pretrain(config, folder / "tokenizer", [folder / "store"], folder / "pretrain", 1, report)
    except _Enough:
        pass
    finally:
        done.set()
        watcher.join()
    return {"first_step": seconds[0], "peak": peak}


def walk_to(folder: Path, step: int) -> None:
    """Makes the newest checkpoint one of another step."""
    from myna import files

    old = max((folder / "pretrain" / "checkpoints").glob("step-*"))
    place = old.rename(old.with_name(f"step-{step:08d}"))
    state = json.loads((place / "state.json").read_text())
    (place / "state.json").write_text(json.dumps({**state, "step": step}))
    (place / "manifest.json").unlink()
    text = json.dumps({"files": files.manifest(place)}, ensure_ascii=False, sort_keys=True, indent=1)
    (place / "manifest.json").write_text(text + "\n")


def forget(folder: Path) -> None:
    """Gives up what the cache of the disk holds of the files in a folder."""
    for path in folder.iterdir():
        with open(path, "rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def work(folder: Path, steps: int) -> dict[str, Any]:
    """One process of training."""
    forget(folder / "store")
    command = [sys.executable, __file__, "--folder", str(folder), "--steps", str(steps), "--began", str(time.time())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(name: str) -> dict[str, Any]:
    """A row: the peak of both processes, and the seconds to the first step of each."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_store(folder / "store", ROWS[name])
        write_tokenizer(folder / "tokenizer")
        (folder / "pretrain").mkdir()
        fresh = work(folder, STEPS)
        walk_to(folder, FAR)
        resumed = work(folder, STEPS)
    return {
        "name": name,
        "ours": round(fresh["first_step"], 2),
        "peer": None,
        "peer_name": "",
        "unit": "s to the first step",
        "ratio": None,
        "at_step_1000000": round(resumed["first_step"], 2),
        "ours_peak_bytes": max(fresh["peak"], resumed["peak"]),
        "peer_peak_bytes": None,
    }


def main() -> None:
    """Prints a row for each store; the large one after the small one, with what it takes more."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="a JSON object a row")
    parser.add_argument("--row", choices=list(ROWS), help="only this row")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder:
        print(json.dumps(train(given.folder, given.began, given.steps)))
        return
    small: int | None = None
    for name in [given.row] if given.row else ROWS:
        row = measure(name)
        row["peer_peak_bytes"], small = small, row["ours_peak_bytes"]
        if given.json:
            print(json.dumps(row), flush=True)
            continue
        more = row["peer_peak_bytes"] and (row["ours_peak_bytes"] - row["peer_peak_bytes"]) / 2**20
        print(
            f"{name}: first step after {row['ours']:.1f} s, at step 1,000,000 after {row['at_step_1000000']:.1f} s, "
            f"{row['ours_peak_bytes'] / 2**20:,.0f} MiB of anonymous memory at most"
            + (f", {more:,.0f} more than the row before" if more is not None else ""),
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
