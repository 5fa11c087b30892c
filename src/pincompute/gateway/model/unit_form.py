"""Unit: one replica, such as a notebook, in the simple model."""

from __future__ import annotations

from typing import Annotated, Literal

from pincompute.api.kinds import PINPOD
from pincompute.api.meta import Struct, doc
from pincompute.api.workloads import Update
from pincompute.gateway.model.codecs import DurationCodec
from pincompute.gateway.model.container_form import Duration
from pincompute.gateway.model.field_mapping import field, table
from pincompute.gateway.model.field_tables import WORKLOAD
from pincompute.gateway.model.shared_fields import (
    EXAMPLE_CONTAINER,
    Advanced,
    Annotations,
    Author,
    Containers,
    Created,
    Deleting,
    Generation,
    GracePeriod,
    HowToUpdate,
    Id,
    InitContainers,
    Labels,
    Name,
    ObjectVersion,
    Paused,
    ProjectName,
    Stopped,
    TierName,
    Volumes,
    Zones,
)
from pincompute.gateway.model.simple_kind import SimpleKind, of_workload
from pincompute.gateway.model.status_form import Status


class Unit(Struct, tag_field="kind", tag="Unit"):
    """One replica, managed by the platform, such as a notebook."""

    name: Name
    project: ProjectName = ""
    tier: TierName = "OnDemand"
    zones: Zones = ()
    containers: Containers = ()
    init_containers: InitContainers | None = None
    volumes: Volumes | None = None
    restart_policy: Annotated[
        Literal["Always", "OnFailure", "Never"] | None, doc("When a container that ended is started again. Always if not said.")
    ] = None
    active_deadline: Annotated[Duration | None, doc("It is ended after this time.")] = None
    termination_grace_period: GracePeriod | None = None
    update: HowToUpdate = Update()
    paused: Paused | None = None
    stopped: Stopped | None = None
    labels: Labels | None = None
    annotations: Annotations | None = None
    advanced: Advanced | None = None
    id: Id | None = None
    version: ObjectVersion | None = None
    generation: Generation | None = None
    author: Author | None = None
    created: Created | None = None
    deleting: Deleting | None = None
    status: Annotated[Status | None, doc("What runs now.")] = None


TABLE = WORKLOAD + table(
    field("restartPolicy", "template.spec.restartPolicy"),
    field("activeDeadline", "template.spec.activeDeadlineSeconds", DurationCodec()),
)

UNIT: SimpleKind[Unit] = of_workload(
    PINPOD,
    Unit,
    TABLE,
    example={"name": "notebook", "containers": [{**EXAMPLE_CONTAINER, "name": "jupyter"}], "restartPolicy": "Always"},
    patch={"tier": "Preemptible", "terminationGracePeriod": "10s"},
)
