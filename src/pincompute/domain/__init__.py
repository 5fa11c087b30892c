"""Pure arithmetic and judgement: placement, room, updates, disruption, limits of projects, and the sentences about them.

There is no I/O, no clock and no randomness.
"""
