"""Fills in what the Pod Security Standard `restricted` requires of a pod and its template leaves unset.

A field that the user set stays as it is, and the API server of the member judges it. What is filled in is no part of a
revision, so a pod that runs is not replaced when this module fills in more.

Source of the fields: https://kubernetes.io/docs/concepts/security/pod-security-standards
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pincompute.api.meta import Manifest

LEVEL = "restricted"
VERSION = "v1.36"  # of the standard; pinned, so that an upgrade of a cluster refuses no pod that it took before
NAMESPACE_LABELS: Mapping[str, str] = {
    "pod-security.kubernetes.io/enforce": LEVEL,
    "pod-security.kubernetes.io/enforce-version": VERSION,
}

_LISTS = ("initContainers", "containers")


def filled(template: Manifest) -> Manifest:
    """Returns the template with every unset field of the standard set; the given one stays as it is."""
    return {**template, "spec": filled_spec(template["spec"])}


def filled_spec(spec: Manifest) -> Manifest:
    """Returns the pod spec with every unset field of the standard set. Pods of Windows have only runAsNonRoot of them."""
    token = {"automountServiceAccountToken": False}  # beyond the standard: few pods talk to their API server
    given = _set(_part(spec, "securityContext"))
    if _part(spec, "os").get("name") == "windows":
        return {**token, **spec, "securityContext": {"runAsNonRoot": True, **given}}
    pod = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    lists = {where: [_container(c) for c in spec[where]] for where in _LISTS if spec.get(where)}
    return {**token, **spec, **lists, "securityContext": {**pod, **given}}


def _container(container: Manifest) -> Manifest:
    given = _set(_part(container, "securityContext"))
    capabilities = {"drop": ["ALL"], **_set(_part(given, "capabilities"))}
    escalation = {} if _needs_escalation(given) else {"allowPrivilegeEscalation": False}
    return {**container, "securityContext": {**escalation, **given, "capabilities": capabilities}}


def _needs_escalation(context: Mapping[str, Any]) -> bool:
    """Returns whether the API server would refuse the field beside these. They are refused too, with a better reason."""
    added = _part(context, "capabilities").get("add") or ()
    return bool(context.get("privileged")) or any(c in ("SYS_ADMIN", "CAP_SYS_ADMIN") for c in added)


def _part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return of.get(name) or {}


def _set(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if value is not None}
