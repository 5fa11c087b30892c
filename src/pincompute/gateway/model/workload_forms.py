"""Defines how users write an app and a unit, and where each field stands in their resources."""

from __future__ import annotations

from typing import Annotated, Literal

from pincompute.api.kinds import PINAPP, PINPOD
from pincompute.api.meta import doc
from pincompute.api.workloads import Disruption, Tier, Update, ZoneName
from pincompute.gateway.model.codecs import DurationCodec
from pincompute.gateway.model.container_form import Container, Duration, InitContainer, Volume
from pincompute.gateway.model.field_mapping import Data, field, table
from pincompute.gateway.model.field_tables import WORKLOAD
from pincompute.gateway.model.simple_kind import SimpleKind, SimpleObject, of_workload
from pincompute.gateway.model.status_form import Status

_CONTAINER: Data = {
    "name": "web",
    "image": "registry.internal/hello:1",
    "ports": [{"name": "http", "port": 8080}],
    "resources": {"cpu": "250m", "memory": "128Mi"},
    "health": {"http": {"path": "/", "port": "http"}},
}


class SimpleWorkload(SimpleObject):
    """What all workloads have in common."""

    project: Annotated[str, doc("Project it belongs to.")] = ""
    tier: Annotated[
        Tier, doc("Reserved has guaranteed capacity, OnDemand shares a pool, Preemptible gives way when others need room.")
    ] = "OnDemand"
    zones: Annotated[tuple[ZoneName, ...], doc("Only these zones. Default: all.")] = ()
    containers: Annotated[tuple[Container, ...], doc("What runs: at least one container.")] = ()
    init_containers: Annotated[tuple[InitContainer, ...] | None, doc("What runs before the containers, in order.")] = None
    sidecars: Annotated[
        tuple[str, ...] | None,
        doc("Sidecars of the platform that run beside the containers, by name. Administrators write them."),
    ] = None
    volumes: Annotated[tuple[Volume, ...] | None, doc("Files that containers mount.")] = None
    termination_grace_period: Annotated[Duration | None, doc("Time to end after being asked to. Default: 30s.")] = None
    update: Annotated[Update, doc("How a change reaches what runs.")] = Update()
    history_limit: Annotated[int | None, doc("How many superseded revisions are kept. Default: 10.", minimum=1, maximum=50)] = (
        None
    )
    paused: Annotated[bool | None, doc("No change reaches what runs. Kept by a replacement that does not say it.")] = None
    stopped: Annotated[bool | None, doc("Nothing runs. Kept by a replacement that does not say it.")] = None


class App(SimpleWorkload, tag_field="kind", tag="App"):
    """A long-running service: replicas of the same containers, balanced over zones."""

    replicas: Annotated[int, doc("How many to run, over all zones.")] = 1
    disruption: Annotated[
        Disruption | None,
        doc("How many replicas may be down at a time, for whatever reason. Default: as update says."),
    ] = None
    status: Annotated[Status | None, doc("What runs now.")] = None


class Unit(SimpleWorkload, tag_field="kind", tag="Unit"):
    """One replica, managed by the platform, such as a notebook."""

    restart_policy: Annotated[
        Literal["Always", "OnFailure", "Never"] | None, doc("When a container that ended is started again. Default: Always.")
    ] = None
    active_deadline: Annotated[Duration | None, doc("It is ended after this time.")] = None
    status: Annotated[Status | None, doc("What runs now.")] = None


APP_TABLE = table(field("replicas", "replicas")) + WORKLOAD + table(field("disruption", "disruption"))
UNIT_TABLE = WORKLOAD + table(
    field("restartPolicy", "template.spec.restartPolicy"),
    field("activeDeadline", "template.spec.activeDeadlineSeconds", DurationCodec()),
)

APP: SimpleKind[App] = of_workload(
    PINAPP,
    App,
    APP_TABLE,
    example={"name": "hello", "tier": "OnDemand", "replicas": 6, "containers": [_CONTAINER]},
    patch={"replicas": 8, "labels": {"team": "web"}},
)
UNIT: SimpleKind[Unit] = of_workload(
    PINPOD,
    Unit,
    UNIT_TABLE,
    example={"name": "notebook", "containers": [{**_CONTAINER, "name": "jupyter"}], "restartPolicy": "Always"},
    patch={"tier": "Preemptible", "terminationGracePeriod": "10s"},
)
