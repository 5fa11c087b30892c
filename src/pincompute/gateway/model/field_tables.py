"""Maps fields of the simple form to fields of a resource's spec, in tables, for what all workloads have in common."""

from __future__ import annotations

from collections.abc import Mapping

from pincompute.api.labels import SIDECARS
from pincompute.gateway.model.codecs import (
    DurationCodec,
    EnvironmentCodec,
    FlagCodec,
    NamedItemsCodec,
    NamesCodec,
    QuantityCodec,
    RowsCodec,
)
from pincompute.gateway.model.field_mapping import Field, Table, field, table

_DURATION = DurationCodec()
_QUANTITY = QuantityCodec()

PORT = table(field("name", "name"), field("port", "containerPort"), field("protocol", "protocol"))
MOUNT = table(
    field("volume", "name"),
    field("path", "mountPath"),
    field("readOnly", "readOnly"),
    field("subPath", "subPath"),
)
_ENV_FROM = table(field("config", "configMapRef.name"), field("secret", "secretRef.name"), field("prefix", "prefix"))

_RESOURCES: tuple[Field, ...] = (
    field("resources.cpu", "resources.requests.cpu", _QUANTITY),
    field("resources.memory", "resources.requests.memory", _QUANTITY),
    field("resources.storage", "resources.requests/ephemeral-storage", _QUANTITY),
    field("resources.gpu", "resources.limits/nvidia.com/gpu", _QUANTITY),
    field("resources.limits.cpu", "resources.limits.cpu", _QUANTITY),
    field("resources.limits.memory", "resources.limits.memory", _QUANTITY),
    field("resources.limits.storage", "resources.limits/ephemeral-storage", _QUANTITY),
)


def _probe(simple: str, resource: str) -> tuple[Field, ...]:
    return (
        field(f"{simple}.http.path", f"{resource}.httpGet.path"),
        field(f"{simple}.http.port", f"{resource}.httpGet.port"),
        field(f"{simple}.http.scheme", f"{resource}.httpGet.scheme"),
        field(f"{simple}.tcp.port", f"{resource}.tcpSocket.port"),
        field(f"{simple}.grpc.port", f"{resource}.grpc.port"),
        field(f"{simple}.grpc.service", f"{resource}.grpc.service"),
        field(f"{simple}.command", f"{resource}.exec.command"),
        field(f"{simple}.initialDelay", f"{resource}.initialDelaySeconds", _DURATION),
        field(f"{simple}.period", f"{resource}.periodSeconds", _DURATION),
        field(f"{simple}.timeout", f"{resource}.timeoutSeconds", _DURATION),
        field(f"{simple}.failureThreshold", f"{resource}.failureThreshold"),
        field(f"{simple}.successThreshold", f"{resource}.successThreshold"),
    )


CONTAINER = table(
    field("image", "image"),
    field("command", "command"),
    field("args", "args"),
    field("workingDir", "workingDir"),
    field("env", "env", EnvironmentCodec()),
    field("envFrom", "envFrom", RowsCodec(_ENV_FROM)),
    field("ports", "ports", RowsCodec(PORT)),
    *_RESOURCES,
    *_probe("health", "readinessProbe"),
    *_probe("liveness", "livenessProbe"),
    *_probe("startup", "startupProbe"),
    field("mounts", "volumeMounts", RowsCodec(MOUNT)),
)
INIT_CONTAINER = CONTAINER + table(field("sidecar", "restartPolicy", FlagCodec("Always")))
VOLUME = table(
    field("emptyDir", "emptyDir"),
    field("config", "configMap.name"),
    field("secret", "secret.secretName"),
    field("claim", "persistentVolumeClaim.claimName"),
)

WORKLOAD = table(
    field("tier", "tier"),
    field("zones", "placement.zones"),
    field("containers", "template.spec.containers", NamedItemsCodec(CONTAINER)),
    field("initContainers", "template.spec.initContainers", NamedItemsCodec(INIT_CONTAINER)),
    field("sidecars", f"template.metadata.annotations/{SIDECARS}", NamesCodec()),
    field("volumes", "template.spec.volumes", NamedItemsCodec(VOLUME)),
    field("terminationGracePeriod", "template.spec.terminationGracePeriodSeconds", _DURATION),
    field("update", "update"),
    field("historyLimit", "historyLimit"),
    field("paused", "paused"),
    field("stopped", "stopped"),
)


def users_words(kind: Table) -> Mapping[str, str]:
    """Kubernetes' names of fields, as they stand in messages, with the name that the field has here.

    `restartPolicy` makes a sidecar of an init container, and is a field of its own elsewhere.
    """
    paths = {".".join(each.resource): ".".join(each.simple) for each in kind.fields if each.resource[0] != "template"}
    names = {old: new for old, new in kubernetes_names(kind).items() if not old.islower() and old != "restartPolicy"}
    return {old: new for old, new in {**names, **paths}.items() if old != new}


def kubernetes_names(kind: Table) -> dict[str, str]:
    """Kubernetes' names of fields that have another name here: a user who writes `readinessProbe` means `health`."""
    fields = [each for every in (kind, INIT_CONTAINER, VOLUME, PORT, MOUNT) for each in every.fields]
    first = {each.resource[0]: each.simple[0] for each in fields if each.resource[0] != "template"}
    return first | {each.resource[-1]: each.simple[-1] for each in fields if len(each.simple) == 1}
