"""Builds the programs that a region runs: the Go toolchain, one component, and the cache of finished sets."""
