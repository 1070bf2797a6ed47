"""What the oven bakes, side by side with how else people do it, in one run of one machine.

python -m benchmarks.engine                     every section
python -m benchmarks.engine bulk tasks          these
python -m benchmarks.engine bulk --rows 1000    one, with its options (--help lists them)
"""

from __future__ import annotations

import subprocess
import sys

SECTIONS = (
    "bulk",
    "backends",
    "callers",
    "tasks",
    "overhead",
    "budget",
    "packed",
    "int8",
    "products",
    "writing",
    "shelf",
    "shared_weights",
    "latency",
)
#: Which stand outside this package.
_OUTSIDE = {"latency": "benchmarks.latency"}


def main() -> None:
    words = sys.argv[1:]
    named = [word for word in words if word in SECTIONS]
    options = [word for word in words if word not in SECTIONS]
    if options and len(named) != 1:
        raise SystemExit(f"{__doc__}\nOptions belong to one section of: {', '.join(SECTIONS)}")
    for name in named or SECTIONS:
        module = _OUTSIDE.get(name, f"benchmarks.engine.{name}")
        subprocess.run([sys.executable, "-m", module, *options], check=True)
    subprocess.run([sys.executable, "-m", "benchmarks.engine.report"], check=True)


if __name__ == "__main__":
    main()
