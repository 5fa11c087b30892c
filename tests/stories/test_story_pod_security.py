"""No project's pod gets at its node: the member's API server refuses it, and the status names the field (M-97, M-141)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from cluster_client import ApiRefusal
from live_region import Region
from story_manifests import web

from pincompute.api.builtin import NAMESPACES
from pincompute.domain import pod_security_defaults

NODE_ACCESS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "the node's files": (
        {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
        {},
        "spec.template.spec.volumes[0].hostPath: hostPath is not allowed in a project",
    ),
    "the node's rights": (
        {},
        {"securityContext": {"privileged": True}},
        "spec.template.spec.containers[0].securityContext.privileged: privileged must not be true in a project",
    ),
    "a port of the node": (
        {},
        {"ports": [{"containerPort": 80, "hostPort": 80}]},
        "spec.template.spec.containers[0].ports[0].hostPort: hostPort must not be set",
    ),
    "root": (
        {"securityContext": {"runAsUser": 0}},
        {},
        "spec.template.spec.securityContext.runAsUser: runAsUser must not be 0 in a project",
    ),
    "a node by name": ({"nodeName": "a1-node-0"}, {}, "spec.template.spec.nodeName: nodeName must not be set"),
}


@pytest.mark.parametrize("case", NODE_ACCESS)
def test_a_pod_that_asks_for_its_node_is_refused_with_the_field(region: Region, project: str, case: str):
    pod, container, refusal = NODE_ACCESS[case]
    app = web(project, "greedy", replicas=1)
    spec = app["spec"]["template"]["spec"]
    spec.update(pod)
    spec["containers"][0].update(container)
    with pytest.raises(ApiRefusal, match=re.escape(refusal)):
        region.apply(app)


def test_a_member_refuses_such_a_pod_from_anybody(region: Region, project: str):
    """A rule that the host lacks, or a stolen credential of the platform, does not get past the member's own API server."""
    spec = web(project, "greedy")["spec"]["template"]["spec"]
    for name, member in region.members.items():
        region.eventually(f"{name} has the namespace", lambda m=member: m.get(NAMESPACES, "", project))
        body = {"metadata": {"name": "greedy"}, "spec": {**spec, "hostPID": True}}
        with pytest.raises(ApiRefusal, match=r'violates PodSecurity "restricted:v1\.36": .*hostPID=true'):
            member.request("POST", f"/api/v1/namespaces/{project}/pods", json.dumps(body).encode(), "application/json")


def test_what_the_user_left_open_is_closed(region: Region, project: str):
    """The same app without any of these requests runs, under the standard."""
    region.apply(web(project, replicas=1))
    region.settled(project, "web")
    (placed,) = region.pods(project, "web")
    namespace = region.members[placed.cluster].get(NAMESPACES, "", project)
    assert namespace is not None
    assert pod_security_defaults.namespace_labels().items() <= namespace.metadata.labels.items()
