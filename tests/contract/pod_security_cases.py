"""Lists templates by the strictest level of the Pod Security Standards that allows them."""

from __future__ import annotations

from typing import Any, get_args

from pincompute.api.projects import RESTRICTED, PodSecurityLevel
from pincompute.api.workloads import PINPODS

LEVELS: tuple[PodSecurityLevel, ...] = get_args(PodSecurityLevel)
SECURE: dict[str, tuple[dict[str, Any], dict[str, Any], PodSecurityLevel]] = {
    # what the pod says, what its container says, the strictest level that allows both
    "nothing": ({}, {}, RESTRICTED),
    "Windows": ({"os": {"name": "windows"}}, {}, RESTRICTED),
    "root by name": ({"securityContext": {"runAsUser": 0}}, {}, "baseline"),
    "root in a container": ({}, {"securityContext": {"runAsUser": 0}}, "baseline"),
    "a user": ({"securityContext": {"runAsUser": 1000}}, {}, RESTRICTED),
    "perhaps root": ({"securityContext": {"runAsNonRoot": False}}, {}, "baseline"),
    "perhaps root in a container": ({}, {"securityContext": {"runAsNonRoot": False}}, "baseline"),
    "privileged": ({}, {"securityContext": {"privileged": True}}, "privileged"),
    "not privileged": ({}, {"securityContext": {"privileged": False}}, RESTRICTED),
    "escalation": ({}, {"securityContext": {"allowPrivilegeEscalation": True}}, "baseline"),
    "no escalation": ({}, {"securityContext": {"allowPrivilegeEscalation": False}}, RESTRICTED),
    "low ports": ({}, {"securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}}, RESTRICTED),
    "a capability": ({}, {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, "privileged"),
    "the capability of all": ({}, {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}, "privileged"),
    "some capabilities dropped": ({}, {"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}, "baseline"),
    "all and one dropped": ({}, {"securityContext": {"capabilities": {"drop": ["ALL", "NET_RAW"]}}}, RESTRICTED),
    "no list of capabilities": ({}, {"securityContext": {"capabilities": {}}}, RESTRICTED),
    "no filter of system calls": ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, {}, "privileged"),
    "no filter in a container": ({}, {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "privileged"),
    "a filter of the node": (
        {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"}}},
        {},
        RESTRICTED,
    ),
    "no AppArmor": ({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}, {}, "privileged"),
    "AppArmor": ({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}, {}, RESTRICTED),
    "an SELinux type": ({"securityContext": {"seLinuxOptions": {"type": "container_t"}}}, {}, RESTRICTED),
    "a foreign SELinux type": ({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}, {}, "privileged"),
    "an SELinux user": ({}, {"securityContext": {"seLinuxOptions": {"user": "u"}}}, "privileged"),
    "an SELinux role": ({}, {"securityContext": {"seLinuxOptions": {"role": "r"}}}, "privileged"),
    "a safe sysctl": ({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}, {}, RESTRICTED),
    "another sysctl": ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, {}, "privileged"),
    "unmasked /proc": ({"hostUsers": False}, {"securityContext": {"procMount": "Unmasked"}}, "baseline"),
    "root of its own users": ({"hostUsers": False, "securityContext": {"runAsUser": 0}}, {}, RESTRICTED),
    "perhaps root of its own users": ({"hostUsers": False}, {"securityContext": {"runAsNonRoot": False}}, RESTRICTED),
    "its own users": ({"hostUsers": False}, {}, RESTRICTED),
    "the node's files": ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, {}, "privileged"),
    "a server of files": ({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]}, {}, "baseline"),
    "files of its own": ({"volumes": [{"name": "v", "emptyDir": {}}]}, {}, RESTRICTED),
    "the node's network": ({"hostNetwork": True}, {}, "privileged"),
    "the node's processes": ({"hostPID": True}, {}, "privileged"),
    "the node's memory": ({"hostIPC": True}, {}, "privileged"),
    "a port of the node": ({}, {"ports": [{"containerPort": 80, "hostPort": 80}]}, "privileged"),
    "no port of the node": ({}, {"ports": [{"containerPort": 80, "hostPort": 0}]}, RESTRICTED),
    "a check of another host": ({}, {"readinessProbe": {"httpGet": {"port": 80, "host": "169.254.169.254"}}}, "privileged"),
    "a check of its own": ({}, {"readinessProbe": {"httpGet": {"port": 80}}}, RESTRICTED),
    "a hook of another host": ({}, {"lifecycle": {"preStop": {"httpGet": {"port": 80, "host": "10.0.0.1"}}}}, "privileged"),
    "usual capabilities": ({}, {"securityContext": {"capabilities": {"add": ["CHOWN", "SETUID"]}}}, "baseline"),
    "all capabilities": ({}, {"securityContext": {"capabilities": {"add": ["ALL"]}}}, "privileged"),
}


def template(pod: dict[str, Any], container: dict[str, Any], where: str) -> dict[str, Any]:
    sidecar = {"restartPolicy": "Always"} if where == "initContainers" else {}
    judged = [{"name": "judged", "image": "i", **container, **sidecar}]
    return {"spec": {"containers": [{"name": "web", "image": "i"}], **pod, where: judged}}


def unit(namespace: str, template: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "x", "namespace": namespace}
    return {"apiVersion": PINPODS.api_version, "kind": "PinPod", "metadata": metadata, "spec": {"template": template}}
