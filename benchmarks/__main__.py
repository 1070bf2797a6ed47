"""`python -m benchmarks`: every benchmark, one after the other."""

from __future__ import annotations

import subprocess
import sys

ALL = ("latency", "upload_memory")


def main() -> None:
    for name in ALL:
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
