"""Indexes workloads by the sidecars that their templates name, and finds those that they cannot have.

A sum says how many replicas of all workloads are placed in each member.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from pincompute.api import sidecars
from pincompute.api.kinds import KINDS, WorkloadObject
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.api.sidecars import MOST_USERS, PINSIDECARS, PinSidecar
from pincompute.engine.controller import ReadAccess
from pincompute.kube.cache_views import Views
from pincompute.kube.indexer import ALWAYS, IndexEntry, Sum

BY_SIDECAR = "sidecar"  # index over workloads
PLACED = "placed"  # sum over workloads: replicas by member
_REPLICAS = "replicas"


def _by_sidecar(obj: WorkloadObject) -> Iterable[str]:
    return () if obj.deleting else dict.fromkeys(sidecars.named_by(obj.spec.template))


def _placed(obj: Any) -> Iterable[IndexEntry]:
    made = obj.status.scheduling
    return [IndexEntry(row.cluster, ALWAYS, {_REPLICAS: row.replicas}) for row in made.placement] if made is not None else ()


INDEXES: Mapping[Resource[Any], Mapping[str, Any]] = {
    kind.workload: {BY_SIDECAR: _by_sidecar, PLACED: Sum(_placed)} for kind in KINDS
}


def placed(member: str, views: Views) -> int:
    """Returns how many replicas the federation has placed in the member."""
    return sum(views.view(HOST, kind.workload).total(PLACED, member).get(_REPLICAS, 0) for kind in KINDS)


def exists(user: str, views: Views) -> bool:
    """Returns whether there is a workload of this PROJECT/NAME."""
    project, _, name = user.partition("/")
    return any(views.view(HOST, kind.workload).get(Key(project, name)) is not None for kind in KINDS)


def users(name: str, views: Views) -> tuple[str, ...]:
    """Returns workloads that name the sidecar, as PROJECT/NAME; a few of them."""
    found = (obj for kind in KINDS for obj in views.view(HOST, kind.workload).by(BY_SIDECAR, name))
    return tuple(str(obj.key) for obj in islice(found, MOST_USERS))


def missing(project: str, template: Manifest, views: Views) -> str:
    """Returns why pods of the template cannot have a sidecar that it names; empty where they can have all.

    A sidecar that is being deleted stays for who names it.
    """
    return next((why for name in sidecars.named_by(template) if (why := _why_not(name, project, views))), "")


def _why_not(name: str, project: str, views: Views) -> str:
    found: PinSidecar | None = views.view(HOST, PINSIDECARS).get(Key("", name))
    if found is None:
        return f"sidecar {name} does not exist: correct the name, or ask an administrator for it"
    return "" if sidecars.allows(found.spec.allowed_projects, project) else sidecars.forbidden(name, project)


def reads(workload: Resource[Any]) -> ReadAccess[Key]:
    """Returns the line of a card by which a sidecar that comes, goes or is for other projects concerns the workloads that name
    it.
    """

    def named(_host: str, sidecar: PinSidecar, views: Views) -> Iterable[Key]:
        return [obj.key for obj in views.view(HOST, workload).by(BY_SIDECAR, sidecar.metadata.name)]

    return ReadAccess("host", PINSIDECARS, lambda _host, _sidecar: (), named, part=_read_of)


def _read_of(sidecar: PinSidecar) -> tuple[str, ...]:
    """Returns all that `missing` reads of a sidecar."""
    return sidecar.spec.allowed_projects
