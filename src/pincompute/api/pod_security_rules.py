"""Lists what a pod template may say under the Pod Security Standards, as rules of the template's fields.

The member's API server enforces the standards itself, on the pod that is made of the template. These rules say the same at the
host, before anything is stored, with the field and the remedy. What a template leaves unset is filled in when the pod is made.
Each rule names the levels at which it applies; `privileged` has none.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards
"""

from __future__ import annotations

import re

from pincompute.api.projects import PodSecurityLevel
from pincompute.api.validation_rules import UP_TO_BASELINE, Rule

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
RESTRICTED_VOLUMES = (
    *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "fc", "flexVolume", "flocker", "gcePersistentDisk"),
    *(
        "gitRepo",
        "glusterfs",
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
_PROFILE_KEYS = "^container[.]apparmor[.]security[.]beta[.]kubernetes[.]io/"
_PROFILES = "^(|runtime/default|localhost/.*)$"


RESTRICTED: tuple[PodSecurityLevel, ...] = ("restricted",)
BASELINE: tuple[PodSecurityLevel, ...] = ("baseline",)
BASELINE_CAPABILITIES = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID"),
    *("SETPCAP", "SETUID", "SYS_CHROOT"),
)


def _never_true(name: str, levels: tuple[PodSecurityLevel, ...] = UP_TO_BASELINE) -> Rule:
    return Rule("!self", f"{name} must not be true in a project", "remove it", lambda value: not value, levels=levels)


def _one_of(name: str, allowed: tuple[str, ...]) -> Rule:
    words = ", ".join(value for value in allowed if value)
    return Rule(
        f"self in {list(allowed)}",
        f"{name} must be one of {words}",
        "change or remove it",
        lambda value: value in allowed,
        levels=UP_TO_BASELINE,
    )


def _empty(name: str) -> Rule:
    holds = "self == ''"
    return Rule(holds, f"{name} must not be set in a project", "remove it", lambda value: value == "", levels=UP_TO_BASELINE)


def _no_volume(kind: str, levels: tuple[PodSecurityLevel, ...]) -> Rule:
    remedy = "use emptyDir, a configMap, a secret or a claim"
    return Rule("false", f"{kind} is not allowed in a project", remedy, lambda _: False, levels=levels)


_CONFINED = Rule(
    "self != 'Unconfined'",
    "Unconfined is not allowed in a project",
    "write RuntimeDefault",
    lambda value: value != "Unconfined",
    levels=UP_TO_BASELINE,
)
_AS_ROOT = "remove it: containers of a project do not run as root; give the image a USER that is a number and not 0"
_NOT_ROOT = Rule("self", "runAsNonRoot must not be false in a project", _AS_ROOT, bool, levels=RESTRICTED, host_users=True)
_NOT_UID_0 = Rule(
    "self != 0",
    "runAsUser must not be 0 in a project",
    _AS_ROOT,
    lambda value: value != 0,
    levels=RESTRICTED,
    host_users=True,
)
_PROC_MOUNT = (
    Rule(
        "self == 'Default'",
        "procMount must be Default",
        "change or remove it",
        lambda value: value == "Default",
        levels=RESTRICTED,
    ),
    Rule(
        "self == 'Default'",
        "procMount must be Default",
        "change or remove it, or give the pod users of its own with hostUsers: false",
        lambda value: value == "Default",
        levels=("baseline", "privileged"),  # no API server takes it with the host's users
        host_users=True,
    ),
)
_ADDED = (
    Rule(
        "self.all(c, c == 'NET_BIND_SERVICE')",
        "a project may add the capability NET_BIND_SERVICE and no other",
        "remove the others",
        lambda added: set(added) <= {"NET_BIND_SERVICE"},
        levels=RESTRICTED,
    ),
    Rule(
        f"self.all(c, c in {list(BASELINE_CAPABILITIES)})",
        f"a project at level baseline may add no capabilities but {', '.join(BASELINE_CAPABILITIES)}",
        "remove the others",
        lambda added: set(added) <= {*BASELINE_CAPABILITIES},
        levels=BASELINE,
    ),
)

RULES: dict[str, dict[str, tuple[Rule, ...]]] = {
    "SecurityContext": {
        "privileged": (_never_true("privileged"),),
        "allowPrivilegeEscalation": (_never_true("allowPrivilegeEscalation", RESTRICTED),),
        "runAsNonRoot": (_NOT_ROOT,),
        "runAsUser": (_NOT_UID_0,),
        "procMount": _PROC_MOUNT,
    },
    "PodSecurityContext": {"runAsNonRoot": (_NOT_ROOT,), "runAsUser": (_NOT_UID_0,)},
    "Capabilities": {
        "add": _ADDED,
        "drop": (
            Rule(
                "self.exists(c, c == 'ALL')",
                "a project drops all capabilities",
                "write [ALL], or remove the field",
                lambda dropped: "ALL" in dropped,
                levels=RESTRICTED,
            ),
        ),
    },
    "SeccompProfile": {"type": (_CONFINED,)},
    "AppArmorProfile": {"type": (_CONFINED,)},
    "SELinuxOptions": {"type": (_one_of("type", SELINUX_TYPES),), "user": (_empty("user"),), "role": (_empty("role"),)},
    "Sysctl": {"name": (_one_of("name", SAFE_SYSCTLS),)},
    "WindowsSecurityContextOptions": {"hostProcess": (_never_true("hostProcess"),)},
    "ContainerPort": {
        "hostPort": (
            Rule(
                "self == 0",
                "hostPort must not be set, since a node's ports belong to nobody's project",
                "remove it; containerPort suffices",
                lambda port: port == 0,
                levels=UP_TO_BASELINE,
            ),
        )
    },
    "HTTPGetAction": {"host": (_empty("host"),)},
    "TCPSocketAction": {"host": (_empty("host"),)},
    "Volume": {
        "hostPath": (_no_volume("hostPath", UP_TO_BASELINE),),
        **{kind: (_no_volume(kind, RESTRICTED),) for kind in RESTRICTED_VOLUMES},
    },
    "ObjectMeta": {
        "annotations": (
            Rule(
                f"self.all(k, !k.matches('{_PROFILE_KEYS}') || self[k].matches('{_PROFILES}'))",
                "an AppArmor profile in an annotation must be runtime/default or localhost/NAME",
                "remove the annotation, and use securityContext",
                lambda notes: all(_is_confined(key, value) for key, value in notes.items()),
                levels=UP_TO_BASELINE,
            ),
        )
    },
}
"""By definition of the pod template's schema and field."""


def _is_confined(key: str, profile: str) -> bool:
    return not re.search(_PROFILE_KEYS, key) or re.search(_PROFILES, profile) is not None
