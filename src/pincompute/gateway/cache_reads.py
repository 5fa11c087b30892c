"""Answers reads of users from one cache of the host's workloads and the members' pods, which watches keep current.

No user's read reaches an API server. A write puts its own result into the cache, and a read waits for a version that another
gateway has answered, so callers read their own writes (S-250). While an API server is away, stale data is served and marked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pincompute.api import kinds as workloads
from pincompute.api import labels
from pincompute.api.builtin import PODS, Pod
from pincompute.api.daemons import PINDAEMONS
from pincompute.api.kinds import WorkloadObject
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS, Capacity, MemberCluster
from pincompute.api.meta import Key, Object, Resource
from pincompute.api.revisions import PINREVISIONS, PinRevision
from pincompute.api.settings import SETTINGS
from pincompute.api.sidecars import PINSIDECARS, named_by
from pincompute.api.template_settings import references, registries
from pincompute.gateway import parameter_values, problems
from pincompute.gateway.model import KINDS, SimpleKind, SimpleKinds, of_workloads
from pincompute.gateway.project_limit_admission import ProjectLimitAdmission
from pincompute.kube.cache_views import Unknown
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.informer import Informer, InformerScope

T = TypeVar("T", bound=Object)

BY_WORKLOAD = "workload"  # index over pods: "PROJECT/NAME" of the workload they belong to
BY_SETTING = "setting"  # index over workloads and revisions: `setting_index_value` of each setting that their templates name
BY_REQUEST = "request"  # index over what users create: `request_index_value` of the request that created it
BY_SIDECAR = "sidecar"  # index over workloads: the sidecars that their templates name
BY_OWNER = "owner"  # index over revisions: uid of the workload they belong to
CATCH_UP = 2.0  # seconds to wait for a version that another gateway has returned already


def read_version(resource: Resource[Any], number: int) -> str:
    """The version of one kind on the host, as `PLURAL.1234`. It is opaque to callers and only grows."""
    return f"{resource.plural}.{number}"


@dataclass(frozen=True, slots=True)
class ReadAge:
    """`age`: seconds since the last contact with the host; `reachable` is false while it is away and stale data is served."""

    version: str
    age: float
    reachable: bool


class CacheReads:
    """Declares what the gateway watches, so it is made before the first cluster is added. The gateway serves all `kinds`."""

    def __init__(self, clusters: Clusters, kinds: SimpleKinds = KINDS) -> None:
        self.clusters = clusters
        self.kinds = kinds
        self.workloads: workloads.Kinds = of_workloads(kinds)
        shown = {kind.resource.plural: kind.resource for kind in kinds}
        self._by_plural: dict[str, Resource[Any]] = {**shown, MEMBERCLUSTERS.plural: MEMBERCLUSTERS}
        for resource in self._by_plural.values():
            clusters.declare("host", resource, {BY_REQUEST: _requests})
        for kind in self.workloads:
            clusters.declare("host", kind.workload, {BY_SETTING: _settings, BY_SIDECAR: _sidecars})
        clusters.declare("host", PINSIDECARS)
        clusters.declare("host", PINDAEMONS)
        for setting in SETTINGS:
            clusters.declare("host", setting.resource)
        clusters.declare("host", PINREVISIONS, {BY_OWNER: _owners, BY_SETTING: _settings})
        self.project_limits = ProjectLimitAdmission(clusters, self.workloads)
        mine = InformerScope(labels={labels.MANAGED_BY: labels.PINCOMPUTE})
        clusters.declare("members", CLUSTERCAPACITIES)
        clusters.declare("members", PODS, {BY_WORKLOAD: _workload}, mine)

    def host(self, resource: Resource[T]) -> Informer[T]:
        """Raises Problem 503 until the first list of the kind is complete: until then nothing is known."""
        try:
            return self.clusters.view(HOST, resource)
        except Unknown as unknown:
            raise problems.unavailable(str(unknown)) from None

    def get(self, resource: Resource[T], project: str, name: str) -> T | None:
        try:
            return self.host(resource).get(Key(project, name))
        except Unknown as unknown:
            raise problems.unavailable(str(unknown), remedy="ask an administrator to look at the object") from None

    def existing(self, kind: SimpleKind[Any], project: str, name: str) -> Any:
        """The object. Raises Problem 404 when there is none."""
        found = self.get(kind.resource, project, name)
        if found is None:
            raise problems.not_found(kind.title(project, name))
        return found

    def revisions(self, obj: WorkloadObject) -> tuple[PinRevision, ...]:
        """Former templates of the workload, the newest first."""
        found = self.host(PINREVISIONS).by(BY_OWNER, obj.metadata.uid)
        own = [r for r in found if r.metadata.namespace == obj.metadata.namespace and not r.deleting]
        return tuple(sorted(own, key=lambda revision: revision.spec.number, reverse=True))

    def revisions_naming(self, value: str) -> Iterable[PinRevision]:
        """Former templates of workloads that name a setting, or pull from a registry, by their `setting_index_value`."""
        found = self.host(PINREVISIONS).by(BY_SETTING, value)
        return [revision for revision in found if not revision.deleting]

    def pods(self, project: str, name: str) -> list[tuple[str, Pod]]:
        """Pods of a workload in all members that are known, each with its member, those on their way out included."""
        found: list[tuple[str, Pod]] = []
        for member in self.members():
            with suppress(Unknown):
                found += ((member, pod) for pod in self.clusters.view(member, PODS).by(BY_WORKLOAD, f"{project}/{name}"))
        return found

    def pods_by_member(self, project: str) -> Iterator[tuple[str, Iterable[Pod]]]:
        """Pods of all workloads of a project in each member that is known, those on their way out included."""
        for member in self.members():
            with suppress(Unknown):
                yield member, self.clusters.view(member, PODS).list(project)

    def members(self) -> tuple[str, ...]:
        """All registered members, connected or not."""
        return tuple(sorted(m.metadata.name for m in self.host(MEMBERCLUSTERS).list()))

    def capacity(self, member: MemberCluster) -> Capacity | None:
        """The member's room as it says itself, else as the host has it, which lacks the shape of the free room."""
        try:
            found = self.clusters.view(member.metadata.name, CLUSTERCAPACITIES).get(Key("", labels.LOCAL))
        except Unknown:
            found = None
        return found.status.capacity if found is not None and found.status.capacity is not None else member.status.capacity

    def unreachable_clusters(self) -> tuple[str, ...]:
        """Members that do not answer now."""
        connected = self.clusters.members()
        return tuple(m for m in self.members() if m not in connected or not self.clusters.answers(m))

    def unreachable_zones(self) -> tuple[str, ...]:
        """Returns the zones of members that do not answer now."""
        unreachable = set(self.unreachable_clusters())
        members = self.host(MEMBERCLUSTERS).list()
        return tuple(sorted({member.spec.zone for member in members if member.metadata.name in unreachable}))

    def freshness(self, resource: Resource[Any]) -> ReadAge:
        cache = self.host(resource)
        return ReadAge(
            read_version(resource, cache.newest),
            max(0.0, time.monotonic() - cache.last_contact),
            self.clusters.answers(HOST),
        )

    async def at_least(self, version: str) -> None:
        """Return when the cache shows this version or a newer one, which a gateway returned; at once for an empty one.

        Raises Problem for a text that is no version, and when the cache does not show it within CATCH_UP.
        """
        if not version:
            return
        kind, _, number = version.partition(".")
        newest = parameter_values.integer(number, 0, parameter_values.LARGEST)
        if newest is None or kind not in self._by_plural:
            raise problems.malformed(
                f"Pincompute-Min-Version: {version[:80]!r} is not a version", "send what an answer's Pincompute-Version said"
            )
        cache = self.host(self._by_plural[kind])
        try:
            async with asyncio.timeout(CATCH_UP):
                await cache.until(newest)
        except TimeoutError:
            raise problems.unavailable(f"the gateway has seen {kind} up to {cache.newest} and not yet {number}", 1.0) from None


def _owners(revision: PinRevision) -> Iterable[str]:
    return (owner.uid for owner in revision.metadata.owner_references)


def setting_index_value(word: str, project: str, name: str) -> str:
    """Returns the value under which workloads are indexed that name a setting, or (the word is `registry`) pull from a host."""
    return f"{word}/{project}/{name}"


def _sidecars(obj: WorkloadObject) -> Iterable[str]:
    return dict.fromkeys(named_by(obj.spec.template))


def _settings(obj: WorkloadObject | PinRevision) -> Iterable[str]:
    project, template = obj.metadata.namespace, obj.spec.template
    named = {setting_index_value(ref.word, project, ref.name) for ref in references(template)}
    return sorted(named | {setting_index_value("registry", project, host) for host in registries(template)})


def request_index_value(project: str, key: str) -> str:
    """Returns the value under which objects are indexed that a request with a key of this digest created in the project."""
    return f"{project}/{key}"


def _requests(obj: Object) -> Iterable[str]:
    key, dot, _ = obj.metadata.annotations.get(labels.IDEMPOTENCY, "").partition(".")
    return (request_index_value(obj.metadata.namespace, key),) if dot else ()


def _workload(pod: Pod) -> Iterable[str]:
    name = pod.metadata.labels.get(labels.APP)
    return (f"{pod.metadata.namespace}/{name}",) if name else ()
