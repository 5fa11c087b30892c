"""Holds the laws that every controller obeys: simulated worlds, faults in them, and one function per law.

A law takes a `Case` (controllers and a generated world) and a source of randomness, and raises `Broken` when it does not hold.
Nothing here is random or timed by itself: the same case and the same randomness give the same run.
"""

from pincompute.testing.laws.cases import Case, Scenario, SimulatedProcess
from pincompute.testing.laws.law_suite import LAWS, PROMISE, Chance, Law, uphold
from pincompute.testing.laws.simulated_world import SimulatedWorld
from pincompute.testing.laws.simulation import Broken

__all__ = ["LAWS", "PROMISE", "Broken", "Case", "Chance", "Law", "Scenario", "SimulatedProcess", "SimulatedWorld", "uphold"]
