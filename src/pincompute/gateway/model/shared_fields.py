"""Fields that kinds of the simple model have in common, each with its description."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias

from pincompute.api.meta import doc
from pincompute.api.workloads import Disruption, Tier, Update, ZoneName
from pincompute.gateway.model.container_form import Container, Duration, InitContainer, Volume
from pincompute.gateway.model.field_mapping import Data

Name: TypeAlias = Annotated[str, doc("Name, unique among its kind in its project.")]
ProjectName: TypeAlias = Annotated[str, doc("Project it belongs to.")]
TierName: TypeAlias = Annotated[
    Tier, doc("Reserved has guaranteed capacity, OnDemand shares a pool, Preemptible gives way when others need room.")
]
Zones: TypeAlias = Annotated[tuple[ZoneName, ...], doc("Only these zones; all if not said.")]
Containers: TypeAlias = Annotated[tuple[Container, ...], doc("What runs: at least one container.")]
InitContainers: TypeAlias = Annotated[tuple[InitContainer, ...], doc("What runs before the containers, in order.")]
Volumes: TypeAlias = Annotated[tuple[Volume, ...], doc("Files that containers mount.")]
GracePeriod: TypeAlias = Annotated[Duration, doc("Time to end after being asked to; 30s if not said.")]
HowToUpdate: TypeAlias = Annotated[Update, doc("How a change reaches what runs.")]
MayBeDisturbed: TypeAlias = Annotated[
    Disruption | None, doc("How many replicas may be down at a time, for whatever reason; as many as update says if not said.")
]
Paused: TypeAlias = Annotated[bool, doc("No change reaches what runs. Kept by a replacement that does not say it.")]
Stopped: TypeAlias = Annotated[bool, doc("Nothing runs. Kept by a replacement that does not say it.")]
Labels: TypeAlias = Annotated[dict[str, str], doc("Words to find it by.")]
Annotations: TypeAlias = Annotated[dict[str, str], doc("Notes of yours.")]
Advanced: TypeAlias = Annotated[dict[str, Any], doc("What no other field can say: a part of the resource's spec.")]

# Shown, and without effect in a request, except the version.
Id: TypeAlias = Annotated[str, doc("Identifies this very object, also among namesakes.")]
ObjectVersion: TypeAlias = Annotated[str, doc("Changes with every change. In a replacement: the version that is replaced.")]
Generation: TypeAlias = Annotated[int, doc("Counts the changes of what is asked for.")]
Author: TypeAlias = Annotated[str, doc("Who changed it last.")]
Created: TypeAlias = Annotated[datetime, doc("When it was created.")]
Deleting: TypeAlias = Annotated[datetime, doc("Since when it is being deleted.")]

EXAMPLE_CONTAINER: Data = {
    "name": "web",
    "image": "registry.internal/hello:1",
    "ports": [{"name": "http", "port": 8080}],
    "resources": {"cpu": "250m", "memory": "128Mi"},
    "health": {"http": {"path": "/", "port": "http"}},
}
