"""Lists, as tables, what Kubernetes itself fills into a pod template and which empty values have a meaning.

A table names a field by the end of its path, as far as needed to tell it from others: `httpGet.path` applies wherever it
occurs, `template.spec.dnsPolicy` is the whole path. `template_normalization` applies the tables along the schema, and a
contract test compares them with a real API server. A field without a default counts as absent when it is false, 0 or empty,
because Kubernetes' own types read it that way. `ZERO_COUNTS` names the fields in which zero differs from absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pincompute.api.meta import Manifest

CONTAINER_LISTS = ("initContainers", "containers")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def _in_containers(defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{where}[].{name}": value for where in CONTAINER_LISTS for name, value in defaults.items()}


def _in_probes(defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{probe}.{name}": value for probe in _PROBES for name, value in defaults.items()}


DEFAULTS: Mapping[str, Any] = {
    "template.spec.dnsPolicy": "ClusterFirst",
    "template.spec.enableServiceLinks": True,
    "template.spec.restartPolicy": "Always",
    "template.spec.schedulerName": "default-scheduler",
    "template.spec.terminationGracePeriodSeconds": 30,
    **_in_containers({"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}),
    "ports[].protocol": "TCP",
    **_in_probes({"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}),
    "httpGet.path": "/",
    "httpGet.scheme": "HTTP",
    "fieldRef.apiVersion": "v1",
    "resourceFieldRef.divisor": "0",
    "volumes[].azureDisk.cachingMode": "ReadWrite",
    "volumes[].azureDisk.fsType": "ext4",
    "volumes[].azureDisk.kind": "Shared",
    "volumes[].configMap.defaultMode": 0o644,
    "volumes[].downwardAPI.defaultMode": 0o644,
    "volumes[].iscsi.iscsiInterface": "default",
    "volumes[].projected.defaultMode": 0o644,
    "volumes[].rbd.keyring": "/etc/ceph/keyring",
    "volumes[].rbd.pool": "rbd",
    "volumes[].rbd.user": "admin",
    "volumes[].scaleIO.fsType": "xfs",
    "volumes[].scaleIO.storageMode": "ThinProvisioned",
    "volumes[].secret.defaultMode": 0o644,
    "serviceAccountToken.expirationSeconds": 3600,
    "volumeClaimTemplate.spec.volumeMode": "Filesystem",
}
"""What is meant where nothing is said, if it is not false, 0 or empty; saying it makes no difference."""

ZERO_COUNTS = frozenset(
    {
        "template.spec.automountServiceAccountToken",
        "template.spec.enableServiceLinks",
        "template.spec.hostUsers",
        "template.spec.priority",
        "template.spec.setHostnameAsFQDN",
        "template.spec.shareProcessNamespace",
        "dnsConfig.options[].value",
        "template.spec.terminationGracePeriodSeconds",
        "tolerations[].tolerationSeconds",
        # security contexts
        "securityContext.allowPrivilegeEscalation",
        "securityContext.fsGroup",
        "securityContext.privileged",
        "securityContext.readOnlyRootFilesystem",
        "securityContext.runAsGroup",
        "securityContext.runAsNonRoot",
        "securityContext.runAsUser",
        "windowsOptions.hostProcess",
        # secrets, configs and files that may be missing
        "clusterTrustBundle.optional",
        "configMap.optional",
        "configMapKeyRef.optional",
        "configMapRef.optional",
        "secret.optional",
        "secretKeyRef.optional",
        "secretRef.optional",
        # volumes
        "azureDisk.fsType",
        "clusterTrustBundle.name",
        "clusterTrustBundle.signerName",
        "csi.fsType",
        "csi.readOnly",
        "defaultMode",
        "fc.lun",
        "items[].mode",
        "dataSource.apiGroup",
        "dataSourceRef.apiGroup",
        "dataSourceRef.namespace",
        "volumeClaimTemplate.spec.storageClassName",
        "volumeClaimTemplate.spec.volumeAttributesClassName",
    }
)
"""Fields in which false, 0 or an empty text is something else than nothing."""

EMPTY_IS_NOTHING = frozenset(
    {
        "affinity",
        "capabilities",
        "dnsConfig",
        "lifecycle",
        "metadata",
        "nodeAffinity",
        "podAffinity",
        "podAntiAffinity",
        "resources",
        "seLinuxOptions",
        "securityContext",
        "windowsOptions",
    }
)
"""Objects that say nothing when they are empty; elsewhere an empty object is a choice, as `emptyDir` and selectors are."""

_FORGOTTEN_ANNOTATIONS = tuple(
    f"pod.{version}.kubernetes.io/init-container{what}" for version in ("alpha", "beta") for what in ("s", "-statuses")
)

# An image as `distribution/reference` reads it: what it cannot read has no tag, not even the one that is implied.
_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST_PART = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_IMAGE = re.compile(
    rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(?P<digest>@(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}))?",
    re.ASCII,
)
_BARE_ID = re.compile("[a-f0-9]{64}")


def pull_policy(image: str) -> str:
    """Always for the tag `latest`, said or implied; a digest or another tag is not pulled again."""
    read = None if _BARE_ID.fullmatch(image) else _IMAGE.fullmatch(image)
    if read is None:
        return "IfNotPresent"
    implied = "" if read["digest"] else "latest"
    return "Always" if (read["tag"] or implied) == "latest" else "IfNotPresent"


def _finish_container(container: Manifest) -> None:
    if container.get("imagePullPolicy") == pull_policy(str(container.get("image", ""))):
        del container["imagePullPolicy"]


def _finish_image_volume(image: Manifest) -> None:
    if image.get("pullPolicy") == pull_policy(str(image.get("reference", ""))):
        del image["pullPolicy"]


def _finish_volume(volume: Manifest) -> None:
    """A volume that does not say what it holds is an empty folder."""
    if volume.keys() <= {"name"}:
        volume["emptyDir"] = {}


def _finish_pod(spec: Manifest) -> None:
    """`serviceAccount` is the former name of `serviceAccountName`."""
    former = spec.pop("serviceAccount", None)
    if former is not None:
        spec.setdefault("serviceAccountName", former)


def _finish_metadata(metadata: Manifest) -> None:
    """A template was never created, whatever the tool that wrote it says."""
    metadata.pop("creationTimestamp", None)


def _finish_annotations(annotations: Manifest) -> None:
    for key in _FORGOTTEN_ANNOTATIONS:
        annotations.pop(key, None)


FINISHES: Mapping[str, Callable[[Manifest], None]] = {
    "template.metadata": _finish_metadata,
    "template.metadata.annotations": _finish_annotations,
    "template.spec": _finish_pod,
    **{f"{where}[]": _finish_container for where in CONTAINER_LISTS},
    "template.spec.volumes[]": _finish_volume,
    "template.spec.volumes[].image": _finish_image_volume,
}
"""Defaults that depend on other fields of the same object: each changes a copy that is otherwise in normal form."""
