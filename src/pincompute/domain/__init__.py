"""Pure arithmetic: placement over zones, room in clusters, updates. No I/O, no clock, no randomness."""
