"""Maps a container's id to its namespace, pod and name, by the links that kubelet keeps in /var/log/containers.

A link is called `<pod>_<namespace>_<container>-<id>.log`. Only its name is read, never what it leads to. The sandbox of a pod
has no link, so it has no name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_LINK = re.compile(
    rf"(?P<pod>[a-z0-9](?:[-a-z0-9.]{{0,251}}[a-z0-9])?)_(?P<namespace>{_LABEL})_(?P<container>{_LABEL})-(?P<id>[0-9a-f]{{64}})\.log"
)


@dataclass(frozen=True, slots=True)
class ContainerName:
    """What users call a container."""

    namespace: str
    pod: str
    container: str


def by_id(links: Iterable[str]) -> dict[str, ContainerName]:
    """Returns the names by container id. A name that kubelet would not give is left out."""
    found = (_LINK.fullmatch(link) for link in links)
    return {link["id"]: ContainerName(link["namespace"], link["pod"], link["container"]) for link in found if link is not None}
