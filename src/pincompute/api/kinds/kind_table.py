"""Keeps the table of workload kinds, with those that other packages register, and finds a kind in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from pincompute.api.kinds import entry_points
from pincompute.api.kinds.pinapp import PINAPP
from pincompute.api.kinds.pinpod import PINPOD
from pincompute.api.kinds.workload_kind import WorkloadKind
from pincompute.api.meta import Resource

Kinds: TypeAlias = tuple[WorkloadKind, ...]

KINDS: Kinds = (PINAPP, PINPOD, *entry_points.load("pincompute.kinds"))


def of_resource(resource: Resource[Any], kinds: Iterable[WorkloadKind] = KINDS) -> WorkloadKind:
    """Returns the kind of a workload's resource or of its shard's."""
    return next(kind for kind in kinds if resource in (kind.workload, kind.shard))


def of_object(obj: object, kinds: Iterable[WorkloadKind] = KINDS) -> WorkloadKind | None:
    """Returns the kind of a workload, and None for any other object."""
    return next((kind for kind in kinds if type(obj) is kind.workload.type), None)


def named(name: str, kinds: Iterable[WorkloadKind] = KINDS) -> WorkloadKind | None:
    """Finds a kind by the `kind` in a manifest of a workload or of its shard."""
    return next((kind for kind in kinds if name in (kind.workload.kind, kind.shard.kind)), None)


def called(word: str, kinds: Iterable[WorkloadKind] = KINDS) -> WorkloadKind | None:
    """Finds a kind by what people write: the word for one, their collection, or a name that kubectl takes."""
    wanted = word.lower()
    return next((k for k in kinds if wanted in (k.word, k.plural, k.name, k.workload.plural, k.short)), None)
