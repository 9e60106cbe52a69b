"""Times and sizes in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``1 h 04 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f}\u00a0s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}\u00a0s"
    if whole < 3600:
        return f"{whole // 60}\u00a0min {whole % 60:02d}\u00a0s"
    return f"{whole // 3600}\u00a0h {whole % 3600 // 60:02d}\u00a0min"


def size(count: float) -> str:
    """``12.3 MB``, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f}\u00a0{unit}" if unit == "B" or count >= 100 else f"{count:.1f}\u00a0{unit}"
        count /= 1000
    return f"{count:.1f}\u00a0TB"
