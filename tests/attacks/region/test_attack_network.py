"""A program in a pod tries to reach what is not its project's: other projects, the platform, the nodes and the machine.

Connections are made in the network namespace of a running pod, as the pod's own program would make them. Beside each stands
proof that somebody does answer there.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest
from live_region import Placed, Region
from story_manifests import PORT, web
from story_projects import make_project

from pincompute.api import labels
from pincompute.api.builtin import NAMESPACES, PODS
from pincompute.api.labels import APP
from pincompute.api.meta import Manifest
from pincompute.api.projects import PROJECTS
from pincompute.region.layout import Layout
from pincompute.region.network_policy.nft_script import OPEN_CONNECTIONS
from pincompute.region.nodes import cgroups, node_network, real_node

T = TypeVar("T")

PATIENCE = 1.5  # seconds for a connection: every one that is allowed is made in a few milliseconds
STRANGER = 54_321  # an account of the machine
STRANGERS = "strangers"  # a namespace of no project
FLOOD = 5_000  # packets, each of a connection of its own
CLONE_NEWNET = 0x40000000
CONNECT = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
client = socket.socket()
client.settimeout(5)
print(client.connect_ex((sys.argv[2].encode(), int(sys.argv[3]))))
"""
QUESTION = (
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"
)
"""A DNS query for the address of kubernetes.default.svc.cluster.local."""


class Attacked(NamedTuple):
    """Two projects with pods in every member; the attacker's program runs in `pod`, in member a1."""

    region: Region
    attacker: str
    victim: str
    pod: Placed
    process: int


def pods_of(region: Region, project: str, cluster: str) -> list[Placed]:
    return [placed for placed in region.pods(project, "web", [cluster]) if placed.ready]


@pytest.fixture(scope="module")
def attacked(region: Region) -> Iterator[Attacked]:
    names = ("mallory", "alice")
    for name in names:
        make_project(region, name)
        region.apply(web(name, replicas=6))
    for name in names:
        region.settled(name, "web")
    first = pods_of(region, "mallory", "a1")[0]
    yield Attacked(region, *names, first, process_of(region.layout, first))
    for name in names:
        region.delete("PinApp", name, "web")
    region.eventually("the pods are gone", lambda: not any(region.pods(name, "web") for name in names))


def process_of(layout: Layout, placed: Placed) -> int:
    """A process of the pod, which shows the pod's network."""
    marked = f"POD_IP={placed.pod.status.pod_ip}\0".encode()
    for pid in cgroups.processes(real_node.cgroup_root(layout)):
        try:
            if marked in Path(f"/proc/{pid}/environ").read_bytes():
                return pid
        except OSError:  # ended meanwhile
            continue
    raise AssertionError(f"no process of {placed.pod.key} runs")


def inside(process: int, make: Callable[[], T]) -> T:
    """Runs `make` in the network of a process; sockets that it makes stay there."""
    made: list[T] = []

    def enter() -> None:
        with Path(f"/proc/{process}/ns/net").open() as entry:
            assert ctypes.CDLL(None, use_errno=True).setns(entry.fileno(), CLONE_NEWNET) == 0
        made.append(make())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return made[0]


def connects(address: str, port: int) -> bool:
    """Whether a connection is made, or refused by who got it: both are an arrival."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        client.settimeout(PATIENCE)
        where = (address, port, 0, socket.if_nametoindex("eth0")) if ":" in address else (address, port)
        try:
            client.connect(where)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True


def reached(attacked: Attacked, targets: dict[str, tuple[str, int]]) -> set[str]:
    """Which targets the attacker's pod reaches; all are tried at the same time."""
    found: set[str] = set()

    def attempt(name: str) -> None:
        if inside(attacked.process, lambda: connects(*targets[name])):
            found.add(name)

    threads = [threading.Thread(target=attempt, args=(name,)) for name in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def address_of(placed: Placed) -> str:
    return placed.pod.status.pod_ip


def link_local(process: int) -> str:
    lines = Path(f"/proc/{process}/net/if_inet6").read_text().splitlines()
    raw = next(line.split()[0] for line in lines if line.startswith("fe80"))
    return ":".join(raw[at : at + 4] for at in range(0, 32, 4))


def other_projects(attacked: Attacked) -> dict[str, tuple[str, int]]:
    region, victim = attacked.region, attacked.victim
    here, there = pods_of(region, victim, "a1")[0], pods_of(region, victim, "b1")[0]
    return {
        "a pod of another project on the same node": (address_of(here), PORT),
        "a pod of another project on another node": (address_of(there), PORT),
    }


def platform(attacked: Attacked) -> dict[str, tuple[str, int]]:
    layout = attacked.region.layout
    host, own, other = (layout.ports(index) for index in (0, 1, 2))
    machine, found = layout.address, dict[str, tuple[str, int]]()
    for name, at in (("registry", layout.registry), ("gateway", layout.gateway), ("issuer", layout.issuer)):
        found[f"the {name}"] = (machine, int(at.rpartition(":")[2]))
    for member in layout.spec.members[:2]:
        where = "its own" if member.name == "a1" else "another"
        found[f"kubelet of {where} node"] = (layout.node_address(member), 10250)
        found[f"kubelet's health on {where} node"] = (layout.node_address(member), real_node.KUBELET_HEALTH)
    return found | {
        "the host's API server": (machine, host.apiserver),
        "its own member's API server": (machine, own.apiserver),
        "its own member's API server by its Service": (service_address(layout, 1), 443),
        "another member's API server": (machine, other.apiserver),
        "another member's DNS": (machine, other.dns),
    }


def service_address(layout: Layout, index: int) -> str:
    return layout.service_range(index).replace(".0/20", ".1")


def test_no_pod_reaches_another_project(attacked: Attacked):
    targets = other_projects(attacked)
    assert all(connects(*target) for target in targets.values()), "they answer those who may ask"
    assert reached(attacked, targets) == set()


def test_no_pod_reaches_the_platform_the_nodes_or_the_machine(attacked: Attacked):
    targets = platform(attacked)
    assert [name for name, target in targets.items() if not connects(*target)] == [], "the machine itself reaches them"
    bridge = attacked.region.layout.pod_range(attacked.region.layout.spec.members[0]).replace(".0/20", ".1")
    assert reached(attacked, targets | {"kubelet over the pods' bridge": (bridge, 10250)}) == set()


def test_no_pod_reaches_beyond_the_region(attacked: Attacked):
    port = int(attacked.region.layout.gateway.rpartition(":")[2])
    shown = subprocess.run(("ip", "-4", "-oneline", "address"), capture_output=True, text=True, check=True).stdout
    fields = [line.split() for line in shown.splitlines()]
    own = {address.partition("/")[0] for _, link, _, address, *_ in fields if link != "lo" and not link.startswith("pc")}
    targets = {f"the machine's address {address}": (address, port) for address in own}
    targets["the cloud's metadata"] = ("169.254.169.254", 80)
    targets["an address of the Internet"] = ("192.88.99.1", 443)
    assert reached(attacked, targets) == set()


def test_no_other_account_of_the_machine_reaches_a_pod(attacked: Attacked):
    address = address_of(attacked.pod)

    def refusal(account: int) -> int:
        command = (sys.executable, "-c", CONNECT, str(account), address, str(PORT))
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert refusal(0) == 0
    assert refusal(STRANGER) == errno.EHOSTUNREACH


def test_no_pod_of_another_project_is_reached_by_ipv6(attacked: Attacked):
    """The kernel gives every pod such an address by itself."""
    victim = process_of(attacked.region.layout, pods_of(attacked.region, attacked.victim, "a1")[0])
    assert reached(attacked, {"by IPv6": (link_local(victim), PORT)}) == set()


def test_inside_the_project_everything_works(attacked: Attacked):
    region, layout = attacked.region, attacked.region.layout
    neighbour = next(p for p in pods_of(region, attacked.attacker, "a1") if p.uid != attacked.pod.uid)
    targets = {
        "a pod of the project": (address_of(neighbour), PORT),
        "the project's Service": (service_of(region, attacked.attacker), 80),
        "DNS over TCP": (layout.dns_address(1), 53),
    }
    region.eventually("the project's own is reached", lambda: reached(attacked, targets) == set(targets), 20.0)
    assert inside(attacked.process, lambda: resolved(layout.dns_address(1))) == service_address(layout, 1)


def service_of(region: Region, project: str) -> str:
    """The address of a Service over the project's pods in member a1."""
    member, path = region.members["a1"], f"/api/v1/namespaces/{project}/services"
    spec = {"selector": {APP: "web"}, "ports": [{"port": 80, "targetPort": PORT}]}
    body = json.dumps({"metadata": {"name": "web"}, "spec": spec}).encode()
    return json.loads(member.request("POST", path, body, "application/json"))["spec"]["clusterIP"]


def resolved(server: str) -> str:
    """The address in the answer to QUESTION; empty without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.sendto(QUESTION, (server, 53))
        try:
            answer = client.recv(512)
        except OSError:
            return ""
    return ".".join(str(byte) for byte in answer[-4:])


def test_another_project_is_reached_when_it_allows_that(attacked: Attacked):
    """The receiver allows it, in one direction only, and for as long as it does."""
    region = attacked.region
    targets = {"the victim": other_projects(attacked)["a pod of another project on the same node"]}
    back = process_of(region.layout, pods_of(region, attacked.victim, "a1")[0])

    def allow(*projects: str) -> None:
        region.host.change(PROJECTS, "", attacked.victim, {"spec": {"network": {"allowFrom": list(projects)}}})

    allow(attacked.attacker)
    region.eventually("the victim is reached", lambda: reached(attacked, targets) == set(targets), 20.0)
    assert not inside(back, lambda: connects(address_of(attacked.pod), PORT)), "it is allowed in one direction only"
    allow()
    region.eventually("the victim is closed again", lambda: reached(attacked, targets) == set(), 20.0)


def test_an_administrator_opens_the_api_server_to_one_app(attacked: Attacked):
    """As docs/security.md says, and for as long as that policy exists."""
    layout, member = attacked.region.layout, attacked.region.members["a1"]
    api = {"directly": (layout.address, layout.ports(1).apiserver), "by its Service": (service_address(layout, 1), 443)}
    egress = [{"to": [{"ipBlock": {"cidr": f"{layout.address}/32"}}], "ports": [{"port": layout.ports(1).apiserver}]}]
    spec = {"podSelector": {"matchLabels": {APP: "web"}}, "policyTypes": ["Egress"], "egress": egress}
    path = f"/apis/networking.k8s.io/v1/namespaces/{attacked.attacker}/networkpolicies"
    body = json.dumps({"metadata": {"name": "kubernetes-api"}, "spec": spec}).encode()
    member.request("POST", path, body, "application/json")
    attacked.region.eventually("the API server is open", lambda: reached(attacked, api) == set(api), 20.0)
    member.request("DELETE", f"{path}/kubernetes-api")
    attacked.region.eventually("the API server is closed", lambda: reached(attacked, api) == set(), 20.0)


@pytest.fixture
def daemon_and_stranger(attacked: Attacked) -> Iterator[tuple[Placed, Placed]]:
    """A pod where daemons run, and one in a namespace of no project, which no policy closes; both in member a1."""
    member = attacked.region.members["a1"]
    namespaces = (labels.DAEMONS_NAMESPACE, STRANGERS)
    member.request("POST", NAMESPACES.path(), as_json({"metadata": {"name": STRANGERS}}), "application/json")
    container = {
        "name": "answers",
        "image": "registry.internal/hello:1",
        "args": [str(PORT)],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "metrics", "containerPort": PORT}],
    }
    pod = {"metadata": {"name": "answers"}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    for namespace in namespaces:
        member.request("POST", PODS.path(namespace), as_json(pod), "application/json")

    def running(namespace: str) -> Placed | None:
        found = member.get(PODS, namespace, "answers")
        assert found is not None
        placed = Placed("a1", found)
        return placed if placed.ready and connects(address_of(placed), PORT) else None

    daemon, stranger = (
        attacked.region.eventually(f"the pod in {each} answers", lambda each=each: running(each)) for each in namespaces
    )
    yield daemon, stranger
    for namespace in namespaces:
        member.delete(PODS, namespace, "answers")
    member.delete(NAMESPACES, "", STRANGERS)


def test_a_daemon_answers_scrapers_alone_and_reaches_nobody(
    attacked: Attacked, daemon_and_stranger: tuple[Placed, Placed]
) -> None:
    """As docs/security.md says: an administrator labels the namespace of those that may scrape."""
    region, layout, (daemon, stranger) = attacked.region, attacked.region.layout, daemon_and_stranger
    member, scrapes = region.members["a1"], (address_of(daemon), PORT)
    assert reached(attacked, {"the daemon": scrapes}) == set(), "no pod of a project reaches it"
    process = process_of(layout, stranger)
    assert not inside(process, lambda: connects(*scrapes))

    inside_daemon = process_of(layout, daemon)
    for target in ((address_of(stranger), PORT), (layout.address, layout.ports(1).apiserver), service_of_api(layout)):
        assert not inside(inside_daemon, lambda target=target: connects(*target)), target

    member.change(NAMESPACES, "", STRANGERS, {"metadata": {"labels": {labels.SCRAPES_DAEMONS: "true"}}})
    region.eventually("a scraper reaches the daemon", lambda: inside(process, lambda: connects(*scrapes)), 20.0)
    assert not inside(inside_daemon, lambda: connects(address_of(stranger), PORT)), "it is open in one direction only"


def service_of_api(layout: Layout) -> tuple[str, int]:
    return service_address(layout, 1), 443


def as_json(manifest: Manifest) -> bytes:
    return json.dumps(manifest).encode()


def test_policies_stay_in_force_without_their_enforcer(attacked: Attacked):
    region, targets = attacked.region, other_projects(attacked)
    with region.frozen("a1-network"):
        assert reached(attacked, targets) == set()
    os.kill(region.pid("a1-network"), signal.SIGKILL)
    assert reached(attacked, targets) == set()
    region.eventually("the enforcer is back", lambda: region.programs()["a1-network"] == "ready", 20.0)
    assert reached(attacked, targets) == set()


def test_an_address_that_no_pod_has_is_closed(attacked: Attacked):
    """As a new pod's is until its enforcer learns of it."""
    spare = address_of(attacked.pod).rpartition(".")[0].rpartition(".")[0] + ".31.250"
    added = ("ip", "address", "add", f"{spare}/20", "dev", "eth0")
    subprocess.run(("nsenter", f"--net=/proc/{attacked.process}/ns/net", *added), check=True)
    target = other_projects(attacked)["a pod of another project on the same node"]

    def from_spare() -> bool:
        with socket.socket() as client:
            client.bind((spare, 0))
            client.settimeout(PATIENCE)
            return client.connect_ex(target) == 0

    assert not inside(attacked.process, from_spare)


def test_a_pod_that_connects_without_end_fills_no_table(attacked: Attacked):
    """Neither its node's nor the machine's, and another project connects meanwhile."""
    region, layout = attacked.region, attacked.region.layout
    flooding = next(p for p in pods_of(region, attacked.attacker, "a1") if p.uid != attacked.pod.uid)
    one, other = pods_of(region, attacked.victim, "a1")[:2]
    bystander, process = process_of(layout, one), process_of(layout, flooding)
    region.eventually("entries of earlier tests are gone", lambda: tracked(layout)[1] < OPEN_CONNECTIONS / 4)
    before = tracked(layout)
    inside(process, lambda: flood(address_of(attacked.pod), range(10_000, 10_000 + FLOOD)))
    assert inside(bystander, lambda: connects(address_of(other), PORT))
    assert OPEN_CONNECTIONS / 2 < tracked(layout)[1] - before[1] < FLOOD / 2
    inside(process, lambda: ask(layout.dns_address(1), range(10_000, 10_000 + FLOOD)))
    resolves = partial(inside, bystander, partial(resolved, layout.dns_address(1)))
    region.eventually("the DNS answers another project", lambda: resolves() == service_address(layout, 1))
    assert all(now - then < FLOOD / 2 for now, then in zip(tracked(layout), before, strict=True))


def tracked(layout: Layout) -> tuple[int, int]:
    """How many connections the machine and the node of a1 track."""
    count = ("cat", "/proc/sys/net/netfilter/nf_conntrack_count")
    enter = ("nsenter", f"--net={node_network.NAMESPACES / node_network.namespace(layout, layout.spec.members[0])}")
    shown = (subprocess.run(command, capture_output=True, text=True, check=True) for command in (count, (*enter, *count)))
    machine, node = (int(each.stdout) for each in shown)
    return machine, node


def flood(address: str, ports: Iterable[int]) -> None:
    """A packet to each port; for the kernel, each is a connection."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for port in ports:
            with suppress(ConnectionRefusedError):
                sender.sendto(b"x", (address, port))


def ask(server: str, ports: Iterable[int]) -> None:
    """A question to the DNS from each port."""
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("", port))
            sender.sendto(QUESTION, (server, 53))
