"""App: a long-running service, in the simple model."""

from __future__ import annotations

from typing import Annotated

from pincompute.api.kinds import PINAPP
from pincompute.api.meta import Struct, doc
from pincompute.api.workloads import Update
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
    MayBeDisturbed,
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


class App(Struct, tag_field="kind", tag="App"):
    """A long-running service: replicas of the same containers, balanced over zones."""

    name: Name
    project: ProjectName = ""
    tier: TierName = "OnDemand"
    replicas: Annotated[int, doc("How many to run, over all zones.")] = 1
    zones: Zones = ()
    containers: Containers = ()
    init_containers: InitContainers | None = None
    volumes: Volumes | None = None
    termination_grace_period: GracePeriod | None = None
    update: HowToUpdate = Update()
    disruption: MayBeDisturbed = None
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


TABLE = table(field("replicas", "replicas")) + WORKLOAD + table(field("disruption", "disruption"))

APP: SimpleKind[App] = of_workload(
    PINAPP,
    App,
    TABLE,
    example={"name": "hello", "tier": "OnDemand", "replicas": 6, "containers": [EXAMPLE_CONTAINER]},
    patch={"replicas": 8, "labels": {"team": "web"}},
)
