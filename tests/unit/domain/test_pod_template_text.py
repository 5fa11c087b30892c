"""What is said of a health check: what it asks, and that the container does not have that port."""

from __future__ import annotations

import pytest

from pincompute.api.meta import Manifest
from pincompute.domain import pod_template_text

HTTP: Manifest = {"containerPort": 8080, "name": "http"}
CHECKS: dict[str, tuple[Manifest, str]] = {
    "no check": ({}, ""),
    "a declared port": (
        {"readinessProbe": {"httpGet": {"port": 8080, "path": "/up"}}, "ports": [HTTP]},
        " (HTTP GET /up on port 8080)",
    ),
    "a declared port by its name": ({"readinessProbe": {"tcpSocket": {"port": "http"}}, "ports": [HTTP]}, " (TCP, port http)"),
    "another port": (
        {"readinessProbe": {"tcpSocket": {"port": 80}}, "ports": [HTTP, {"containerPort": 9000}]},
        " (TCP, port 80, which is none of its ports: http 8080, 9000)",
    ),
    "nothing is declared": ({"readinessProbe": {"grpc": {"port": 80}}}, " (gRPC, port 80)"),
    "a startup check": ({"startupProbe": {"httpGet": {"port": 8080}}, "ports": [HTTP]}, " (HTTP GET / on port 8080)"),
    "a command": ({"readinessProbe": {"exec": {"command": ["/bin/check", "-q"]}}, "ports": [HTTP]}, " (command /bin/check -q)"),
}


@pytest.mark.parametrize("case", CHECKS)
def test_a_check_says_what_it_asks_and_names_the_ports_when_it_asks_another(case: str) -> None:
    container, said = CHECKS[case]
    assert pod_template_text.check({"spec": {"containers": [{"name": "web", **container}]}}, "web") == said


def test_what_is_asked_of_nodes_is_named() -> None:
    assert pod_template_text.node_rules({"spec": {"nodeSelector": {"disk": "ssd", "arch": "arm"}}}) == (
        "nodeSelector arch=arm, disk=ssd"
    )
    assert pod_template_text.node_rules({"spec": {"affinity": {"nodeAffinity": {}}}}) == "nodeSelector and affinity"
