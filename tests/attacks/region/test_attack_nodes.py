"""A pod that forks or writes without end harms no other; kubelet, etcd and API servers answer nobody without a credential."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster_client import ClusterClient
from live_region import Placed, Region
from story_manifests import web
from story_projects import make_project
from terminal_user import IMAGES, TALKER

from pincompute.api.builtin import LIMITRANGES
from pincompute.api.labels import HOST
from pincompute.api.meta import Manifest
from pincompute.api.projects import PROJECTS
from pincompute.domain import storage_eviction
from pincompute.domain.namespace_quotas import LIMIT_RANGE
from pincompute.region.cluster import certificates
from pincompute.region.machine import kernel_limits
from pincompute.region.nodes import cgroups, real_node, uncounted_files
from pincompute.region.nodes.real_node import POD_PROCESSES, RealNode

HOARDERS = "hoard"
AS_ROOT = {"level": "baseline", "reason": "writes to folders of root", "approvedBy": "the test"}
NAMESPACES = "/api/v1/namespaces"
KUBELET, READ_ONLY = 10250, 10255
ORDINARY, TOO_MANY = 100, 2 * POD_PROCESSES
MIB = 1024 * 1024
BURSTS, BURST = 24, 6 * MIB  # bytes
KEPT = BURSTS * BURST / 2  # what may be on the disk in the end: far less than what was written

FORK = """
sleep 600 | {
    exec 3<&0
    (i=0; while [ $i -lt $WANTED ]; do (read line <&3) & i=$((i+1)); done; echo "started all")
    echo "goes on"
    read line <&3
}
"""
WRITE = """
line=0123456789abcdef; for i in 1 2 3 4 5 6; do line=$line$line; done
burst=0
while [ $burst -lt $BURSTS ]; do
    n=0; while [ $n -lt 6144 ]; do echo $line; n=$((n+1)); done
    burst=$((burst+1)); sleep 0.5
done
echo written
sleep 600
"""
WATCH = """
import ctypes, os, resource, sys
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
os.setuid(54321)
kernel = ctypes.CDLL(None)
print(sum(kernel.inotify_init() >= 0 for _ in range(int(sys.argv[1]))), flush=True)
sys.stdin.read()
"""
TESTAMENT = """
n=0; while [ $n -lt 100 ]; do cat /bin/tar /bin/sh /bin/tail >>/dev/termination-log; n=$((n+1)); done
echo written
sleep 600
"""
HOARD = """
n=0; while [ $n -lt 100 ]; do cat /bin/tar /bin/sh /bin/tail >> /hoard; n=$((n+1)); done
sleep 600
"""


@pytest.fixture(scope="module")
def crowd(region: Region) -> Iterator[str]:
    """A project whose apps fork too much, fork within reason, write too much, and serve quietly in every zone. Containers of
    `hoard` may write 32Mi to files, and its app says nothing of it.
    """
    project = "crowd"
    region.run("region", "image", "build", str(IMAGES / "talker"), "--tag", "talker:1")
    make_project(region, HOARDERS)
    region.host.change(
        PROJECTS, "", HOARDERS, {"spec": {"limits": {"defaultContainerStorage": "32Mi"}, "podSecurity": AS_ROOT}}
    )
    make_project(region, project)
    region.eventually("the limit has arrived everywhere", lambda: all(map(limits_storage, region.members.values())))
    region.apply(as_root(shell(HOARDERS, "hoard", HOARD, {})))
    region.apply(shell(project, "testament", TESTAMENT, {}))
    region.apply(web(project, "quiet", replicas=3))
    region.apply(shell(project, "bomb", FORK, {"WANTED": str(TOO_MANY)}))
    region.apply(shell(project, "busy", FORK, {"WANTED": str(ORDINARY)}))
    region.apply(shell(project, "flood", WRITE, {"BURSTS": str(BURSTS)}))
    region.settled(project, "quiet")
    yield project
    for name in ("quiet", "testament", "bomb", "busy", "flood"):
        region.delete("PinApp", project, name)


def shell(project: str, name: str, script: str, environment: dict[str, str]) -> Manifest:
    app = web(project, name, replicas=1)
    container = app["spec"]["template"]["spec"]["containers"][0]
    del container["readinessProbe"]
    container |= {
        "image": f"{TALKER}:1",
        "command": ["/bin/sh", "-c", script],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
    }
    return app


def as_root(app: Manifest) -> Manifest:
    """Who writes to the image's own folders."""
    app["spec"]["template"]["spec"]["securityContext"] = {"runAsUser": 0}
    return app


def only_pod(region: Region, project: str, app: str) -> Placed:
    return region.eventually(f"{app} runs", lambda: [p for p in region.pods(project, app) if p.ready])[0]


def log(region: Region, placed: Placed) -> str:
    meta = placed.pod.metadata
    path = f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}/log"
    return region.members[placed.cluster].request("GET", path, tailLines="5").decode(errors="replace")


def processes(region: Region, placed: Placed) -> int:
    """How many processes and threads the node counts in the pod."""
    trees = cgroups.exists(real_node.cgroup_root(region.layout))
    counts = [int(found.read_text()) for tree in trees for found in tree.rglob(f"pod{placed.uid}/pids.current")]
    assert counts, f"no control group of pod {placed.uid} counts processes"
    return max(counts)


def test_a_fork_bomb_ends_at_the_limit_of_its_pod(region: Region, crowd: str) -> None:
    bomb, busy = only_pod(region, crowd, "bomb"), only_pod(region, crowd, "busy")
    region.eventually("the bomb has met its limit", lambda: "goes on" in log(region, bomb))
    assert "started all" not in log(region, bomb)
    assert POD_PROCESSES - 50 < processes(region, bomb) <= POD_PROCESSES
    region.eventually("who starts 100 has them all", lambda: "started all" in log(region, busy))
    assert_unharmed(region, crowd)


def test_a_pod_that_writes_without_end_keeps_a_bounded_log(region: Region, crowd: str) -> None:
    flood = only_pod(region, crowd, "flood")
    (folder,) = (region.layout.logs / "pods").glob(f"*/{crowd}_{flood.pod.metadata.name}_{flood.uid}/*")
    region.eventually("everything is written", lambda: "written" in log(region, flood))
    region.eventually("old lines are removed or compressed", lambda: sum(sizes(folder).values()) < KEPT)
    assert len(sizes(folder)) <= 5, sizes(folder)
    assert_unharmed(region, crowd)


def test_who_writes_files_without_end_is_evicted(region: Region, crowd: str) -> None:
    """Of all that one container writes to its own file system, so much counted in no limit."""

    def evictions() -> list[str]:
        found = (json.loads(member.request("GET", f"{NAMESPACES}/{HOARDERS}/events")) for member in region.members.values())
        return [event["message"] for events in found for event in events["items"] if event["reason"] == "Evicted"]

    messages = region.eventually("its kubelet has evicted it", evictions)
    assert storage_eviction.why(messages[0], ["web"]).startswith("container web wrote more than 32Mi"), messages
    assert_unharmed(region, crowd)


def test_a_termination_message_without_end_takes_a_bounded_part_of_the_disk(region: Region, crowd: str) -> None:
    """Anybody in a container may write to this file of the node, and no limit of the pod counts it."""
    placed = only_pod(region, crowd, "testament")
    (message,) = region.layout.home.glob(f"nodes/*/kubelet/pods/{placed.uid}/containers/hello/*")
    region.eventually("everything is written", lambda: "written" in log(region, placed))
    region.eventually("the rest is cut off", lambda: message.stat().st_blocks * 512 <= uncounted_files.LARGEST)
    assert message.stat().st_size == uncounted_files.LARGEST
    assert_unharmed(region, crowd)


def limits_storage(member: ClusterClient) -> bool:
    found = member.get(LIMITRANGES, HOARDERS, LIMIT_RANGE)
    return found is not None and found.spec["limits"][0]["default"] == {"ephemeral-storage": "32Mi"}


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def assert_unharmed(region: Region, project: str) -> None:
    """The quiet app answers in every zone, and none of its containers ever started again."""
    for zone in region.zones.values():
        assert region.http(zone, project, "quiet")
    restarts = [s.restart_count for p in region.pods(project, "quiet") for s in p.pod.status.container_statuses]
    assert restarts == [0, 0, 0]


# -- without a credential -------------------------------------------------------------------------------------------------


def trusting(*pair: Path) -> ssl.SSLContext:
    """Accepts any server: the attacker's own doubts are not what stops them."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if pair:
        context.load_cert_chain(*pair)
    return context


def status(address: str, port: int, path: str, *pair: Path) -> int:
    connection = http.client.HTTPSConnection(address, port, timeout=10, context=trusting(*pair))
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def node(region: Region) -> RealNode:
    return RealNode(region.layout, region.layout.spec.members[0], region.program("kubelet").parent)


def pair(credentials: certificates.ClusterCredentials, name: str) -> tuple[Path, Path]:
    return credentials.certificate(name), credentials.key(name)


@pytest.mark.parametrize("path", ["/pods", "/run/crowd/quiet/web", "/logs/", "/metrics", "/configz"])
def test_a_kubelet_answers_only_to_whom_its_api_server_trusts(region: Region, path: str) -> None:
    at = node(region)
    known = pair(at.credentials, certificates.APISERVER_KUBELET)
    other = pair(at.credentials, certificates.COREDNS)
    foreign = pair(certificates.cluster(region.layout, HOST), certificates.ADMIN)
    assert status(at.address, KUBELET, path) == 401
    assert status(at.address, KUBELET, path, *foreign) == 401
    assert status(at.address, KUBELET, path, *other) == 403
    assert status(at.address, KUBELET, path, *known) not in (401, 403)


def test_a_kubelet_has_no_port_that_answers_to_everybody(region: Region) -> None:
    at = node(region)
    socket.create_connection((at.address, KUBELET), timeout=10).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((at.address, READ_ONLY), timeout=10)


def test_etcd_answers_only_to_its_api_server(region: Region) -> None:
    own = certificates.cluster(region.layout, HOST)
    port = region.layout.ports(0).etcd
    assert status("127.0.0.1", port, "/version", *pair(own, certificates.ETCD_CLIENT)) == 200
    for wrong in ((), pair(own, certificates.ADMIN), pair(own, certificates.APISERVER)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            status("127.0.0.1", port, "/version", *wrong)
    if region.layout.address != "127.0.0.1":
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((region.layout.address, port), timeout=10)


def test_an_api_server_knows_no_anonymous_user(region: Region) -> None:
    port, own = region.layout.ports(0).apiserver, certificates.cluster(region.layout, HOST)
    assert status(region.layout.address, port, "/api/v1/namespaces") == 401
    assert status(region.layout.address, port, "/api/v1/namespaces", *pair(own, certificates.ADMIN)) == 200


@pytest.mark.skipif(not kernel_limits.inotify_settable(), reason="the machine does not let its limits be raised")
def test_inotify_instances_of_a_user_id_are_more_than_a_program_takes(region: Region) -> None:
    """The kernel counts them by user id, over all pods of all projects."""
    with watching(3000) as hoard, watching(1) as other:
        assert (hoard, other) == (3000, 1)


@contextmanager
def watching(instances: int) -> Iterator[int]:
    """A program under a user id of its own that takes so many inotify instances; yields how many it got."""
    command = (sys.executable, "-c", WATCH, str(instances))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        yield int(program.stdout.readline())
        program.stdin.close()


# -- as it runs -----------------------------------------------------------------------------------------------------------


def test_no_etcd_of_the_region_holds_a_secret_in_plain_text(region: Region) -> None:
    """The files of etcd themselves, as who copies the disk reads them."""
    token = certificates.cluster(region.layout, "a1").token(certificates.GATEWAY).read_bytes()
    names = (HOST, "a1")
    stored = {name: content(region.layout.cluster_dir(name) / "etcd") for name in names}
    for name in names:
        assert token not in stored[name]
        assert b"/registry/configmaps/kube-system/kube-root-ca.crt" in stored[name]
    assert b"k8s:enc:secretbox:v1:key" in stored[HOST]


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
