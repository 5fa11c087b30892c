"""What validation says of a template under the Pod Security Standard is what the API server says of the pod that it makes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from contract_client import Api
from real_api_server import TOKEN, RealServer

from pincompute.api import object_validation
from pincompute.api.workloads import PINPODS
from pincompute.domain import pod_security_defaults

pytestmark = pytest.mark.region
SECURE: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    # what the pod says, what its container says, whether both is allowed
    "nothing": ({}, {}, True),
    "Windows": ({"os": {"name": "windows"}}, {}, True),
    "root by name": ({"securityContext": {"runAsUser": 0}}, {}, False),
    "root in a container": ({}, {"securityContext": {"runAsUser": 0}}, False),
    "a user": ({"securityContext": {"runAsUser": 1000}}, {}, True),
    "perhaps root": ({"securityContext": {"runAsNonRoot": False}}, {}, False),
    "perhaps root in a container": ({}, {"securityContext": {"runAsNonRoot": False}}, False),
    "privileged": ({}, {"securityContext": {"privileged": True}}, False),
    "not privileged": ({}, {"securityContext": {"privileged": False}}, True),
    "escalation": ({}, {"securityContext": {"allowPrivilegeEscalation": True}}, False),
    "no escalation": ({}, {"securityContext": {"allowPrivilegeEscalation": False}}, True),
    "low ports": ({}, {"securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}}, True),
    "a capability": ({}, {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, False),
    "the capability of all": ({}, {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}, False),
    "some capabilities dropped": ({}, {"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}, False),
    "all and one dropped": ({}, {"securityContext": {"capabilities": {"drop": ["ALL", "NET_RAW"]}}}, True),
    "no list of capabilities": ({}, {"securityContext": {"capabilities": {}}}, True),
    "no filter of system calls": ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, {}, False),
    "no filter in a container": ({}, {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, False),
    "a filter of the node": (
        {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"}}},
        {},
        True,
    ),
    "no AppArmor": ({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}, {}, False),
    "AppArmor": ({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}, {}, True),
    "an SELinux type": ({"securityContext": {"seLinuxOptions": {"type": "container_t"}}}, {}, True),
    "a foreign SELinux type": ({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}, {}, False),
    "an SELinux user": ({}, {"securityContext": {"seLinuxOptions": {"user": "u"}}}, False),
    "an SELinux role": ({}, {"securityContext": {"seLinuxOptions": {"role": "r"}}}, False),
    "a safe sysctl": ({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}, {}, True),
    "another sysctl": ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, {}, False),
    "unmasked /proc": ({"hostUsers": False}, {"securityContext": {"procMount": "Unmasked"}}, False),
    "the node's files": ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, {}, False),
    "a server of files": ({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]}, {}, False),
    "files of its own": ({"volumes": [{"name": "v", "emptyDir": {}}]}, {}, True),
    "the node's network": ({"hostNetwork": True}, {}, False),
    "the node's processes": ({"hostPID": True}, {}, False),
    "the node's memory": ({"hostIPC": True}, {}, False),
    "a port of the node": ({}, {"ports": [{"containerPort": 80, "hostPort": 80}]}, False),
    "no port of the node": ({}, {"ports": [{"containerPort": 80, "hostPort": 0}]}, True),
    "a check of another host": ({}, {"readinessProbe": {"httpGet": {"port": 80, "host": "169.254.169.254"}}}, False),
    "a check of its own": ({}, {"readinessProbe": {"httpGet": {"port": 80}}}, True),
    "a hook of another host": ({}, {"lifecycle": {"preStop": {"httpGet": {"port": 80, "host": "10.0.0.1"}}}}, False),
}


@pytest.fixture
async def server(real_server: RealServer, unique: str) -> AsyncIterator[Api]:
    async def compact() -> None: ...

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        api = Api(session, real_server.url, compact, unique)
        namespace = {"metadata": {"name": unique, "labels": pod_security_defaults.namespace_labels()}}
        (await api.post("/api/v1/namespaces", namespace)).ok(201)
        yield api
        await api.delete(f"/api/v1/namespaces/{unique}")


@pytest.mark.parametrize("where", ["containers", "initContainers"])
@pytest.mark.parametrize("case", SECURE)
async def test_both_say_the_same(server: Api, case: str, where: str) -> None:
    pod, container, allowed = SECURE[case]
    sidecar = {"restartPolicy": "Always"} if where == "initContainers" else {}
    judged = [{"name": "judged", "image": "i", **container, **sidecar}]
    template = {"spec": {"containers": [{"name": "web", "image": "i"}], **pod, where: judged}}
    manifest = {
        "apiVersion": PINPODS.api_version,
        "kind": "PinPod",
        "metadata": {"name": "x", "namespace": server.namespace},
        "spec": {"template": template},
    }
    assert (object_validation.problems(manifest) == []) is allowed
    made = {"metadata": {"name": "x"}, "spec": pod_security_defaults.filled_spec(template["spec"])}
    answer = await server.post(f"/api/v1/namespaces/{server.namespace}/pods", made, dryRun="All")
    assert (answer.code == 201) is allowed, answer.body
    assert allowed or "violates PodSecurity" in answer.body["message"]
