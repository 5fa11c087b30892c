"""Every workload kind, in one table: what the rest of the tree needs to know of a kind, it asks here.

A kind has one file in each of three places: here what is known of it before any object, in `federation/kinds` what it demands,
what a member's share is and how reports become its status, in `gateway/model` its simple form. Everything else is given the
table as a value, so a process may be started with one more: a package can bring a kind (`extensions`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from pincompute.api.kinds import entry_points
from pincompute.api.kinds.pinapp import PINAPP
from pincompute.api.kinds.pinpod import PINPOD
from pincompute.api.kinds.workload_kind import AGE, Column, Strategy, WorkloadKind, WorkloadObject, WorkloadSpec
from pincompute.api.meta import Resource

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

Kinds: TypeAlias = tuple[WorkloadKind, ...]

KINDS: Kinds = (PINAPP, PINPOD, *entry_points.load("pincompute.kinds"))


def of_resource(resource: Resource[Any], kinds: Iterable[WorkloadKind] = KINDS) -> WorkloadKind:
    """The kind of a workload's resource or of its shard's."""
    return next(kind for kind in kinds if resource in (kind.workload, kind.shard))


def of_object(obj: object, kinds: Iterable[WorkloadKind] = KINDS) -> WorkloadKind | None:
    """The kind of a workload; None for any other object."""
    return next((kind for kind in kinds if type(obj) is kind.workload.type), None)


def named(name: str, kinds: Iterable[WorkloadKind] = KINDS) -> WorkloadKind | None:
    """By what `kind` says in a manifest of a workload or of its shard."""
    return next((kind for kind in kinds if name in (kind.workload.kind, kind.shard.kind)), None)


def called(word: str, kinds: Iterable[WorkloadKind] = KINDS) -> WorkloadKind | None:
    """By what people write: the word for one, their collection, or a name that kubectl takes."""
    wanted = word.lower()
    return next((k for k in kinds if wanted in (k.word, k.plural, k.name, k.workload.plural, k.short)), None)
