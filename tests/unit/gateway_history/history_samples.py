"""Objects and records with sensible defaults, so that a test names only what it is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pincompute.api import labels
from pincompute.api.builtin import (
    Container,
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    Pod,
    PodSpec,
    PodStatus,
    ResourceRequirements,
)
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.workloads import ClusterReplicas, PinApp, PinAppSpec, Rejection, Scheduling, WorkloadStatus
from pincompute.domain import operation_annotation
from pincompute.domain.operation_annotation import OperationNote
from pincompute.store.records import DONE, DecisionRecord, EventRecord, ExitRecord, OperationRecord, RevisionRecord, StateRecord

NOW = datetime(2026, 11, 1, 10, 2, tzinfo=UTC)
OF_HELLO: dict[str, Any] = {"project": "demo", "workload": "PinApp", "name": "hello", "uid": "uid-hello"}


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def template(image: str = "registry.internal/hello:1", **container: Any) -> Manifest:
    return {"spec": {"containers": [{"name": "web", "image": image, **container}]}}


def spec(replicas: int = 3, image: str = "registry.internal/hello:1", **changes: Any) -> Manifest:
    return {"replicas": replicas, "template": template(image), **changes}


def revision(generation: int = 1, seconds: float = 0, **changes: Any) -> RevisionRecord:
    return RevisionRecord(**{**OF_HELLO, "at": after(seconds), "generation": generation, "spec": spec(), **changes})


def operation(verb: str = "scale", seconds: float = 0, **changes: Any) -> OperationRecord:
    facts = {"at": after(seconds), "request_id": f"r{seconds}", "verb": verb, "author": "alice", "outcome": DONE}
    return OperationRecord(**{**OF_HELLO, **facts, **changes})


def scheduling(generation: int = 1, unplaced: int = 0, **replicas: int) -> Scheduling:
    rows = tuple(ClusterReplicas(cluster=name, zone=name[0], replicas=count) for name, count in replicas.items())
    full = Rejection(cluster="a1", reason="NoRoom", message="has room for 0 more", zone="a")
    return Scheduling(generation=generation, placement=rows, unplaced=unplaced, rejections=(full,) if unplaced else ())


def decision(seconds: float = 0, unplaced: int = 0, **replicas: int) -> DecisionRecord:
    return DecisionRecord(**OF_HELLO, at=after(seconds), scheduling=scheduling(1, unplaced, **replicas))


def state(phase: str, seconds: float = 0, **changes: Any) -> StateRecord:
    return StateRecord(**{**OF_HELLO, "at": after(seconds), "after": phase, **changes})


def exit_of(code: int = 1, seconds: float = 0, **changes: Any) -> ExitRecord:
    facts = {"at": after(seconds), "pod": "hello-b1-0", "pod_uid": "p1", "container": "web", "code": code, "zone": "b"}
    return ExitRecord(**{**OF_HELLO, **facts, **changes})


def event(seconds: float = 0, last: float | None = None, **changes: Any) -> EventRecord:
    facts = {
        "cluster": "a1",
        "at": after(seconds),
        "last": after(seconds if last is None else last),
        "event_uid": f"e{seconds}",
        "about": "Pod",
        "object": "hello-a1-0",
        "reason": "Pulled",
        "message": "Container image already present on machine",
    }
    return EventRecord(**{**OF_HELLO, **facts, **changes})


def app(
    generation: int = 1,
    done: OperationNote | None = None,
    before: tuple[OperationNote, ...] = (),
    changed_by: str = "",
    **changes: Any,
) -> PinApp:
    """`changes` are of its status, or of its spec when they name one of its fields."""
    annotations = operation_annotation.annotation(done, before) if done else {}
    annotations |= {labels.CHANGED_BY: changed_by} if changed_by else {}
    meta = ObjectMeta(
        name="hello", namespace="demo", uid="uid-hello", generation=generation, creation_timestamp=NOW, annotations=annotations
    )
    of_spec = {name: changes.pop(name) for name in ("replicas", "tier", "paused") if name in changes}
    return PinApp(
        metadata=meta,
        spec=PinAppSpec(template=template(), **{"replicas": 3, **of_spec}),
        status=WorkloadStatus(**{"last_update_time": after(60), **changes}),
    )


def done(verb: str = "scale", by: str = "alice", request: str = "r1", **changes: Any) -> OperationNote:
    return OperationNote(**{"verb": verb, "by": by, "why": "load test", "at": after(5), "request": request, **changes})


def terminated(code: int = 137, seconds: float = 100, reason: str = "OOMKilled", container_id: str = "") -> ContainerState:
    return ContainerState(
        terminated=ContainerStateTerminated(
            exit_code=code, reason=reason, finished_at=after(seconds), container_id=container_id
        )
    )


def pod(
    *statuses: ContainerStatus,
    initial: tuple[ContainerStatus, ...] = (),
    deleting: bool = False,
    in_place: str = "",
    **status: Any,
) -> Pod:
    meta = ObjectMeta(
        name="hello-b1-0",
        namespace="demo",
        uid="p1",
        creation_timestamp=NOW,
        deletion_timestamp=after(90) if deleting else None,
        annotations={labels.IN_PLACE: in_place} if in_place else {},
        labels={labels.APP: "hello", labels.WORKLOAD: "PinApp", labels.ORIGIN_UID: "uid-hello", labels.ZONE: "b"},
    )
    web = Container(name="web", resources=ResourceRequirements(limits={"memory": "32Mi"}))
    return Pod(
        metadata=meta,
        spec=PodSpec(containers=(web,)),
        status=PodStatus(container_statuses=statuses, init_container_statuses=initial, **status),
    )
