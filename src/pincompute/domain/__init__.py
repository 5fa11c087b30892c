"""Pure arithmetic: placement over zones, room in clusters, in-place rules. No I/O, no clock, no chance."""
