"""Holds the behaviour of each workload kind; controllers get its table and name no kind."""

from pincompute.federation.kinds.behaviour import Behaviour, MemberReport, PodSet, ShardInput, Summary
from pincompute.federation.kinds.behaviour_table import BEHAVIOURS, of

__all__ = ["BEHAVIOURS", "Behaviour", "MemberReport", "PodSet", "ShardInput", "Summary", "of"]
