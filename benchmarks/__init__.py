"""Benchmarks an embedded region: `python -m benchmarks` (or `make bench`) compares figures with goals."""
