"""A daemon of the platform: one copy per node in three zones, updated zone by zone, undone when it fails, and removed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_region import Region
from terminal_user import TerminalUser

from pincompute.api import conditions
from pincompute.api.builtin import PODS, Pod
from pincompute.api.daemons import PINDAEMONS, PINDAEMONSHARDS
from pincompute.api.labels import DAEMON, DAEMONS_NAMESPACE
from pincompute.domain import image_pinning

NAME = "node-talker"
DAEMON_FILE = """\
kind: Daemon
name: node-talker
description: talks on every node
container: {{image: "registry.internal/talker:{version}", cpu: 10m, memory: 16Mi, volumes: [{{name: tmp, mountPath: /tmp}}]}}
update: {{bakeSeconds: 1, zoneOrder: [a]}}
"""
ON_NODES = """\
kind: Daemon
name: node-files
container:
  image: registry.internal/talker:1
  volumes: [{name: logs, mountPath: /logs, hostPath: {path: /var/log}}]
"""


@pytest.fixture
def no_daemon(admin: TerminalUser) -> Iterator[None]:
    yield
    admin.pin("admin", "daemon", "delete", NAME, "--yes", status=None)


def copies(region: Region) -> dict[str, list[Pod]]:
    """The copies by zone that are not on their way out."""
    found: dict[str, list[Pod]] = {}
    for name, member in region.members.items():
        pods = [pod for pod in member.list(PODS, DAEMONS_NAMESPACE) if pod.metadata.labels.get(DAEMON) == NAME]
        found.setdefault(region.zones[name], []).extend(pod for pod in pods if not pod.deleting)
    return found


def tags(region: Region) -> dict[str, set[str]]:
    """What the copies of each zone are asked to run, by the names that people write."""
    return {
        zone: {image_pinning.unpinned(container.image).rpartition(":")[2] for pod in pods for container in pod.spec.containers}
        for zone, pods in copies(region).items()
    }


def nodes_ready(region: Region) -> int:
    return sum(conditions.is_true(pod.status.conditions, "Ready") for pods in copies(region).values() for pod in pods)


def test_a_daemon_has_a_copy_per_node_and_a_bad_version_stops_in_the_first_zone(
    region: Region, dev: TerminalUser, admin: TerminalUser, no_daemon: None
) -> None:
    """N1, M-42, M-106, M-107: zone by zone, within one account; what cannot be shared, and access to nodes, is refused."""
    assert dev.pin("admin", "daemon", "list", status=None).status != 0
    admin.write("daemon.yaml", DAEMON_FILE.format(version=1) + "sharing: {dataPath: true}\n")
    refused = admin.pin("admin", "daemon", "apply", "-f", "daemon.yaml", status=None)
    assert "it must be a sidecar" in refused.err
    admin.write("daemon.yaml", DAEMON_FILE.format(version=1) + "sharing: {tenancy: PerProject, mode: Dual, sidecar: none}\n")
    refused = admin.pin("admin", "daemon", "apply", "-f", "daemon.yaml", status=None)
    assert "sidecar none does not exist" in refused.err
    admin.write("files.yaml", ON_NODES)
    refused = admin.pin("admin", "daemon", "apply", "-f", "files.yaml", status=None)
    assert "only a cluster administrator gives a daemon access to its node" in refused.err

    admin.write("daemon.yaml", DAEMON_FILE.format(version=1))
    done = admin.pin("admin", "daemon", "apply", "-f", "daemon.yaml", within=120)
    assert "Complete" in done.out
    assert tags(region) == {"a": {"1"}, "b": {"1"}, "c": {"1"}}
    nodes = nodes_ready(region)

    admin.write("daemon.yaml", DAEMON_FILE.format(version=2))
    done = admin.pin("admin", "daemon", "apply", "-f", "daemon.yaml", within=120)
    assert "Complete" in done.out
    assert tags(region) == {"a": {"2"}, "b": {"2"}, "c": {"2"}}
    before = {zone: {pod.metadata.uid for pod in pods} for zone, pods in copies(region).items()}

    region.host.change(PINDAEMONS, "", NAME, {"spec": {"container": {"image": "registry.internal/talker:unpushed"}}})

    def is_undone() -> bool:
        said = admin.pin("admin", "daemon", "status", NAME).out
        return "RolledBack" in said and "talker:unpushed of node-talker cannot be pulled" in said

    region.eventually("an image that nobody has is undone", is_undone)
    assert tags(region) == {"a": {"2"}, "b": {"2"}, "c": {"2"}}
    after = {zone: {pod.metadata.uid for pod in pods} for zone, pods in copies(region).items()}
    assert (after["b"], after["c"]) == (before["b"], before["c"]), "the bad version never reached another zone"
    region.eventually("every node has a ready copy again", lambda: nodes_ready(region) == nodes)

    admin.pin("admin", "daemon", "rollback", NAME, "--detach")
    admin.pin("admin", "daemon", "delete", NAME, "--yes")
    region.eventually("it is gone", lambda: region.host.get(PINDAEMONS, "", NAME) is None)
    assert not any(member.list(PINDAEMONSHARDS, "") for member in region.members.values())
    assert not any(copies(region).values())
