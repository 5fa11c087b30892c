"""Computes a pod template's revision hash, and decides what an in-place update may change.

It reads the template's JSON as the user wrote it, because decoding it into structs would lose fields. A value that Kubernetes
would fill in anyway does not change the revision (S-131).
"""

from __future__ import annotations

from collections.abc import Iterator

from pincompute.api import json_digest, resizable_resources, template_defaults, template_normalization
from pincompute.api.labels import RESTARTED_AT, SIDECARS
from pincompute.api.meta import Manifest
from pincompute.api.template_defaults import CONTAINER_LISTS

DEFAULT_CPU = "100m"  # requested by a container that names neither request nor limit (SPEC #60)
DEFAULT_MEMORY = "128Mi"

QUALITY = "qosClass"  # of the pod, among what an in-place update cannot change
VERSION = "v3"
"""Begins every revision and shape. Another normal form or another hash needs another version: names are then not compared."""


def normalise(template: Manifest) -> Manifest:
    """The one form of all templates that make the same pods: those that Kubernetes and the platform read alike.

    What is absent, null, empty or a default of Kubernetes is left out, quantities are compared by value (`normalform`). Every
    container requests CPU and memory and limits memory: a request that is absent takes the limit, as Kubernetes does, else
    the default; an absent memory limit takes the request. A resource that is declared for the pod as a whole
    (`spec.resources`) is not added to its containers. Raises InvalidQuantityError.
    """
    made = template_normalization.of(template)
    spec: Manifest = made.setdefault("spec", {})
    pod: Manifest = spec.get("resources") or {}
    if pod:
        spec["resources"] = pod = _with_limits_requested(pod)
    shared = frozenset(pod.get("requests") or ())
    for _, container in containers(made):
        container["resources"] = with_defaults(container.get("resources") or {}, shared)
    return made


def requested_as_a_whole(spec: Manifest) -> frozenset[str]:
    """Returns the resources that the pod requests for all its containers together; a limit stands for an absent request."""
    whole: Manifest = spec.get("resources") or {}
    return frozenset((*(whole.get("requests") or ()), *(whole.get("limits") or ())))


def same(one: Manifest, other: Manifest) -> bool:
    """Both make the same pods, so whatever runs the one runs the other, whichever version named its revision (S-131)."""
    return one == other or normalise(one) == normalise(other)


def revision(template: Manifest) -> str:
    """A new name for the template: the same for two templates that make the same pods (S-131).

    A name given by another version is kept for as long as `same` holds for the template it was given to and the present one.
    """
    return revision_of_normal_form(normalise(template))


def revision_of_normal_form(made: Manifest) -> str:
    """Returns the name of a template that `normalise` has returned."""
    return _name(made)


def shape(template: Manifest) -> str:
    """Names everything an in-place update cannot change: all but images that can be replaced, amounts that can be resized,
    labels and annotations.

    Two annotations ask for new pods: kubectl's restartedAt, and the names of sidecars. A pull policy that follows from an
    image stays what it was when the image is replaced, so it is part of the shape. A pod whose recorded shape has another
    version (`is_named_by_this_version`) is compared by the shape of its revision's template, computed anew.
    """
    return _name(fixed_part(template))


def fixed_part(template: Manifest) -> Manifest:
    """Returns the normal form of what an in-place update cannot change, which `shape` names.

    In the place of amounts that can be resized stands the pod's quality of service, which must stay.
    """
    made = normalise(template)
    spec: Manifest = made["spec"]
    resizable = not spec.get("resources")
    in_environment = resizable_resources.in_environment(spec)
    quality = quality_of_service(made)
    for where, container in containers(made):
        if is_replaceable(where, container):
            container.setdefault("imagePullPolicy", template_defaults.pull_policy(container.get("image", "")))
            container.pop("image", None)
            if resizable:
                container["resources"] = resizable_resources.fixed(container, in_environment)
    if resizable:
        spec[QUALITY] = quality
    given: Manifest = made.pop("metadata", {})
    annotations: Manifest = given.get("annotations") or {}
    kept = {key: value for key in (RESTARTED_AT, SIDECARS) if (value := annotations.get(key))}
    return {**made, "metadata": _without(given, "labels", "annotations") | kept}


def quality_of_service(made: Manifest) -> str:
    """Returns the class of the pods of a template in normal form."""
    resources: list[Manifest] = [container.get("resources") or {} for _, container in containers(made)]
    return resizable_resources.quality_of_service((r.get("requests") or {}, r.get("limits") or {}) for r in resources)


def is_named_by_this_version(name: str) -> bool:
    """Of a revision or shape: equal names mean equal templates, and different names different ones."""
    return name.startswith(VERSION)


def images(template: Manifest) -> dict[str, str]:
    """Container name to image, for those whose image can be changed in a running pod: containers and native sidecars."""
    return {c["name"]: c.get("image", "") for where, c in containers(template) if is_replaceable(where, c)}


def containers(template: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Every container with the name of the list it stands in, in start order."""
    spec: Manifest = template.get("spec") or {}
    for where in CONTAINER_LISTS:
        for container in spec.get(where) or ():
            yield where, container


def is_replaceable(where: str, container: Manifest) -> bool:
    """It runs for as long as the pod, so kubelet can restart it alone; a plain init container has ended long ago."""
    return where == "containers" or container.get("restartPolicy") == "Always"


def with_defaults(resources: Manifest, shared: frozenset[str] = frozenset()) -> Manifest:
    """Returns the resources of a container with those that it does not name, unless the pod requests these as a whole."""
    filled = _with_limits_requested(resources)
    for name, default in (("cpu", DEFAULT_CPU), ("memory", DEFAULT_MEMORY)):
        if name not in shared:
            filled["requests"].setdefault(name, default)
    if "memory" not in shared:
        filled["limits"].setdefault("memory", filled["requests"]["memory"])
    return {name: part for name, part in filled.items() if part}


def _with_limits_requested(resources: Manifest) -> Manifest:
    """A copy in which a limit is also a request, as everywhere in Kubernetes."""
    limits = dict[str, str](resources.get("limits") or {})
    return {**resources, "requests": limits | (resources.get("requests") or {}), "limits": limits}


def _without(values: Manifest, *names: str) -> Manifest:
    return {name: value for name, value in values.items() if name not in names}


def _name(value: Manifest) -> str:
    """18 characters, fit for a label: 64 bits, so that two templates of one name cannot be found in reasonable time."""
    return VERSION + json_digest.of(value)[:16]
