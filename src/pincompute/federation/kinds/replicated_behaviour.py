"""The behaviour of PinApp and PinPod, whose pods are replicas of one template, changed revision by revision.

A PinApp has many replicas, spread over zones and disrupted as its spec allows. A PinPod is one pod that is never doubled, so
it is down while it changes. Other kinds can use the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from pincompute.api import kinds
from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.meta import Manifest
from pincompute.api.resource_requests import Requests
from pincompute.api.shards import Origin, Shard, ShardSpec
from pincompute.api.workloads import ClusterStatus, PinApp, PinPod
from pincompute.domain import disruption_account
from pincompute.domain.disruption_account import Account
from pincompute.federation.kinds.behaviour import Behaviour, MemberReport, PodSet, ShardInput, Summary

POD = "pod"  # name of the only set


def demand(kind: WorkloadKind, obj: WorkloadObject, requests: Sequence[Requests]) -> tuple[PodSet, ...]:
    spec = obj.spec
    pod: Manifest = spec.template.get("spec") or {}
    return (PodSet(POD, requests[0], 0 if spec.stopped else kind.replicas(obj), spec.placement, pod),)


def share(obj: WorkloadObject, part: ShardInput) -> ShardSpec:
    spec, metadata = obj.spec, obj.metadata
    return ShardSpec(
        origin=Origin(uid=metadata.uid, generation=metadata.generation),
        cluster=part.cluster,
        zone=part.zone,
        mix=part.mix,
        tier=spec.tier,
        in_place=spec.update.in_place,
        min_ready_seconds=spec.update.min_ready_seconds,
        connection_drain_seconds=spec.update.connection_drain_seconds,
        budget=part.budget,
        paused=spec.paused,
    )


def summarise(obj: WorkloadObject, revision: str, reports: Sequence[MemberReport]) -> Summary:
    before = {line.cluster: line for line in obj.status.clusters}
    lines = (_line(report, revision, before.get(report.cluster)) for report in reports)
    ended = next((e for r in reports if r.shard is not None and (e := r.shard.status.ended) and e.revision == revision), None)
    return Summary(tuple(sorted(lines, key=lambda line: (line.zone, line.cluster))), ended)


def _line(report: MemberReport, revision: str, before: ClusterStatus | None) -> ClusterStatus:
    """Returns a member's line. An unreachable member keeps its last figures, marked as such: unknown is not zero."""
    if not report.known:
        last = before or ClusterStatus(cluster=report.cluster, zone=report.zone)
        message = f"zone {report.zone} does not answer, at least in part; its last figures are shown"
        return msgspec.structs.replace(last, known=False, message=message)
    if report.shard is None:
        return ClusterStatus(cluster=report.cluster, zone=report.zone)
    return _reported(report, report.shard, revision, before)


def _reported(report: MemberReport, shard: Shard, revision: str, before: ClusterStatus | None) -> ClusterStatus:
    status = shard.status
    current = status.observed_generation >= shard.metadata.generation  # its operator has seen it as it is now
    line = ClusterStatus(
        cluster=report.cluster,
        zone=report.zone,
        replicas=status.replicas,
        ready_replicas=status.ready_replicas,
        available_replicas=status.available_replicas,
        updated_replicas=next((row.replicas for row in status.revisions if row.revision == revision), 0),
        observed_generation=status.origin_generation if current else 0,
        message=status.message,
        reported_at=before.reported_at if before else None,
    )
    return line if line == before else msgspec.structs.replace(line, reported_at=status.reported_at)


def _app_account(app: PinApp, replicas: int) -> Account:
    """Returns the account by `disruption`, or by the update's limit where `disruption` is absent."""
    update, named = app.spec.update, app.spec.disruption.max_unavailable
    return disruption_account.account(replicas, update.max_unavailable if named is None else named, update.max_surge)


def _pod_account(_pod: PinPod, replicas: int) -> Account:
    """Returns an account without other replicas to wait for, and without surge."""
    return Account(replicas, unavailable=1, surge=0, single=True)


PINAPP = Behaviour(kinds.PINAPP, partial(demand, kinds.PINAPP), _app_account, share, summarise)
PINPOD = Behaviour(kinds.PINPOD, partial(demand, kinds.PINPOD), _pod_account, share, summarise)
