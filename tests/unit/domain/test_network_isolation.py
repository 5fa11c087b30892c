"""What the policy of a project opens, and what no project can open."""

from __future__ import annotations

import ipaddress

import pytest
from msgspec.structs import replace

from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.projects import (
    AllowedProject,
    EgressPort,
    Project,
    ProjectEgress,
    ProjectNetwork,
    ProjectSpec,
    ProjectStatus,
)
from pincompute.domain import network_isolation

SECRET = ("10.64.0.1", "169.254.169.254", "192.168.1.1", "172.20.0.1", "100.64.0.9", "127.0.0.1", "fd00::1", "fe80::1", "::1")


def policy(*allow_from: str, egress: tuple[ProjectEgress, ...] = ()) -> Manifest:
    project = shop(*allow_from, egress=egress)
    allowed = network_isolation.allowed_projects(project, {name: f"uid-{name}" for name in allow_from})
    return network_isolation.policy(allowing(project, *allowed))["spec"]


def shop(*allow_from: str, egress: tuple[ProjectEgress, ...] = ()) -> Project:
    network = ProjectNetwork(allow_from=allow_from, egress=egress)
    return Project(metadata=ObjectMeta(name="shop"), spec=ProjectSpec(network=network))


def allowing(project: Project, *allowed: AllowedProject) -> Project:
    return replace(project, status=ProjectStatus(allowed_projects=allowed))


def blocks(spec: Manifest) -> list[Manifest]:
    return [peer["ipBlock"] for rule in spec["egress"] for peer in rule["to"] if "ipBlock" in peer]


def test_a_project_is_closed_but_inside() -> None:
    spec = policy()
    assert spec["podSelector"] == {}
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"from": [{"podSelector": {}}]}]
    assert blocks(spec) == []


def test_a_project_that_is_let_in_must_be_the_platforms() -> None:
    """A namespace of that name that belongs to somebody else has no label of a project."""
    [rule] = policy("web", "shop", "bank", "web")["ingress"]
    named = [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"][1:]]
    assert named == [
        {"kubernetes.io/metadata.name": name, "pincompute.io/project": name, "pincompute.io/project-uid": f"uid-{name}"}
        for name in ("bank", "web")
    ]


def test_a_name_means_the_project_that_had_it_when_it_was_allowed() -> None:
    first = AllowedProject(name="web", uid="first")
    waiting = shop("web")
    assert network_isolation.allowed_projects(waiting, {}) == (), "nobody is let in before there is one"
    assert network_isolation.allowed_projects(waiting, {"web": "first"}) == (first,)
    open_to_first = allowing(waiting, first)
    for uids in ({"web": "first"}, {}, {"web": "second"}):
        assert network_isolation.allowed_projects(open_to_first, uids) == (first,)
    removed = allowing(shop(), first)
    assert network_isolation.policy(removed)["spec"] == policy()
    assert network_isolation.allowed_projects(removed, {"web": "second"}) == (), "a name that is added again is looked up again"


@pytest.mark.parametrize(
    "cidr", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "160.0.0.0/3", "10.0.0.0/8", "169.254.169.254/32", "::ffff:0:0/95"]
)
def test_no_range_opens_a_private_address(cidr: str) -> None:
    for block in blocks(policy(egress=(ProjectEgress(cidr=cidr),))):
        opened = ipaddress.ip_network(block["cidr"])
        closed = [ipaddress.ip_network(excluded) for excluded in block.get("except", ())]
        assert all(network.version == opened.version and network != opened for network in closed), (
            "an API server refuses others"
        )
        for address in map(ipaddress.ip_address, SECRET):
            assert address not in opened or any(address in network for network in closed), address


def test_a_public_range_is_open_at_its_ports() -> None:
    ports = (EgressPort(port=443), EgressPort(port=5000, end_port=5010, protocol="UDP"))
    rule = policy(egress=(ProjectEgress(cidr="203.0.113.7/24", ports=ports),))["egress"][-1]
    assert rule == {
        "to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}],
        "ports": [{"port": 443, "protocol": "TCP"}, {"port": 5000, "protocol": "UDP", "endPort": 5010}],
    }
