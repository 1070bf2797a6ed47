"""Measurements, by hand and never in CI: `make bench`. Results are data, with machine and commit."""
