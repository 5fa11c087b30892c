"""The laws that every controller obeys, as a library: worlds in memory, faults in them, and one function per law.

A law takes a `Case` (controllers and a generated world) and a source of chance, and raises `Broken` when it does not hold.
Nothing here is random or timed by itself: the same case and the same chance give the same run.
"""

from pincompute.engine.laws.cases import Case, Process, Scenario
from pincompute.engine.laws.suite import LAWS, PROMISE, Chance, Law, uphold
from pincompute.engine.laws.trials import Broken
from pincompute.engine.laws.worlds import World

__all__ = ["LAWS", "PROMISE", "Broken", "Case", "Chance", "Law", "Process", "Scenario", "World", "uphold"]
