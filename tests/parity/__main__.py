"""``make parity``: the largest differences from transformers, a line for each family and head."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
import transformers

from .comparing import apart, gradients_apart, our_model, our_outputs, their_model, their_outputs
from .decoders import CASES as DECODERS
from .encoders import CASES as ENCODERS
from .test_families import DOCUMENTS, TARGETS


def main() -> None:
    """Prints the table."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}; the largest difference of any figure")
    print(f"{'':44}{'float32':>10}{'float64':>10}{'gradients':>11}")
    for case in [*ENCODERS, *DECODERS]:
        with tempfile.TemporaryDirectory() as folder:
            theirs = their_model(case)
            ours = our_model(theirs, Path(folder))
        parts = []
        for precision in (torch.float32, torch.float64):
            mine = our_outputs(case, ours.to(precision), DOCUMENTS, TARGETS)
            other = their_outputs(case, theirs.to(precision), DOCUMENTS, TARGETS)
            parts.append(apart(mine, other))
        mine.logits.square().sum().backward()
        other.logits.square().sum().backward()
        print(f"{case.name:44}{parts[0]:10.1e}{parts[1]:10.1e}{gradients_apart(ours, theirs):11.1e}", flush=True)


if __name__ == "__main__":
    main()
