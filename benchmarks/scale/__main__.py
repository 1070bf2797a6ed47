"""`python -m benchmarks.scale`: see the package."""

from __future__ import annotations

import argparse
import time

import sqlalchemy as sa

from benchmarks.bulk import postgres
from benchmarks.harness import save
from benchmarks.scale.filling import fill
from benchmarks.scale.looks import looks, plans, stream_rate, timed
from models.database import make_engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    given = parser.parse_args()
    with postgres() as url:
        engine = make_engine(url)
        began = time.monotonic()
        filled = fill(engine, given.rows)
        print(f"{given.rows:,} rows in {time.monotonic() - began:.0f} s", flush=True)
        found = looks(engine, filled)
        figures = {
            "rows": given.rows,
            "waiting_rows": filled.waiting_rows,
            "rows_of_a_batch": filled.rows_each,
            "filled_seconds": round(time.monotonic() - began),
            **_database(engine),
            "milliseconds": {name: timed(engine, look) for name, look in found.items()},
            "results_rows_per_second": stream_rate(engine, filled),
            "plans": {name: plans(engine, look) for name, look in found.items()},
        }
        engine.dispose()
    save(f"scale-postgres-{given.rows}", figures)


def _database(engine: sa.Engine) -> dict[str, object]:
    with engine.connect() as conn:
        size = conn.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
        version = conn.exec_driver_sql("SHOW server_version").scalar_one()
        memory = conn.exec_driver_sql("SHOW shared_buffers").scalar_one()
    return {"database_mb": round(size / 1e6), "postgresql": version, "shared_buffers": memory}


if __name__ == "__main__":
    main()
