"""Makes the edits of secrets and configs in a generated region, and checks where their values are."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from pincompute.api.builtin import PODS
from pincompute.api.kinds import KINDS
from pincompute.api.labels import COPIES_FINALIZER, HOST, MANAGED_BY, ORIGIN_UID, PINCOMPUTE, REVISION
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest
from pincompute.api.settings import ENTRY, SECRET, SETTINGS, Setting, SettingKind, highest, stored_name
from pincompute.api.template_settings import references
from pincompute.api.workloads import PINAPPS
from pincompute.testing.laws import SimulatedWorld

NAME = "db"  # of the one secret and the one config in each project
KEPT = 3  # versions in these worlds
AT = "2030-01-01T00:00:00Z"


def refer(template: Manifest) -> Manifest:
    """The template with the secret in its environment and the config in a volume."""
    first, *others = template["spec"]["containers"]
    variable = {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": NAME, "key": ENTRY}}}
    volume = {"name": "files", "configMap": {"name": NAME}}
    main = {**first, "env": [*first.get("env", []), variable]}
    return {"spec": {**template["spec"], "containers": [main, *others], "volumes": [volume]}}


def value(kind: SettingKind, project: str, number: int) -> dict[str, str]:
    text = f"{kind.word} of {project}, version {number}"
    return {ENTRY: base64.b64encode(text.encode()).decode() if kind is SECRET else text}


def set_value(world: SimulatedWorld, kind: SettingKind, key: Key, kept: int = KEPT) -> None:
    """What the gateway does: it stores the value, then records the version."""
    if key not in world.objects(HOST, kind.resource):
        labels = {MANAGED_BY: PINCOMPUTE}
        metadata = {"name": key.name, "namespace": key.namespace, "finalizers": [COPIES_FINALIZER], "labels": labels}
        world.make(HOST, kind.resource, {"metadata": metadata, "spec": {"version": 0, "versions": []}})
    setting: Setting = world.objects(HOST, kind.resource)[key]
    if setting.deleting:
        return
    number = highest(setting) + 1
    if Key(key.namespace, stored_name(key.name, number)) in world.objects(HOST, kind.carrier):
        return  # the API server refuses a second one of this name
    labels = {MANAGED_BY: PINCOMPUTE, ORIGIN_UID: setting.metadata.uid}
    stored: Manifest = {
        "metadata": {"name": stored_name(key.name, number), "namespace": key.namespace, "labels": labels},
        "data": value(kind, key.namespace, number),
        "immutable": True,
        **({"type": "Opaque"} if kind is SECRET else {}),
    }
    world.make(HOST, kind.carrier, stored)
    versions = [{"number": n, "time": AT} for n in range(max(1, number - kept + 1), number + 1)]
    world.edit(HOST, kind.resource, key, {"spec": {"version": number, "versions": versions}})


def set_both(world: SimulatedWorld, project: str) -> None:
    for kind in SETTINGS:
        set_value(world, kind, Key(project, NAME))


def roll_back(world: SimulatedWorld, project: str) -> None:
    """Uses the oldest version that is kept."""
    for kind in SETTINGS:
        setting: Setting | None = world.objects(HOST, kind.resource).get(Key(project, NAME))
        if setting is not None and setting.spec.versions:
            world.edit(HOST, kind.resource, setting.key, {"spec": {"version": setting.spec.versions[0].number}})


def remove(world: SimulatedWorld, project: str) -> None:
    """Removes both, unless an app names them, as the gateway does."""
    templates = [app.spec.template for app in world.objects(HOST, PINAPPS).values() if app.metadata.namespace == project]
    if not any(map(references, templates)):
        for kind in SETTINGS:
            world.remove(HOST, kind.resource, Key(project, NAME))


def check_copies(world: SimulatedWorld, member: str) -> None:
    """What shards of the member ask for is there, and so is what a pod was made from; the status names each copy, and each
    copy has a value of its own project."""
    there = {kind.word: set(copies(world, kind, member)) for kind in SETTINGS}
    shards = [shard for kind in KINDS for shard in world.objects(member, kind.shard).values()]
    if not shards and not any(there.values()):
        return
    templates = {share.revision: share.template for shard in shards for share in shard.spec.mix if share.replicas}
    needed = {revision: names for revision, template in templates.items() if (names := named(template))}
    for names in needed.values():
        lacking = [str(name) for word, name in names if name not in {key.name for key in there[word]}]
        assert not lacking, f"{member} lacks {lacking} that its shards name"
    for pod in world.objects(member, PODS).values() if needed else ():
        names = needed.get(pod.metadata.labels.get(REVISION, ""), frozenset())
        assert all(name in {key.name for key in there[word]} for word, name in names), f"{pod.key} has lost its settings"
    for kind in SETTINGS:
        for key in there[kind.word]:
            check_copy(world, kind, member, key)


def named(template: Manifest) -> frozenset[tuple[str, str]]:
    return frozenset((ref.word, ref.stored) for ref in references(template))


def copies(world: SimulatedWorld, kind: SettingKind, member: str) -> Iterator[Key]:
    """The copies in a member: nobody else makes objects of these kinds in these worlds."""
    yield from world.objects(member, kind.carrier)


def check_copy(world: SimulatedWorld, kind: SettingKind, member: str, key: Key) -> None:
    """The status names it, unless the member is not of the region any more."""
    if Key("", member) not in world.objects(HOST, MEMBERCLUSTERS):
        return
    held: Manifest = world.stores[member].get(kind.carrier, key)
    uid = held["metadata"]["labels"][ORIGIN_UID]
    origin = next((s for s in world.objects(HOST, kind.resource).values() if s.metadata.uid == uid), None)
    assert origin is not None, f"{kind.word} {key} in {member} is left over"
    assert origin.key.namespace == key.namespace, f"{member} has {kind.word} {origin.key} in {key.namespace}"
    recorded = {
        stored_name(origin.key.name, copy.version) if copy.pinned else origin.key.name
        for copy in origin.status.copies
        if copy.cluster == member
    }
    assert key.name in recorded, f"no status names {kind.word} {key} in {member}"


def check_rest(world: SimulatedWorld) -> None:
    """No member has what nothing there needs; values are those of the version in use, or of the version that is named; the
    host has the versions that are kept."""
    for member in world.stores:
        if member == HOST:
            continue
        shards = [shard for kind in KINDS for shard in world.objects(member, kind.shard).values()]
        needed = {name for shard in shards for share in shard.spec.mix for name in named(share.template)}
        for kind in SETTINGS:
            there = {(kind.word, key.name) for key in copies(world, kind, member)}
            wanted = {each for each in needed if each[0] == kind.word}
            assert there == wanted, f"{member} has {sorted(there)}, its shards name {sorted(wanted)}"
            for key in copies(world, kind, member):
                check_value(world, kind, member, key)
    for kind in SETTINGS:
        check_host(world, kind)


def check_value(world: SimulatedWorld, kind: SettingKind, member: str, key: Key) -> None:
    plain, _, number = key.name.partition(".")
    setting: Setting | None = world.objects(HOST, kind.resource).get(Key(key.namespace, plain))
    assert setting is not None, f"{kind.word} {key} in {member} has no origin"
    held: Any = world.stores[member].get(kind.carrier, key)
    wanted = value(kind, key.namespace, int(number or setting.spec.version))
    assert held["data"] == wanted, f"{kind.word} {key} in {member} has another value"


def check_host(world: SimulatedWorld, kind: SettingKind) -> None:
    for key, setting in world.objects(HOST, kind.resource).items():
        assert not setting.deleting, f"{kind.word} {key} was removed and is still there"
        kept = {stored_name(key.name, version.number) for version in setting.spec.versions}
        stored = {
            name.name
            for name, obj in world.objects(HOST, kind.carrier).items()
            if obj.metadata.labels.get(ORIGIN_UID) == setting.metadata.uid
        }
        assert stored == kept, f"the host has {sorted(stored)} of {kind.word} {key}, {sorted(kept)} are kept"
