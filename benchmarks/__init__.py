"""Benchmarks a region on this machine: `python -m benchmarks` (or `make bench`) compares figures with goals."""
