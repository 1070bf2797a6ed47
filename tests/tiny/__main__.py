"""`python -m tests.tiny DIR`: a small random checkpoint for every task, and DIR/pipelines.toml."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.tiny import write_all

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.tiny DIR")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"{write_all(folder)}\n")
