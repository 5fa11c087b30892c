"""Generated specs of workloads: what people write, what tools write, and what the simple form has no words for."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)
quantities = st.sampled_from(["100m", "0.5", 1, "1", "128Mi", "1Gi", 2, "1e3"])
numbers = st.integers(0, 100_000)
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)


def some(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any of these fields."""
    return st.fixed_dictionaries({}, optional=parts)


def named(entry: st.SearchStrategy[dict[str, Any]], *, least: int = 0) -> st.SearchStrategy[list[dict[str, Any]]]:
    """A list of entries with names of their own."""
    return st.lists(names, min_size=least, max_size=2, unique=True).flatmap(
        lambda chosen: st.tuples(*(entry.map(lambda made, name=name: {"name": name, **made}) for name in chosen)).map(list)
    )


_reference = some(name=names, key=names, optional=st.booleans())
sources = st.one_of(
    st.fixed_dictionaries({"secretKeyRef": _reference}),
    st.fixed_dictionaries({"configMapKeyRef": _reference}),
    st.fixed_dictionaries({"fieldRef": some(fieldPath=texts, apiVersion=st.just("v1"))}),
    st.fixed_dictionaries({"resourceFieldRef": some(resource=texts, containerName=names, divisor=quantities)}),
    st.fixed_dictionaries({"fileKeyRef": some(path=texts)}),
)
env = named(st.one_of(st.fixed_dictionaries({"value": texts}), st.fixed_dictionaries({"valueFrom": sources}), st.just({})))
ports = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.integers(1, 65535)},
        optional={"name": names, "protocol": st.sampled_from(["TCP", "UDP"]), "hostPort": numbers, "hostIP": texts},
    ),
    max_size=3,
)
_amounts = some(
    **{
        "cpu": quantities,
        "memory": quantities,
        "ephemeral-storage": quantities,
        "nvidia.com/gpu": numbers,
        "example.com/x": numbers,
    }
)
resources = some(requests=_amounts, limits=_amounts, claims=st.lists(some(name=names), max_size=1))


def _with_port(port: st.SearchStrategy[Any], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"port": port}, optional=parts)


probes = some(
    httpGet=_with_port(numbers | names, path=texts, scheme=st.just("HTTPS"), httpHeaders=anything, host=texts),
    tcpSocket=_with_port(numbers | names, host=texts),
    grpc=_with_port(numbers, service=texts),
    exec=some(command=st.lists(texts, max_size=2)),
    initialDelaySeconds=numbers,
    periodSeconds=numbers,
    timeoutSeconds=numbers,
    failureThreshold=numbers,
    successThreshold=numbers,
    terminationGracePeriodSeconds=numbers,
)
mounts = st.lists(
    st.fixed_dictionaries(
        {"name": names, "mountPath": texts},
        optional={"readOnly": st.booleans(), "subPath": texts, "subPathExpr": texts, "mountPropagation": texts},
    ),
    max_size=2,
)
env_from = st.lists(
    some(configMapRef=some(name=names, optional=st.booleans()), secretRef=some(name=names), prefix=texts), max_size=2
)
_container = {
    "image": texts,
    "command": st.lists(texts, max_size=2),
    "args": st.lists(texts, max_size=2),
    "workingDir": texts,
    "env": st.none() | env,
    "envFrom": env_from,
    "ports": ports,
    "resources": resources,
    "readinessProbe": probes,
    "livenessProbe": some(periodSeconds=numbers, tcpSocket=_with_port(numbers)),
    "startupProbe": some(failureThreshold=numbers),
    "volumeMounts": mounts,
    "restartPolicy": st.sampled_from(["Always", "Never"]),
    "lifecycle": anything,
    "securityContext": anything,
    "imagePullPolicy": texts,
}
volumes = named(
    some(
        emptyDir=some(medium=texts, sizeLimit=quantities),
        configMap=some(name=names, items=anything, defaultMode=numbers, optional=st.booleans()),
        secret=some(secretName=names, items=anything),
        persistentVolumeClaim=some(claimName=names, readOnly=st.booleans()),
        hostPath=some(path=texts),
    )
)
pods = st.fixed_dictionaries(
    {"containers": named(some(**_container), least=1)},
    optional={
        "initContainers": named(some(**_container)),
        "volumes": volumes,
        "terminationGracePeriodSeconds": numbers,
        "activeDeadlineSeconds": numbers,
        "restartPolicy": st.sampled_from(["Always", "OnFailure", "Never"]),
        "affinity": anything,
        "nodeSelector": st.dictionaries(names, texts, max_size=2),
        "tolerations": anything,
        "serviceAccountName": names,
    },
)
metadata = some(
    labels=st.dictionaries(names, texts, max_size=2),
    annotations=st.dictionaries(names, texts, max_size=2),
    creationTimestamp=st.none(),
)
templates = st.fixed_dictionaries({"spec": pods}, optional={"metadata": metadata})
_spec = {
    "tier": st.sampled_from(["Reserved", "OnDemand", "Preemptible"]),
    "placement": some(
        zones=st.lists(names, max_size=2, unique=True),
        clusters=st.lists(names, max_size=2, unique=True),
        clusterSelector=st.dictionaries(names, texts, max_size=2),
    ),
    "update": some(
        in_place=st.sampled_from(["Prefer", "Require", "Never"]),
        maxUnavailable=numbers | st.just("10%"),
        maxSurge=numbers | st.just("10%"),
        minReadySeconds=numbers,
    ),
    "paused": st.booleans(),
    "stopped": st.booleans(),
}
apps = st.fixed_dictionaries({"template": templates}, optional={"replicas": numbers, **_spec})
units = st.fixed_dictionaries({"template": templates}, optional=_spec)
