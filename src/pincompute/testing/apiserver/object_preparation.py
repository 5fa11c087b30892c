"""Prepares an object before it is stored: names, metadata, status apart from spec, schema, generation.

Functions take and return values; a stored object is never changed in place.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from pincompute.api import builtin
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.kube.api_errors import StatusCause
from pincompute.testing.apiserver import error_responses, schema_enforcement
from pincompute.testing.apiserver.jsondata import items, part
from pincompute.testing.apiserver.served_kinds import ServedKind

GRACEFUL = ("foregroundDeletion", "orphan")
"""Finalizers that delete options add and garbage collection removes."""

_FREE = ("labels", "annotations", "finalizers", "ownerReferences", "generateName", "managedFields")
_CARRIED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion")
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_NAME_RULE = "a lowercase RFC 1123 {what} must consist of lower case alphanumeric characters, '-'{dots}, and must start and end"


def addressed(kind: ServedKind, namespace: str, body: Manifest) -> Manifest:
    """Returns the body's metadata. Raises when the body is of another kind or is sent to another place than it names."""
    resource: Resource[Any] = kind.resource
    metadata: Manifest = body.get("metadata") or {}
    for field, wanted in (("kind", resource.kind), ("apiVersion", resource.api_version)):
        got = body.get(field, wanted)
        if got != wanted and kind.custom:
            cause = StatusCause(field, f'Invalid value: "{got}": must be {wanted}', "FieldValueInvalid")
            raise error_responses.invalid(resource, metadata.get("name", ""), (cause,))
        if got != wanted:
            raise error_responses.bad_request(f"{field} {got!r} cannot be handled as a {resource.kind}: expected {wanted!r}")
    if metadata.get("namespace", namespace) != namespace:
        raise error_responses.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    return metadata


def born(kind: ServedKind, key: Key, body: Manifest, time: str, uid: str) -> Manifest:
    """Returns a new object as it is stored, except for its version and managed fields."""
    resource = kind.resource
    given: Manifest = body.get("metadata") or {}
    metadata = {name: given[name] for name in _FREE if given.get(name)}
    metadata |= {"name": key.name, "uid": uid, "creationTimestamp": time}
    if key.namespace:
        metadata["namespace"] = key.namespace
    if kind.generations:
        metadata["generation"] = 1
    rest = {name: value for name, value in body.items() if name != "status" or not kind.status}
    obj = {**rest, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
    return admitted(kind, _completed(resource, key, obj))


def _completed(resource: Resource[Any], key: Key, obj: Manifest) -> Manifest:
    """Returns the object with what the API server adds to new objects of some built-in kinds."""
    match str(resource):
        case "pods":
            return {**obj, "status": {"phase": "Pending", "qosClass": quality(obj)}}
        case "namespaces":
            labels = {**obj["metadata"].get("labels", {}), "kubernetes.io/metadata.name": key.name}
            metadata = {**obj["metadata"], "labels": labels}
            return {**obj, "metadata": metadata, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        case "poddisruptionbudgets.policy":
            figures = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
            return {**obj, "status": dict.fromkeys(figures, 0)}
        case "secrets":
            return {"type": "Opaque", **obj}
        case _:
            return obj


def quality(pod: Manifest) -> str:
    """Returns the quality of service of a pod."""
    resources = [part(c, "resources") for c in items(part(pod, "spec"), "containers")]
    if not any(r.get("requests") or r.get("limits") for r in resources):
        return "BestEffort"
    limited = all({"cpu", "memory"} <= set(part(r, "limits")) for r in resources)
    exact = all((r.get("requests") or r.get("limits")) == r.get("limits") for r in resources)
    return "Guaranteed" if limited and exact else "Burstable"


def updated(kind: ServedKind, old: Manifest, body: Manifest, subresource: str) -> Manifest:
    """Returns `old` with what the body may change through this subresource. Callers cannot change version, uid and times."""
    given: Manifest = body.get("metadata") or {}
    metadata = {name: given[name] for name in _FREE if given.get(name)}
    if subresource and kind.custom:
        metadata = {name: old["metadata"][name] for name in _FREE if name in old["metadata"]}
        metadata["managedFields"] = given.get("managedFields", [])
    fixed = {name: old["metadata"][name] for name in ("name", "namespace", *_CARRIED) if name in old["metadata"]}
    type_meta = {"apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": {**metadata, **fixed}}
    content = _content(kind, old, body, subresource)
    obj = admitted(kind, {**content, **type_meta})
    _refuse_new_finalizers(kind, old, obj)
    _refuse_another_uid(kind, old, given)
    return _with_generation(kind, old, obj)


def _content(kind: ServedKind, old: Manifest, body: Manifest, subresource: str) -> Manifest:
    if subresource == "status":
        base = {name: value for name, value in old.items() if name != "status"}
        return base | ({"status": body["status"]} if body.get("status") is not None else {})
    if not kind.status:
        return body
    base = {name: value for name, value in body.items() if name != "status"}
    return base | ({"status": old["status"]} if "status" in old else {})


def _refuse_new_finalizers(kind: ServedKind, old: Manifest, obj: Manifest) -> None:
    if "deletionTimestamp" not in old["metadata"]:
        return
    new = set(obj["metadata"].get("finalizers", [])) - set(old["metadata"].get("finalizers", []))
    if new:
        shown = ", ".join(f'"{name}"' for name in sorted(new))
        rule = "no new finalizers can be added if the object is being deleted"
        text = f"Forbidden: {rule}, found new finalizers []string{{{shown}}}"
        causes = (StatusCause("metadata.finalizers", text, "FieldValueForbidden"),)
        raise error_responses.invalid(kind.resource, old["metadata"]["name"], causes)


def _refuse_another_uid(kind: ServedKind, old: Manifest, given: Manifest) -> None:
    if given.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
        cause = StatusCause("metadata.uid", f'Invalid value: "{given["uid"]}": field is immutable', "FieldValueInvalid")
        raise error_responses.invalid(kind.resource, old["metadata"]["name"], (cause,))


def _with_generation(kind: ServedKind, old: Manifest, obj: Manifest) -> Manifest:
    if not kind.generations or _counted(kind, old) == _counted(kind, obj):
        return obj
    return {**obj, "metadata": {**obj["metadata"], "generation": old["metadata"]["generation"] + 1}}


def _counted(kind: ServedKind, obj: Manifest) -> Manifest:
    """Returns the part whose changes raise the generation: all but metadata and status; for built-in kinds the spec."""
    if not kind.custom:
        return obj.get("spec", {})
    apart = ("metadata", "status") if kind.status else ("metadata",)
    return {name: value for name, value in obj.items() if name not in apart}


def admitted(kind: ServedKind, obj: Manifest) -> Manifest:
    """Returns the object pruned and with defaults. Raises Invalid with every violation."""
    if kind.schema is not None:
        obj = schema_enforcement.fill(schema_enforcement.prune(obj, kind.schema, root=True), kind.schema)
    causes = tuple(_metadata_causes(kind, obj["metadata"]))
    if kind.schema is not None:
        causes += tuple(schema_enforcement.violations(obj, {**kind.schema, "type": "object"}))
    if causes:
        raise error_responses.invalid(kind.resource, obj["metadata"]["name"], causes)
    return obj


def _metadata_causes(kind: ServedKind, metadata: Manifest) -> list[StatusCause]:
    causes = _name_causes(kind.resource, metadata["name"])
    for name, value in metadata.get("labels", {}).items():
        if len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
            text = f"Invalid value: \"{value}\": a valid label must be at most 63 characters: alphanumeric, '-', '_' or '.'"
            causes.append(StatusCause("metadata.labels", text + f" (label {name})", "FieldValueInvalid"))
    causes.extend(_owner_causes(metadata.get("ownerReferences", [])))
    return causes


def _name_causes(resource: Resource[Any], name: str) -> list[StatusCause]:
    label = resource.plural in (builtin.NAMESPACES.plural, "services")
    longest, pattern = (63, _DNS_LABEL) if label else (253, _DNS_NAME)
    if len(name) > longest:
        text = f'Invalid value: "{name}": must be no more than {longest} {"characters" if label else "bytes"}'
        return [StatusCause("metadata.name", text, "FieldValueInvalid")]
    if pattern.fullmatch(name):
        return []
    rule = _NAME_RULE.format(what="label" if label else "subdomain", dots="" if label else " or '.'")
    text = f'Invalid value: "{name}": {rule} with an alphanumeric character'
    return [StatusCause("metadata.name", text, "FieldValueInvalid")]


def _owner_causes(owners: list[Manifest]) -> list[StatusCause]:
    causes = [
        StatusCause(f"metadata.ownerReferences[{i}].{field}", f"Invalid value: {''!r}: must not be empty", "FieldValueInvalid")
        for i, owner in enumerate(owners)
        for field in ("apiVersion", "kind", "name", "uid")
        if not owner.get(field)
    ]
    if sum(1 for owner in owners if owner.get("controller")) > 1:
        text = "Only one reference can have Controller set to true"
        causes.append(StatusCause("metadata.ownerReferences", f"Invalid value: {text}", "FieldValueInvalid"))
    return causes


def timestamp(time: datetime) -> str:
    """Returns a time as the API writes it: UTC, whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def deleting(kind: ServedKind, old: Manifest, now: datetime, propagation: str, grace_seconds: int | None) -> Manifest | None:
    """Returns the object as it stays while something keeps it; None when nothing does."""
    metadata: Manifest = old["metadata"]
    finalizers = _kept_finalizers(metadata.get("finalizers", []), propagation)
    grace = _grace(kind.resource, old, grace_seconds)
    namespace = str(kind.resource) == "namespaces"
    if not finalizers and not grace and not namespace:
        return None
    rest = {name: value for name, value in metadata.items() if name != "finalizers"}
    marks: Manifest = {"finalizers": finalizers} if finalizers else {}
    if not namespace:
        marks["deletionGracePeriodSeconds"] = min(grace, metadata.get("deletionGracePeriodSeconds", grace))
    if "deletionTimestamp" not in metadata:
        marks["deletionTimestamp"] = timestamp(now + timedelta(seconds=grace))
        if "generation" in metadata:
            marks["generation"] = metadata["generation"] + 1
    marked = {**old, "metadata": {**rest, **marks}}
    return {**marked, "status": {**old.get("status", {}), "phase": "Terminating"}} if namespace else marked


def _kept_finalizers(present: list[str], propagation: str) -> list[str]:
    """The object's own finalizers, and the one that the propagation asks for; empty propagation changes nothing."""
    if not propagation:
        return present
    asked = {"Foreground": ["foregroundDeletion"], "Orphan": ["orphan"]}.get(propagation, [])
    return [name for name in present if name not in GRACEFUL] + asked


def _grace(resource: Resource[Any], obj: Manifest, grace_seconds: int | None) -> int:
    """Returns the seconds that a pod on a node gets to end; everything else goes at once."""
    spec: Manifest = obj.get("spec", {})
    if str(resource) != "pods" or not spec.get("nodeName"):
        return 0
    if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    return spec.get("terminationGracePeriodSeconds", 30) if grace_seconds is None else grace_seconds


def expected(kind: ServedKind, config: Manifest) -> Manifest:
    """A configuration to apply. Raises when it names fields that the schema does not have: apply never drops them silently."""
    missing = schema_enforcement.unknown(config, kind.schema, root=True) if kind.schema is not None else []
    if missing:
        listed = ", ".join(f".{path}: field not declared in schema" for path in missing)
        raise error_responses.refuse(500, f"failed to create typed patch object ({config['metadata']['name']}): {listed}")
    return config
