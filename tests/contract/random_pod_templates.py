"""Generates random pod templates that an API server accepts, with mixed values, defaults, zeros, nulls and
notations.

The tables add what the schema does not contain: which texts are valid where, of which fields exactly one may be set, and what
is left out because a feature gate or another field would have to agree. Fields are named as in `template_defaults`.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any, TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from pincompute.api import template_defaults, template_limits, template_schema
from pincompute.api.template_limits import Schema
from pincompute.api.template_normalization import suffixes

Json: TypeAlias = Any

MOST_FIELDS = 8  # optional fields of one object that are said

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_POD: Schema = template_schema.schema()["properties"]["spec"]
_SOURCES = tuple(name for name in _POD["properties"]["volumes"]["items"]["properties"] if name != "name")

_ONE_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_PROBES, ("exec", "httpGet", "tcpSocket", "grpc")),
    **dict.fromkeys(("postStart", "preStop"), ("exec", "httpGet", "tcpSocket", "sleep")),
    "valueFrom": ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"),
    "env[]": ("value", "valueFrom"),
    "envFrom[]": ("configMapRef", "secretRef"),
    "items[]": ("fieldRef", "resourceFieldRef"),
    "sources[]": ("secret", "configMap", "downwardAPI", "serviceAccountToken"),
    "resourceClaims[]": ("resourceClaimName", "resourceClaimTemplateName"),
    "template.spec.volumes[]": (*_SOURCES, *("ephemeral",) * 6),  # the one with most of its own
}
"""Of these exactly one is said; the others are absent or null."""

_NEEDED: dict[str, tuple[str, ...]] = {
    "template.spec": ("containers", "volumes"),
    "ephemeral": ("volumeClaimTemplate",),
    "containers[]": ("env",),
    "sources[].configMap": ("name",),
    "sources[].secret": ("name",),
    "configMap": ("name",),
    "secret": ("secretName",),
    "configMapKeyRef": ("name",),
    "secretKeyRef": ("name",),
    "configMapRef": ("name",),
    "secretRef": ("name",),
    "nodePublishSecretRef": ("name",),
    "imagePullSecrets[]": ("name",),
    "volumeClaimTemplate.spec": ("accessModes", "resources"),
    "exec": ("command",),
    "items[]": ("path",),
    "items[].resourceFieldRef": ("containerName",),
    "flocker": ("datasetName",),
    "glusterfs": ("endpoints", "path"),
    "storageos": ("volumeName",),
    "image": ("reference",),
    "matchExpressions[]": ("values",),
    "hostAliases[]": ("hostnames",),
    "dnsConfig": ("options",),
    "dnsConfig.options[]": ("name",),
    "tolerations[]": ("effect", "operator"),
    "affinity.podAffinityTerm": ("labelSelector",),
    "scaleIO": ("volumeName",),
    "projected": ("sources",),
}
"""Optional in the schema, and required by the server's own rules."""

_LEFT_OUT = frozenset(
    {
        # behind a feature gate
        "sources[].clusterTrustBundle",
        "restartPolicyRules",
        "schedulingGroup",
        "sources[].podCertificate",
        # only in company of other fields
        "activeDeadlineSeconds",
        "containers[].restartPolicy",
        "initContainers[].restartPolicy",
        "flocker.datasetUUID",
        *(f"initContainers[].{name}" for name in (*_PROBES, "lifecycle")),
        "lifecycle.stopSignal",
        "localhostProfile",
        "matchFields",
        "matchLabelKeys",
        "minDomains",
        "mismatchLabelKeys",
        "mountPropagation",
        "preemptionPolicy",
        "readinessProbe.terminationGracePeriodSeconds",
        "procMount",
        "recursiveReadOnly",
        "resizePolicy",
        "resources.claims",
        "seLinuxChangePolicy",
        "startupProbe.terminationGracePeriodSeconds",
        "subPathExpr",
        "template.spec.os",
        "volumeDevices",
        "iscsi.chapAuthSession",
        "iscsi.initiatorName",
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "nodeName",
        # of objects in their own right
        "creationTimestamp",
        "metadata.finalizers",
        "metadata.namespace",
        "volumeClaimTemplate.metadata.name",
        "sysctls",
    }
)

_AMOUNTS = (
    *(0, 1, "1", "1000m", "0.001k", 1.5, "1500m", 0.1, "0.1", "100m", "1e-1", "0.0001", "1e3", "1k", 1000, "+2", "2."),
    *("33554432", 33554432, "32Mi", "32768Ki", "0.03125Gi", "1073741824", "1Gi", "128M", "129e6", "12E6", "0.5Ki", "1.5Ki"),
)
_CPUS = (("100m", "0.1", 0.1, "1e-1"), ("1", 1, "1000m", "1e0"), ("2.5", 2.5, "2500m"), ("0.0001", "1m", "0.001"))
_MEMORIES = (("32Mi", "33554432", 33554432), ("1k", "1e3", 1000), ("1Gi", "1024Mi", "1073741824"), ("1536", "1.5Ki"))
_COUNTS = (("1", 1, "1000m"), ("2", 2, "2e0"))
_RESOURCES = {"cpu": _CPUS, "memory": _MEMORIES, "ephemeral-storage": _MEMORIES, "example.com/gpu": _COUNTS}
_SHA256 = "@sha256:" + "a" * 64
_IMAGES = (
    *(
        "hello",
        "hello:1",
        "hello:latest",
        "hello:",
        "hello:late st",
        "Upper",
        "Upper:latest",
        "x/Y:latest",
        "Host/a",
        "localhost/Up",
    ),
    *("registry.internal:5000/a/b", "registry.internal:5000/a/b:latest", "[::1]:80/a", "a__b/c-d.e", "a..b", "a" * 64),
    *(f"hello{_SHA256}", f"hello:latest{_SHA256}", f"hello:1{_SHA256}", "hello@sha256:short", "hello@md5:" + "a" * 32),
)

_VALUES: dict[str, tuple[Json, ...]] = {
    "apiVersion": ("v1",),
    "accessModes[]": ("ReadWriteOnce", "ReadOnlyMany"),
    "containers[].name": ("a", "b"),
    "initContainers[].name": ("i", "j"),
    "containers[].image": _IMAGES,
    "initContainers[].image": _IMAGES,
    "image.reference": _IMAGES,
    "capabilities.add[]": ("NET_BIND_SERVICE", "SYS_TIME"),
    "capabilities.drop[]": ("ALL", "KILL"),
    "resourceFieldRef.divisor": (0, "0", "1", "1000m", "1Mi", 1048576, "1k", 1000),
    "fieldRef.fieldPath": ("metadata.name", "metadata.labels", "metadata.annotations"),
    "valueFrom.fieldRef.fieldPath": ("metadata.name", "status.podIP", "spec.nodeName"),
    "resourceFieldRef.resource": ("limits.memory", "requests.memory"),
    "resourceFieldRef.containerName": ("a",),
    "dnsPolicy": ("ClusterFirst", "Default", "ClusterFirstWithHostNet"),
    "nameservers[]": ("10.0.0.1", "fd00::1"),
    "env[].value": ("", "x", "$(A)"),
    "httpHeaders[].value": ("", "x"),
    "hostIP": ("10.0.0.2",),
    "hostPort": (0, 8080),
    "hostAliases[].ip": ("10.0.0.3", "10.0.0.4"),
    "grpc.port": (80,),
    "grpc.service": ("", "x"),
    "httpGet.path": ("/", "/healthz"),
    "seconds": (1, 5),
    "terminationGracePeriodSeconds": (30, 7),
    "timeoutSeconds": (1, 5),
    "periodSeconds": (10, 5),
    "successThreshold": (1,),
    "failureThreshold": (3, 5),
    "expirationSeconds": (3600, 7200),
    "defaultMode": (0, 420, 256),
    "mode": (0, 256, 420),
    "hostPath.path": ("/x",),
    "nfs.path": ("/x",),
    "cephfs.path": ("/", "/x"),
    "iqn": ("iqn.2001-04.com.example:storage.disk1",),
    "targetPortal": ("10.0.0.5:3260",),
    "iscsiInterface": ("default", "eth0"),
    "keyring": ("/etc/ceph/keyring", "/x"),
    "rbd.pool": ("rbd", "x"),
    "rbd.user": ("admin", "x"),
    "scaleIO.fsType": ("xfs", "ext4"),
    "storageMode": ("ThinProvisioned", "ThickProvisioned"),
    "azureDisk.fsType": ("", "ext4", "xfs"),
    "azureDisk.kind": ("Shared", "Dedicated"),
    "azureDisk.diskURI": ("https://example.com/x",),
    "csi.driver": ("example.com",),
    "csi.fsType": ("", "x"),
    "medium": ("Memory", "HugePages"),
    "mountPath": ("/m", "/n"),
    "node.name": ("x",),
    "operator": ("In",),
    "matchExpressions[].operator": ("In", "NotIn"),
    "tolerations[].operator": ("Exists",),
    "tolerations[].effect": ("NoExecute",),
    "tolerations[].value": ("",),
    "tolerations[].tolerationSeconds": (0, 300),
    "quobyte.registry": ("a:1",),
    "terminationMessagePath": ("/dev/termination-log", "/x"),
    "schedulerName": ("default-scheduler", "x"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "securityContext.privileged": (False,),
    "allowPrivilegeEscalation": (True,),
    "storageClassName": ("", "fast"),
    "topologyKey": ("zone", "host"),
    "weight": (1, 100),
    "conditionType": ("example.com/ready",),
    "type": ("Unconfined", "RuntimeDefault"),
    "hostPath.type": ("", "Directory"),
    "seLinuxOptions.type": ("", "x_t"),
    "ports[].name": ("http", "x-1"),
    "targetWWNs[]": ("5000",),
    "flexVolume.driver": ("example.com/x",),
    "portals[]": ("10.0.0.6:3260",),
    "protocol": ("TCP", "UDP"),
    "httpGet.port": (80, "http"),
    "tcpSocket.port": (80, "http"),
    "runtimeClassName": ("x",),
    "azureFile.shareName": ("x",),
    "prefix": ("", "A_"),
    "glusterfs.path": ("x",),
    "searches[]": ("example.com", "."),
    "subPath": ("", "x"),
    "path": ("x", "y/z"),
    "volumes[].name": ("w", "x", "y", "z"),
    "template.spec.priority": (0, 7),
    "hostnameOverride": ("x",),
    "volumeMounts[].name": ("v",),
    "nodeSelectorTerms[]{}": ("x",),
}

_ZEROS: dict[str, tuple[Json, ...]] = {"array": ([],), "string": ("",), "integer": (0,), "boolean": (False,)}
_NO_ZERO = frozenset(
    {
        "hostnameOverride",
        "runtimeClassName",
        "resourceClaimName",
        "resourceClaimTemplateName",
        "resources",
        "fc.wwids",
        "volumeMode",
        "fsGroupChangePolicy",
        "supplementalGroupsPolicy",
        "nodeAffinityPolicy",
        "nodeTaintsPolicy",
        "cachingMode",
        "azureDisk.kind",
        "serviceAccountToken.expirationSeconds",
        "livenessProbe.terminationGracePeriodSeconds",
    }
)
"""Optional fields that may be absent and must not be zero."""


def templates() -> SearchStrategy[Json]:
    return _template()


@st.composite
def _template(draw: DrawFn) -> Json:
    """Whatever refers to a volume says `v`, which is an empty folder, said or not."""
    made = draw(_whole())
    made["spec"]["volumes"].append(draw(st.sampled_from(_FOLDERS)))
    return made


_FOLDERS: tuple[Json, ...] = ({"name": "v"}, {"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": None})


@cache
def _whole() -> SearchStrategy[Json]:
    return _value(template_schema.schema(), "template")


def _value(schema: Schema, path: str) -> SearchStrategy[Json]:
    """Something said, not null."""
    built = _first(_BUILT, path, None)
    if built is not None:
        return built
    plain = _plain(schema, path)
    if plain:
        return st.sampled_from(plain)
    if "properties" in schema:
        return _struct(schema, path)
    if "additionalProperties" in schema:
        return st.dictionaries(st.sampled_from(("x", "example.com/y")), st.sampled_from(("", "1", None)), max_size=2)
    return _list(schema, path)


def _plain(schema: Schema, path: str) -> tuple[Json, ...]:
    """What a field without parts may be."""
    values: tuple[Json, ...] = _first(_VALUES, path, ())
    if values or schema.get("type") in ("object", "array"):
        return values
    if template_limits.is_quantity(schema):
        return _AMOUNTS
    if "enum" in schema:
        return tuple(choice for choice in schema["enum"] if choice)
    return _PLAIN[schema["type"]]


_PLAIN: dict[str, tuple[Json, ...]] = {"boolean": (False, True), "integer": (1, 2), "string": ("x", "y-1")}


def _list(schema: Schema, path: str) -> SearchStrategy[Json]:
    keys = schema.get("x-kubernetes-list-map-keys")
    least = 2 if path == "template.spec.volumes" else 1 if _of(_NEEDED_LISTS, path) else 0
    most = 4 if path == "template.spec.volumes" else 2
    items = _value(schema["items"], f"{path}[]")
    if keys:
        return st.lists(
            items, min_size=least, max_size=most, unique_by=lambda item: tuple(str(item.get(key)) for key in keys[:1])
        )
    if "properties" in schema["items"]:
        return st.lists(items, min_size=least, max_size=2)
    return st.lists(items, min_size=least, max_size=2, unique=True)


_NEEDED_LISTS = frozenset(
    {
        "containers",
        "command",
        "values",
        "accessModes",
        "hostnames",
        "nodeSelectorTerms",
        "monitors",
        "wwids",
        "sources",
        "matchExpressions",
        "dnsConfig.options",
    }
)


def _struct(schema: Schema, path: str) -> SearchStrategy[Json]:
    parts = {name: part for name, part in schema["properties"].items() if not _of(_LEFT_OUT, f"{path}.{name}")}
    one_of = tuple(name for name in _first(_ONE_OF, path, ()) if name in parts)
    required = {*schema.get("required", ()), *_first(_NEEDED, path, ())} & parts.keys()
    optional = sorted(parts.keys() - required - set(one_of))
    said = {name: st.deferred(lambda n=name: _value(parts[n], f"{path}.{n}")) for name in parts}
    either = {name: _perhaps(parts[name], f"{path}.{name}", said[name]) for name in optional}

    @st.composite
    def build(draw: DrawFn) -> Json:
        made = {name: draw(said[name]) for name in sorted(required)}
        if one_of:
            chosen = draw(st.sampled_from(one_of))
            made[chosen] = draw(said[chosen])
            if draw(st.booleans()):
                made.setdefault(one_of[0], None)
        if optional:
            count = draw(st.integers(0, min(MOST_FIELDS, len(optional))))
            chance = Random(draw(st.integers(0, 2**16)))  # one draw for all fields, since draws are what takes time
            for name in chance.sample(optional, count):
                made[name] = draw(either[name])
        return made

    return build()


def _perhaps(schema: Schema, path: str, said: SearchStrategy[Json]) -> SearchStrategy[Json]:
    """Of an optional field: a value, null, or the zero of its type."""
    zeros = () if _of(_NO_ZERO, path) else _zeros(schema, path)
    plain = _plain(schema, path)
    if plain:
        often = 3 * (1 + len(zeros)) // len(plain) + 1
        return st.sampled_from(plain * often + (None, *zeros))
    return st.one_of(said, said, said, st.sampled_from((None, *zeros)))


def _zeros(schema: Schema, path: str) -> tuple[Json, ...]:
    if template_limits.is_quantity(schema):
        return ("0",)
    if "properties" in schema:
        return ({},) if _of(template_defaults.EMPTY_IS_NOTHING, path) else ()
    if "additionalProperties" in schema:
        return ({},)
    return _ZEROS.get(schema.get("type", ""), ())


_EMPTY: tuple[Json, ...] = ({}, None)


@st.composite
def _resources(draw: DrawFn, names: tuple[str, ...], parts: tuple[str, ...]) -> Json:
    """Requests and limits that fit, since both are the same value in notations of their own."""
    made: Json = {}
    for name in draw(st.lists(st.sampled_from(names), max_size=2, unique=True)):
        notations = st.sampled_from(draw(st.sampled_from(_RESOURCES[name])))
        chosen = draw(st.sampled_from([parts, *((part,) for part in parts)]))
        if "/" in name:  # a request must not come without its limit
            chosen = parts
        for part in chosen:
            made.setdefault(part, {})[name] = draw(notations)
    for part in parts:
        if part not in made and draw(st.booleans()):
            made[part] = draw(st.sampled_from(_EMPTY))
    return made


@st.composite
def _claim(draw: DrawFn) -> Json:
    notations = st.sampled_from(draw(st.sampled_from(_MEMORIES)))
    limits: Json = {"limits": draw(st.sampled_from(_EMPTY))} if draw(st.booleans()) else {}
    return {"requests": {"storage": draw(notations)}, **limits}


_BOTH = ("requests", "limits")
_BUILT: dict[str, SearchStrategy[Json]] = {
    "dataSource": st.sampled_from(
        ({"kind": "PersistentVolumeClaim", "name": "x"}, {"apiGroup": "", "kind": "PersistentVolumeClaim", "name": "x"})
    ),
    "dataSourceRef": st.sampled_from(
        (
            {"apiGroup": "", "kind": "PersistentVolumeClaim", "name": "x"},
            {"apiGroup": None, "kind": "PersistentVolumeClaim", "name": "x"},
            {"apiGroup": "x.io", "kind": "Foo", "name": "x", "namespace": ""},
        )
    ),
    "fc": st.sampled_from(
        (
            {"wwids": ["x"], "targetWWNs": [], "lun": None},
            {"targetWWNs": ["500"], "lun": 0, "readOnly": False, "fsType": ""},
            {"targetWWNs": ["500"], "lun": 1, "wwids": []},
        )
    ),
    "fileKeyRef": st.sampled_from(
        tuple({"volumeName": "v", "path": "x", "key": "k", **more} for more in ({}, {"optional": False}, {"optional": True}))
    ),
    "windowsOptions": st.sampled_from(({}, {"hostProcess": False}, {"gmsaCredentialSpecName": None})),
    "volumeClaimTemplate.spec.resources": _claim(),
    "template.spec.resources": st.sampled_from(
        (
            {},
            {"limits": {"cpu": "1e3"}, "requests": {"cpu": "1k"}},
            {"limits": {"memory": "1Ti"}},
            {"limits": None, "requests": {}},
        )
    ),
    "template.spec.overhead": st.sampled_from(({"cpu": "0.1"}, {"cpu": "100m", "memory": "1024Ki"}, {"memory": 1048576}, {})),
    "initContainers[].resources": _resources(tuple(_RESOURCES), _BOTH),
    "containers[].resources": _resources(tuple(_RESOURCES), _BOTH),
}


def _of(table: Any, path: str) -> bool:
    return any(suffix in table for suffix in suffixes(path))


def _first(table: Any, path: str, otherwise: Any) -> Any:
    return next((table[suffix] for suffix in suffixes(path) if suffix in table), otherwise)
