"""Describes every workload kind; all other code finds a kind in its table.

A kind has one file in each of three places: here its static description, in `federation/kinds` its demand, a member's share
and how reports become its status, in `gateway/model` its simple form. Other code gets the table as a value, so a process can
run with one more kind, which a package brings (`entry_points`).
"""

from pincompute.api.kinds.kind_table import KINDS, PINAPP, PINPOD, Kinds, called, named, of_object, of_resource
from pincompute.api.kinds.workload_kind import AGE, Column, Strategy, WorkloadKind, WorkloadObject, WorkloadSpec

__all__ = [
    "AGE",
    "KINDS",
    "PINAPP",
    "PINPOD",
    "Column",
    "Kinds",
    "Strategy",
    "WorkloadKind",
    "WorkloadObject",
    "WorkloadSpec",
    "called",
    "named",
    "of_object",
    "of_resource",
]
