"""This package is pure arithmetic: placement over zones, room in clusters, updates. No I/O, no clock, no randomness."""
