"""No project's pod gets at its node: the member's API server refuses it, and the status names the field (M-97, M-141)."""

from __future__ import annotations

from typing import Any

import pytest
from live_region import Region
from story_manifests import web

from pincompute.api.builtin import NAMESPACES
from pincompute.domain import pod_security

NODE_ACCESS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "the node's files": ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, {}, "hostPath volumes"),
    "the node's rights": ({}, {"securityContext": {"privileged": True}}, "privileged"),
    "a capability": ({}, {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, "unrestricted capabilities"),
    "a port of the node": ({}, {"ports": [{"containerPort": 80, "hostPort": 80}]}, "hostPort"),
    "root": ({"securityContext": {"runAsUser": 0}}, {}, "runAsUser=0"),
    "system calls without a filter": ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, {}, "seccompProfile"),
}


@pytest.mark.parametrize("case", NODE_ACCESS)
def test_a_pod_that_asks_for_its_node_is_refused_with_the_field(region: Region, project: str, case: str):
    pod, container, field = NODE_ACCESS[case]
    app = web(project, "greedy", replicas=1)
    spec = app["spec"]["template"]["spec"]
    spec.update(pod)
    spec["containers"][0].update(container)
    region.apply(app)

    def says_why() -> bool:
        message = region.app(project, "greedy").status.message
        return "violates PodSecurity" in message and field in message

    region.eventually(f"the status names {field}", says_why)
    assert region.pods(project, "greedy") == []


def test_what_the_user_left_open_is_closed(region: Region, project: str):
    """The same app without any of these requests runs, under the standard."""
    region.apply(web(project, replicas=1))
    region.settled(project, "web")
    (placed,) = region.pods(project, "web")
    namespace = region.members[placed.cluster].get(NAMESPACES, "", project)
    assert namespace is not None
    assert pod_security.NAMESPACE_LABELS.items() <= namespace.metadata.labels.items()
