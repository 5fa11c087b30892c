"""Defines `WorkloadKind`, the static description of a workload kind: resources, names, strategy and rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from pincompute.api.meta import Key, Manifest, ObjectMeta, Resource
from pincompute.api.validation_rules import Rule
from pincompute.api.workloads import Placement, RolloutControl, Tier, Update, WorkloadStatus

Strategy: TypeAlias = Literal["spread", "pack", "every node"]
"""How its pods are placed: balanced over zones and members, all in one member, or one on every node that suits."""


class WorkloadSpec(Protocol):
    """What every workload asks for, whatever its kind."""

    @property
    def template(self) -> Manifest: ...

    @property
    def tier(self) -> Tier: ...

    @property
    def placement(self) -> Placement: ...

    @property
    def update(self) -> Update: ...

    @property
    def history_limit(self) -> int: ...

    @property
    def rollout(self) -> RolloutControl | None: ...

    @property
    def paused(self) -> bool: ...

    @property
    def stopped(self) -> bool: ...


class WorkloadObject(Protocol):
    """An object of any workload kind."""

    @property
    def metadata(self) -> ObjectMeta: ...

    @property
    def spec(self) -> WorkloadSpec: ...

    @property
    def status(self) -> WorkloadStatus: ...

    @property
    def key(self) -> Key: ...

    @property
    def deleting(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; priority 1 shows it with -o wide only."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    priority: int = 0

    def manifest(self) -> Manifest:
        more: Manifest = {"description": self.description} if self.description else {}
        return {"name": self.name, "jsonPath": self.path, "type": self.type, "priority": self.priority, **more}


AGE = Column("Age", ".metadata.creationTimestamp", "date")
_COLUMNS = (
    Column("Phase", ".status.phase", description="Is it running"),
    Column("Ready", ".status.readyReplicas", "integer", "Pods that are ready"),
    Column("Where", ".status.where", description="Replicas by member cluster"),
    Column("Revision", ".status.revision", description="Present revision of the template"),
    Column("Message", ".status.message", description="Why it is not running as wanted, and what to do"),
    AGE,
    Column("Tier", ".spec.tier", description="Reserved, OnDemand or Preemptible", priority=1),
    Column("Image", ".spec.template.spec.containers[*].image", description="Images of the containers", priority=1),
)
_WANTED = Column("Wanted", ".spec.replicas", "integer", "Replicas asked for")
_SHARD_COLUMNS = (
    Column("Wanted", ".spec.mix[*].replicas", description="Replicas by revision"),
    Column("Ready", ".status.readyReplicas", "integer", "Pods that are ready"),
    Column("Revision", ".spec.mix[*].revision", description="Revisions in the mix"),
    Column("Message", ".status.message", description="What is wrong, if anything"),
    AGE,
)


@dataclass(frozen=True, slots=True, eq=False)
class WorkloadKind:
    """One workload kind: its objects on the host, their shards in the members, and the words for them.

    `word` is what users call one, `plural` their collection in URLs; `short` and `shard_short` are for kubectl. A kind that is
    `scalable` has `spec.replicas`; one that is not runs a single pod, which is never doubled. `rules` hold beyond the schema,
    by the path of the field; `pod_rules` hold for the pod in each of its `templates`.
    """

    workload: Resource[Any]
    shard: Resource[Any]
    word: str
    plural: str
    short: str
    shard_short: str
    strategy: Strategy = "spread"
    scalable: bool = False
    templates: tuple[str, ...] = ("spec.template",)
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict[str, tuple[Rule, ...]])
    pod_rules: tuple[Rule, ...] = ()
    more_columns: tuple[Column, ...] = ()
    shard_columns: tuple[Column, ...] = _SHARD_COLUMNS

    @property
    def name(self) -> str:
        """As it stands in a controller's name."""
        return self.workload.kind.lower()

    @property
    def columns(self) -> tuple[Column, ...]:
        """Returns the columns of `kubectl get`. Whether it runs stands first."""
        first, *rest = _COLUMNS
        return (first, *((_WANTED,) if self.scalable else ()), *rest, *self.more_columns)

    def typed(self, name: str) -> str:
        """Returns a workload of the kind as users of `pin` type it."""
        return name if self.word == "app" else f"{self.word}/{name}"

    def replicas(self, obj: WorkloadObject) -> int:
        """How many its spec asks for, whether or not it is stopped."""
        spec: Any = obj.spec
        return spec.replicas if self.scalable else 1
