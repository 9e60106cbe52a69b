"""``python -m myna`` is ``myna``."""

from myna.cli import main

main()
