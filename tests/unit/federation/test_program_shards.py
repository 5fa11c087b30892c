"""A program of the platform that is deleted stays until no member has a shard of it, or of a former one of its name."""

from __future__ import annotations

import pytest

from pincompute.api.labels import FLEET_FINALIZER, HOST
from pincompute.api.meta import ObjectMeta
from pincompute.api.shards import Origin
from pincompute.api.sidecars import (
    PINSIDECARS,
    PINSIDECARSHARDS,
    PinSidecar,
    PinSidecarShard,
    PinSidecarShardSpec,
    PinSidecarSpec,
    SidecarContainer,
)
from pincompute.engine.plan import Confirm, Delete, Patch, Plan
from pincompute.federation.program.program_shards import ProgramShards
from pincompute.federation.sidecar.fleet_rollout import FleetMember

SHARDS = ProgramShards("sidecar", PINSIDECARS, PINSIDECARSHARDS)
META = ObjectMeta(name="metrics", uid="u", finalizers=(FLEET_FINALIZER, "theirs"))
SIDECAR = PinSidecar(metadata=META, spec=PinSidecarSpec(container=SidecarContainer(image="metrics:1")))


def shard(uid: str) -> PinSidecarShard:
    spec = PinSidecarShardSpec(origin=Origin(uid="u", generation=1), versions=(), birth="", target="")
    return PinSidecarShard(metadata=ObjectMeta(name="metrics", uid=uid), spec=spec)


NONE, HAS, SILENT = FleetMember("a1", "a"), FleetMember("b1", "b", shard("own")), FleetMember("c1", "c", known=False)


def deleted(plan: Plan) -> dict[str, str]:
    """The uids of the shards that are deleted, with why."""
    return {each.uid: each.why for stage in plan.stages for each in stage if isinstance(each, Delete)}


@pytest.mark.parametrize(
    ("members", "strays", "removed", "waits"),
    [
        ((NONE, HAS, SILENT), (), {"own": "its sidecar is deleted"}, "waits for b1, c1"),
        ((NONE,), (("a1", shard("old")),), {"old": "belongs to a deleted sidecar of this name"}, "waits for a1"),
    ],
)
def test_it_waits_for_members(
    members: tuple[FleetMember, ...], strays: tuple[tuple[str, PinSidecarShard], ...], removed: dict[str, str], waits: str
) -> None:
    plan = SHARDS.cleared(SIDECAR, members, strays)
    assert (deleted(plan), plan.why) == (removed, waits)
    assert not any(isinstance(each, Patch) for stage in plan.stages for each in stage)


def test_it_goes_when_the_members_confirm_that_they_have_none() -> None:
    asked, written = SHARDS.cleared(SIDECAR, (NONE,), ()).stages
    assert [(each.ref.cluster, each.uid) for each in asked if isinstance(each, Confirm)] == [("a1", "")]
    (patch,) = written
    assert isinstance(patch, Patch)
    assert (patch.ref.cluster, patch.body) == (HOST, {"metadata": {"finalizers": ["theirs"]}})
