"""The resize subresource of a pod: it changes the CPU and memory of containers, and leaves everything else as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pincompute.api.builtin import PODS
from pincompute.api.meta import Manifest
from pincompute.kube.api_errors import StatusCause
from pincompute.testing.apiserver import error_responses, object_preparation
from pincompute.testing.apiserver.jsondata import items, part

_MUTABLE = ("cpu", "memory")
_LISTS = ("containers", "initContainers")
_AMOUNTS = ("requests", "limits")


def resized(old: Manifest, body: Manifest) -> Manifest:
    """Returns the pod with the resources of the body. Raises Invalid with every violation."""
    spec: Manifest = old["spec"]
    lists = {
        where: [_with_resources(each, new) for each, new in zip(items(spec, where), items(body["spec"], where), strict=False)]
        for where in _LISTS
        if where in spec
    }
    uid = part(body, "metadata").get("uid", old["metadata"]["uid"])
    made = {**old, "metadata": {**old["metadata"], "uid": uid}, "spec": {**spec, **lists}}
    if causes := tuple(_causes(old, body, made)):
        raise error_responses.invalid(PODS, old["metadata"]["name"], causes)
    return made


def _with_resources(container: Manifest, wanted: Manifest) -> Manifest:
    given = {name: value for name, value in wanted.items() if name == "resources"}
    return {**{name: value for name, value in container.items() if name != "resources"}, **given}


def _causes(old: Manifest, body: Manifest, made: Manifest) -> Iterator[StatusCause]:
    if object_preparation.quality(old) != object_preparation.quality(made):
        text = f'Invalid value: "{object_preparation.quality(made)}": Pod QOS Class may not change as a result of resizing'
        yield StatusCause("spec", text, "FieldValueInvalid")
    for where in _LISTS:
        before, after = items(old["spec"], where), items(body["spec"], where)
        if [each["name"] for each in before] != [each["name"] for each in after]:
            yield _forbidden(f"spec.{where}", f"{where} may not be added or removed on resize")
            continue
        for place, (present, wanted) in enumerate(zip(before, items(made["spec"], where), strict=True)):
            yield from _of_container(f"spec.{where}[{place}]", present, wanted)


def _of_container(at: str, present: Manifest, wanted: Manifest) -> Iterator[StatusCause]:
    old, new = part(present, "resources"), part(wanted, "resources")
    for amounts in _AMOUNTS:
        if part(old, amounts).keys() - part(new, amounts).keys():
            yield _forbidden(f"{at}.resources.{amounts}", f"resource {amounts} cannot be removed")
    if _fixed(old) != _fixed(new):
        yield _forbidden("spec", "only cpu and memory resources are mutable")


def _fixed(resources: Manifest) -> dict[str, Any]:
    """Returns the resources without what can change."""
    amounts = {name: {k: v for k, v in part(resources, name).items() if k not in _MUTABLE} for name in _AMOUNTS}
    return {**{name: value for name, value in resources.items() if name not in _AMOUNTS}, **amounts}


def _forbidden(field: str, why: str) -> StatusCause:
    return StatusCause(field, f"Forbidden: {why}", "FieldValueForbidden")
