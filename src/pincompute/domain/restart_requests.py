"""Keeps restart requests for a replica or container on its pod until the disruption account allows them.

The gateway adds a request to the pod's annotation. The member's operator carries it out as soon as its budget allows, and
removes it. A pending request is known by its id, so repeating it changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from pincompute.api import labels
from pincompute.api.builtin import Pod
from pincompute.api.meta import Struct
from pincompute.domain.container_restart import ContainerRestart

MOST = 16  # that may wait on one pod


class RestartRequest(Struct):
    """Who asked for which restart, when and why; without a container the whole replica is replaced."""

    id: str
    by: str
    at: datetime
    container: str = ""
    why: str = ""

    @property
    def of_container(self) -> ContainerRestart:
        """Returns the request as `container_restart.decide` takes it."""
        return ContainerRestart(self.container, self.by, self.why, self.id)


def waiting(pod: Pod) -> tuple[RestartRequest, ...]:
    """Returns the pending requests, oldest first; none when somebody else wrote the annotation in another form."""
    text = pod.metadata.annotations.get(labels.RESTART_REQUEST)
    try:
        return msgspec.json.decode(text, type=tuple[RestartRequest, ...]) if text else ()
    except (msgspec.MsgspecError, RecursionError):
        return ()


def knows(pod: Pod, request: RestartRequest) -> bool:
    """Returns whether this very request is pending on the pod already."""
    return any(known.id == request.id for known in waiting(pod))


def annotation(requests: Sequence[RestartRequest]) -> dict[str, str | None]:
    """Returns the annotation with these requests, for a merge patch; null removes it when there are none."""
    return {labels.RESTART_REQUEST: msgspec.json.encode(requests).decode() if requests else None}


def without(pod: Pod, ids: Collection[str]) -> dict[str, str | None]:
    """Returns the annotation once the requests with these ids are carried out."""
    return annotation([request for request in waiting(pod) if request.id not in ids])
