"""Decides who owns a namespace: the project of its name, a former project, or somebody else. Three labels tell.

A name alone proves nothing. A cluster may hold a namespace of another team that is called like the project, or the namespace of
a former project of the same name, with its secrets and volumes. Only cluster administrators and the federation may write these
labels (`api/admission_policies.py`).
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from pincompute.api.builtin import Namespace
from pincompute.api.labels import MANAGED_BY, PINCOMPUTE, PROJECT, PROJECT_UID, is_ours
from pincompute.api.meta import ObjectMeta

CLOCK_SKEW = timedelta(minutes=5)
"""The host's and a member's API server, which date Project and namespace, may differ by this much."""


class NamespaceOwner(Enum):
    """Who owns a namespace, as seen from one project."""

    PROJECT = "the project's own"
    FORMER = "that of a former project of this name"
    UNCLAIMED = "made for this project by a version that wrote no uid: the project may adopt it"
    FOREIGN = "somebody else's"


def labels_of(project: str, uid: str) -> dict[str, str]:
    """Returns the labels that make a namespace the project's own."""
    return {MANAGED_BY: PINCOMPUTE, PROJECT: project, PROJECT_UID: uid}


def owner(namespace: Namespace, project: ObjectMeta) -> NamespaceOwner:
    """Returns who owns the namespace, as seen from the project with this metadata and the namespace's name.

    A version that wrote no uid made a namespace after its Project, and left it behind when the Project went. So a namespace
    without uid that is older than the Project belongs to a former one.
    """
    held = _holder(namespace)
    if held is None:
        return NamespaceOwner.FOREIGN
    if not held:
        return NamespaceOwner.UNCLAIMED if _made_since(namespace, project) else NamespaceOwner.FORMER
    return NamespaceOwner.PROJECT if held == project.uid else NamespaceOwner.FORMER


def _made_since(namespace: Namespace, project: ObjectMeta) -> bool:
    made, since = namespace.metadata.creation_timestamp, project.creation_timestamp
    return made is not None and since is not None and made + CLOCK_SKEW >= since


def is_project(namespace: Namespace | None) -> bool:
    """Returns whether it is the namespace of some project, for processes that do not know the project's uid."""
    return namespace is not None and bool(_holder(namespace))


def _holder(namespace: Namespace) -> str | None:
    """Returns the uid of the project that it belongs to, empty without one, and None for a namespace that is not ours."""
    found = namespace.metadata.labels
    if not is_ours(found) or found.get(PROJECT) != namespace.metadata.name:
        return None
    return found.get(PROJECT_UID, "")
