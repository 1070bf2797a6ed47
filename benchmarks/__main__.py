"""`python -m benchmarks`: those of minutes. `benchmarks.engine`, `.bulk`, `.large` and `.scale` take an hour."""

from __future__ import annotations

import subprocess
import sys

SHORT = ("latency", "upload_memory")


def main() -> None:
    for name in SHORT:
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
