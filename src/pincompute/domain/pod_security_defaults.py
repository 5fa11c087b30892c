"""Fills in what the project's level of the Pod Security Standards requires of a pod and its template leaves unset.

Only `restricted` requires something: the other levels forbid, and what is unset breaks none of their rules. A field that the
user set stays as it is, and the API server of the member judges it. What is filled in is no part of a revision, so a pod that
runs is not replaced when this module fills in more.

Source of the fields: https://kubernetes.io/docs/concepts/security/pod-security-standards
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pincompute.api import labels
from pincompute.api.meta import Manifest
from pincompute.api.projects import POD_SECURITY_VERSION, RESTRICTED, PodSecurityLevel

_LISTS = ("initContainers", "containers")


def namespace_labels(level: PodSecurityLevel = RESTRICTED) -> dict[str, str]:
    """Returns the labels by which an API server enforces the level on the pods of a namespace."""
    return {labels.POD_SECURITY: level, labels.POD_SECURITY_VERSION: POD_SECURITY_VERSION}


def namespace_level(given: Mapping[str, str]) -> PodSecurityLevel:
    """Returns the level of a namespace with these labels. Where none of the levels is named, what is filled in breaks none."""
    match given.get(labels.POD_SECURITY):
        case "baseline":
            return "baseline"
        case "privileged":
            return "privileged"
        case _:
            return RESTRICTED


def filled(template: Manifest, level: PodSecurityLevel = RESTRICTED) -> Manifest:
    """Returns the template with every unset field of the level set; the given one stays as it is."""
    return {**template, "spec": filled_spec(template["spec"], level)}


def filled_spec(spec: Manifest, level: PodSecurityLevel = RESTRICTED) -> Manifest:
    """Returns the pod spec with every unset field of the level set. Pods of Windows have only runAsNonRoot of them."""
    token = {"automountServiceAccountToken": False}  # beyond the standards: few pods talk to their API server
    if level != RESTRICTED:
        return {**token, **spec}
    given = _set(_part(spec, "securityContext"))
    if _part(spec, "os").get("name") == "windows":
        return {**token, **spec, "securityContext": {"runAsNonRoot": True, **given}}
    not_root = (
        {} if spec.get("hostUsers") is False else {"runAsNonRoot": True}
    )  # root of a user namespace is nobody on the node
    pod = {**not_root, "seccompProfile": {"type": "RuntimeDefault"}}
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
