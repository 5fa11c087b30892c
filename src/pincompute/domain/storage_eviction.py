"""Says which containers of a pod wrote more than they may, when a kubelet evicted the pod for it, and which limit to raise.

A kubelet names the container only where its own limit was reached. What all containers of a pod write, in volumes of the node
too, has the sum of their limits.

Source: https://github.com/kubernetes/kubernetes (`pkg/kubelet/eviction/eviction_manager.go`)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ELSEWHERE = "write less, or write to a volume that is not on the node"
_CONTAINER = re.compile(r'Container (?P<container>\S+) exceeded its local ephemeral storage limit "(?P<limit>[^"]+)"')
_POD = re.compile(r"Pod ephemeral local storage usage exceeds the total limit of containers (?P<limit>\w+)")
_VOLUME = re.compile(r'Usage of EmptyDir volume "(?P<volume>[^"]+)" exceeds the limit "(?P<limit>[^"]+)"')


def is_beyond_limit(message: str) -> bool:
    """Whether a kubelet's message says that the pod wrote more than it may. Others say that the node ran short."""
    return any(pattern.search(message) for pattern in (_CONTAINER, _POD, _VOLUME))


def why(message: str, containers: Sequence[str]) -> str:
    """Returns the sentence; empty where the message says something else. `containers` are those of the pod."""
    if found := _CONTAINER.search(message):
        return f"container {found['container']} wrote more than {found['limit']}, its limit of ephemeral storage"
    if found := _VOLUME.search(message):
        return f"more than {found['limit']}, the limit of volume {found['volume']}, was written to it"
    if found := _POD.search(message):
        who = f"container {containers[0]}" if len(containers) == 1 else f"containers {', '.join(containers)} together"
        return f"{who} wrote more than {found['limit']}, the limit of ephemeral storage, to files and emptyDir volumes"
    return ""


def remedy(message: str) -> str:
    """Returns what to do about it: only the limit that was reached is of use."""
    volume = _VOLUME.search(message)
    limit = f"the sizeLimit of volume {volume['volume']}" if volume else "resources.limits.storage"
    return f"raise {limit}, {_ELSEWHERE}"
