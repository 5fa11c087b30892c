"""The condition Ready of a sidecar and of a daemon says in a word what keeps the version from all pods or nodes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pincompute.api import daemons, sidecars
from pincompute.api.daemons import DaemonContainer, DaemonRollout, DaemonUpdate, PinDaemon, PinDaemonSpec, PinDaemonStatus
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.sidecars import PinSidecar, PinSidecarSpec, PinSidecarStatus, SidecarContainer, SidecarRollout
from pincompute.engine.plan import Plan, Replace
from pincompute.federation.daemon import daemon_controller
from pincompute.federation.sidecar import fleet_controller
from pincompute.federation.sidecar.fleet_rollout import FleetMember

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
META = ObjectMeta(name="logs", uid="u", generation=3)
FAILED: Manifest = {"failure": "in zone a: crashes"}


def ready(plan: Plan) -> tuple[str, str]:
    """Returns status and reason of the condition that the plan writes."""
    (written,) = (action for stage in plan.stages for action in stage if isinstance(action, Replace))
    (condition,) = written.body["status"]["conditions"]
    return condition["status"], condition["reason"]


def of_daemon(state: str, *, blocked: str = "", wanted: str = "logs:2", paused: bool = False, **record: Any) -> tuple[str, str]:
    old, new = (daemons.version(PinDaemonSpec(container=DaemonContainer(image=f"logs:{tag}"))) for tag in (1, 2))
    rollout = DaemonRollout(revision=new.revision, state=state, **record)  # type: ignore[arg-type]
    spec = PinDaemonSpec(container=DaemonContainer(image=wanted), paused=paused, update=DaemonUpdate(on_failure="Hold"))
    daemon = PinDaemon(metadata=META, spec=spec, status=PinDaemonStatus(stable=old, rollout=rollout))
    return ready(daemon_controller.decide(daemon_controller.ObservedDaemon(daemon, (), NOW, blocked=blocked)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"state": "Complete"}, ("True", "Complete")),
        ({"state": "Complete", "paused": True}, ("True", "Complete")),
        ({"state": "Complete", "paused": True, "wanted": "logs:3"}, ("False", "Paused")),
        ({"state": "Progressing", "paused": True}, ("False", "Paused")),
        ({"state": "Progressing", "blocked": "sidecar proxy does not exist"}, ("False", "SidecarMissing")),
        ({"state": "Progressing", **FAILED}, ("False", "Held")),
        ({"state": "RolledBack", **FAILED}, ("False", "RolledBack")),
    ],
)
def test_the_reason_of_a_daemon(given: dict[str, Any], expected: tuple[str, str]) -> None:
    assert of_daemon(**given) == expected


def of_sidecar(state: str, *, paused: bool = False, **record: Any) -> tuple[str, str]:
    old, new = (SidecarContainer(image=f"logs:{tag}") for tag in (1, 2))
    wanted = sidecars.version(new)
    rollout = SidecarRollout(revision=wanted.revision, state=state, zones=("a",), since=NOW, **record)  # type: ignore[arg-type]
    status = PinSidecarStatus(stable=sidecars.version(old), rollout=rollout)
    sidecar = PinSidecar(metadata=META, spec=PinSidecarSpec(container=new, paused=paused), status=status)
    member = FleetMember("a1", "a", known=False, former_pods=3)
    return ready(fleet_controller.decide(fleet_controller.ObservedFleet(sidecar, (member,), (), NOW)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"state": "Complete"}, ("True", "Complete")),
        ({"state": "Complete", "paused": True}, ("True", "Complete")),
        ({"state": "Progressing"}, ("False", "Progressing")),
        ({"state": "Progressing", "paused": True}, ("False", "Paused")),
        ({"state": "Progressing", "paused": True, **FAILED}, ("False", "Paused")),
        ({"state": "RolledBack", **FAILED}, ("False", "RolledBack")),
    ],
)
def test_the_reason_of_a_sidecar(given: dict[str, Any], expected: tuple[str, str]) -> None:
    assert of_sidecar(**given) == expected
