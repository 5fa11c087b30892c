"""Indexes workloads, shards and revisions by the secrets and configs that their templates refer to.

A sum counts how many workloads need each version in each member.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from pincompute.api.kinds import KINDS, WorkloadKind, WorkloadObject
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.api.revisions import PINREVISIONS, PinRevision
from pincompute.api.settings import PINCONFIGS, PINSECRETS, SETTINGS, PinSecret, Setting, SettingKind
from pincompute.api.shards import Shard
from pincompute.api.template_settings import Reference, places, references, registries
from pincompute.engine.controller import ReadAccess
from pincompute.federation.workload import workload_model
from pincompute.kube.cache_views import Views
from pincompute.kube.indexer import Index, IndexEntry, OfSpec, Sum

BY_SETTING = "setting"  # index over workloads
BY_VERSION = "version"  # index over revisions: a setting with the version that they name, 0 for the one in use
NEEDS = "needs"  # sum over workloads: by setting, members with the version needed there; over shards: versions
IN_USE = "in use"  # a need: the version in use, under the name of that version
BY_REFERRER = "referrer"  # index over the revisions that refer to a setting: their workload
BY_REGISTRY = "registry"  # index over workloads and secrets: project and host of a registry
BY_CLUSTER = "cluster"  # index over settings: the members that hold a copy


def filed(word: str, namespace: str, name: str) -> str:
    """Returns the value under which `BY_SETTING` files what refers to a setting."""
    return f"{word}/{namespace}/{name}"


def names(word: str, template: Manifest) -> frozenset[str]:
    """Returns the names of the settings of one kind that the template refers to."""
    return frozenset(ref.name for ref in references(template) if ref.word == word)


def of_shard(shard: Shard) -> frozenset[Reference]:
    """Returns what the templates of a shard refer to."""
    return frozenset(ref for share in shard.spec.mix for ref in references(share.template))


def referrer(kind: WorkloadKind, key: Key) -> str:
    """Returns the value under which `BY_REFERRER` files the revisions of a workload."""
    return f"{kind.workload.kind}/{key}"


def owner(revision: PinRevision) -> tuple[str, Key]:
    """Returns the workload of a revision: its kind, and its key."""
    kind, name = next(((o.kind, o.name) for o in revision.metadata.owner_references), ("", ""))
    return kind, Key(revision.metadata.namespace, name)


def _by_workload(obj: WorkloadObject) -> Iterable[str]:
    return sorted({_filed(obj, ref) for ref in references(obj.spec.template)})


def _filed(obj: Object | WorkloadObject, ref: Reference) -> str:
    return filed(ref.word, obj.metadata.namespace, ref.name)


def _by_image(obj: WorkloadObject) -> Iterable[str]:
    return sorted(f"{obj.metadata.namespace}/{host}" for host in registries(obj.spec.template))


def _by_login(secret: PinSecret) -> Iterable[str]:
    return [f"{secret.metadata.namespace}/{secret.registry}"] if secret.registry else []


def _needs(obj: WorkloadObject) -> Iterator[IndexEntry]:
    """Yields what the workload needs where it is, or may be, placed."""
    members = _places_of(obj)
    if members:
        for group, version in sorted(_versions(obj)):
            yield IndexEntry(group, 0, {f"{member}/{version}": 1 for member in members})


def _places_of(obj: WorkloadObject) -> Collection[str]:
    return workload_model.members_of(obj) if not obj.deleting else ()


def _versions(obj: WorkloadObject) -> set[tuple[str, str]]:
    """Returns the groups of `NEEDS` that the workload belongs to, each with the version that it needs."""
    rolls = obj.spec.update.settings == "Roll"
    found = {(_group(obj.metadata.namespace, host), "0") for host in registries(obj.spec.template)}
    for place in places(obj.spec.template) if references(obj.spec.template) else ():
        ref = place.reference
        in_use = rolls and not ref.version and "imagePullSecrets" not in place.path
        found.add((_filed(obj, ref), IN_USE if in_use else str(ref.version)))
    return found


def _group(namespace: str, registry: str) -> str:
    return f"registry/{namespace}/{registry}"


def _needs_of_shard(shard: Shard) -> Iterator[IndexEntry]:
    for ref in of_shard(shard):
        yield IndexEntry(_filed(shard, ref), 0, {str(ref.version): 1})


def _by_version(revision: PinRevision) -> Iterable[str]:
    return sorted({f"{_filed(revision, ref)}/{ref.version}" for ref in references(revision.spec.template)})


def _by_referrer(revision: PinRevision) -> Iterator[str]:
    if references(revision.spec.template):
        kind, key = owner(revision)
        yield f"{kind}/{key}"


def _by_cluster(setting: Setting) -> Iterable[str]:
    return dict.fromkeys(copy.cluster for copy in setting.status.copies)


_BY_WORKLOAD: Mapping[str, Index[Any]] = {
    BY_SETTING: OfSpec(_by_workload),
    BY_REGISTRY: OfSpec(_by_image),
    NEEDS: OfSpec(Sum(_needs), _places_of),
}
Indexes = Mapping[Resource[Any], Mapping[str, Index[Any]]]
ON_HOST: Indexes = {
    **{kind.workload: _BY_WORKLOAD for kind in KINDS},
    PINSECRETS: {BY_CLUSTER: _by_cluster, BY_REGISTRY: _by_login},
    PINCONFIGS: {BY_CLUSTER: _by_cluster},
    PINREVISIONS: {BY_VERSION: _by_version, BY_REFERRER: _by_referrer},
}
IN_MEMBERS: Indexes = {kind.shard: {NEEDS: OfSpec(Sum(_needs_of_shard))} for kind in KINDS}


def referring(kind: SettingKind, setting: Setting, workload: Resource[Any], views: Views) -> list[WorkloadObject]:
    """Returns the workloads whose templates name the setting, or have an image of the registry that it is a login for."""
    found = views.view(HOST, workload)
    named = found.by(BY_SETTING, filed(kind.word, *setting.key))
    pulling = found.by(BY_REGISTRY, each) if (each := next(iter(_logins(setting)), "")) else ()
    return list({obj.key: obj for obj in (*named, *pulling)}.values())


def groups(kind: SettingKind, setting: Setting) -> Iterator[str]:
    """Yields the groups of `NEEDS` that say who needs the setting. Nobody pulls with a login that goes or has no value yet."""
    yield filed(kind.word, *setting.key)
    if isinstance(setting, PinSecret) and setting.registry and setting.spec.version and not setting.deleting:
        yield _group(setting.metadata.namespace, setting.registry)


def _logins(setting: Setting) -> Iterable[str]:
    return _by_login(setting) if isinstance(setting, PinSecret) else []


def reads(workload: Resource[Any]) -> tuple[ReadAccess[Key], ...]:
    """Returns the lines of a card by which an event of a setting concerns the workloads that use it."""

    def of_setting(kind: SettingKind) -> ReadAccess[Key]:
        return ReadAccess(
            "host",
            kind.resource,
            lambda _host, _setting: (),
            lambda _host, setting, views: [obj.key for obj in referring(kind, setting, workload, views)],
        )

    return tuple(map(of_setting, SETTINGS))


def logins_for(template: Manifest, namespace: str, views: Views) -> Iterator[PinSecret]:
    """Yields the logins of the project at the registries of the template's images."""
    secrets = views.view(HOST, PINSECRETS)
    for host in sorted(registries(template)):
        yield from sorted(secrets.by(BY_REGISTRY, f"{namespace}/{host}"), key=lambda secret: secret.metadata.name)


def revisions(kind: WorkloadKind, key: Key, views: Views) -> Iterable[PinRevision]:
    """Returns the earlier revisions of a workload that refer to a setting."""
    return views.view(HOST, PINREVISIONS).by(BY_REFERRER, referrer(kind, key))
