"""What some GPUs can do, from the data sheets of their makers: dense products, without sparsity."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from myna.errors import InputError

# The share of a sheet's rate that training reaches: 46 % is what PaLM reports of its own, beside GPT-3's 21 % and
# Gopher's 33 % (arXiv:2204.02311, table 3). Models of a few million weights reach less: they wait for the calls.
REACHED = 0.35
# What a process on a GPU takes before it holds a tensor: its context and the libraries' workspaces.
CONTEXT_BYTES = 1 << 30


@dataclass(frozen=True)
class DataSheet:
    """A GPU: its rate in matrix products of ``number`` (TFLOP/s), its memory (GB) and where this stands."""

    name: str
    number: str
    teraflops: float
    gigabytes: float
    source: str

    @property
    def flops(self) -> float:
        """FLOP/s in training, by :data:`REACHED`."""
        return self.teraflops * 1e12 * REACHED

    @property
    def room(self) -> int:
        """Bytes for tensors."""
        return int(self.gigabytes * 1e9) - CONTEXT_BYTES


_SHEETS = (
    DataSheet("T4", "float16", 65, 16, "NVIDIA T4 Tensor Core GPU datasheet"),
    DataSheet("V100", "float16", 125, 32, "NVIDIA V100 datasheet (SXM2)"),
    DataSheet("L4", "bfloat16", 121, 24, "NVIDIA L4 datasheet (242 with sparsity)"),
    DataSheet("L40S", "bfloat16", 362, 48, "NVIDIA L40S datasheet"),
    DataSheet("A10", "bfloat16", 125, 24, "NVIDIA A10 datasheet"),
    DataSheet("A100", "bfloat16", 312, 80, "NVIDIA A100 datasheet (SXM, 80 GB)"),
    DataSheet("A100-40GB", "bfloat16", 312, 40, "NVIDIA A100 datasheet (40 GB)"),
    DataSheet("H100", "bfloat16", 989, 80, "NVIDIA H100 datasheet (SXM; 1,979 with sparsity)"),
    DataSheet("H100-PCIe", "bfloat16", 756, 80, "NVIDIA H100 datasheet (PCIe; 1,513 with sparsity)"),
    DataSheet("H200", "bfloat16", 989, 141, "NVIDIA H200 datasheet (1,979 with sparsity)"),
    DataSheet("RTX 3090", "bfloat16", 71, 24, "NVIDIA GA102 whitepaper (sums in float32)"),
    DataSheet("RTX 4090", "bfloat16", 165, 24, "NVIDIA Ada whitepaper (sums in float32)"),
    DataSheet("RTX 5090", "bfloat16", 209, 32, "NVIDIA RTX Blackwell whitepaper (sums in float32)"),
)
GPUS = {sheet.name: sheet for sheet in _SHEETS}


def find_gpu(name: str) -> DataSheet:
    """The sheet of a GPU by its name, whatever its case and spaces; an :class:`InputError` names the known ones."""
    folded = {_fold(known): sheet for known, sheet in GPUS.items()}
    if _fold(name) in folded:
        return folded[_fold(name)]
    near = difflib.get_close_matches(_fold(name), folded, 1)
    remedy = f"did you mean {folded[near[0]].name!r}?" if near else f"there are {', '.join(GPUS)}"
    raise InputError(f"no data sheet of a GPU {name!r} is known here", where="--gpu", remedy=remedy)


def _fold(name: str) -> str:
    return name.lower().replace(" ", "").replace("-", "").removeprefix("nvidia").removeprefix("geforce")
