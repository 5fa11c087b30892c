"""Checks what must hold in a region after every write and at rest, and extracts the outcome."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import region_settings
from kubelets import BAD, CRASHING, JOB, lets_through, plain, statuses
from promised_availability import serves
from region_edits import ZONES

from pincompute.api.builtin import PODS, Pod
from pincompute.api.conditions import find, is_true
from pincompute.api.kinds import KINDS
from pincompute.api.labels import APP, HOST, IN_PLACE_READY, ORIGIN_UID, REVISION, SHARD_UID, WORKLOAD
from pincompute.api.member_clusters import MEMBERCLUSTERS, MemberCluster
from pincompute.api.meta import Key
from pincompute.api.settings import SETTINGS
from pincompute.api.shards import PINAPPSHARDS, PINPODSHARDS, Shard
from pincompute.api.workloads import DRAIN_SECONDS, PINAPPS, PINPODS, PinApp, PinPod
from pincompute.testing.laws import SimulatedWorld
from pincompute.testing.laws.simulated_world import WorldChange, since

DRAIN = timedelta(seconds=DRAIN_SECONDS)
PATIENCE = timedelta(seconds=15)  # S-017: shorter silences change nothing


def invariant(world: SimulatedWorld) -> None:
    """F5: no pod is made beyond what its shard asks for now, and its surge. S-020: nobody says done too soon."""
    for cluster in world.stores:
        if cluster != HOST:
            check_newest_pod(world, cluster)
    found = says_done_too_soon(world)
    assert not found, found
    for change in world.changes[-1:]:
        if change.cluster == HOST:
            check_members(world, change)
        else:
            check_wanted_shards(world, change)
            check_restarts(world, change)
            region_settings.check_copies(world, change.cluster)


def check_restarts(world: SimulatedWorld, change: WorldChange) -> None:
    """S-152: a container of a pod with a gate restarts only when the pod has been out of traffic for as long as it drains."""
    for version in since(world.history(change.cluster, PODS), change.before):
        was, now = world.objects(change.cluster, PODS, change.before).get(version.key), version.obj
        if was is None or not isinstance(now, Pod) or not was.spec.readiness_gates or _images(was) == _images(now):
            continue
        gate = find(was.status.conditions, IN_PLACE_READY)
        if gate is None:
            continue
        assert gate.status == "False", f"{version.key} restarts a container in {change.cluster} while it is in traffic"
        ready = find(was.status.conditions, "Ready")
        drained = ready is None or (
            ready.status == "False"
            and ready.last_transition_time is not None
            and world.now - ready.last_transition_time >= DRAIN
        )
        assert drained, f"{version.key} restarts a container in {change.cluster} before it has drained"


def _images(pod: Pod) -> dict[str, str]:
    return {container.name: container.image for container in (*pod.spec.init_containers, *pod.spec.containers)}


def check_traffic(world: SimulatedWorld) -> None:
    """S-152: at rest no pod is out of traffic that serves by itself."""
    for cluster in world.stores:
        for key, pod in world.objects(cluster, PODS).items():
            if statuses(pod) and all(status.ready for status in statuses(pod)) and not pod.deleting:
                assert lets_through(pod), f"{key} in {cluster} stays out of traffic"


def check_members(world: SimulatedWorld, change: WorldChange) -> None:
    """A member is given up only after a silence of some length, and let go only when nothing of ours is left in it."""
    for version in since(world.history(HOST, MEMBERCLUSTERS), change.before):
        member, name = version.obj, version.key.name
        if member is None:
            left = [key for kind in KINDS for key in world.objects(name, kind.shard)]
            left += [key for kind in SETTINGS for key in world.objects(name, kind.carrier)]
            assert not left or name in world.silent or name in world.cut, f"{name} is let go with {left[0]} in it"
        elif isinstance(member, MemberCluster) and (given_up := find(member.status.conditions, "Ready")):
            just_now = given_up.status == "False" and given_up.last_transition_time == world.now
            was = world.objects(HOST, MEMBERCLUSTERS, change.before).get(version.key)
            before = find(was.status.conditions, "Ready") if was is not None else None
            if just_now and name not in world.cut and before is not None and before.status == "True":
                silence = world.now - world.silent_since.get(name, world.now)
                assert silence >= PATIENCE, f"{name} is given up after {silence.total_seconds()} s of silence"


def check_wanted_shards(world: SimulatedWorld, change: WorldChange) -> None:
    """No shard goes while its workload wants replicas there, unless all replicas end before the next revision starts."""
    for kind in KINDS:
        for version in since(world.history(change.cluster, kind.shard), change.before):
            was = world.objects(change.cluster, kind.shard, change.before).get(version.key)
            going = version.obj is None or version.obj.deleting
            if not going or was is None or was.deleting:
                continue
            workload = world.objects(HOST, kind.workload).get(version.key)
            if workload is None or workload.deleting or workload.metadata.uid != was.spec.origin.uid:
                continue
            if workload.spec.update.strategy == "Recreate":
                continue
            made = workload.status.scheduling
            decided = made is not None and made.generation == workload.metadata.generation
            placed = {row.cluster for row in made.placement} if made and decided else ()
            assert change.cluster not in placed, f"{version.key} goes from {change.cluster} although replicas belong there"


def check_canary(world: SimulatedWorld) -> None:
    """While a former revision serves, no more than one replica has an image that does not run."""
    for app in world.objects(HOST, PINAPPS).values():
        mine = [pod for _, pod in pods_of(world, app.metadata.uid) if not pod.deleting]
        failing = [pod for pod in mine if any(plain(c.image) in (BAD, CRASHING) for c in pod.spec.containers)]
        if len(failing) > 1:
            former = [pod for pod in mine if pod not in failing and serves(pod, world.now)]
            assert not former, f"the canary of {app.key} has failed, and {len(failing)} replicas have its image"


def check_no_mix(world: SimulatedWorld) -> None:
    """Of an app that ends all replicas first there are never pods of two revisions, those that are ending included."""
    for app in world.objects(HOST, PINAPPS).values():
        if app.spec.update.strategy == "Recreate":
            found = {pod.metadata.labels[REVISION] for _, pod in pods_of(world, app.metadata.uid)}
            assert len(found) <= 1, f"{app.key} runs {len(found)} revisions at a time"


def is_new(pod: Pod) -> bool:
    """Whether it is a replica that was just made; one that only pulls images is none."""
    return SHARD_UID in pod.metadata.labels and not pod.spec.node_name and not pod.deleting and not pod.status.conditions


def check_newest_pod(world: SimulatedWorld, cluster: str) -> None:
    """The last write to the cluster, if it made a pod."""
    for version in world.history(cluster, PODS)[-1:]:
        if version.number == world.version(cluster) and isinstance(version.obj, Pod) and is_new(version.obj):
            check_pod(world, cluster, version.obj)


def check_pod(world: SimulatedWorld, cluster: str, pod: Pod) -> None:
    uid = pod.metadata.labels.get(SHARD_UID, "")
    shards = (*world.objects(cluster, PINAPPSHARDS).values(), *world.objects(cluster, PINPODSHARDS).values())
    shard = next((s for s in shards if s.metadata.uid == uid), None)
    assert shard is not None, f"{pod.key} in {cluster} is made for a shard that is gone"
    assert not shard.deleting, f"{pod.key} in {cluster} is made for a shard that is going"
    wanted = sum(share.replicas for share in shard.spec.mix)
    live = [p for p in world.objects(cluster, PODS).values() if p.metadata.labels.get(SHARD_UID) == uid and not p.deleting]
    assert len(live) <= wanted, f"{len(live)} pods in {cluster} for a shard of {wanted}"
    if pod.metadata.labels.get(WORKLOAD) == PINPODS.kind:
        check_not_done(world, pod)


def check_not_done(world: SimulatedWorld, pod: Pod) -> None:
    """A PinPod that has ended well is done: its revision is not run again, in any member."""
    for cluster in world.stores:
        for version in world.history(cluster, PODS):
            past = version.obj
            if isinstance(past, Pod) and past.status.phase == "Succeeded" and _same_run(past, pod):
                raise AssertionError(f"{pod.key} is made again although {past.key} in {cluster} has ended well")


def _same_run(one: Pod, other: Pod) -> bool:
    return all(one.metadata.labels.get(name) == other.metadata.labels.get(name) for name in (ORIGIN_UID, REVISION))


def check_ready_counts(world: SimulatedWorld, cluster: str) -> None:
    """What a shard has just reported as ready was so when it was observed: pods that are ending count for nothing."""
    for resource in (PINAPPSHARDS, PINPODSHARDS):
        for version in world.history(cluster, resource)[-1:]:
            shard = version.obj
            if version.number != world.version(cluster) or not isinstance(shard, Shard) or shard.deleting:
                continue
            pods = world.objects(cluster, PODS, world.versions_read[cluster]).values()
            mine = [p for p in pods if p.metadata.labels.get(SHARD_UID) == shard.metadata.uid]
            ready = sum(is_true(p.status.conditions, "Ready") and not p.deleting for p in mine)
            past = world.objects(cluster, resource, version.number - 1).get(version.key)
            reports = past is not None and past.status.ready_replicas != shard.status.ready_replicas
            if reports and cluster not in world.slow:
                said = shard.status.ready_replicas
                assert said <= ready, f"{shard.key} in {cluster} reports {said} ready pods, {ready} are"


def says_done_too_soon(world: SimulatedWorld) -> str:
    """S-020: the status may name the present generation only when no member still reports an older one.

    A member that joins the placement later has reported none; the status does not go back for it.
    """
    for key, app in world.objects(HOST, PINAPPS).items():
        if app.status.observed_generation != app.metadata.generation:
            continue
        for cluster in world.stores:
            shard = world.objects(cluster, PINAPPSHARDS).get(key)
            placed = {row.cluster for row in app.status.scheduling.placement} if app.status.scheduling else ()
            reported = shard.status.origin_generation if shard is not None and cluster in placed else 0
            if 0 < reported < app.metadata.generation:
                return f"S-020: {key} says that generation {app.metadata.generation} is done, {cluster} has not seen it"
    return ""


def pods_of(world: SimulatedWorld, uid: str) -> list[tuple[str, Pod]]:
    return [
        (cluster, pod)
        for cluster in world.stores
        if cluster != HOST
        for pod in world.objects(cluster, PODS).values()
        if pod.metadata.labels.get(ORIGIN_UID) == uid
    ]


def goal(world: SimulatedWorld, *, even: bool = True) -> None:
    """Every app runs what was asked for last, evenly over the zones (N2) while there is room; every pod runs once, or is done;
    what was deleted is gone; the status says so."""
    for key, app in world.objects(HOST, PINAPPS).items():
        check_app(world, key, app, even=even)
    for key, pod in world.objects(HOST, PINPODS).items():
        check_single(world, key, pod)
    region_settings.check_rest(world)
    check_traffic(world)
    for cluster in world.stores:
        for shards, workloads in ((PINAPPSHARDS, PINAPPS), (PINPODSHARDS, PINPODS)):
            for key in world.objects(cluster, shards):
                assert key in world.objects(HOST, workloads), f"{key} in {cluster} is left over"
        uids = {obj.metadata.uid for kind in (PINAPPS, PINPODS) for obj in world.objects(HOST, kind).values()}
        for pod in world.objects(cluster, PODS).values():
            assert pod.metadata.labels.get(ORIGIN_UID) in uids, f"{pod.key} in {cluster} is left over"


def check_app(world: SimulatedWorld, key: Key, app: PinApp, *, even: bool) -> None:
    assert not app.deleting, f"{key} was deleted and is still there"
    made, status = app.status.scheduling, app.status
    placed = sum(row.replicas for row in made.placement) if made else 0
    assert placed + (made.unplaced if made else 0) == app.spec.replicas, f"{key}: {placed} of {app.spec.replicas} are placed"
    mine = pods_of(world, app.metadata.uid)
    assert len(mine) == placed, f"{len(mine)} pods of {key}, wanted {placed}"
    wanted = {c["image"] for c in app.spec.template["spec"]["containers"]}
    assert all({plain(c.image) for c in pod.spec.containers} == wanted for _, pod in mine), f"old images in {key}"
    if even:
        assert placed == app.spec.replicas, f"{key}: {made.unplaced if made else 0} replicas have no place"
        zones = Counter(ZONES[cluster] for cluster, _ in mine)
        spread = [zones[zone] for zone in {ZONES[c] for c in world.stores if c != HOST}]
        assert max(spread) - min(spread) <= 1, f"{key} is uneven: {dict(zones)}"
        assert status.phase == ("Running" if app.spec.replicas else "Stopped"), f"{key} is {status.phase}"
    assert status.ready_replicas == placed, f"{key} says that {status.ready_replicas} of {placed} are ready"
    assert status.observed_generation == app.metadata.generation, f"the status of {key} is old"


def check_single(world: SimulatedWorld, key: Key, pod: PinPod) -> None:
    assert not pod.deleting, f"{key} was deleted and is still there"
    mine, made = pods_of(world, pod.metadata.uid), pod.status.scheduling
    placed = sum(row.replicas for row in made.placement) if made else 0
    ends = pod.spec.template["spec"]["containers"][0]["image"].startswith(JOB)
    if ends:
        done = [p for _, p in mine if p.status.phase == "Succeeded"]
        assert len(mine) <= 1, f"{len(mine)} pods of {key}, which ends by itself"
        assert len(done) == len(mine), f"{key} has not ended"
    else:
        assert len(mine) == placed, f"{len(mine)} pods of {key}, wanted {placed}"
        assert pod.status.ready_replicas == placed, f"{key} says that {pod.status.ready_replicas} of {placed} are ready"


def outcome(world: SimulatedWorld, *, even: bool = True) -> dict[str, Any]:
    """What users see: each app runs as many pods as it should, of the wanted images, over the zones; nothing is left over.

    Where it is not `even`, there is too little room: who comes first gets it, and decides on what the others have.
    """
    everywhere = ((c, pod) for c in world.stores if c != HOST for pod in world.objects(c, PODS).values())
    pods = [(cluster, pod) for cluster, pod in everywhere if pod.status.phase not in ("Succeeded", "Failed")]
    shards = [shard for c in world.stores if c != HOST for shard in world.objects(c, PINAPPSHARDS)]
    apps = world.objects(HOST, PINAPPS)
    found: dict[str, Any] = {
        "left over": [str(key) for key in shards if key not in apps],
        "members": sorted(str(key) for key in world.objects(HOST, MEMBERCLUSTERS)),
        "apps": sorted(str(key) for key in apps),
    }
    if not even:
        return found
    of_apps = {str(key): _of_app(app, [(c, pod) for c, pod in pods if _is_of(pod, key)]) for key, app in apps.items()}
    return found | {"pods": len(pods)} | of_apps


def _is_of(pod: Pod, key: Key) -> bool:
    return pod.metadata.labels.get(APP) == key.name


def _of_app(app: PinApp, mine: list[tuple[str, Pod]]) -> dict[str, Any]:
    status = app.status
    return {
        "pods": len(mine),
        "images": sorted({plain(c.image) for _, pod in mine for c in pod.spec.containers}),
        "ready": (status.ready_replicas, status.updated_replicas, status.phase),
        "observed": status.observed_generation == app.metadata.generation,
        "zones": sorted(Counter(ZONES[cluster] for cluster, _ in mine).values()),
    }
