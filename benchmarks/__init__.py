"""Benchmarks of a region on this machine: `python -m benchmarks` (or `make bench`) runs them and compares with the goals."""
