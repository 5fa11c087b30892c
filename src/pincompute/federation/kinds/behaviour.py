"""Defines what differs between workload kinds, as pure functions: demand, a member's share, summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pincompute.api.kinds import WorkloadKind
from pincompute.api.meta import Manifest
from pincompute.api.resource_requests import Requests
from pincompute.api.shards import ShardBudget, ShardSpec, Share
from pincompute.api.workloads import ClusterStatus, Ended, Placement
from pincompute.domain.disruption_account import Account

UNDISTURBED = ShardBudget()


@dataclass(frozen=True, slots=True)
class PodSet:
    """A set of pods that are alike: how many there should be, what each asks of a node, and where they may run.

    `name` tells it from the other sets of its workload. `pod` is the pod's spec, whose node selector, tolerations and affinity
    constrain the placement as well. Of a kind that runs on every node, `replicas` is the number on each node.
    """

    name: str
    requests: Requests
    replicas: int
    placement: Placement
    pod: Manifest


@dataclass(frozen=True, slots=True)
class ShardInput:
    """What one member is given: pods of each set of the demand, by its name.

    `mix` divides them over revisions, and `budget` says how many may be disturbed; kinds without rollouts leave both alone.
    """

    cluster: str
    zone: str
    pods: Mapping[str, int] = field(default_factory=dict[str, int])
    mix: tuple[Share, ...] = ()
    budget: ShardBudget = UNDISTURBED


@dataclass(frozen=True, slots=True)
class MemberReport:
    """One member's shard of this workload; `known` is false while the member is unreachable, and the shard then its last."""

    cluster: str
    zone: str
    shard: Any
    known: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """What the reports say: a line a member, and how a workload that runs to its end has ended."""

    clusters: tuple[ClusterStatus, ...]
    ended: Ended | None = None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One kind, and how it behaves. All functions are pure and take the host object first.

    `demand` is also given what a pod of each of `kind.templates` requests, in that order; nothing is demanded of what is
    stopped. `account` is the workload's disruption account for so many replicas. `share` gives the spec of the shard of one
    member. `summarise` is given the revision that is wanted and what each member reports.
    """

    kind: WorkloadKind
    demand: Callable[[Any, Sequence[Requests]], tuple[PodSet, ...]]
    account: Callable[[Any, int], Account]
    share: Callable[[Any, ShardInput], ShardSpec]
    summarise: Callable[[Any, str, Sequence[MemberReport]], Summary]
