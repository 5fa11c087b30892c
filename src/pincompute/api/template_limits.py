"""Lists the limits and choices that a pod template must keep beyond its types, with messages of our own.

Kubernetes checks these in code and not in its schema. Every list that a rule iterates over also needs a limit (see
`validation_rules`).
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from pincompute.api import pod_security_rules, validation_rules
from pincompute.api.meta import Manifest

Schema: TypeAlias = dict[str, Any]

_RULES = "x-kubernetes-validations"
LARGEST = 400 << 10  # bytes of a template as JSON: a shard may hold three, and etcd takes 1.5 MiB


def _ruled(*every: validation_rules.Rule) -> Schema:
    return {_RULES: [rule.manifest() for rule in every]}


QUANTITY: Schema = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "maxLength": 64,
    **_ruled(validation_rules.QUANTITY),
}


def is_quantity(schema: Schema) -> bool:
    """Returns whether a part of the pod template's schema is a quantity. A port, too, is a number or text, and has no such
    limit.
    """
    return schema.get("x-kubernetes-int-or-string") is True and schema.get("maxLength") == QUANTITY["maxLength"]


_DNS_LABEL: Schema = {"minLength": 1, "maxLength": 63, **_ruled(validation_rules.DNS_LABEL)}
_LABEL_VALUE: Schema = {"type": "string", "maxLength": 63, **_ruled(validation_rules.LABEL_VALUE)}
_FEW: Schema = {"maxProperties": 32}
_SECONDS: Schema = {"minimum": 0}

LIMITS: dict[str, dict[str, Schema]] = {
    "Container": {
        "name": _DNS_LABEL | {"description": "Name of the container: lower-case letters, digits and '-', unique in the pod."},
        "image": {"minLength": 1, "maxLength": 1024, "description": "Image to run, for example registry.internal/hello:1."},
        "ports": {"maxItems": 64},
        "volumeMounts": {"maxItems": 64},
    },
    "ContainerPort": {
        "containerPort": {"minimum": 1, "maximum": 65535},
        "hostPort": {"minimum": 0, "maximum": 65535},
        "name": {"maxLength": 15, **_ruled(validation_rules.PORT_NAME)},
        "protocol": {"default": "TCP"},
    },
    "PodSpec": {
        "containers": {"minItems": 1, "maxItems": 32, "description": "What runs in the pod: at least one container."},
        "initContainers": {
            "maxItems": 32,
            "description": "Containers that run to their end, one after the other, before the others start. "
            "With restartPolicy Always: sidecars that start first and run for as long as the pod.",
        },
        "volumes": {"maxItems": 64},
        "overhead": _FEW,
        "terminationGracePeriodSeconds": _SECONDS | _ruled(validation_rules.GRACE_PERIOD),
        "hostNetwork": {"description": "Must not be true: pods use the pod network."},
        "hostPID": {"description": "Must not be true."},
        "hostIPC": {"description": "Must not be true."},
    },
    "ObjectMeta": {
        "labels": {"maxProperties": 64, "additionalProperties": _LABEL_VALUE, "description": "Labels of the pods."},
        "annotations": {
            "maxProperties": 256,
            "description": "Annotations of the pods.",
            **_ruled(validation_rules.NETWORK_ANNOTATIONS),
        },
    },
    "ResourceRequirements": {"requests": _FEW, "limits": _FEW},
    "VolumeResourceRequirements": {"requests": _FEW, "limits": _FEW},
    # Deep in four nested lists: a rule there could cost too much, a pattern costs nothing.
    "ResourceFieldSelector": {"divisor": {"x-kubernetes-validations": None, "pattern": "^[0-9]+([KMGTPE]i|[mkMGTPE])?$"}},
    "EnvVar": {"name": {"minLength": 1}},
    "Volume": {"name": _DNS_LABEL},
    "ProjectedVolumeSource": {"sources": {"maxItems": 64}},
    "VolumeMount": {"name": _DNS_LABEL, "mountPath": {"minLength": 1}},
    "Probe": {
        **dict.fromkeys(("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold"), _SECONDS),
        "terminationGracePeriodSeconds": _ruled(validation_rules.GRACE_PERIOD),
    },
    "PodAffinityTerm": {
        "namespaces": _ruled(validation_rules.AFFINITY_NAMESPACES),
        "namespaceSelector": _ruled(validation_rules.AFFINITY_NAMESPACE_SELECTOR),
    },
    "TopologySpreadConstraint": {"maxSkew": {"minimum": 1}},
}

_OR_EMPTY = [""]
CHOICES: dict[str, dict[str, list[str]]] = {
    "AppArmorProfile": {"type": ["Localhost", "RuntimeDefault", "Unconfined"]},
    "AzureDiskVolumeSource": {"cachingMode": ["None", "ReadOnly", "ReadWrite"], "kind": ["Dedicated", "Managed", "Shared"]},
    "Container": {
        "imagePullPolicy": ["Always", "IfNotPresent", "Never"],
        "terminationMessagePolicy": ["FallbackToLogsOnError", "File"],
    },
    "ContainerPort": {"protocol": ["SCTP", "TCP", "UDP"]},
    "HTTPGetAction": {"scheme": ["HTTP", "HTTPS"]},
    "HostPathVolumeSource": {
        "type": [*_OR_EMPTY, "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"]
    },
    "ImageVolumeSource": {"pullPolicy": ["Always", "IfNotPresent", "Never"]},
    "NodeSelectorRequirement": {"operator": ["DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"]},
    "PersistentVolumeClaimSpec": {"volumeMode": ["Block", "Filesystem"]},
    "PodSecurityContext": {
        "fsGroupChangePolicy": ["Always", "OnRootMismatch"],
        "supplementalGroupsPolicy": ["Merge", "Strict"],
    },
    "PodSpec": {
        "dnsPolicy": ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
        "preemptionPolicy": ["Never", "PreemptLowerPriority"],
        "restartPolicy": ["Always", "Never", "OnFailure"],
    },
    "SeccompProfile": {"type": ["Localhost", "RuntimeDefault", "Unconfined"]},
    "SecurityContext": {"procMount": ["Default", "Unmasked"]},
    "Toleration": {
        "effect": [*_OR_EMPTY, "NoExecute", "NoSchedule", "PreferNoSchedule"],
        "operator": [*_OR_EMPTY, "Equal", "Exists", "Gt", "Lt"],
    },
    "TopologySpreadConstraint": {
        "nodeAffinityPolicy": ["Honor", "Ignore"],
        "nodeTaintsPolicy": ["Honor", "Ignore"],
        "whenUnsatisfiable": ["DoNotSchedule", "ScheduleAnyway"],
    },
    "VolumeMount": {"mountPropagation": ["Bidirectional", "HostToContainer", "None"]},
}


def of(kind: str) -> Mapping[str, Schema]:
    """Returns the keywords to add, by field; a keyword of None is removed."""
    limits = LIMITS.get(kind, {})
    choices = {field: {**limits.get(field, {}), "enum": values} for field, values in CHOICES.get(kind, {}).items()}
    known = ChainMap(choices, limits)
    rules = pod_security_rules.RULES.get(kind, {})
    secure = {field: _with_rules(known.get(field, {}), every) for field, every in rules.items()}
    return ChainMap(secure, choices, limits)


def _with_rules(known: Schema, every: tuple[validation_rules.Rule, ...]) -> Schema:
    return known | {_RULES: [*known.get(_RULES, ()), *_ruled(*every)[_RULES]]}


def oversize(template: Manifest) -> tuple[str, str] | None:
    """Returns what is wrong with the size of a pod template, and what to do; None when it fits."""
    text = msgspec.json.encode(template)
    size = len(text) + sum(text.count(escaped) for escaped in (b"<", b">", b"&")) * 5  # the API server writes six bytes of each
    if size <= LARGEST:
        return None
    return (
        f"has {size >> 10} KiB, and the limit is {LARGEST >> 10} KiB, because a cluster holds several revisions at a time",
        "move large values into the image or a ConfigMap",
    )
