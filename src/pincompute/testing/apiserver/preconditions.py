"""Checks what may be written: names, namespaces, identity and preconditions, with a real server's refusals."""

from __future__ import annotations

from typing import Any

from pincompute.api.builtin import NAMESPACES, PODS
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.kube.api_errors import StatusCause
from pincompute.testing.apiserver import error_responses, object_preparation
from pincompute.testing.apiserver.jsondata import part
from pincompute.testing.apiserver.object_tables import ObjectTables
from pincompute.testing.apiserver.served_kinds import ServedKind

_CHANGED_SINCE_READ = "the object has been modified; please apply your changes to the latest version and try again"


def subresource_kind(tables: ObjectTables, resource: Resource[Any], subresource: str) -> ServedKind:
    """Returns the kind, if it has this subresource."""
    kind = tables.kind(resource)
    served = {"": True, "status": kind.status, "scale": kind.scale is not None, "resize": resource == PODS}
    if not served.get(subresource, False):
        raise error_responses.refuse(404, "the server could not find the requested resource")
    return kind


def new_key(tables: ObjectTables, resource: Resource[Any], namespace: str, metadata: Manifest, suffix: str) -> Key:
    """Returns where a new object goes; `suffix` completes a generated name."""
    name = metadata.get("name") or ""
    if not name and metadata.get("generateName"):
        name = metadata["generateName"] + suffix
    if not name:
        cause = StatusCause("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")
        raise error_responses.invalid(resource, "", (cause,))
    if bool(namespace) is not resource.namespaced:
        expected = "a namespace" if resource.namespaced else "no namespace"
        raise error_responses.bad_request(f"{resource.plural} {name!r}: expected {expected}, got {namespace!r}")
    if namespace:
        _namespace(tables, resource, namespace, name)
    return Key(namespace, name)


def _namespace(tables: ObjectTables, resource: Resource[Any], namespace: str, name: str) -> None:
    found = tables.get(NAMESPACES, Key("", namespace))
    if found is None:
        raise error_responses.not_found(NAMESPACES, namespace)
    if "deletionTimestamp" in found["metadata"]:
        text = f"unable to create new content in namespace {namespace} because it is being terminated"
        cause = StatusCause("metadata.namespace", f"namespace {namespace} is being terminated", "NamespaceTerminating")
        raise error_responses.refuse(403, f'{resource} "{name}" is forbidden: {text}', resource, name, (cause,))


def identity(kind: ServedKind, key: Key, body: Manifest) -> None:
    """Checks that the body is of the kind and name it is sent to."""
    metadata = object_preparation.addressed(kind, key.namespace, body)
    name = metadata.get("name", "")
    if name != key.name:
        raise error_responses.bad_request(f"the name of the object ({name}) does not match the name on the URL ({key.name})")


def replacement(kind: ServedKind, key: Key, old: Manifest, body: Manifest) -> None:
    """Checks a whole new state: for custom kinds it must name the version that it was made from."""
    identity(kind, key, body)
    metadata = part(body, "metadata")
    preconditions(kind.resource, key, old, metadata.get("uid", ""), "")
    if kind.custom and not metadata.get("resourceVersion"):
        cause = StatusCause(
            "metadata.resourceVersion", "Invalid value: 0: must be specified for an update", "FieldValueInvalid"
        )
        raise error_responses.invalid(kind.resource, key.name, (cause,))


def version(resource: Resource[Any], key: Key, old: Manifest, body: Manifest) -> None:
    """Checks that a version in the body is the present one."""
    if part(body, "metadata").get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
        raise error_responses.conflict(resource, key, _CHANGED_SINCE_READ)


def preconditions(resource: Resource[Any], key: Key, old: Manifest, uid: str, resource_version: str) -> None:
    for label, wanted, got in (
        ("UID", uid, old["metadata"]["uid"]),
        ("ResourceVersion", resource_version, old["metadata"]["resourceVersion"]),
    ):
        if wanted and wanted != got:
            why = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {got}"
            raise error_responses.conflict(resource, key, why)


def applicable(kind: ServedKind, key: Key, config: Manifest, manager: str) -> Manifest:
    """Checks a configuration to apply."""
    if not manager:
        text = "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch"
        raise error_responses.bad_request(text)
    metadata = {"name": key.name, **part(config, "metadata")}
    if metadata.get("managedFields"):
        raise error_responses.bad_request("metadata.managedFields must be nil")
    config = {**config, "metadata": metadata}
    identity(kind, key, config)
    return config


def creatable_by_apply(kind: ServedKind, key: Key, metadata: Manifest, subresource: str) -> None:
    """Checks that an apply may create: one of status, or one that names a uid, may not. One that names a version may."""
    if subresource:
        raise error_responses.not_found(kind.resource, key.name)
    if wanted := metadata.get("uid"):
        raise error_responses.conflict(kind.resource, key, f"Precondition failed: in precondition: {wanted}, in object meta: ")
