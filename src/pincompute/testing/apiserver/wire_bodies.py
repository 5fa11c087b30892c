"""Makes response bodies: Status objects, lists, and objects as their metadata alone."""

from __future__ import annotations

from typing import Any

import msgspec

from pincompute.api.meta import Manifest, Resource
from pincompute.kube import api_errors
from pincompute.testing.apiserver.continue_tokens import StoredPage

JSON = "application/json"


def failure(error: api_errors.Refused) -> Manifest:
    """The Status body of an error."""
    status: Manifest = msgspec.to_builtins(error.status)
    details: Manifest | None = status.pop("details", None)
    body: Manifest = {"kind": "Status", "apiVersion": "v1", "metadata": {}, **status}
    if details is not None:
        body["details"] = details
    return body


def deleted(resource: Resource[Any], obj: Manifest) -> Manifest:
    """What answers a delete that is complete."""
    metadata: Manifest = obj["metadata"]
    details = {"name": metadata["name"], "kind": resource.plural, "uid": metadata["uid"]}
    group = {"group": resource.group} if resource.group else {}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {**details, **group}}


def partial(obj: Manifest) -> Manifest:
    """An object as metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def listing(resource: Resource[Any], page: StoredPage, *, metadata_only: bool) -> Manifest:
    """A list body. Items of built-in kinds do not repeat kind and version on a real server; clients must not rely on it."""
    metadata: Manifest = {"resourceVersion": page.resource_version}
    if page.continue_:
        metadata["continue"] = page.continue_
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    if metadata_only:
        items = [partial(item) for item in page.items]
        return {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items}
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata, "items": page.items}
