"""Determines whether a program of the platform has access to its node, and which image may have it.

Access is whatever Pod Security `restricted` would refuse: folders, ports, network or processes of the node, capabilities,
privileges and the user 0. A developer writes to the repositories of a project, so no image of these has access; and a tag can
be pointed elsewhere later, so an image that has access is named by its digest.

In each member, an administrator grants access in a ConfigMap that no process of the platform can write: by name of the daemon,
the repository of its image and each access in one word. So a stolen credential of the federation or of the operator gives no
program a node beyond that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pincompute.api import image_ownership, labels
from pincompute.api.meta import Manifest

FIELDS = "hostPath, hostPort, hostNetwork, hostPID, privileged, capabilities, runAsUser: 0"
_FLAGS = ("privileged", "hostNetwork", "hostPID")
READ_ONLY = ":ro"
REPOSITORY = "^([^/]+/)*[^:@/]+"
_DIGEST = "@sha256:[0-9a-f]{64}$"


def of(container: str) -> str:
    """CEL: the container of a daemon has access to its node. `container` is its CEL. Optional values would cost a schema's rule
    more than it may, because they have no greatest length.
    """
    security = f"{container}.securityContext"
    given = (
        *(f"(has({security}.{flag}) && {security}.{flag})" for flag in _FLAGS),
        f"(has({security}.capabilities) && {security}.capabilities.size() > 0)",
        f"(has({security}.runAsUser) && {security}.runAsUser == 0)",
    )
    return " || ".join(
        (
            f"(has({container}.volumes) && {container}.volumes.exists(v, has(v.hostPath)))",
            f"(has({container}.ports) && {container}.ports.exists(p, has(p.hostPort)))",
            f"(has({security}) && ({' || '.join(given)}))",
        )
    )


def is_given(container: Manifest) -> bool:
    """`of` in Python, for a container of the right types."""
    security: Manifest = container.get("securityContext") or {}
    volumes: list[Any] = container.get("volumes") or []
    ports: list[Any] = container.get("ports") or []
    return (
        any(each.get("hostPath") is not None for each in volumes)
        or any(each.get("hostPort") is not None for each in ports)
        or any(security.get(flag) for flag in _FLAGS)
        or bool(security.get("capabilities"))
        or security.get("runAsUser") == 0
    )


def grants(containers: Mapping[str, Manifest]) -> Manifest:
    """Returns the ConfigMap that grants each container, by name of its daemon, the access that it has. Without any it has no
    data, so that an upgrade leaves the data of administrators alone.
    """
    data = {name: " ".join(words(container)) for name, container in containers.items()}
    metadata = {
        "name": labels.NODE_ACCESS,
        "namespace": labels.DAEMONS_NAMESPACE,
        "labels": {labels.MANAGED_BY: labels.PINCOMPUTE},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **({"data": data} if data else {})}


def words(container: Manifest) -> list[str]:
    """Returns the words of a grant: the repository of the image, and each access."""
    security: Manifest = container.get("securityContext") or {}
    volumes: list[Any] = container.get("volumes") or []
    ports: list[Any] = container.get("ports") or []
    capabilities: list[str] = security.get("capabilities") or []
    found = re.match(REPOSITORY, container["image"])
    paths = [(each["hostPath"]["path"], each.get("readOnly")) for each in volumes if each.get("hostPath")]
    return [
        found[0] if found else "",
        *(flag for flag in _FLAGS if security.get(flag)),
        *(["root"] if security.get("runAsUser") == 0 else []),
        *(f"capability:{name}" for name in capabilities),
        *(f"hostPort:{each['hostPort']}" for each in ports if each.get("hostPort")),
        *(f"hostPath:{path}{READ_ONLY if read_only else ''}" for path, read_only in paths),
    ]


def may_have_it(image: str) -> bool:
    return is_fixed(image) and not image_ownership.is_of_project(image)


def may_have_it_cel(image: str) -> str:
    return f"{is_fixed_cel(image)} && !{image_ownership.is_of_project_cel(image)}"


def is_fixed(image: str) -> bool:
    """Whether the name has a digest, so that nobody gives it another content."""
    return re.search(_DIGEST, image) is not None


def is_fixed_cel(image: str) -> str:
    return f"{image}.matches('{_DIGEST}')"
