"""Lists what a pod template may say under the Pod Security Standard `restricted`, as rules of the template's fields.

The member's API server enforces the standard itself, on the pod that is made of the template. These rules say the same at the
host, before anything is stored, with the field and the remedy. What a template leaves unset is filled in when the pod is made.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards
"""

from __future__ import annotations

import re

from pincompute.api.validation_rules import Rule

SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
)
SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
FORBIDDEN_VOLUMES = (
    *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "fc", "flexVolume", "flocker", "gcePersistentDisk"),
    *(
        "gitRepo",
        "glusterfs",
        "hostPath",
        "iscsi",
        "nfs",
        "photonPersistentDisk",
        "portworxVolume",
        "quobyte",
        "rbd",
        "scaleIO",
    ),
    *("storageos", "vsphereVolume"),
)
_PROFILE_KEYS = "^container[.]apparmor[.]security[.]beta[.]kubernetes[.]io/|^seccomp[.]security[.]alpha[.]kubernetes[.]io/"
_PROFILES = "^(|runtime/default|localhost/.*)$"


def _never_true(name: str, remedy: str = "remove it") -> Rule:
    return Rule("!self", f"{name} must not be true in a project", remedy, lambda value: not value)


def _one_of(name: str, allowed: tuple[str, ...]) -> Rule:
    words = ", ".join(value for value in allowed if value)
    return Rule(
        f"self in {list(allowed)}", f"{name} must be one of {words}", "change or remove it", lambda value: value in allowed
    )


def _empty(name: str) -> Rule:
    return Rule("self == ''", f"{name} must not be set in a project", "remove it", lambda value: value == "")


_CONFINED = Rule(
    "self != 'Unconfined'",
    "Unconfined is not allowed in a project",
    "write RuntimeDefault",
    lambda value: value != "Unconfined",
)
_AS_ROOT = "remove it: containers of a project do not run as root; give the image a USER that is a number and not 0"
_NOT_ROOT = Rule("self", "runAsNonRoot must not be false in a project", _AS_ROOT, bool)
_NOT_UID_0 = Rule("self != 0", "runAsUser must not be 0 in a project", _AS_ROOT, lambda value: value != 0)

RULES: dict[str, dict[str, Rule]] = {
    "SecurityContext": {
        "privileged": _never_true("privileged"),
        "allowPrivilegeEscalation": _never_true("allowPrivilegeEscalation"),
        "runAsNonRoot": _NOT_ROOT,
        "runAsUser": _NOT_UID_0,
        "procMount": _one_of("procMount", ("Default",)),
    },
    "PodSecurityContext": {"runAsNonRoot": _NOT_ROOT, "runAsUser": _NOT_UID_0},
    "Capabilities": {
        "add": Rule(
            "self.all(c, c == 'NET_BIND_SERVICE')",
            "a project may add the capability NET_BIND_SERVICE and no other",
            "remove the others",
            lambda added: set(added) <= {"NET_BIND_SERVICE"},
        ),
        "drop": Rule(
            "self.exists(c, c == 'ALL')",
            "a project drops all capabilities",
            "write [ALL], or remove the field",
            lambda dropped: "ALL" in dropped,
        ),
    },
    "SeccompProfile": {"type": _CONFINED},
    "AppArmorProfile": {"type": _CONFINED},
    "SELinuxOptions": {"type": _one_of("type", SELINUX_TYPES), "user": _empty("user"), "role": _empty("role")},
    "Sysctl": {"name": _one_of("name", SAFE_SYSCTLS)},
    "WindowsSecurityContextOptions": {"hostProcess": _never_true("hostProcess")},
    "ContainerPort": {
        "hostPort": Rule(
            "self == 0",
            "hostPort must not be set, since a node's ports belong to nobody's project",
            "remove it; containerPort suffices",
            lambda port: port == 0,
        )
    },
    "HTTPGetAction": {"host": _empty("host")},
    "TCPSocketAction": {"host": _empty("host")},
    "Volume": {
        kind: Rule(
            "false", f"{kind} is not allowed in a project", "use emptyDir, a configMap, a secret or a claim", lambda _: False
        )
        for kind in FORBIDDEN_VOLUMES
    },
    "ObjectMeta": {
        "annotations": Rule(
            f"self.all(k, !k.matches('{_PROFILE_KEYS}') || self[k].matches('{_PROFILES}'))",
            "a seccomp or AppArmor profile in an annotation must be runtime/default, or for AppArmor localhost/NAME",
            "remove the annotation, and use securityContext",
            lambda notes: all(_is_confined(key, value) for key, value in notes.items()),
        )
    },
}
"""By definition of the pod template's schema and field."""


def _is_confined(key: str, profile: str) -> bool:
    return not re.search(_PROFILE_KEYS, key) or re.search(_PROFILES, profile) is not None
