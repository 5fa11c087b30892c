"""Carries a secret or config to exactly the members that need it, and removes what nothing there needs any more (S-067).

There is one controller per kind of setting. A copy is recorded in the status before it is made, and marked there before it is
removed, so a crash leaves none that nobody knows of. No shard reaches a member before the copies that its templates need are
there, and a copy stays until the replicas that may use it are gone. Versions that are no longer kept are removed from the host.
No controller sees a value: a plan names objects, and the engine copies their data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from pincompute.api import settings
from pincompute.api.builtin import NAMESPACES
from pincompute.api.kinds import KINDS, WorkloadKind
from pincompute.api.labels import COPIES_FINALIZER, HOST
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest, Object
from pincompute.api.projects import PROJECTS
from pincompute.api.revisions import PINREVISIONS, PinRevision
from pincompute.api.settings import SECRET, SETTINGS, Setting, SettingCopy, SettingKind
from pincompute.api.shards import Shard
from pincompute.domain import project_namespace
from pincompute.domain.project_namespace import NamespaceOwner
from pincompute.engine.api_refusals import ApiRefusal, ApiRefusals
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import Action, Confirm, Copy, Delete, Discard, Patch, Plan, Ref, Replace, plan, status_update
from pincompute.federation.member import member_state
from pincompute.federation.project import namespace_objects
from pincompute.federation.settings import setting_needs, setting_references
from pincompute.federation.settings.setting_references import BY_CLUSTER
from pincompute.federation.workload import workload_model
from pincompute.kube.cache_views import Unknown, Views

ABANDONED = 600.0  # seconds; no request to the gateway takes so long
NO_REFUSAL = ApiRefusal("", "", "")


@dataclass(frozen=True, slots=True)
class MemberNeed:
    """A member that answers. `namespace`: uid of the project's own namespace there, empty without one. `lacks`: why nothing may
    be written there. `versions`: what is needed there, 0 for the plain name.
    """

    name: str
    namespace: str
    lacks: str
    versions: frozenset[int]


@dataclass(frozen=True, slots=True)
class ObservedSetting:
    """`members`: those that can be seen and that need it or have a copy. `registered`: all. `host_lacks`: why no value can be
    read from the host now. `refusal`: the cluster that refused the last write, and what it said. `age`: seconds since it
    was made.
    """

    kind: SettingKind
    setting: Setting
    members: tuple[MemberNeed, ...]
    registered: frozenset[str]
    host_lacks: str = ""
    refusal: ApiRefusal = NO_REFUSAL
    age: float = 0.0

    @property
    def ref(self) -> Ref:
        return Ref(HOST, self.kind.resource, self.setting.key)


@dataclass(frozen=True, slots=True)
class _Step:
    """What one member gets now, and the copies that it then has."""

    cluster: str
    actions: tuple[Action, ...]
    copies: tuple[SettingCopy, ...]


def decide(observed: ObservedSetting) -> Plan:
    setting = observed.setting
    if setting.deleting and COPIES_FINALIZER not in setting.metadata.finalizers:
        return Plan(why="is being deleted")
    if not setting.spec.version and not setting.deleting:
        return _unrecorded(observed)
    steps = [_step(observed, member) for member in observed.members]
    last = [
        step for step in steps if step.actions and observed.refusal.cluster in (step.cluster, HOST)
    ]  # the others do not wait
    now = [step for step in steps if step not in last]
    unseen = observed.registered - {step.cluster for step in now}
    troubled = {step.cluster: observed.refusal.text for step in last}
    kept = [
        msgspec.structs.replace(copy, problem=troubled.get(copy.cluster, copy.problem))
        for copy in setting.status.copies
        if copy.cluster in unseen
    ]
    copies = sorted((*kept, *(copy for step in now for copy in step.copies)), key=_place)
    stored, discards = _stored(observed)
    writes = (*discards, *(action for step in now for action in step.actions))
    if setting.deleting and not copies and not writes and not last:
        return plan(_remove_finalizer(observed))
    return plan(
        (_confirm(observed),) if writes else (),
        writes,
        _report(observed, tuple(copies), stored),
        tuple(action for step in last for action in step.actions),
    )


def _unrecorded(observed: ObservedSetting) -> Plan:
    """Removes a setting whose first version was never recorded, when nobody can be about to record it."""
    if observed.age < ABANDONED:
        return Plan(wake_after=ABANDONED - observed.age, why="its first version is not recorded yet")
    meta = observed.setting.metadata
    return plan((Delete(observed.ref, meta.uid, "its first version was never recorded", meta.resource_version),))


def _place(copy: SettingCopy) -> tuple[str, bool, int]:
    return copy.cluster, copy.pinned, copy.version


def _confirm(observed: ObservedSetting) -> Confirm:
    meta = observed.setting.metadata
    return Confirm(observed.ref, meta.uid, resource_version=meta.resource_version)


def _step(observed: ObservedSetting, member: MemberNeed) -> _Step:
    """Decides what the member gets. What a namespace that is gone held is gone with it."""
    there = {
        setting_needs.need(copy): copy
        for copy in observed.setting.status.copies
        if copy.cluster == member.name and member.namespace and copy.namespace == member.namespace
    }
    needed = [_supply(observed, member, need, there.get(need)) for need in sorted(member.versions)]
    surplus = [_withdraw(observed, member, copy) for need, copy in there.items() if need not in member.versions]
    copies = tuple(copy for _, copy in (*surplus, *needed) if copy is not None)
    return _Step(member.name, tuple(action for action, _ in (*surplus, *needed) if action is not None), copies)


def _withdraw(observed: ObservedSetting, member: MemberNeed, copy: SettingCopy) -> tuple[Discard | None, SettingCopy | None]:
    """Returns the removal of a copy, and what is recorded of it then."""
    if copy.removing and not member.lacks:
        return _discard(observed, copy), None
    return None, msgspec.structs.replace(copy, removing=True)


def _supply(
    observed: ObservedSetting, member: MemberNeed, need: int, there: SettingCopy | None
) -> tuple[Copy | None, SettingCopy | None]:
    """Returns the write of a copy that is needed, and what is recorded of it then: a new one is recorded first."""
    wanted = _wanted(observed, member, need)
    if wanted is None or wanted == there:
        return None, there
    if there is None:
        return None, msgspec.structs.replace(wanted, making=True)
    return _copy(observed, wanted), wanted


def _wanted(observed: ObservedSetting, member: MemberNeed, need: int) -> SettingCopy | None:
    """Returns the copy that should be there; None where it cannot be made now."""
    setting = observed.setting
    version = need or setting.spec.version
    if member.lacks or observed.host_lacks or setting.deleting or not settings.is_kept(setting, version):
        return None
    return SettingCopy(cluster=member.name, version=version, namespace=member.namespace, pinned=bool(need))


def _copy(observed: ObservedSetting, wanted: SettingCopy) -> Copy:
    setting, carrier = observed.setting, observed.kind.carrier
    namespace, name = setting.key
    stored = settings.stored_name(name, wanted.version)
    return Copy(
        source=Ref(HOST, carrier, Key(namespace, stored)),
        ref=Ref(wanted.cluster, carrier, Key(namespace, stored if wanted.pinned else name)),
        origin=setting.metadata.uid,
        labels={},
        why=f"{wanted.cluster} needs version {wanted.version} of {observed.kind.word} {name}",
        immutable=wanted.pinned,
    )


def _discard(observed: ObservedSetting, copy: SettingCopy) -> Discard:
    namespace, name = observed.setting.key
    held = settings.stored_name(name, copy.version) if copy.pinned else name
    ref = Ref(copy.cluster, observed.kind.carrier, Key(namespace, held))
    return Discard(ref, observed.setting.metadata.uid, f"nothing in {copy.cluster} needs {observed.kind.word} {name}")


def _stored(observed: ObservedSetting) -> tuple[tuple[int, ...], tuple[Discard, ...]]:
    """Returns the versions that the host may hold afterwards, and the removal of those that are not kept.

    A number below the newest that was never recorded may have been written before its writer crashed. When the setting itself
    goes, Kubernetes removes what it owns.
    """
    setting = observed.setting
    if observed.host_lacks or setting.deleting:
        return setting.status.stored, ()
    kept = {version.number for version in setting.spec.versions}
    before = setting.status.stored
    known = {*before, *range(max(before, default=0) + 1, settings.highest(setting))}
    namespace, name = setting.key
    gone = tuple(
        Discard(
            Ref(HOST, observed.kind.carrier, Key(namespace, settings.stored_name(name, number))),
            setting.metadata.uid,
            "the version is no longer kept",
        )
        for number in sorted(known - kept)
    )
    return tuple(sorted(kept)), gone


def _report(observed: ObservedSetting, copies: tuple[SettingCopy, ...], stored: tuple[int, ...]) -> tuple[Replace, ...]:
    setting = observed.setting
    status = msgspec.structs.replace(
        setting.status, observed_generation=setting.metadata.generation, copies=copies, stored=stored
    )
    where = ", ".join(dict.fromkeys(copy.cluster for copy in copies)) or "no member"
    return status_update(observed.ref, setting.metadata, setting.status, status, f"is in {where}")


def _remove_finalizer(observed: ObservedSetting) -> tuple[Patch, ...]:
    meta = observed.setting.metadata
    body: Manifest = {"metadata": {"finalizers": [f for f in meta.finalizers if f != COPIES_FINALIZER]}}
    return (Patch(observed.ref, body, meta.uid, meta.resource_version, "no member holds a copy of it"),)


def observe_for(kind: SettingKind, key: Key, views: Views, now: datetime, refusal: ApiRefusal) -> ObservedSetting | None:
    setting: Setting | None = views.view(HOST, kind.resource).get(key)
    if setting is None:
        return None
    wanted = setting_needs.wanted(kind, setting, views)
    copies: defaultdict[str, set[int]] = defaultdict(set)
    for copy in setting.status.copies:
        copies[copy.cluster].add(setting_needs.need(copy))
    everywhere = member_state.observe(views)
    seen: list[MemberNeed] = []
    for member in everywhere:
        needed = wanted.get(member.name, frozenset[int]())
        if not member.reachable or not (needed or member.name in copies):
            continue
        with suppress(Unknown):
            held = setting_needs.held(kind, key, member.name, frozenset(copies[member.name]) - needed, views)
            seen.append(_member(key.namespace, member.name, needed | held, views))
    registered = frozenset(member.name for member in everywhere)
    lacks = namespace_objects.lacking(key.namespace, HOST, views)
    age = (now - (setting.metadata.creation_timestamp or now)).total_seconds()
    return ObservedSetting(kind, setting, tuple(seen), registered, lacks, refusal, age)


def _member(project: str, member: str, versions: frozenset[int], views: Views) -> MemberNeed:
    lacks = namespace_objects.lacking(project, member, views)
    namespace = views.view(member, NAMESPACES).get(Key("", project))
    found = views.view(HOST, PROJECTS).get(Key("", project))
    ours = (
        namespace is not None
        and found is not None
        and project_namespace.owner(namespace, found.metadata) is NamespaceOwner.PROJECT
    )
    return MemberNeed(member, namespace.metadata.uid if namespace is not None and ours else "", lacks, versions)


def _keys_of_shards(kind: SettingKind, workload: WorkloadKind) -> ReadAccess[Key]:
    def keys(_member: str, shard: Shard) -> Iterable[Key]:
        found = setting_references.of_shard(shard)
        return (Key(shard.metadata.namespace, name) for name in {ref.name for ref in found if ref.word == kind.word})

    def earlier(_member: str, shard: Shard, views: Views) -> Iterator[Key]:
        """Yields what earlier revisions of the workload refer to: their replicas may have gone now."""
        for revision in setting_references.revisions(workload, shard.key, views):
            yield from _of_template(kind, revision, revision.spec.template)

    return ReadAccess("members", workload.shard, keys, earlier)


def _of_template(kind: SettingKind, obj: Object, template: Manifest) -> Iterable[Key]:
    return (Key(obj.metadata.namespace, name) for name in setting_references.names(kind.word, template))


def _in_namespace(kind: SettingKind, name: Callable[[Object], str]) -> Callable[[str, Any, Views], Iterable[Key]]:
    return lambda _cluster, obj, views: [each.key for each in views.view(HOST, kind.resource).list(name(obj))]


def _no_key(_cluster: str, _obj: Any) -> Iterable[Key]:
    return ()


def _controller(kind: SettingKind, refusals: ApiRefusals) -> Controller[Key, ObservedSetting]:
    def observe(key: Key, views: Views, now: datetime) -> ObservedSetting | None:
        refusal = ApiRefusal(refusals.cluster(card.name, key, ()), refusals.of(card.name, key, ()), "")
        return observe_for(kind, key, views, now, refusal)

    def of_workload(_host: str, obj: Any) -> Iterable[Key]:
        return _of_template(kind, obj, obj.spec.template)

    def of_image(_host: str, obj: Any, views: Views) -> Iterable[Key]:
        return [secret.key for secret in setting_references.logins_for(obj.spec.template, obj.metadata.namespace, views)]

    def of_revision(_host: str, revision: PinRevision) -> Iterable[Key]:
        return _of_template(kind, revision, revision.spec.template)

    def of_former_member(_host: str, member: Object, views: Views) -> Iterable[Key]:
        """Copies in a member that left the region are forgotten."""
        if views.view(HOST, MEMBERCLUSTERS).get(member.key) is None:
            yield from (each.key for each in views.view(HOST, kind.resource).by(BY_CLUSTER, member.metadata.name))

    def contact(member: str, views: Views) -> Iterator[Key]:
        yield from (each.key for each in views.view(HOST, kind.resource).by(BY_CLUSTER, member))
        for workload in KINDS:
            for obj in views.view(HOST, workload.workload).by(workload_model.BY_MEMBER, member):
                yield from of_workload(HOST, obj)
                yield from of_image(HOST, obj, views) if kind is SECRET else ()

    named, within = _in_namespace(kind, lambda obj: obj.metadata.name), _in_namespace(kind, lambda obj: obj.metadata.namespace)
    card = Card(
        name=f"federation.settings.{kind.word}",
        promise=f"Every member that needs a {kind.word} has it before the replicas that use it, and no other member has it.",
        key=kind.resource.kind,
        reads=(
            ReadAccess("host", kind.resource, own_key),
            *(ReadAccess("host", each.workload, of_workload, of_image if kind is SECRET else None) for each in KINDS),
            *(_keys_of_shards(kind, each) for each in KINDS),
            ReadAccess("host", PINREVISIONS, of_revision),
            ReadAccess("host", MEMBERCLUSTERS, _no_key, of_former_member),
            ReadAccess("host", PROJECTS, _no_key, named),
            ReadAccess("host", NAMESPACES, _no_key, named),
            ReadAccess("members", NAMESPACES, _no_key, named),
            *(ReadAccess("host", each, _no_key, within) for each in namespace_objects.ON_HOST),
            *(ReadAccess("members", each, _no_key, within) for each in namespace_objects.IN_MEMBERS),
        ),
        writes=(
            WriteAccess("host", kind.resource, ("patch", "status", "delete")),
            WriteAccess("host", kind.carrier, ("source", "discard"), in_projects=True),
            WriteAccess("members", kind.carrier, ("copy", "discard"), in_projects=True),
        ),
        contact=contact,
    )
    return Controller(card, observe, decide)


def controllers(refusals: ApiRefusals) -> tuple[Controller[Key, ObservedSetting], ...]:
    """One for each kind of setting. The engine has to tell `refusals` about troubles."""
    return tuple(_controller(kind, refusals) for kind in SETTINGS)


CONTROLLERS = controllers(ApiRefusals())
