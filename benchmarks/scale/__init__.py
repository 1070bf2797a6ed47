"""What a caller and a worker wait for when PostgreSQL holds millions of jobs.

    python -m benchmarks.scale --rows 500000          fill, measure, keep the figures and the plans
    python -m benchmarks.scale.report                 docs/scale.md from what was kept

Rows are put in by the database itself, in the shape that batches and forms leave; then the functions of the product
are timed on them, and what PostgreSQL does for each of their statements is kept as EXPLAIN (ANALYZE, BUFFERS) has it.
"""
